// Package deploy writes the manifests that run an image on a platform. It touches no network and no
// disk.
package deploy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"mlenv/resolve/pattern"
	"mlenv/templates"
)

// Targets returns the platforms that are configured by a file, sorted.
func Targets() []string { return []string{"cloudrun", "compose", "kserve", "kubernetes"} }

// Input is what a manifest depends on.
type Input struct {
	Name       string // of the service, see Name
	Image      string // reference
	Port       int
	Workers    int
	UID, GID   uint32
	Variables  []string // environment variables that the model needs, sorted; their values come from a secret
	ModelBytes int64    // of the model's files; 0: unknown
	MLServer   bool     // the server speaks the Open Inference Protocol (V2) too
}

// Secret is the name of the Secret with the values of the variables.
func (in Input) Secret() string { return in.Name + "-env" }

// The estimated memory of a worker in MiB: Python with MLflow's libraries, and the model twice, because
// loading often needs the file and the object at once. It is rounded up to a step.
const (
	workerMiB = 512
	stepMiB   = 256
)

// Memory is the estimate of what all workers need, as Kubernetes writes it.
func (in Input) Memory() string {
	model := (2*in.ModelBytes + 1<<20 - 1) >> 20
	need := int64(max(1, in.Workers)) * (workerMiB + model)
	return fmt.Sprintf("%dMi", (need+stepMiB-1)/stepMiB*stepMiB)
}

// VariableError says that a variable has a name that no manifest can hold.
type VariableError struct{ Name string }

func (e *VariableError) Error() string {
	return fmt.Sprintf("the model wants the variable %q, which is not a name that a container can have", e.Name)
}

var (
	notInName    = pattern.New(`[^a-z0-9]+`)
	variableForm = pattern.New(`^[A-Za-z_][A-Za-z0-9_]*$`)
	nameForm     = pattern.New(`^[a-z]([-a-z0-9]{0,57}[a-z0-9])?$`)
)

// Name turns any text into a name that all platforms accept: a DNS label (RFC 1035) that is short
// enough for the name of the Secret, too.
func Name(text string) string {
	name := strings.Trim(notInName.ReplaceAllString(strings.ToLower(text), "-"), "-")
	if name == "" || name[0] < 'a' {
		name = strings.TrimSuffix("model-"+name, "-")
	}
	return strings.TrimRight(name[:min(len(name), 58)], "-")
}

// Manifest returns the manifest that runs an image on one of Targets.
func Manifest(target string, in Input) ([]byte, error) {
	switch {
	case !slices.Contains(Targets(), target):
		return nil, fmt.Errorf("there is no manifest for %q: there is one for %s", target, strings.Join(Targets(), ", "))
	case !nameForm.MatchString(in.Name):
		return nil, fmt.Errorf("%q is not a name that a service can have: lower-case letters, digits and dashes, at most 59", in.Name)
	}
	for _, v := range in.Variables {
		if !variableForm.MatchString(v) {
			return nil, &VariableError{v}
		}
	}
	t, err := template.New("").Funcs(template.FuncMap{"quote": quote}).ParseFS(templates.Deploy, "deploy/*.yaml", "deploy/*.tmpl")
	if err != nil {
		return nil, fmt.Errorf("reading the templates of manifests: %w", err)
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, target+".yaml", in); err != nil {
		return nil, fmt.Errorf("writing the manifest: %w", err)
	}
	return b.Bytes(), nil
}

// quote writes a string as JSON does, which is YAML too.
func quote(s string) (string, error) {
	data, err := json.Marshal(s)
	return string(data), err
}
