package vex

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func TestGolden(t *testing.T) {
	day := time.Date(2026, 1, 2, 15, 0, 0, 0, time.UTC)
	for name, in := range map[string]Input{
		"none": {Author: "mlenv v1", Date: day},
		"some": {Author: "mlenv v1", Date: day, Statements: []Statement{
			{"CVE-2099-2", nil, "pillow", "10.0.0+cpu", "images of clients are never opened"},
			{"CVE-2099-1", []string{"GHSA-a", "PYSEC-1"}, "mlflow", "2.9.2", "the server is not reachable & reads no <files>"},
		}},
	} {
		got, err := Document(in)
		if err != nil {
			t.Fatal(err)
		}
		file := "testdata/" + name + ".json"
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), string(got)); d != "" {
			t.Errorf("%s: %s", file, d)
		}
	}
}
