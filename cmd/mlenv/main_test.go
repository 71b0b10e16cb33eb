package main

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write the golden files and the generated docs anew")

func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == confineCommand { // as main does, where a command runs within this process
		os.Exit(confinePython(os.Args[2:]))
	}
	testscript.Main(withSharedDir{m}, programs())
}

// sharedDir is a directory for what several tests need and none changes.
var sharedDir string

// withSharedDir runs the tests while there is a sharedDir.
type withSharedDir struct{ m *testing.M }

// Run implements testscript.TestingM.
func (w withSharedDir) Run() int {
	var err error
	if sharedDir, err = os.MkdirTemp("", "mlenv-test-"); err != nil {
		panic(err)
	}
	defer os.RemoveAll(sharedDir)
	return w.m.Run()
}

// The scripts run the real main. $EXAMPLES is the folder of example models.
func TestScripts(t *testing.T) {
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("EXAMPLES", examples)
			return nil
		},
	})
}

// golden compares got with a file, or writes it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, []byte(got), 0o666)); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v (run with -update)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got, run with -update if it is meant):\n%s", name, diff)
	}
}

// command runs mlenv inside the test.
func command(t *testing.T, env map[string]string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs strings.Builder
	code = run(t.Context(), args, func(k string) (string, bool) { v, ok := env[k]; return v, ok },
		strings.NewReader(""), &out, &errs)
	return out.String(), errs.String(), code
}

// Every command's help can be had in both ways, and says what the command is for.
func TestEveryCommandHasHelp(t *testing.T) {
	for _, c := range (&app{}).commands() {
		if c.Hidden || c.Name == "help" {
			continue
		}
		first, _, code := command(t, nil, "help", c.Name)
		second, _, _ := command(t, nil, c.Name, "--help")
		if code != 0 || first != second || !strings.Contains(first, c.Usage) || c.Usage == "" {
			t.Errorf("mlenv help %s exits with %d and prints\n%s", c.Name, code, first)
		}
	}
}

func TestNoColourBesideATerminal(t *testing.T) {
	_, errs, code := command(t, map[string]string{"TERM": "xterm"}, "resolve")
	if code != exitFailure || strings.Contains(errs, "\x1b") || errs == "" {
		t.Errorf("exit code %d, stderr %q", code, errs)
	}
}

func TestCompletion(t *testing.T) {
	tests := []struct {
		words string // separated by spaces; a last space stands for an empty word
		want  string // the candidates, without their descriptions
	}{
		{"res", "resolve"},
		{"completion ", ""},
		{"resolve --form", "--format"},
		{"resolve --format ", "yaml json requirements conda"},
		{"resolve --format j", "json"},
		{"resolve model --str", "--strict"},
		{"resolve ", ""},
		{"resolve --python ", ""},
		{"--ver", "--version"},
	}
	for _, test := range tests {
		words := strings.Split(test.words, " ")
		out, _, code := command(t, nil, append([]string{completeWord}, words...)...)
		var got []string
		for line := range strings.Lines(out) {
			name, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			got = append(got, name)
		}
		if code != 0 || strings.Join(got, " ") != test.want {
			t.Errorf("mlenv %s<TAB>: %q, want %q (exit code %d)", test.words, got, test.want, code)
		}
	}
}

// The scripts of shells that are here are at least valid, and bash's completes.
func TestCompletionScripts(t *testing.T) {
	for shell := range completionScripts {
		t.Run(shell, func(t *testing.T) {
			out, errs, code := command(t, nil, "completion", shell)
			if code != 0 || errs != "" || !strings.Contains(out, completeWord) {
				t.Errorf("exit code %d, stderr %q, stdout\n%s", code, errs, out)
			}
		})
	}
	if _, errs, code := command(t, nil, "completion", "tcsh"); code != exitFailure || !strings.Contains(errs, "bash, zsh, fish") {
		t.Errorf("completion tcsh: exit code %d, %s", code, errs)
	}
}
