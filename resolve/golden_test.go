package resolve_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rogpeppe/go-internal/txtar"

	"mlenv/resolve"
	"mlenv/resolve/model"
)

var update = flag.Bool("update", false, "write the golden files anew")

// glob is filepath.Glob that fails where nothing matches.
func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("nothing matches %s (%v)", pattern, err)
	}
	return found
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, got, 0o666)); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v (run with -update)", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got, run with -update if it is meant):\n%s", name, diff)
	}
}

func resolveDir(t *testing.T, dir string) *resolve.Spec {
	t.Helper()
	m, err := model.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	spec, err := resolve.Model(m, resolve.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// Every testdata/models/*.txtar is a model; beside it lies the spec that it resolves to.
func TestModels(t *testing.T) {
	for _, name := range glob(t, "testdata/models/*.txtar") {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := txtar.Write(archive, dir); err != nil {
				t.Fatal(err)
			}
			checkForms(t, strings.TrimSuffix(name, ".txtar"), resolveDir(t, dir))
		})
	}
}

// Every example model, as MLflow wrote it.
func TestExamples(t *testing.T) {
	for _, name := range glob(t, "../examples/*/MLmodel") {
		dir := filepath.Dir(name)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			checkForms(t, filepath.Join("testdata", "examples", filepath.Base(dir)), resolveDir(t, dir))
		})
	}
}

// checkForms compares the spec in all its forms with the golden files of that name.
func checkForms(t *testing.T, name string, spec *resolve.Spec) {
	t.Helper()
	yaml, err := spec.YAML()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, name+".yaml", yaml)
	conda, err := spec.CondaYAML()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, name+".conda.yml", conda)
	golden(t, name+".requirements.txt", spec.RequirementsTxt())
	json, err := spec.JSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range [][]byte{yaml, json} {
		back, err := resolve.ParseSpec(form)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(spec, back, cmpopts.IgnoreFields(resolve.Spec{}, "Secrets"), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("the values of the spec read back as others (-want +got):\n%s", d)
		}
		again, err := back.YAML()
		if err != nil || !bytes.Equal(again, yaml) {
			t.Errorf("the spec reads back as another: %v\n%s", err, cmp.Diff(string(yaml), string(again)))
		}
	}
}

// What is said of the models that MLflow itself wrote, in one file to be read as a whole: a line
// there that says nothing worth knowing is a false alarm.
func TestFindingsOfRealModels(t *testing.T) {
	var out strings.Builder
	for _, name := range glob(t, "testdata/mlflow/*/*/MLmodel") {
		dir := filepath.Dir(name)
		fmt.Fprintf(&out, "%s\n", filepath.ToSlash(strings.TrimPrefix(dir, filepath.FromSlash("testdata/mlflow/"))))
		for _, f := range resolveDir(t, dir).Findings {
			fmt.Fprintf(&out, "  %s: %s [%s]\n", f.Severity, f.Message, f.Rule)
		}
	}
	golden(t, "testdata/mlflow/findings.txt", []byte(out.String()))
}
