package serving

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mlenv/resolve/finding"
)

// Target is a platform that runs containers, with what its documents say about those that it takes.
// docs/runtime.md names the documents.
type Target struct {
	Name  string // as on the command line: "sagemaker"
	Title string // "Amazon SageMaker"

	Architectures []string // that it has; nil: it does not say
	Docker        bool     // it takes Docker's form of manifest alone
	OneImage      bool     // it takes no index of several platforms
	Port          int      // it calls this port and no other; 0: any, or the one that a variable names
	WantsRoot     bool     // its documents ask for root
	RefusesRoot   bool     // its usual settings let no root run

	User   string // the preset, "": DefaultUser
	Labels []Var  // the preset
}

// targets are all platforms, sorted by name.
var targets = []Target{
	{Name: "azureml", Title: "Azure Machine Learning", Architectures: []string{"amd64"}},
	{Name: "cloudrun", Title: "Cloud Run", Architectures: []string{"amd64"}},
	{Name: "kserve", Title: "KServe", RefusesRoot: true},
	{Name: "kubernetes", Title: "Kubernetes", RefusesRoot: true},
	{Name: "sagemaker", Title: "Amazon SageMaker", Architectures: []string{"amd64", "arm64"},
		Docker: true, OneImage: true, Port: DefaultPort, WantsRoot: true, User: "0:0",
		// Without it, SageMaker refuses the container in an endpoint of several: the launcher listens
		// where SAGEMAKER_BIND_TO_PORT says.
		Labels: []Var{{"com.amazonaws.sagemaker.capabilities.accept-bind-to-port", "true"}}},
	{Name: "vertex", Title: "Vertex AI", Architectures: []string{"amd64"}},
}

// Targets lists the names of all platforms, sorted.
func Targets() []string {
	var out []string
	for _, t := range targets {
		out = append(out, t.Name)
	}
	return out
}

// ParseTarget reads the name of a platform.
func ParseTarget(name string) (Target, error) {
	for _, t := range targets {
		if t.Name == name {
			return t, nil
		}
	}
	return Target{}, fmt.Errorf("unknown platform %q: it is one of %s", name, strings.Join(Targets(), ", "))
}

// Shape is what a platform sees of an image.
type Shape struct {
	Architectures []string // of the image, or of all in its index
	Docker        bool     // Docker's form of manifest
	Index         bool     // it is an index, or a manifest list
	Port          int      // that it listens on unless a variable says otherwise; 0: none
	User          string   // as in its configuration
	Serves        bool     // something in it is started that may answer requests
}

// Refuses says what of an image the platform would not take, and why.
func (t Target) Refuses(s Shape) (out finding.List) {
	add := func(rule finding.ID, format string, args ...any) {
		out.Add(rule, t.Name, nil, format, args...)
	}
	var missing []string
	for _, a := range s.Architectures {
		if t.Architectures != nil && !slices.Contains(t.Architectures, a) {
			missing = append(missing, a)
		}
	}
	if len(missing) > 0 && len(missing) == len(s.Architectures) {
		add(finding.TargetArchitecture, "%s runs linux/%s, and the image is for linux/%s", t.Title, strings.Join(t.Architectures, " and linux/"), strings.Join(missing, " and linux/"))
	}
	if t.Docker && !s.Docker {
		add(finding.TargetManifest, "%s takes Docker's form of manifest alone, and the image's is the OCI's", t.Title)
	}
	if t.OneImage && s.Index {
		add(finding.TargetManifest, "%s takes the image of one platform, and this is an index of several", t.Title)
	}
	if !s.Serves {
		add(finding.TargetServer, "%s sends requests to a server, and the image starts none", t.Title)
	} else if t.Port != 0 && s.Port != t.Port {
		add(finding.TargetPort, "%s calls port %d, and the container listens on %d", t.Title, t.Port, s.Port)
	}
	root, numeric := userKind(s.User)
	switch {
	case t.RefusesRoot && (root || !numeric):
		add(finding.TargetRefusesRoot, "%s with runAsNonRoot refuses the user %q: it has to be a number other than 0", t.Title, s.User)
	case t.WantsRoot && !root:
		add(finding.TargetWantsRoot, "%s asks for containers that run as root, and this one runs as %s", t.Title, s.User)
	}
	return out
}

// userKind reports whether the user of an image is root, and whether it is a number. No user is root.
func userKind(user string) (root, numeric bool) {
	uid, _, _ := strings.Cut(user, ":")
	if uid == "" || uid == "root" {
		return true, uid == ""
	}
	n, err := strconv.ParseUint(uid, 10, 32)
	return err == nil && n == 0, err == nil
}
