package serving

import (
	"bytes"
	"fmt"
	"text/template"

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
	}{Python, ModelPath, in.server(), in.Port, in.Workers})
	if err != nil {
		return nil, fmt.Errorf("writing the launcher: %w", err)
	}
	return b.Bytes(), nil
}
