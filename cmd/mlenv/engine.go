package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mlenv/imagebuild/sink"
)

// engineTimeout is how long a running engine may take to say that it is there.
const engineTimeout = 10 * time.Second

// noEngine says that --load found nothing to load into.
type noEngine struct{ err error }

func (e *noEngine) Error() string { return e.err.Error() }
func (e *noEngine) Unwrap() error { return e.err }

// engine finds a running engine and makes sure that it answers.
func (a *app) engine(ctx context.Context) (sink.Daemon, error) {
	d, err := a.findEngine()
	if err != nil {
		return d, err
	}
	ctx, cancel := context.WithTimeout(ctx, engineTimeout)
	defer cancel()
	if err := d.Ping(ctx); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no answer within %s", engineTimeout)
		}
		return d, &noEngine{fmt.Errorf("asking the engine at %s: %w", d, err)}
	}
	return d, nil
}

// findEngine takes DOCKER_HOST, else CONTAINER_HOST, else the first socket of Docker or podman.
func (a *app) findEngine() (sink.Daemon, error) {
	if host := a.env("DOCKER_HOST"); host != "" {
		return sink.Daemon{Host: host, CertDir: a.engineCerts()}, nil
	}
	if host := a.env("CONTAINER_HOST"); host != "" {
		d := sink.Daemon{Host: host}
		if !strings.HasPrefix(host, "unix://") {
			return d, &noEngine{fmt.Errorf("CONTAINER_HOST is %s, but mlenv knows only unix:// there", d)}
		}
		return d, nil
	}
	for _, name := range a.engineSockets() {
		if info, err := os.Stat(name); err == nil && info.Mode()&os.ModeSocket != 0 {
			return sink.Daemon{Host: "unix://" + name}, nil
		}
	}
	return sink.Daemon{}, &noEngine{errors.New("no running Docker or podman was found to load the image into")}
}

// engineSockets are where engines listen: those of the whole machine first, as Docker has it.
func (a *app) engineSockets() []string {
	sockets := []string{"/var/run/docker.sock"}
	if dir := a.env("XDG_RUNTIME_DIR"); dir != "" {
		sockets = append(sockets, filepath.Join(dir, "docker.sock"), filepath.Join(dir, "podman/podman.sock"))
	}
	return append(sockets, "/run/podman/podman.sock")
}

// engineCerts is the directory of the certificates for an engine behind TLS, "" for none.
func (a *app) engineCerts() string {
	switch dir := a.env("DOCKER_CERT_PATH"); {
	case a.env("DOCKER_TLS_VERIFY") == "" || strings.HasPrefix(a.env("DOCKER_HOST"), "unix://"):
		return ""
	case dir != "":
		return dir
	}
	return filepath.Join(a.env("HOME"), ".docker")
}
