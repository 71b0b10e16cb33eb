package serving

import (
	"bytes"
	"fmt"
	"text/template"

	"mlenv/resolve/pep440"
	"mlenv/templates"
)

// LauncherName is the name of the program that starts the server, and Launcher its path. The name is
// not "serve", for Ray installs a script of that name.
const (
	LauncherName = "mlenv-serve"
	Launcher     = Venv + "/bin/" + LauncherName
)

// server is a program that can serve a model.
type server string

const (
	uvicorn  server = "uvicorn"  // of MLflow from 2.21 on
	gunicorn server = "gunicorn" // of MLflow before
	mlserver server = "mlserver"
)

// server is the program that serves the model.
func (in Input) server() server {
	switch {
	case in.Kind == MLServer:
		return mlserver
	case usesASGI(in.MLflowVersion):
		return uvicorn
	}
	return gunicorn
}

// tracesIntoDatabase reports whether an MLflow keeps traces in a database where it is not told otherwise
// (from 3.7 on). Before, it keeps them in files, and only says so where it cannot. An unknown version
// counts as a current one.
func tracesIntoDatabase(v pep440.Version) bool { return v.IsZero() || atLeast(v, 3, 7) }

// launcher writes the program that starts the server. Port and workers are what counts where no
// variable says otherwise when the container is started.
func (in Input) launcher() ([]byte, error) {
	t, err := template.New(LauncherName).Parse(templates.Launcher)
	if err != nil {
		return nil, fmt.Errorf("reading the launcher's template: %w", err)
	}
	var b bytes.Buffer
	err = t.Execute(&b, struct {
		Python, Model string
		Server        server
		Port, Workers int
		Database      bool
	}{Python, ModelPath, in.server(), in.Port, in.Workers, tracesIntoDatabase(in.MLflowVersion)})
	if err != nil {
		return nil, fmt.Errorf("writing the launcher: %w", err)
	}
	return b.Bytes(), nil
}
