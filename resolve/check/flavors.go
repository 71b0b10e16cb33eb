package check

import (
	"slices"
	"strings"

	"mlenv/resolve"
	"mlenv/resolve/finding"
	"mlenv/resolve/model"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// record describes where a flavor records the version of its library.
type record struct {
	flavor, key string
	libraries   []pep508.Name // any of them is the library
}

var records = []record{
	{"sklearn", "sklearn_version", []pep508.Name{"scikit-learn", "scikit-learn-intelex"}},
	{"xgboost", "xgb_version", []pep508.Name{"xgboost", "xgboost-cpu"}},
	{"lightgbm", "lgb_version", []pep508.Name{"lightgbm"}},
	{"catboost", "catboost_version", []pep508.Name{"catboost"}},
	{"pytorch", "pytorch_version", []pep508.Name{"torch"}},
	{"tensorflow", "tensorflow_version", []pep508.Name{"tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tensorflow-macos", "tf-nightly"}},
	{"tensorflow", "keras_version", []pep508.Name{"keras", "tensorflow", "tensorflow-cpu"}},
	{"keras", "keras_version", []pep508.Name{"keras", "tensorflow", "tensorflow-cpu"}},
	{"onnx", "onnx_version", []pep508.Name{"onnx"}},
	{"spark", "pyspark_version", []pep508.Name{"pyspark"}},
	{"statsmodels", "statsmodels_version", []pep508.Name{"statsmodels"}},
	{"prophet", "prophet_version", []pep508.Name{"prophet"}},
	{"spacy", "spacy_version", []pep508.Name{"spacy"}},
	{"fastai", "fastai_version", []pep508.Name{"fastai"}},
	{"transformers", "transformers_version", []pep508.Name{"transformers"}},
	{"sentence_transformers", "sentence_transformers_version", []pep508.Name{"sentence-transformers"}},
	{"langchain", "langchain_version", []pep508.Name{"langchain", "langchain-core", "langchain-community"}},
	{"llama_index", "llama_index_version", []pep508.Name{"llama-index", "llama-index-core"}},
	{"openai", "openai_version", []pep508.Name{"openai"}},
	{"dspy", "dspy_version", []pep508.Name{"dspy", "dspy-ai"}},
	{"h2o", "h2o_version", []pep508.Name{"h2o"}},
	{"paddle", "paddle_version", []pep508.Name{"paddlepaddle", "paddlepaddle-gpu"}},
	{"pmdarima", "pmdarima_version", []pep508.Name{"pmdarima"}},
	{"shap", "shap_version", []pep508.Name{"shap"}},
	{"diviner", "diviner_version", []pep508.Name{"diviner"}},
}

// flavors compares the versions that MLmodel records with what is required and locked.
func (c *checker) flavors() {
	for _, r := range records {
		if v := c.in.Model.Flavor(r.flavor).Get(r.key); v.Text != "" {
			c.recorded(r, v, true)
		}
	}
	pyfunc := c.in.Model.Flavor("python_function")
	if v := pyfunc.Get("cloudpickle_version"); v.Text != "" && pyfunc.Get("python_model").Text != "" {
		// Every mlflow depends on cloudpickle, so it need not be a requirement.
		c.recorded(record{"python_function", "cloudpickle_version", []pep508.Name{"cloudpickle"}}, v, false)
	}
	c.mlflowFeatures()
}

func (c *checker) recorded(r record, v model.Value, needed bool) {
	version, err := pep440.Parse(v.Text)
	if err != nil {
		return
	}
	from := c.from(v)
	present := false
	for i, name := range r.libraries {
		for _, q := range c.in.Spec.Requirements {
			if q.Name != name {
				continue
			}
			present = true
			if i == 0 && !q.Specifier.Match(version) && !q.Specifier.Match(version.Public()) {
				c.find(finding.FlavorVersionExcluded, string(name), append(from, q.From...),
					"the %s flavor was saved with %s %s, but %s is required", r.flavor, q.Name, v.Text, q.Line())
			}
		}
		if p := c.locked(name); p != nil {
			present = true
			if i == 0 && !p.Version.IsZero() && p.Version.Public().Compare(version.Public()) != 0 {
				c.find(finding.FlavorVersionNotLocked, string(name), append(from, c.lockOrigin(name)),
					"the %s flavor was saved with %s %s, but the lock has %s", r.flavor, name, v.Text, p.Version)
			}
		}
		present = present || slices.ContainsFunc(c.in.Spec.Conda.Packages, func(p resolve.CondaPackage) bool {
			return p.Name == string(name) || p.Name == "pytorch" && name == "torch" || p.Name == "py-xgboost" && name == "xgboost"
		})
	}
	if !present && needed {
		c.find(finding.FlavorLibraryMissing, string(r.libraries[0]), from,
			"the %s flavor was saved with %s %s, which no requirement names", r.flavor, r.libraries[0], v.Text)
	}
}

// feature is something in a model that MLflow supports since a certain version. Each version was
// found by comparing the code of the releases before and after it.
type feature struct {
	since string
	what  string
	uses  func(*model.Model) (model.Value, bool)
}

var features = []feature{
	{"2.0", "an environment named by kind (env.conda, env.virtualenv)", func(m *model.Model) (model.Value, bool) {
		v := m.Flavor("python_function").Get("env.conda")
		return v, v.Text != ""
	}},
	{"2.6", "parameters in its signature", func(m *model.Model) (model.Value, bool) {
		return m.Signature.Params, m.Signature.Params.Text != ""
	}},
	{"2.10", "arrays or objects in its signature", usesType("array", "object")},
	{"2.12", "maps in its signature", usesType("map")},
	{"2.13", "code instead of a pickle (mlflow.pyfunc.loaders.code_model)", func(m *model.Model) (model.Value, bool) {
		v := m.Flavor("python_function").Get("loader_module")
		return v, v.Text == "mlflow.pyfunc.loaders.code_model"
	}},
	{"2.19", "columns of any type in its signature", usesType("any")},
	{"2.21", "the serialization format skops", func(m *model.Model) (model.Value, bool) {
		v := m.Flavor("sklearn").Get("serialization_format")
		return v, v.Text == "skops"
	}},
}

// usesType returns a function that looks for one of the types in the inputs and outputs of a
// signature.
func usesType(types ...string) func(*model.Model) (model.Value, bool) {
	return func(m *model.Model) (model.Value, bool) {
		for _, v := range []model.Value{m.Signature.Inputs, m.Signature.Outputs} {
			for _, t := range types {
				text := strings.Join(strings.Fields(v.Text), "")
				if strings.Contains(text, `"type":"`+t+`"`) {
					return v, true
				}
			}
		}
		return model.Value{}, false
	}
}

// mlflowFeatures compares the required, or locked, mlflow with what the model uses. It reports only
// the feature that needs the newest mlflow: an upgrade for it covers the others.
func (c *checker) mlflowFeatures() {
	version, from := c.mlflow()
	if version.IsZero() {
		return
	}
	for _, f := range slices.Backward(features) {
		since := pep440.MustParse(f.since)
		if v, ok := f.uses(c.in.Model); ok && version.Public().Compare(since) < 0 {
			c.find(finding.MLflowTooOld, "mlflow", append(from, c.from(v)...),
				"the model uses %s, which needs mlflow %s or later, but it gets %s", f.what, f.since, version)
			return
		}
	}
}

// mlflow returns the version of mlflow that will load the model: the locked one, or else the
// required one.
func (c *checker) mlflow() (pep440.Version, []finding.Origin) {
	for _, name := range []pep508.Name{"mlflow", "mlflow-skinny"} {
		if p := c.locked(name); p != nil {
			return p.Version, []finding.Origin{c.lockOrigin(name)}
		}
		for _, r := range c.in.Spec.Requirements {
			if v, ok := r.Specifier.Pin(); ok && r.Name == name {
				return v, slices.Clone(r.From)
			}
		}
	}
	return pep440.Version{}, nil
}
