//go:build linux || darwin

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/registry"

	"mlenv/imagebuild/base/basetest"
)

// interruptAt answers a request by sending a signal to the process that made it, and waits until the
// process hangs up.
func interruptAt(p *process, s syscall.Signal) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-p.started
		if err := p.Process.Signal(s); err != nil {
			panic(err)
		}
		_, _ = io.Copy(io.Discard, r.Body) // a server notices who has gone when it has read all
		<-r.Context().Done()
	})
}

// TestInterrupted sends signals to commands that wait for a server.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	w := newImageWorld(t)
	lock := filepath.Join(t.TempDir(), "pylock.toml")
	if err := newProcess(w.env, "lock", w.model, "--index-url", w.index.URL, "--base", "oci:"+w.base, "-o", lock).Run(); err != nil {
		t.Fatal(err)
	}
	base := w.registry + "/python:3.11.9-slim"
	img, err := basetest.Slim("3.11.9")
	if err != nil {
		t.Fatal(err)
	}
	if err := crane.Push(img, base); err != nil {
		t.Fatal(err)
	}
	page, wheel := "/simple/deep/", "/files/deep/*.whl"
	for _, tt := range []struct {
		signal syscall.Signal
		at     string // the request of the index at which the signal comes
		args   []string
		code   int
	}{
		{syscall.SIGINT, page, []string{"lock", "-o", "new.toml"}, 130},
		{syscall.SIGTERM, page, []string{"lock", "-o", "new.toml"}, 143},
		{syscall.SIGINT, page, []string{"dockerfile", "-o", "context"}, 130},
		{syscall.SIGINT, page, []string{"check", "--online"}, 130},
		{syscall.SIGTERM, page, []string{"image", "-o", "oci:layout"}, 143},
		{syscall.SIGINT, wheel, []string{"image", "-o", "oci-tar:x.tar", "--lock", lock}, 130},
	} {
		t.Run(fmt.Sprintf("%s/%s/%d", tt.args[0], filepath.Base(tt.at), tt.signal), func(t *testing.T) {
			dir := t.TempDir()
			args := append([]string{tt.args[0], w.model, "--index-url", w.index.URL, "--base", base}, tt.args[1:]...)
			p := newProcess(map[string]string{"MLENV_CACHE_DIR": t.TempDir(), "HOME": dir}, args...)
			p.Dir = dir
			w.index.On(tt.at, 1, interruptAt(p, tt.signal))
			p.expectInterrupted(t, tt.code)
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("it has left %v, %v", left, err)
			}
		})
	}
}

// expectInterrupted runs it until a signal comes from outside, and holds that it says just that.
func (p *process) expectInterrupted(t *testing.T, code int) {
	t.Helper()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	close(p.started)
	err := p.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != code {
		t.Errorf("%v, want exit code %d", err, code)
	}
	said := p.stderr.String()
	if !strings.HasSuffix(said, "interrupted; nothing was left half done\n") || strings.Contains(said, "error:") || strings.Contains(said, "hint:") {
		t.Errorf("stderr:\n%s", said)
	}
}

// TestInterruptedPush interrupts the second of two pushes. The first is said to have been made.
func TestInterruptedPush(t *testing.T) {
	t.Parallel()
	w := newImageWorld(t)
	var made atomic.Pointer[process]
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && strings.HasPrefix(r.URL.Path, "/v2/two/manifests/") {
			interruptAt(made.Load(), syscall.SIGTERM).ServeHTTP(rw, r)
			return
		}
		inner.ServeHTTP(rw, r)
	}))
	t.Cleanup(s.Close)
	host := strings.TrimPrefix(s.URL, "http://")
	p := newProcess(w.env, w.args("--quiet", "--push", host+"/one:1", "--push", host+"/two:1", "-o", "oci:"+filepath.Join(t.TempDir(), "layout"))...)
	made.Store(p)
	p.expectInterrupted(t, 143)
	if out := p.stdout.String(); !strings.HasPrefix(out, host+"/one@sha256:") || strings.Count(out, "\n") != 1 {
		t.Errorf("stdout:\n%s", out)
	}
}

func TestInterruptedErrors(t *testing.T) {
	other, findings := errors.New("no space left"), &findingsError{1}
	canceled := fmt.Errorf("sending: %w", context.Canceled)
	for _, tt := range []struct {
		name string
		err  error
		code int
		want string // stderr
	}{
		{"done", nil, 0, ""},
		{"cancelled", canceled, 130, "interrupted; nothing was left half done\n"},
		{"joined and wrapped", fmt.Errorf("all: %w", errors.Join(canceled, fmt.Errorf("tidying up: %w", errors.Join(other)), canceled)), 130,
			"error: no space left\ninterrupted; nothing was left half done\n"},
		{"the cause", fmt.Errorf("fetching: %w", &interruption{syscall.SIGINT}), 130, "interrupted; nothing was left half done\n"},
		{"the connection's end", io.EOF, 130, "error: EOF\ninterrupted; nothing was left half done\n"},
		{"findings alone", findings, exitFindings, ""},
		{"findings and cancelled", errors.Join(findings, canceled), 130, "interrupted; nothing was left half done\n"},
	} {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(&interruption{syscall.SIGINT})
		var stderr strings.Builder
		a := &app{lookup: os.LookupEnv, stderr: &stderr}
		err := interrupted(ctx, tt.err)
		a.printError(context.Background(), err)
		if exitCode(err) != tt.code || stderr.String() != tt.want {
			t.Errorf("%s: exit code %d, want %d, stderr %q, want %q", tt.name, exitCode(err), tt.code, stderr.String(), tt.want)
		}
	}
}
