//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestImageIntoPipe writes an image into a pipe, as "docker load < PIPE" reads it.
func TestImageIntoPipe(t *testing.T) {
	w := newImageWorld(t)
	dir := t.TempDir()
	pipe, file := filepath.Join(dir, "pipe"), filepath.Join(dir, "x.tar")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip("no named pipes here:", err)
	}
	read := make(chan error)
	go func() {
		data, err := os.ReadFile(pipe)
		if err == nil {
			err = os.WriteFile(file, data, 0o644)
		}
		read <- err
	}()
	out, errs, code := command(t, w.env, w.args("-o", "docker-tar:"+pipe)...)
	checkPipe(t, pipe)
	if err := <-read; err != nil || code != 0 || !strings.HasPrefix(out, "docker-tar:"+pipe+"@sha256:") {
		t.Fatalf("exit code %d, %v, stdout %q\n%s", code, err, out, errs)
	}
	holds(t, file, "churn-model:latest")
}

func checkPipe(t *testing.T, pipe string) {
	t.Helper()
	if info, err := os.Stat(pipe); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Fatalf("the pipe is %v, %v", info.Mode(), err)
	}
}

// TestImageIntoStdout writes an image to where its reference would be printed, which then goes to
// stderr: a tarball with a line of text behind it is none.
func TestImageIntoStdout(t *testing.T) {
	w := newImageWorld(t)
	dir := t.TempDir()
	pipe, file := filepath.Join(dir, "pipe"), filepath.Join(dir, "x.tar")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip("no named pipes here:", err)
	}
	read := make(chan []byte)
	go func() {
		data, err := os.ReadFile(pipe)
		if err != nil {
			t.Error(err)
		}
		read <- data
	}()
	stdout, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	code := run(t.Context(), w.args("-o", "docker-tar:"+pipe, "--quiet"), func(k string) (string, bool) { v, ok := w.env[k]; return v, ok },
		strings.NewReader(""), stdout, &errs)
	if err := stdout.Close(); err != nil {
		t.Fatal(err)
	}
	data := <-read
	if code != 0 || !strings.HasPrefix(errs.String(), "docker-tar:"+pipe+"@sha256:") || strings.Contains(string(data), "@sha256:") {
		t.Errorf("exit code %d, stderr\n%s", code, errs.String())
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	holds(t, file, "churn-model:latest")
	checkPipe(t, pipe)
}
