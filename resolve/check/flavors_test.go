package check

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"mlenv/resolve"
	"mlenv/resolve/model"
	"mlenv/resolve/pep508"
)

// modules are the distributions of the names by which MLflow's flavors know the libraries whose version
// they write.
var modules = map[string]pep508.Name{
	"cb": "catboost", "lgb": "lightgbm", "mx": "mxnet", "xgb": "xgboost", "tf": "tensorflow", "paddle": "paddlepaddle",
	"torch": "torch", "sklearn": "scikit-learn", "keras_module": "keras", "sentence_transformers": "sentence-transformers",
	"mleap.version": "mleap",
	// Functions of the flavors, read by hand.
	"_get_llama_index_version()": "llama-index-core", "_get_openai_package_version()": "openai", "_get_keras_version(keras_module)": "keras",
}

// TestFlavorVersions compares the table with what the source of six MLflows writes into each *_version
// key, which .ci/oracle/flavor_versions.py has recorded.
func TestFlavorVersions(t *testing.T) {
	data, err := os.ReadFile("testdata/flavor_versions.json")
	if err != nil {
		t.Fatal(err)
	}
	var oracle struct {
		MLflow  []string
		Flavors map[string]map[string]map[string][]string // flavor, key, expression, MLflows
	}
	if err := json.Unmarshal(data, &oracle); err != nil || len(oracle.MLflow) < 6 || len(oracle.Flavors) < 20 {
		t.Fatalf("%v, %d flavors of %v", err, len(oracle.Flavors), oracle.MLflow)
	}
	for flavor, keys := range oracle.Flavors {
		for key, values := range keys {
			i := slices.IndexFunc(records, func(r record) bool { return r.flavor == flavor && r.key == key })
			if i < 0 {
				t.Errorf("the table lacks %s.%s: %v", flavor, key, values)
				continue
			}
			for expression, versions := range values {
				first, _, _ := strings.Cut(expression, " | ")
				module := strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(first, "str("), ")"), ".__version__")
				if strings.HasSuffix(first, "()") || strings.HasPrefix(first, "_get") {
					module = first
				}
				name, ok := modules[module]
				if !ok {
					name = pep508.NormalizeName(module)
				}
				if !slices.Contains(records[i].versionOf, name) {
					t.Errorf("%s.%s is %s, the version of %s, in MLflow %v; the table has %v", flavor, key, expression, name, versions, records[i].versionOf)
				}
			}
		}
	}
}

// TestRecordedVersions holds what is said of models whose MLmodel and requirements were written by real
// MLflow, or differ from that in one version.
func TestRecordedVersions(t *testing.T) {
	for what, tt := range map[string]struct {
		flavor, key, version string
		requires             []string
		want                 string
	}{
		"keras 3, by TensorFlow's version":      {"tensorflow", "keras_version", "2.21.0", []string{"keras==3.15.1", "tensorflow==2.21.0"}, ""},
		"keras 3 with tensorflow-cpu":           {"tensorflow", "keras_version", "2.21.0", []string{"keras==3.15.1", "tensorflow-cpu==2.21.0"}, ""},
		"an old one, by keras's version":        {"tensorflow", "keras_version", "2.11.0", []string{"keras==2.11.0", "tensorflow==2.11.1"}, ""},
		"neither's version":                     {"tensorflow", "keras_version", "2.19.0", []string{"keras==3.15.1", "tensorflow==2.21.0"}, "flavor-version-excluded"},
		"TensorFlow alone":                      {"tensorflow", "keras_version", "2.21.0", []string{"tensorflow==2.21.0"}, ""},
		"no TensorFlow":                         {"tensorflow", "keras_version", "2.21.0", nil, "flavor-library-missing"},
		"the keras flavor":                      {"keras", "keras_version", "3.15.1", []string{"keras==3.15.1", "tensorflow==2.21.0"}, ""},
		"the keras flavor, another keras":       {"keras", "keras_version", "3.15.1", []string{"keras==3.14.0", "tensorflow==2.21.0"}, "flavor-version-excluded"},
		"llama_index's core":                    {"llama_index", "llama_index_version", "0.12.52.post1", []string{"llama-index==0.12.52"}, ""},
		"llama_index's core, pinned":            {"llama_index", "llama_index_version", "0.12.52.post1", []string{"llama-index-core==0.12.52.post1"}, ""},
		"another core":                          {"llama_index", "llama_index_version", "0.12.52.post1", []string{"llama-index-core==0.12.40"}, "flavor-version-excluded"},
		"torch from another index":              {"pytorch", "pytorch_version", "2.5.1+cpu", []string{"torch==2.5.1"}, ""},
		"xgboost for the CPU":                   {"xgboost", "xgb_version", "3.4.1", []string{"xgboost-cpu==3.4.1"}, ""},
		"xgboost for the CPU, another":          {"xgboost", "xgb_version", "3.4.1", []string{"xgboost-cpu==3.4.0"}, "flavor-version-excluded"},
		"langchain-core's is another":           {"langchain", "langchain_version", "1.5.0", []string{"langchain==1.5.0", "langchain-core==1.2.0"}, ""},
		"spark by databricks-connect":           {"spark", "pyspark_version", "3.5.0", []string{"databricks-connect==15.1"}, ""},
		"openai, whose version nobody can tell": {"openai", "openai_version", "", []string{"openai==3.51.0"}, ""},
	} {
		t.Run(what, func(t *testing.T) {
			mlmodel := "flavors:\n  python_function: {loader_module: mlflow." + tt.flavor + ", python_version: 3.11.7}\n  " + tt.flavor + ": {" + tt.key + ": " + tt.version + "}\nmlflow_version: 3.1.0\n"
			files := fstest.MapFS{"MLmodel": {Data: []byte(mlmodel)}, "requirements.txt": {Data: []byte("mlflow==3.1.0\n" + strings.Join(tt.requires, "\n") + "\n")}}
			m, err := model.Read(files)
			if err != nil {
				t.Fatal(err)
			}
			spec, err := resolve.Model(m, resolve.Options{})
			if err != nil {
				t.Fatal(err)
			}
			report, err := Run(Input{Spec: spec, Model: m})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, f := range report.Findings {
				if strings.HasPrefix(string(f.Rule), "flavor-") && !strings.Contains(got, string(f.Rule)) {
					got += string(f.Rule)
				}
			}
			if got != tt.want {
				t.Errorf("found %q, want %q: %+v", got, tt.want, report.Findings)
			}
		})
	}
}

// TestPaddleFiles holds that Paddle's files are there by the beginning of their names, as MLflow's flavor
// records them, and that they are missed where they are not.
func TestPaddleFiles(t *testing.T) {
	for file, want := range map[string]bool{"model.pdiparams": false, "model.pdparams": false, "other.pdiparams": true} {
		files := fstest.MapFS{
			"MLmodel":          {Data: []byte("flavors:\n  paddle: {pickled_model: model, paddle_version: 3.3.1}\n  python_function: {loader_module: mlflow.paddle, model_path: model, python_version: 3.11.7}\nmlflow_version: 3.1.0\n")},
			"requirements.txt": {Data: []byte("mlflow==3.1.0\npaddlepaddle==3.3.1\n")},
			file:               {},
		}
		m, err := model.Read(files)
		if err != nil {
			t.Fatal(err)
		}
		spec, err := resolve.Model(m, resolve.Options{})
		if err != nil {
			t.Fatal(err)
		}
		report, err := Run(Input{Spec: spec, Model: m})
		if err != nil {
			t.Fatal(err)
		}
		if got := report.Findings.Count("error") > 0; got != want {
			t.Errorf("%s: %+v", file, report.Findings)
		}
	}
}
