package provenance

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func example() Input {
	return Input{
		Model:    Model{URI: "models:/churn/7", SHA256: strings.Repeat("1", 64), Files: 3, ID: "m-1", RunID: "r1", Signature: strings.Repeat("2", 64)},
		Settings: map[string]any{"serve": "mlflow"}, Formats: "layer 1",
		Base: Material{Name: "registry.example.com/python:3.11-slim", URI: "registry.example.com/python:3.11-slim", SHA256: "sha256:" + strings.Repeat("3", 64)},
		Lock: strings.Repeat("4", 64),
		Wheels: []Material{
			{"b-1-py3-none-any.whl", "https://user:password@files.example.com/b-1-py3-none-any.whl?token=secret", strings.Repeat("5", 64)},
			{"a-1-py3-none-any.whl", "file:///home/somebody/a-1-py3-none-any.whl", strings.Repeat("6", 64)},
		},
		Made:    []Material{{Name: "spdx-json", SHA256: strings.Repeat("7", 64)}},
		Builder: Builder{ID: "https://ci.example.com/workflow@main", Version: "v1.2.3", Invocation: "https://ci.example.com/runs/1"},
	}
}

func TestGolden(t *testing.T) {
	for name, in := range map[string]Input{"all": example(), "least": {}} {
		got, err := Document(in)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := json.Indent(&b, append(got, '\n'), "", "  "); err != nil {
			t.Fatal(err)
		}
		file := "testdata/" + name + ".json"
		if *update {
			if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), b.String()); d != "" {
			t.Errorf("%s: %s", file, d)
		}
		for _, bad := range []string{"password", "secret", "somebody", "user:"} {
			if strings.Contains(b.String(), bad) {
				t.Errorf("%s holds %q", file, bad)
			}
		}
	}
}
