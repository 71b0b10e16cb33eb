//go:build unix

package main

import (
	"io"
	"os"
	"os/exec"
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
			{"image", dir, "--offline", "--no-index", "--base", "host", "-o", "oci:" + filepath.Join(t.TempDir(), "x")}, {"diff", dir, dir},
		} {
			if _, stderr, code := command(t, env, args...); code > exitFindings || strings.Contains(stderr, "panic") {
				t.Errorf("%s of %s: exit code %d, stderr:\n%s", args[0], pipe, code, stderr)
			}
		}
	}
}

// A command that waits for what no context ends, such as a pipe that the user names and nobody writes
// to, ends by one signal all the same.
func TestSignalEndsWhatWaits(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "limits.txt")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip("no named pipes here:", err)
	}
	cmd := exec.Command("mlenv", "resolve", "../../examples/sklearn", "--constraint", pipe)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// Whoever opens a pipe for writing gets it when there is a reader: the command is there, and waits
	// for a line that does not come.
	writer, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, stderr); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 128+int(syscall.SIGTERM) {
		t.Errorf("exit code %d, %v", code, err)
	}
}
