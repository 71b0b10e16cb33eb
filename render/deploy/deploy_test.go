package deploy

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func inputs() map[string]Input {
	plain := Input{Name: "churn", Image: "registry.example/churn@sha256:" + strings.Repeat("0", 64), Port: 8080, Workers: 1, UID: 1000}
	full := plain
	full.Name, full.Port, full.Workers, full.ModelBytes, full.MLServer = "agent", 9000, 3, 700<<20, true
	full.Variables = []string{"DATABRICKS_HOST", "OPENAI_API_KEY"}
	return map[string]Input{"plain": plain, "full": full}
}

// TestGolden holds every manifest. That Kubernetes' and KServe's own schemas accept the golden files
// is tested in .ci/oracle.
func TestGolden(t *testing.T) {
	for what, in := range inputs() {
		for _, target := range Targets() {
			got, err := Manifest(target, in)
			if err != nil {
				t.Fatal(err)
			}
			documents := 0
			for d := yaml.NewDecoder(bytes.NewReader(got)); ; documents++ {
				var node yaml.Node
				if err := d.Decode(&node); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatalf("%s %s: %v\n%s", target, what, err, got)
				}
			}
			if documents == 0 {
				t.Errorf("%s %s is empty", target, what)
			}
			golden := filepath.Join("testdata", target+"-"+what+".yaml")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(got)); d != "" {
				t.Errorf("%s %s (-want +got)\n%s", target, what, d)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	in := inputs()["full"]
	in.Variables = []string{"A: B\nC"}
	var bad *VariableError
	if out, err := Manifest("kubernetes", in); !errors.As(err, &bad) {
		t.Errorf("an odd variable: %v\n%s", err, out)
	}
	in = inputs()["plain"]
	in.Name = "a: b"
	if _, err := Manifest("kubernetes", in); err == nil {
		t.Error("an odd name is accepted")
	}
	if _, err := Manifest("sagemaker", inputs()["plain"]); err == nil || !strings.Contains(err.Error(), "kubernetes") {
		t.Errorf("a platform without a manifest: %v", err)
	}
}

func TestNameAndMemory(t *testing.T) {
	for text, want := range map[string]string{"Churn_Model 7": "churn-model-7", "7b": "model-7b", "--": "model", strings.Repeat("x", 80): strings.Repeat("x", 58)} {
		if got := Name(text); got != want || !nameForm.MatchString(got) {
			t.Errorf("Name(%q) = %q, want %q", text, got, want)
		}
	}
	for want, in := range map[string]Input{"512Mi": {}, "768Mi": {Workers: 1, ModelBytes: 1}, "3840Mi": {Workers: 2, ModelBytes: 700 << 20}} {
		if got := in.Memory(); got != want {
			t.Errorf("%+v: %s, want %s", in, got, want)
		}
	}
}
