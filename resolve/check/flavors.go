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

// record is the place where a flavor writes the version of its library. What each key holds was read
// in MLflow's source by .ci/oracle/flavor_versions.py.
type record struct {
	flavor, key string
	versionOf   []pep508.Name // the version is that of one of them
	libraries   []pep508.Name // others that bring the library too, with versions of their own
}

// tensorflows are the distributions that bring TensorFlow, all with its versions.
var tensorflows = []pep508.Name{"tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tensorflow-macos", "tf-nightly"}

// records are the keys of all flavors that hold a version.
var records = []record{
	{"sklearn", "sklearn_version", []pep508.Name{"scikit-learn"}, []pep508.Name{"scikit-learn-intelex"}},
	{"xgboost", "xgb_version", []pep508.Name{"xgboost", "xgboost-cpu"}, nil},
	{"lightgbm", "lgb_version", []pep508.Name{"lightgbm"}, nil},
	{"catboost", "catboost_version", []pep508.Name{"catboost"}, nil},
	{"pytorch", "pytorch_version", []pep508.Name{"torch"}, nil},
	{"tensorflow", "tensorflow_version", tensorflows, nil},
	// Until 2.13 that of keras, afterwards that of TensorFlow, whatever its name says.
	{"tensorflow", "keras_version", append([]pep508.Name{"keras"}, tensorflows...), nil},
	{"keras", "keras_version", []pep508.Name{"keras"}, tensorflows},
	{"onnx", "onnx_version", []pep508.Name{"onnx"}, nil},
	{"spark", "pyspark_version", []pep508.Name{"pyspark"}, []pep508.Name{"databricks-connect"}},
	{"johnsnowlabs", "pyspark_version", []pep508.Name{"pyspark"}, []pep508.Name{"databricks-connect", "johnsnowlabs", "johnsnowlabs-for-databricks"}},
	{"mleap", "mleap_version", []pep508.Name{"mleap"}, nil},
	{"gluon", "mxnet_version", []pep508.Name{"mxnet"}, nil},
	{"statsmodels", "statsmodels_version", []pep508.Name{"statsmodels"}, nil},
	{"prophet", "prophet_version", []pep508.Name{"prophet"}, nil},
	{"spacy", "spacy_version", []pep508.Name{"spacy"}, nil},
	{"fastai", "fastai_version", []pep508.Name{"fastai"}, nil},
	{"transformers", "transformers_version", []pep508.Name{"transformers"}, nil},
	{"diffusers", "diffusers_version", []pep508.Name{"diffusers"}, nil},
	{"sentence_transformers", "sentence_transformers_version", []pep508.Name{"sentence-transformers"}, nil},
	{"langchain", "langchain_version", []pep508.Name{"langchain"}, []pep508.Name{"langchain-core", "langchain-community"}},
	// llama_index.core.__version__: llama-index is released less often.
	{"llama_index", "llama_index_version", []pep508.Name{"llama-index-core"}, []pep508.Name{"llama-index"}},
	{"openai", "openai_version", []pep508.Name{"openai"}, nil},
	{"h2o", "h2o_version", []pep508.Name{"h2o"}, nil},
	{"paddle", "paddle_version", []pep508.Name{"paddlepaddle", "paddlepaddle-gpu"}, nil},
	{"pmdarima", "pmdarima_version", []pep508.Name{"pmdarima"}, nil},
	{"shap", "shap_version", []pep508.Name{"shap"}, nil},
	{"diviner", "diviner_version", []pep508.Name{"diviner"}, nil},
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
		// Every mlflow brings cloudpickle, so that it need not be required.
		c.recorded(record{"python_function", "cloudpickle_version", []pep508.Name{"cloudpickle"}, nil}, v, false)
	}
	c.mlflowFeatures()
}

// recorded compares one recorded version with what is required and locked. A library that nothing names is a
// finding only where the model needs it itself.
func (c *checker) recorded(r record, v model.Value, needed bool) {
	version, err := pep440.Parse(v.Text)
	if err != nil {
		return
	}
	// A version that fits any of those whose it may be is no finding of the others.
	var found finding.List
	present, fits := false, false
	for _, name := range r.versionOf {
		there, ok, against := c.compareRecorded(r, v, version, name)
		present, fits = present || there, fits || there && ok
		found = append(found, against...)
	}
	if !fits {
		c.findings = append(c.findings, found...)
	}
	for _, name := range r.libraries {
		present = present || c.isThere(name)
	}
	if !present && needed {
		c.find(finding.FlavorLibraryMissing, string(r.versionOf[0]), c.from(v),
			"the %s flavor was saved with %s %s, which no requirement names", r.flavor, r.versionOf[0], v.Text)
	}
}

// compareRecorded compares a recorded version with what is required and locked of one distribution. ok
// reports that it fits; there, that the distribution is required, locked or a package for conda.
func (c *checker) compareRecorded(r record, v model.Value, version pep440.Version, name pep508.Name) (there, ok bool, against finding.List) {
	for _, q := range c.in.Spec.Requirements {
		if q.Name == name && !q.Specifier.Match(version) && !q.Specifier.Match(version.Public()) {
			against.Add(finding.FlavorVersionExcluded, string(name), append(c.from(v), q.From...),
				"the %s flavor was saved with %s %s, but %s is required", r.flavor, q.Name, v.Text, q.Line())
		}
	}
	if p := c.locked(name); p != nil && !p.Version.IsZero() && p.Version.Public().Compare(version.Public()) != 0 {
		against.Add(finding.FlavorVersionNotLocked, string(name), append(c.from(v), c.lockOrigin(name)),
			"the %s flavor was saved with %s %s, but the lock has %s", r.flavor, name, v.Text, p.Version)
	}
	return c.isThere(name), len(against) == 0, against
}

// isThere reports that a distribution is required, locked or a package for conda.
func (c *checker) isThere(name pep508.Name) bool {
	return c.locked(name) != nil ||
		slices.ContainsFunc(c.in.Spec.Requirements, func(q resolve.Requirement) bool { return q.Name == name }) ||
		slices.ContainsFunc(c.in.Spec.Conda.Packages, func(p resolve.CondaPackage) bool {
			return p.Name == string(name) || condaNames[p.Name] == string(name)
		})
}

// feature is something in a model that MLflow supports since a certain version. Each version was
// found by comparing the code of the releases before and after it.
type feature struct {
	since string
	what  string
	uses  func(*model.Model) (model.Value, bool)
}

// features are sorted by the version that they need, the oldest first.
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
