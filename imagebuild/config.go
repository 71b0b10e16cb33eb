package imagebuild

import (
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/resolve/serving"
)

// configure writes what the runtime contract says into an image's configuration. Variables of the
// base stay unless the contract sets them; PATH and the like are the base's with ours in front.
func (r *Recipe) configure(c *v1.Config) {
	c.Env = r.environment()
	if c.Labels = mergeMaps(inherited(c.Labels), r.Labels); len(c.Labels) == 0 {
		c.Labels = nil
	}
	// What belongs to building, or to the machine on which the base was built, is not ours to keep.
	c.Hostname, c.Domainname, c.Image, c.OnBuild = "", "", "", nil
	c.AttachStdin, c.AttachStdout, c.AttachStderr = false, false, false
	rt := r.Runtime
	if rt == nil {
		return
	}
	if len(rt.Entrypoint) > 0 {
		c.Entrypoint, c.Cmd = slices.Clone(rt.Entrypoint), nil
	}
	if rt.Port > 0 {
		c.ExposedPorts = map[string]struct{}{fmt.Sprintf("%d/tcp", rt.Port): {}}
	}
	if rt.User != "" {
		c.User = rt.User
	}
	if rt.WorkingDir != "" {
		c.WorkingDir = rt.WorkingDir
	}
	if rt.StopSignal != "" {
		c.StopSignal = rt.StopSignal
	}
	c.Healthcheck = nil
	if len(rt.Healthcheck) > 0 {
		c.Healthcheck = &v1.HealthConfig{
			Test:     append([]string{"CMD"}, rt.Healthcheck...),
			Interval: serving.HealthInterval * time.Second, Timeout: serving.HealthTimeout * time.Second,
			StartPeriod: serving.HealthStartPeriod * time.Second, Retries: serving.HealthRetries,
		}
	}
}

// inherited are the base's labels but for the OCI image specification's own: its title, version or
// licenses are those of the base, which base.name and base.digest tell.
func inherited(labels map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range labels {
		if !strings.HasPrefix(k, "org.opencontainers.image.") {
			out[k] = v
		}
	}
	return out
}

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// foreign are variables of a base that would have another Python's packages found before those that
// were locked, or another standard library.
var foreign = []string{"PYTHONPATH", "PYTHONHOME"}

// environment gives the variables of the image in the base's order, ours after them.
func (r *Recipe) environment() []string {
	env := &environ{}
	for _, entry := range r.Base.Env {
		if name, value, ok := strings.Cut(entry, "="); ok && !slices.Contains(foreign, name) {
			env.set(name, value)
		}
	}
	basePath := env.get("PATH")
	if basePath == "" {
		basePath = defaultPath
	}
	prefix := serving.Venv + "/bin"
	if r.Runtime != nil && r.Runtime.PathPrefix != "" {
		prefix = r.Runtime.PathPrefix
	}
	env.set("PATH", prefix+":"+basePath)
	for _, v := range []serving.Var{{Name: "LANG", Value: "C.UTF-8"}, {Name: "PYTHONUNBUFFERED", Value: "1"}, {Name: "SSL_CERT_FILE", Value: r.Base.CABundle}} {
		if env.get(v.Name) == "" && v.Value != "" {
			env.set(v.Name, v.Value)
		}
	}
	if r.Runtime != nil {
		for _, v := range r.Runtime.Env {
			env.set(v.Name, v.Value)
		}
	}
	return env.list
}

// environ is a list of variables, each once.
type environ struct{ list []string }

func (e *environ) get(name string) string {
	for _, entry := range e.list {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

func (e *environ) set(name, value string) {
	for i, entry := range e.list {
		if strings.HasPrefix(entry, name+"=") {
			e.list[i] = name + "=" + value
			return
		}
	}
	e.list = append(e.list, name+"="+value)
}

func mergeMaps(below, above map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range below {
		out[k] = v
	}
	for k, v := range above {
		out[k] = v
	}
	return out
}
