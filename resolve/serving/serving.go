// Package serving says how an image serves its model: what the server needs installed, how it is
// started, watched and stopped, and where things lie. The Dockerfile and the image builder both
// read it, so that the two give the same container.
package serving

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"mlenv/resolve/pattern"
	"mlenv/resolve/pep440"
)

// Kind is a server.
type Kind string

// The servers.
const (
	MLflow   Kind = "mlflow"   // MLflow's scoring server: /ping and /invocations
	MLServer Kind = "mlserver" // MLServer with mlserver-mlflow: also /v2
	None     Kind = "none"     // the environment alone
)

// ParseKind reads the name of a server; "" is MLflow.
func ParseKind(s string) (Kind, error) {
	switch k := Kind(s); k {
	case "":
		return MLflow, nil
	case MLflow, MLServer, None:
		return k, nil
	}
	return "", fmt.Errorf("unknown server %q: it is mlflow, mlserver or none", s)
}

// Where things lie in every image. ModelPath is where MLflow's own images and SageMaker have it.
const (
	Venv      = "/opt/venv"
	Python    = Venv + "/bin/python"
	ModelPath = "/opt/ml/model"
	CodePath  = "/opt/ml/code" // code that is not part of the model (--code-paths), flattened
	LockPath  = Venv + "/pylock.toml"
)

// Paths are the directories that an image has for itself: everything that is put into it lies below
// one of them, and nothing else may.
func Paths() []string { return []string{Venv, ModelPath, CodePath} }

// DefaultPort is the port that MLflow's own images publish.
const DefaultPort = 8080

// DefaultUser is a numeric user, so that Kubernetes can tell that it is not root, in group 0, so
// that files readable by the group stay readable under an arbitrary user id.
const DefaultUser = "1000:0"

// Input is what the choice of a server depends on.
type Input struct {
	Kind          Kind
	MLflowVersion pep440.Version    // as locked, else as the model says; zero if unknown
	Name, Version string            // of the registered model, "" if unknown
	Code          []string          // the model's code directories, relative to it ("code")
	ExtraCode     bool              // there is code in CodePath too
	Port          int               // 0: DefaultPort
	Workers       int               // 0: 1
	User          string            // "": DefaultUser
	Env           map[string]string // the user's own, which win
	Entrypoint    []string          // the user's own, which replaces the server's command
}

// Var is one environment variable.
type Var struct{ Name, Value string }

// Runtime is the contract of the running container.
type Runtime struct {
	Entrypoint  []string // exec form
	Env         []Var    // sorted by name; PATH is not among them, see PathPrefix
	PathPrefix  string   // goes before the base's PATH
	Port        int      // unless a variable says otherwise at the start; 0: there is no server
	Workers     int      // likewise
	Launcher    []byte   // the program at Launcher, with mode 0755; nil: there is no server
	Healthcheck []string // exec-form command, nil if none; see the Health constants
	StopSignal  string
	User        string
	WorkingDir  string
}

// The health check's timing, in seconds, and its retries. Importing a large library can take most
// of a minute on a cold machine, hence the start period.
const (
	HealthInterval    = 30
	HealthTimeout     = 5
	HealthStartPeriod = 60
	HealthRetries     = 3
)

// New gives the contract for a model. It fails where a flag's value cannot be used.
func New(in Input) (*Runtime, error) {
	if in.Port == 0 {
		in.Port = DefaultPort
	}
	if in.Workers == 0 {
		in.Workers = 1
	}
	if in.User == "" {
		in.User = DefaultUser
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	r := &Runtime{
		PathPrefix: Venv + "/bin",
		StopSignal: "SIGTERM",
		User:       in.User,
		WorkingDir: ModelPath,
	}
	env := map[string]string{
		// Nothing but /tmp can be counted on to be writable for an arbitrary user.
		"HOME":             "/tmp",
		"LANG":             "C.UTF-8",
		"PYTHONUNBUFFERED": "1",
		"VIRTUAL_ENV":      Venv,
	}
	if err := r.serve(in, env); err != nil {
		return nil, err
	}
	if len(in.Entrypoint) > 0 {
		// Nobody knows what this command answers, or whether it answers at all.
		r.Entrypoint, r.Healthcheck = in.Entrypoint, nil
	}
	if path := in.pythonPath(); path != "" {
		env["PYTHONPATH"] = path
	}
	maps.Copy(env, in.Env)
	for _, name := range slices.Sorted(maps.Keys(env)) {
		r.Env = append(r.Env, Var{name, env[name]})
	}
	return r, nil
}

// numericUser is a user, and maybe a group, by number: Kubernetes' runAsNonRoot refuses names, and
// a name would have to be looked up in the base.
var numericUser = pattern.New(`^\d{1,10}(:\d{1,10})?$`)

// check finds values that no container could have.
func (in Input) check() error {
	switch {
	case in.Port < 1 || in.Port > 65535:
		return fmt.Errorf("port %d: a port is between 1 and 65535", in.Port)
	case in.Workers < 1:
		return fmt.Errorf("workers %d: at least one is needed", in.Workers)
	case !numericUser.MatchString(in.User):
		return fmt.Errorf("user %q: a numeric UID or UID:GID is needed", in.User)
	case len(in.Entrypoint) > 0 && in.Entrypoint[0] == "":
		return errors.New("the entrypoint's first word, the program, is empty")
	}
	for _, name := range slices.Sorted(maps.Keys(in.Env)) {
		if strings.ContainsFunc(name, func(r rune) bool { return r == '=' || unicode.IsSpace(r) || unicode.IsControl(r) }) {
			return fmt.Errorf("%q cannot be the name of an environment variable", name)
		}
		if strings.ContainsRune(in.Env[name], 0) {
			return fmt.Errorf("the environment variable %s holds a NUL", name)
		}
	}
	return nil
}

func (in Input) pythonPath() string {
	var dirs []string
	if in.Kind == None || len(in.Entrypoint) > 0 {
		// MLflow puts the model's code on sys.path itself when it loads the model; a command of
		// the user's own may never load it that way.
		for _, c := range in.Code {
			dirs = append(dirs, ModelPath+"/"+c)
		}
	}
	if in.ExtraCode {
		// MLmodel does not know of this code, so MLflow will not find it by itself.
		dirs = append(dirs, CodePath)
	}
	return strings.Join(dirs, ":")
}

// serve says what running the server takes. How it is started, and on which port, is the launcher's
// business, for that depends on variables that are only known when the container is started.
func (r *Runtime) serve(in Input, env map[string]string) (err error) {
	if in.Kind == None {
		r.Entrypoint = []string{Python}
		return nil
	}
	if r.Launcher, err = in.launcher(); err != nil {
		return err
	}
	r.Entrypoint, r.Port, r.Workers = []string{Launcher}, in.Port, in.Workers
	r.Healthcheck = []string{Launcher, "ping"}
	// A model that is being served has no business reporting its use to a third party.
	env["MLFLOW_DISABLE_TELEMETRY"] = "true"
	if in.Kind != MLServer {
		// MLflow's own applications for gunicorn and uvicorn look here for the model: their command
		// line has no place for it.
		env["__pyfunc_model_path__"] = ModelPath
		return nil
	}
	// By default MLServer makes these in its working directory, which is read-only.
	env["MLSERVER_ENVIRONMENTS_DIR"] = "/tmp/.envs"
	env["MLSERVER_METRICS_DIR"] = "/tmp/.metrics"
	// Said, so that it is reached from outside the container whatever a version has as its default.
	env["MLSERVER_HOST"] = "0.0.0.0"
	env["MLSERVER_MODEL_IMPLEMENTATION"] = "mlserver_mlflow.MLflowRuntime"
	env["MLSERVER_MODEL_URI"] = ModelPath
	env["MLSERVER_MODEL_NAME"] = "mlflow-model"
	if in.Name != "" {
		env["MLSERVER_MODEL_NAME"] = in.Name
	}
	if in.Version != "" {
		env["MLSERVER_MODEL_VERSION"] = in.Version
	}
	return nil
}

// usesASGI reports whether an MLflow serves by uvicorn's app (from 2.21 on) or gunicorn's wsgi.
// An unknown version counts as a current one.
func usesASGI(v pep440.Version) bool { return v.IsZero() || atLeast(v, 2, 21) }

// atLeast compares the first two parts of a release.
func atLeast(v pep440.Version, major, minor uint64) bool {
	r := append(slices.Clone(v.Release()), 0, 0)
	return r[0] > major || r[0] == major && r[1] >= minor
}
