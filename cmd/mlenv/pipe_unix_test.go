//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Opening a named pipe waits for somebody to write to it, which nobody may ever do.
func TestNamedPipesAreRefused(t *testing.T) {
	for _, name := range []string{"MLmodel", "conda.yaml", "requirements.txt", "python_env.yaml"} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS("../../examples/sklearn")); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name)
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(file, 0o600); err != nil {
			t.Skip("no named pipes here:", err)
		}
		_, stderr, code := command(t, nil, "resolve", dir)
		if code != exitFailure || !strings.Contains(stderr, name+": ") || !strings.Contains(stderr, "not a regular file") {
			t.Errorf("%s: exit code %d, stderr:\n%s", name, code, stderr)
		}
	}
}
