package check

import (
	"strings"
	"testing"
	"testing/fstest"

	"mlenv/resolve"
	"mlenv/resolve/model"
	"mlenv/resolve/pylock"
)

// TestMissingImports holds how bad it is that a module is imported which nothing provides: an error with
// a lock at hand, where the import must run for the model to load.
func TestMissingImports(t *testing.T) {
	for what, tt := range map[string]struct {
		file, code string
		unlocked   bool
		want       string
	}{
		"at the top":                            {"scorer.py", "import house_rules\n", false, "error"},
		"at the top, without a lock":            {"scorer.py", "import house_rules\n", true, "warning"},
		"in a function":                         {"scorer.py", "def f():\n  import house_rules\n", false, "warning"},
		"optional":                              {"scorer.py", "try:\n  import house_rules\nexcept ImportError:\n  pass\n", false, ""},
		"for types":                             {"scorer.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n  import house_rules\n", false, ""},
		"in code that is loaded":                {"code/churn/__init__.py", "import house_rules\n", false, "error"},
		"in code that nothing imports":          {"code/other.py", "import house_rules\n", false, "warning"},
		"of a distribution that resembles it":   {"scorer.py", "import opensearchpy\n", false, "warning"},
		"of a distribution that holds its name": {"scorer.py", "import opensearch\n", false, ""},
		"a known one, in a function":            {"scorer.py", "def f():\n  import cv2\n", false, "error"},
	} {
		t.Run(what, func(t *testing.T) {
			files := fstest.MapFS{
				"MLmodel":                {Data: []byte("flavors:\n  python_function: {loader_module: mlflow.pyfunc.loaders.code_model, model_code_path: scorer.py, code: code, python_version: 3.11.7}\nmlflow_version: 3.1.0\n")},
				"requirements.txt":       {Data: []byte("mlflow==3.1.0\nopensearch-py==2.4.0\n")},
				"scorer.py":              {Data: []byte("import churn\n")},
				"code/churn/__init__.py": {Data: []byte("")},
			}
			files[tt.file] = &fstest.MapFile{Data: []byte(tt.code)}
			m, err := model.Read(files)
			if err != nil {
				t.Fatal(err)
			}
			spec, err := resolve.Model(m, resolve.Options{})
			if err != nil {
				t.Fatal(err)
			}
			in := Input{Spec: spec, Model: m}
			if !tt.unlocked {
				in.Lock = &Lock{Name: "pylock.toml", Lock: &pylock.Lock{Packages: []pylock.Package{{Name: "mlflow"}, {Name: "opensearch-py"}}}}
			}
			report, err := Run(in)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, f := range report.Findings {
				if strings.HasPrefix(string(f.Rule), "import-") {
					got += string(f.Severity)
				}
			}
			if got != tt.want {
				t.Errorf("got %q, want %q: %+v", got, tt.want, report.Findings)
			}
		})
	}
}
