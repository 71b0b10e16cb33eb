// Package dockerfiles holds the Dockerfiles that mlenv writes against BuildKit's own parser. It is a
// module of its own, so that BuildKit and what comes with it stay out of mlenv's. That mlenv writes
// exactly these Dockerfiles is what the tests beside the golden files hold.
package dockerfiles

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// goldenDirs are where the golden files of build contexts lie, with the number of them at the least:
// a directory that was moved must not go unnoticed.
var goldenDirs = map[string]int{
	"../../render/testdata":               8,
	"../../cmd/mlenv/testdata/dockerfile": 15,
}

// parse reads a Dockerfile as BuildKit does.
func parse(t testing.TB, data []byte) []instructions.Stage {
	t.Helper()
	res, err := parser.Parse(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("BuildKit cannot parse it: %v\n%s", err, data)
	}
	if len(res.Warnings) > 0 {
		t.Errorf("BuildKit warns: %+v\n%s", res.Warnings, data)
	}
	stages, _, err := instructions.Parse(res.AST, nil)
	if err != nil {
		t.Fatalf("BuildKit cannot parse it: %v\n%s", err, data)
	}
	return stages
}

// names gives the instructions of a stage in order.
func names(s instructions.Stage) string {
	var out []string
	for _, c := range s.Commands {
		out = append(out, c.Name())
	}
	return strings.Join(out, " ")
}

// dockerfile cuts the Dockerfile out of a golden file, which holds all files of a build context, each
// under a line such as "-- Dockerfile --" or "-- Dockerfile -rw-r--r-- --".
func dockerfile(t *testing.T, golden string) []byte {
	t.Helper()
	var out []byte
	inside := false
	for line := range strings.Lines(golden) {
		if title, ok := strings.CutPrefix(line, "-- "); ok && strings.HasSuffix(line, " --\n") {
			inside = strings.HasPrefix(title, "Dockerfile ")
		} else if inside {
			out = append(out, line...)
		}
	}
	if len(out) == 0 {
		t.Fatal("there is no Dockerfile in it")
	}
	return out
}

func TestGoldenFiles(t *testing.T) {
	for dir, least := range goldenDirs {
		files, err := filepath.Glob(filepath.Join(filepath.FromSlash(dir), "*.txt"))
		if err != nil {
			t.Fatal(err)
		}
		if len(files) < least {
			t.Errorf("%s has %d golden files, want at least %d", dir, len(files), least)
		}
		for _, file := range files {
			t.Run(filepath.Base(filepath.Dir(dir))+"/"+filepath.Base(file), func(t *testing.T) {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				checkDockerfile(t, dockerfile(t, string(text)))
			})
		}
	}
}

// checkDockerfile holds what is true of every Dockerfile of the built-in templates: what it is made
// of, in which order, and as whom it runs.
func checkDockerfile(t *testing.T, data []byte) {
	if bytes.Contains(data, []byte("syntax=")) {
		t.Error("a syntax line needs a pull")
	}
	stages := parse(t, data)
	if len(stages) != 2 || stages[0].Name != "build" || stages[1].Name != "" {
		t.Fatalf("stages %+v, want one to build and one to run", stages)
	}
	if stages[0].BaseName != stages[1].BaseName {
		t.Errorf("the environment is built on %s but runs on %s", stages[0].BaseName, stages[1].BaseName)
	}
	if n := written(data); n != len(stages[0].Commands)+len(stages[1].Commands)+len(stages) {
		t.Errorf("it has %d instructions as it is written, but BuildKit reads %s | %s", n, names(stages[0]), names(stages[1]))
	}
	checkFinal(t, stages[1])
}

// written counts the instructions as a person does: the lines that begin with a word in capitals at
// the margin.
func written(data []byte) int {
	n := 0
	for line := range strings.Lines(string(data)) {
		word, _, _ := strings.Cut(line, " ")
		if word != "" && strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
			n++
		}
	}
	return n
}

// checkFinal checks the stage that runs: it copies what changes most last, runs nothing but the
// installation of system packages, and ends in the entrypoint.
func checkFinal(t *testing.T, final instructions.Stage) {
	order := []string{"/opt/venv", "extra-code", "model-code", "mlenv-serve", "model"}
	var copies []string
	user := ""
	for _, c := range final.Commands {
		switch c := c.(type) {
		case *instructions.CopyCommand:
			copies = append(copies, strings.Join(c.SourcePaths, " "))
		case *instructions.UserCommand:
			user = c.User
		case *instructions.RunCommand:
			if text := strings.Join(c.CmdLine, " "); !strings.HasPrefix(text, "apt-get update") {
				t.Errorf("the final stage runs %q", text)
			}
		}
	}
	if !slices.Contains(copies, "/opt/venv") || !slices.Contains(copies, "model") ||
		!slices.IsSortedFunc(copies, func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) }) {
		t.Errorf("copies %q, want the environment first and the model last, of %q", copies, order)
	}
	if user != "1000:0" {
		t.Errorf("it runs as %q", user)
	}
	if !strings.HasSuffix(names(final), "ENTRYPOINT") {
		t.Errorf("the final stage is %s", names(final))
	}
}
