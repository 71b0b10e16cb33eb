// Command demo shows a newcomer what mlenv does: it takes an example model the whole way to an
// image in a registry of its own, builds again, builds a retrained model, and, where a container
// engine runs, asks the image for a prediction. It runs the real binary, checks what it shows, and
// leaves nothing behind but one folder.
//
// Usage: go run ./.ci/demo [FOLDER], in the repository; FOLDER (demo-out by default) is emptied.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

const (
	example = "examples/skinny"
	flawed  = "examples/disagree"
	base    = "python:3.11.7-slim" // what mlenv chooses for the example
	marker  = ".mlenv-demo"        // in folders that are ours to empty
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	out := newScreen(os.Stdout, os.LookupEnv)
	dir := "demo-out"
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	err := demonstrate(ctx, out, dir)
	stop()
	if err != nil {
		out.clear()
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// demo is one run. Everything it writes lies in dir.
type demo struct {
	ctx      context.Context
	out      *screen
	dir      string
	registry string   // host:port of the registry
	on       []string // the flags that choose the base
	first    report   // of the first build
}

func demonstrate(ctx context.Context, out *screen, dir string) error {
	d := &demo{ctx: ctx, out: out, dir: dir}
	if err := d.prepare(); err != nil {
		return err
	}
	stop, err := d.startRegistry()
	if err != nil {
		return err
	}
	defer stop()
	out.title("mlenv takes a model to an image", example+": counts words, on mlflow-skinny, numpy, pandas")
	for _, step := range []func() error{d.build, d.resolve, d.check, d.lock, d.dockerfile, d.image, d.again, d.retrain, d.predict} {
		if err := step(); err != nil {
			return err
		}
	}
	size, err := folderSize(dir)
	if err != nil {
		return err
	}
	out.end(fmt.Sprintf("All that is left is the folder %s (%s). Now yours: %s check MODEL",
		dir, bytes(size), filepath.Join(dir, "mlenv")))
	return nil
}

// prepare makes the folder anew, with a copy of the model in it. It only ever empties a folder
// that an earlier run has made.
func (d *demo) prepare() error {
	if entries, err := os.ReadDir(d.dir); err == nil && len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(d.dir, marker)); err != nil {
			return fmt.Errorf("%s is not empty, and no folder of an earlier demo: name another", d.dir)
		}
		if err := os.RemoveAll(d.dir); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(d.dir, marker), nil, 0o644); err != nil {
		return err
	}
	return os.CopyFS(d.path("model"), os.DirFS(example))
}

func (d *demo) path(name string) string { return filepath.Join(d.dir, name) }

// startRegistry serves an empty registry from memory.
func (d *demo) startRegistry() (stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &http.Server{Handler: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	go s.Serve(l)
	d.registry = l.Addr().String()
	return func() { s.Close() }, nil
}

// tagged gives the digest that the registry has under a tag.
func (d *demo) tagged(tag string) (string, error) {
	ref, err := name.ParseReference(d.registry + "/words:" + tag)
	if err != nil {
		return "", err
	}
	found, err := remote.Head(ref, remote.WithContext(d.ctx))
	if err != nil {
		return "", err
	}
	return found.Digest.String(), nil
}

// chooseBase takes docker-library's image where Docker Hub answers, else this machine's own Python.
func (d *demo) chooseBase() (string, error) {
	ref, err := name.ParseReference(base)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(d.ctx, 10*time.Second)
	defer cancel()
	if _, err := remote.Head(ref, remote.WithContext(ctx)); err == nil {
		return base + " from Docker Hub", nil
	}
	d.on = []string{"--base", "host"}
	return "this machine's own Python (--base host), since Docker Hub cannot be reached", nil
}

// anyPython lets the model have the Python of this machine, where it has not the model's own.
func (d *demo) anyPython() bool {
	run := d.start("python3", "-c", "import platform; print(platform.python_version())")
	if run.err != nil || len(d.on) == 0 || len(d.on) > 2 {
		return false
	}
	d.on = append(d.on, "--python", strings.TrimSpace(run.stdout))
	return true
}

func folderSize(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return sum, err
}
