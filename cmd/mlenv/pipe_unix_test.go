//go:build unix

package main

import (
	"context"
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

// What a model's files name is looked at before it is opened, by every command and as every kind of
// thing: a place with packages, a page of links, a wheel, a file of code.
func TestNamedPipesInModels(t *testing.T) {
	t.Parallel()
	base := "oci:" + sharedBase(t)
	for pipe, line := range map[string]string{
		"wheels": "--find-links wheels", "wheels.html": "--find-links wheels.html", "x-1.0-py3-none-any.whl": "./x-1.0-py3-none-any.whl",
		"more.txt": "-r more.txt", "limits.txt": "-c limits.txt", "src": "./src", "code": "",
	} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS("../../examples/sklearn")); err != nil {
			t.Fatal(err)
		}
		requirements := filepath.Join(dir, "requirements.txt")
		text, err := os.ReadFile(requirements)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(requirements, append(text, "\n"+line+"\n"...), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(dir, pipe)); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(filepath.Join(dir, pipe), 0o600); err != nil {
			t.Skip("no named pipes here:", err)
		}
		env := map[string]string{"MLENV_CACHE_DIR": t.TempDir(), "HOME": t.TempDir()}
		for _, args := range [][]string{
			{"resolve", dir}, {"check", dir}, {"dockerfile", dir, "-o", "-", "--offline"}, {"lock", dir, "-o", "-", "--offline", "--no-index"},
			{"image", dir, "--offline", "--no-index", "--base", base, "-o", "oci:" + filepath.Join(t.TempDir(), "x")}, {"diff", dir, dir},
		} {
			if _, stderr, code := command(t, env, args...); code > exitFindings || strings.Contains(stderr, "panic") {
				t.Errorf("%s of %s: exit code %d, stderr:\n%s", args[0], pipe, code, stderr)
			}
		}
	}
}

// A command that waits for what no context ends, such as the opening of a pipe that nobody writes to,
// ends by one signal all the same.
func TestSignalEndsWhatWaits(t *testing.T) {
	t.Parallel() // it takes the whole time of grace
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(&interruption{syscall.SIGTERM})
	if code := grace(ctx, make(chan int)); code != 128+int(syscall.SIGTERM) {
		t.Errorf("exit code %d", code)
	}
	done := make(chan int, 1)
	done <- exitFindings
	if code := grace(ctx, done); code != exitFindings {
		t.Errorf("a command that is through: exit code %d", code)
	}
}
