package check_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mlenv/resolve"
	"mlenv/resolve/check"
	"mlenv/resolve/finding"
	"mlenv/resolve/model"
)

// day is the day on which the examples are checked.
var day = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func checkDir(t *testing.T, dir string) *check.Report {
	t.Helper()
	report, err := tryDir(dir)
	if err != nil {
		known := false
		if report, known = check.FromError(err, nil, day); !known {
			t.Fatal(err)
		}
	}
	return report
}

func tryDir(dir string) (*check.Report, error) {
	m, err := model.Open(dir)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	spec, err := resolve.Model(m, resolve.Options{})
	if err != nil {
		return nil, err
	}
	return check.Run(check.Input{Spec: spec, Model: m, Today: day})
}

func rulesOf(r *check.Report) []string {
	var ids []string
	for _, f := range r.Findings {
		ids = append(ids, string(f.Rule))
	}
	return ids
}

// edit is one edit of a file by hand, as .ci/oracle/broken.py writes it.
type edit struct{ File, Old, New, Text, Remove string }

func (e edit) apply(dir string) error {
	if e.Remove != "" {
		return os.RemoveAll(filepath.Join(dir, e.Remove))
	}
	name := filepath.Join(dir, e.File)
	if e.Text != "" {
		return os.WriteFile(name, []byte(e.Text), 0o666)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return os.WriteFile(name, []byte(strings.Replace(string(data), e.Old, e.New, 1)), 0o666)
}

// Models that real MLflow logged, broken by hand in the ways that people do, are all found out,
// each by the rule that is meant for it; before that they are clean.
func TestBrokenByHand(t *testing.T) {
	data, err := os.ReadFile("testdata/broken.json")
	if err != nil {
		t.Fatal(err)
	}
	var record struct {
		Models []struct {
			Name, Model, Rule string
			Edits             []edit
		}
	}
	if err := json.Unmarshal(data, &record); err != nil {
		t.Fatal(err)
	}
	if len(record.Models) < 15 {
		t.Errorf("only %d models", len(record.Models))
	}
	for _, broken := range record.Models {
		t.Run(broken.Name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "model")
			if err := os.CopyFS(dir, os.DirFS(filepath.Join("../../examples", broken.Model))); err != nil {
				t.Fatal(err)
			}
			if before := rulesOf(checkDir(t, dir)); len(before) > 0 {
				t.Errorf("unbroken, it has %v", before)
			}
			for _, e := range broken.Edits {
				if err := e.apply(dir); err != nil {
					t.Fatal(err)
				}
			}
			if found := rulesOf(checkDir(t, dir)); !slices.Contains(found, broken.Rule) {
				t.Errorf("found %v, not %s", found, broken.Rule)
			}
		})
	}
}

// The errors that models have as MLflow saved them, by the end of their path: each is true of them.
var trueOfUnbroken = map[string]string{
	"/conda":             "python-minor-differs", // the author's conda.yaml has another Python than the one that logged
	"/conda-constraints": "python-minor-differs",
	"/conda-nothing":     "python-minor-differs",
	"/forms":             "hash-missing",        // a wheel by URL without a hash
	"1.30/code":          "code-shadows-stdlib", // MLflow before 2.1 puts the folders below code on the path too
}

// No other model that MLflow saved and nobody touched gives an error.
func TestUnbrokenGivesNoError(t *testing.T) {
	names, err := filepath.Glob("../testdata/mlflow/*/*/MLmodel")
	if err != nil || len(names) < 80 {
		t.Fatalf("%d models (%v)", len(names), err)
	}
	for _, name := range names {
		dir := filepath.ToSlash(filepath.Dir(name))
		for _, f := range checkDir(t, dir).Findings {
			if f.Severity != finding.Error || f.Rule == "missing-model-file" { // their pickles are left out
				continue
			}
			known := false
			for end, rule := range trueOfUnbroken {
				known = known || strings.HasSuffix(dir, end) && string(f.Rule) == rule
			}
			if !known {
				t.Errorf("%s: %s: %s", dir, f.Rule, f.Message)
			}
		}
	}
}
