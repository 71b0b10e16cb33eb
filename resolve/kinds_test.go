package resolve_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"mlenv/resolve"
	"mlenv/resolve/envfile"
	"mlenv/resolve/model"
)

// a model that nothing is wrong with, which each case below changes.
func soundModel() map[string]string {
	return map[string]string{
		"MLmodel": "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    python_version: 3.11.7\n    model_path: model.pkl\n" +
			"    env:\n      conda: conda.yaml\n      virtualenv: python_env.yaml\nmlflow_version: 3.1.0\n",
		"conda.yaml":       "dependencies:\n- python=3.11.7\n- pip<=24.0\n- pip:\n  - mlflow==3.1.0\n",
		"python_env.yaml":  "python: 3.11.7\nbuild_dependencies:\n- pip==24.0\ndependencies:\n- -r requirements.txt\n",
		"requirements.txt": "mlflow==3.1.0\n",
		"model.pkl":        "x",
	}
}

// TestKindsOfModels holds what is found in models that differ from a sound one in one thing, and in its
// neighbours: "rule severity" of each finding, or what the error says.
func TestKindsOfModels(t *testing.T) {
	set := func(file, text string) func(map[string]string) {
		return func(files map[string]string) { files[file] = text }
	}
	without := func(names ...string) func(map[string]string) {
		return func(files map[string]string) {
			for _, name := range names {
				delete(files, name)
			}
		}
	}
	replace := func(file, old, new string) func(map[string]string) {
		return func(files map[string]string) {
			if !strings.Contains(files[file], old) {
				panic(old)
			}
			files[file] = strings.ReplaceAll(files[file], old, new)
		}
	}
	pinned := func(more string) func(map[string]string) {
		return func(files map[string]string) {
			files["requirements.txt"] += more + "\n"
			files["conda.yaml"] += "  - " + more + "\n"
		}
	}
	for what, tt := range map[string]struct {
		change func(map[string]string)
		want   []string
		says   string // in the message of one of them
	}{
		"sound": {change: func(map[string]string) {}},

		"python_env.yaml is gone": {without("python_env.yaml"), []string{"environment-file-missing warning"}, "conda.yaml is read instead"},
		"conda.yaml is gone":      {without("conda.yaml"), []string{"environment-file-missing warning"}, "python_env.yaml is read instead"},
		"both are gone":           {without("conda.yaml", "python_env.yaml"), []string{"error"}, `env names "conda.yaml"`},
		"conda.yaml, which nothing names": {
			func(f map[string]string) {
				replace("MLmodel", "      conda: conda.yaml\n", "")(f)
				delete(f, "python_env.yaml")
			}, []string{"environment-file-missing warning", "unnamed-environment-file info"}, ""},

		"a path of Windows": {replace("MLmodel", "model_path: model.pkl", `model_path: data\model.pkl`), []string{"windows-path error"}, `data\model.pkl`},
		"code of Windows": {replace("MLmodel", "model_path: model.pkl", `model_code_path: C:\Users\me\model.py`),
			[]string{"windows-path error"}, "python_function.model_code_path"},
		"an artifact of Windows": {replace("MLmodel", "    model_path: model.pkl\n", "    artifacts:\n      scaler:\n        path: artifacts\\scaler.pkl\n        uri: C:\\scaler.pkl\n"),
			[]string{"windows-path error"}, "artifacts.scaler.path"},
		"another key that is a path": {func(f map[string]string) {
			replace("MLmodel", "model_path: model.pkl", `config: conf\model.yml`)(f)
			f["conf/model.yml"] = "x"
		}, []string{"windows-path error"}, "config"},
		"a backslash that is no path": {replace("MLmodel", "model_path: model.pkl", `pattern: \d+\w`), nil, ""},
		"an example of Windows": {replace("MLmodel", "mlflow_version", "saved_input_example_info:\n  artifact_path: in\\example.json\nmlflow_version"),
			[]string{"windows-path error"}, "saved_input_example_info.artifact_path"},

		"an absolute path behind @": {pinned("x @ /dbfs/x-1.0-py3-none-any.whl"), []string{"unfetchable-url error"}, "behind @ stands a URL"},
		"a relative path behind @":  {pinned("x @ code/x-1.0-py3-none-any.whl"), []string{"unfetchable-url error"}, "behind @ stands a URL"},
		"dbfs":                      {pinned("x @ dbfs:/x-1.0-py3-none-any.whl"), []string{"unfetchable-url error"}, "dbfs: is nothing that"},
		"s3":                        {pinned("x @ s3://bucket/x-1.0-py3-none-any.whl"), []string{"unfetchable-url error"}, "s3: is nothing that"},
		"gs":                        {pinned("x @ gs://bucket/x-1.0-py3-none-any.whl"), []string{"unfetchable-url error"}, "gs: is nothing that"},
		"ftp":                       {pinned("x @ ftp://h.example/x-1.0-py3-none-any.whl"), []string{"unfetchable-url error"}, "ftp: is nothing that"},
		"https":                     {pinned("x @ https://h.example/x-1.0-py3-none-any.whl"), nil, ""},
		"git over ssh":              {pinned("x @ git+ssh://git@h.example/x.git"), nil, ""},
		"git over nothing known":    {pinned("x @ git+s3://h.example/x.git"), []string{"unfetchable-url error"}, ""},

		"where conda built it": {pinned("certifi @ file:///croot/certifi_1700501669400/work/certifi"), []string{"error"},
			"write certifi==VERSION, with the version that conda list tells"},
		"where conda built the wheel": {pinned("numpy @ file:///home/conda/feedstock_root/build_artifacts/numpy_1/work/dist/numpy-1.26.4-cp311-cp311-linux_x86_64.whl#sha256=" + strings.Repeat("a", 64)),
			[]string{"error"}, "write numpy==1.26.4"},
		"where conda built it on Windows": {pinned("numpy @ file:///C:/b/abs_5akk51xu0w/croot/numpy_1/work"), []string{"error"}, "write numpy==VERSION"},
		"another file of the machine":     {pinned("x @ file:///home/me/x-1.0-py3-none-any.whl"), []string{"error"}, "copy it into the model"},

		"a token's variable": {func(f map[string]string) {
			f["requirements.txt"] = "--extra-index-url https://robot:${TOKEN}@pypi.example/simple\n" + f["requirements.txt"]
		}, []string{"environment-variable warning", "model-index warning"}, "${TOKEN}"},
		"a token's variable in conda.yaml": {replace("conda.yaml", "  - mlflow", "  - --extra-index-url https://${TOKEN}@pypi.example/simple\n  - mlflow"),
			[]string{"environment-variable warning", "model-index warning"}, "${TOKEN}"},
		"a token": {func(f map[string]string) {
			f["requirements.txt"] = "--extra-index-url https://robot:hunter@pypi.example/simple\n" + f["requirements.txt"]
		}, []string{"credentials-in-url warning", "model-index warning"}, ""},

		"a development version": {func(f map[string]string) {
			for _, file := range []string{"MLmodel", "conda.yaml", "requirements.txt"} {
				f[file] = strings.ReplaceAll(f[file], "3.1.0", "3.1.1.dev0")
			}
		}, nil, ""},
		"a development version, pinned to the release before": {replace("MLmodel", "mlflow_version: 3.1.0", "mlflow_version: 3.1.1.dev0"), nil, ""},
		"another development version": {func(f map[string]string) {
			replace("MLmodel", "mlflow_version: 3.1.0", "mlflow_version: 3.1.1.dev0")(f)
			for _, file := range []string{"conda.yaml", "requirements.txt"} {
				f[file] = strings.ReplaceAll(f[file], "3.1.0", "3.1.2.dev0")
			}
		}, []string{"mlflow-version-differs warning"}, "logged with 3.1.1.dev0"},

		"a uv.lock that agrees": {func(f map[string]string) {
			pinned("six==1.16.0")(f)
			f["uv.lock"] = uvLock("six", "1.16.0", "")
		}, []string{"uv-lock-unused info"}, "nothing is installed from it"},
		"a uv.lock that is no lock, but large": {set("uv.lock", strings.Repeat("#", 10<<20+1)), []string{"uv-lock-differs warning", "uv-lock-unused info"}, "uv.lock: is larger than 10 MiB"},
		"a uv.lock with another version": {func(f map[string]string) {
			pinned("six==1.17.0")(f)
			f["uv.lock"] = uvLock("six", "1.16.0", "")
		}, []string{"uv-lock-differs warning", "uv-lock-unused info"}, "six==1.17.0 is required, but uv.lock has 1.16.0"},
		"a uv.lock that lacks a requirement": {func(f map[string]string) {
			pinned("six==1.17.0")(f)
			f["uv.lock"] = uvLock("", "", "")
		}, []string{"uv-lock-differs warning", "uv-lock-unused info"}, "uv sync does not install it"},
		"a uv.lock with more than is required": {set("uv.lock", uvLock("six", "1.16.0", "")),
			[]string{"uv-lock-differs warning", "uv-lock-unused info"}, "depends on six, which no requirement names"},
		"a uv.lock with another source": {func(f map[string]string) {
			pinned("six==1.16.0")(f)
			f["uv.lock"] = uvLock("six", "1.16.0", "git = \"https://h.example/six.git\"")
		}, []string{"uv-lock-differs warning", "uv-lock-unused info"}, "1.16.0 from git https://h.example/six.git"},
		"a uv.lock that is none": {set("uv.lock", "version = \n"), []string{"uv-lock-differs warning", "uv-lock-unused info"}, "cannot be read"},

		"a trusted URL":  {set("requirements.txt", "--trusted-host=https://pypi.example/\nmlflow==3.1.0\n"), []string{"ignored-option warning"}, "https://pypi.example/ has no effect"},
		"a trusted host": {set("requirements.txt", "--trusted-host=pypi.example:8443\nmlflow==3.1.0\n"), []string{"trusted-host warning"}, "pypi.example:8443 is not checked"},
		"an index":       {set("requirements.txt", "--index-url https://pypi.example/simple\nmlflow==3.1.0\n"), []string{"model-index warning"}, "from https://pypi.example/simple"},
		"links":          {set("requirements.txt", "-f https://pypi.example/links\n-f wheels\nmlflow==3.1.0\n"), []string{"model-index warning"}, "from https://pypi.example/links"},
	} {
		t.Run(what, func(t *testing.T) {
			files := soundModel()
			tt.change(files)
			spec, err := resolveFiles(files)
			var got, said []string
			if err != nil {
				got = []string{"error"}
				said = append(said, err.Error())
				for _, e := range flatErrors(err) {
					var bad *envfile.Error
					if errors.As(e, &bad) {
						said = append(said, bad.Hint)
					}
				}
			} else {
				for _, f := range spec.Findings {
					got = append(got, string(f.Rule)+" "+string(f.Severity))
					said = append(said, f.Message)
				}
			}
			slices.Sort(got)
			if got = slices.Compact(got); !slices.Equal(got, tt.want) {
				t.Errorf("found %q, want %q\n%s", got, tt.want, strings.Join(said, "\n"))
			}
			if !strings.Contains(strings.Join(said, "\n"), tt.says) {
				t.Errorf("nothing says %q:\n%s", tt.says, strings.Join(said, "\n"))
			}
		})
	}
}

// uvLock is a uv.lock of a project with mlflow and one more package.
func uvLock(name, version, source string) string {
	text := "version = 1\nrequires-python = \">=3.11\"\n\n[[package]]\nname = \"churn\"\nversion = \"0.1\"\nsource = { virtual = \".\" }\n" +
		"dependencies = [\n    { name = \"mlflow\" },\n"
	if name != "" {
		text += "    { name = \"" + name + "\" },\n"
	}
	text += "]\n\n[[package]]\nname = \"mlflow\"\nversion = \"3.1.0\"\nsource = { registry = \"https://pypi.example/simple\" }\n"
	if source == "" {
		source = "registry = \"https://pypi.example/simple\""
	}
	if name != "" {
		text += "\n[[package]]\nname = \"" + name + "\"\nversion = \"" + version + "\"\nsource = { " + source + " }\n"
	}
	return text
}

func flatErrors(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range joined.Unwrap() {
			out = append(out, flatErrors(e)...)
		}
		return out
	}
	return []error{err}
}

func resolveFiles(files map[string]string) (*resolve.Spec, error) {
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	m, err := model.Read(fsys)
	if err != nil {
		return nil, err
	}
	return resolve.Model(m, resolve.Options{})
}

// TestCondaCap holds that conda gets what pip's version was in conda.yaml: an exact one as a cap, as
// MLflow writes it, and a fuzzy one as it was.
func TestCondaCap(t *testing.T) {
	for in, want := range map[string]string{
		"pip=23.*": "pip=23.*", "pip=23.2.1": "pip=23.2.1.*", "pip==23.2.1": "pip<=23.2.1", "pip<=23.2.1": "pip<=23.2.1",
		"pip>=23,<24": "pip<24,>=23", "pip": "pip", "pip!=23.1": "pip!=23.1",
	} {
		files := soundModel()
		delete(files, "python_env.yaml")
		files["conda.yaml"] = strings.Replace(files["conda.yaml"], "pip<=24.0", in, 1)
		spec, err := resolveFiles(files)
		if err != nil {
			t.Fatal(err)
		}
		data, err := spec.CondaYAML()
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.DeleteFunc(strings.Split(string(data), "\n"), func(l string) bool { return !strings.HasPrefix(strings.TrimSpace(l), "- pip") }); strings.TrimSpace(got[0]) != "- "+want {
			t.Errorf("%s becomes %q, want %s", in, got, want)
		}
	}
}
