// Package serving says how an image serves its model: what the server needs installed, how it is
// started, watched and stopped, and where things lie. The Dockerfile and the image builder both
// read it, so that the two give the same container.
package serving

import (
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// Kind is a server.
type Kind string

// The servers.
const (
	MLflow   Kind = "mlflow"   // MLflow's scoring server: /ping and /invocations
	MLServer Kind = "mlserver" // MLServer with mlserver-mlflow: also /v2
	None     Kind = "none"     // the environment alone
)

// Where things lie in every image.
const (
	Venv      = "/opt/venv"
	Python    = "/opt/venv/bin/python"
	ModelPath = "/opt/ml/model"
)

// Input is what the choice of a server depends on.
type Input struct {
	Kind          Kind
	MLflowVersion pep440.Version    // as locked, else as the model says; zero if unknown
	Flavors       []string          // of the model
	Name, Version string            // of the registered model, "" if unknown
	Code          []string          // the model's code directories, relative to it ("code")
	Port          int               // 0: 8080
	Workers       int               // 0: 1
	User          string            // "": "1000:0"
	Env           map[string]string // the user's own, which win
	Entrypoint    []string          // the user's own, which replaces the server's command
}

// Var is one environment variable.
type Var struct{ Name, Value string }

// Runtime is the contract of the running container.
type Runtime struct {
	Entrypoint  []string // exec form
	Env         []Var    // in a fixed order; PATH is the venv's bin alone, to be put before the base's
	Port        int      // 0: none exposed
	Healthcheck []string // exec-form command, nil if none; interval 30 s, timeout 5 s, start period 60 s, 3 retries
	StopSignal  string
	User        string
	WorkingDir  string
}

// Requirements gives what the server needs beside the model's own requirements. declared are the
// names that the model itself requires.
func Requirements(in Input, declared []pep508.Name) ([]pep508.Requirement, error) {
	panic("unwritten")
}

// New gives the contract for a model.
func New(in Input) (*Runtime, error) { panic("unwritten") }
