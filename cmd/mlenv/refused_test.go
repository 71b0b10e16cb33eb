package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// badFiles are ways in which a file of a model can be bad, and what is said of it.
var badFiles = []struct {
	name  string
	spoil func(path string) error
	want  string
}{
	{"100 MB", func(path string) error { return os.Truncate(path, 100<<20) }, "is larger than 10 MiB, which no environment file is"},
	{"bomb", func(path string) error { return os.WriteFile(path, []byte(yamlBomb()), 0o666) }, "with its aliases, more than 262144 values"},
	{"not UTF-8", func(path string) error { return os.WriteFile(path, []byte("a\n\xff\n"), 0o666) }, ":2: byte 0xff is not UTF-8"},
	{"directory", func(path string) error { return os.Mkdir(remove(path), 0o777) }, "is a directory"},
	{"link", func(path string) error { return os.Symlink(os.Args[0], remove(path)) }, "is a link to "},
	{"gone", os.Remove, "no such file"},
}

func remove(path string) string {
	os.Remove(path)
	return path
}

// yamlBomb would be ten thousand million values if its aliases were followed.
func yamlBomb() string {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 10))
	}
	return bomb
}

// Whatever is wrong with a file of a model, the command says so in a sentence that names it, exits
// with 1 and prints nothing else.
func TestBadFilesAreRefused(t *testing.T) {
	for _, file := range []string{"MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt"} {
		for _, bad := range badFiles {
			t.Run(file+"/"+bad.name, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "model")
				if err := os.CopyFS(dir, os.DirFS("../../examples/sklearn")); err != nil {
					t.Fatal(err)
				}
				if err := bad.spoil(filepath.Join(dir, file)); err != nil {
					t.Skip(err) // links need a privilege on Windows
				}
				want := bad.want
				if bad.name == "bomb" && file == "requirements.txt" {
					want = ":1: invalid requirement" // no YAML, so no bomb
				}
				out, errs, code := command(t, nil, "resolve", dir)
				if bad.name == "gone" && strings.HasSuffix(file, ".yaml") {
					// The other one of the two describes the environment, as for MLflow.
					if code != exitOK || !strings.Contains(errs, "[environment-file-missing]") {
						t.Errorf("exit code %d, stderr\n%s", code, errs)
					}
					return
				}
				if bad.name == "link" && strings.HasSuffix(file, ".yaml") {
					// The rest of the model can be read all the same.
					if code != exitFindings || out == "" || !strings.Contains(errs, "[link-not-followed]") || !strings.Contains(errs, want) {
						t.Errorf("exit code %d, stderr\n%s", code, errs)
					}
					return
				}
				if code != exitFailure || out != "" || !strings.Contains(errs, want) || !strings.Contains(errs, "error: ") ||
					!strings.Contains(errs, file) || strings.Contains(errs, dir) || len(errs) > 10000 {
					t.Errorf("exit code %d, %d bytes of stdout, stderr\n%.2000s", code, len(out), errs)
				}
			})
		}
	}
}
