package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"mlenv/imagebuild/base/basetest"
	"mlenv/resolve/index/indextest"
	"mlenv/resolve/serving"
)

// contextText is a build context as one text: the files that mlenv wrote with their contents, and
// the names of those that it copied.
func contextText(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		b.WriteString("-- " + rel + " " + info.Mode().String() + " --\n")
		if strings.Contains(rel, "/") || rel == serving.LauncherName {
			return nil
		}
		data, err := os.ReadFile(p)
		b.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// basesOf gives what the stages of a Dockerfile build on.
func basesOf(t *testing.T, file string) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllSubmatch(data, -1) {
		out = append(out, string(m[1]))
	}
	return out
}

// That BuildKit understands the golden files is tested in .ci/dockerfiles.
func TestDockerfileOfExamples(t *testing.T) {
	models, err := filepath.Glob("../../examples/*/MLmodel")
	if err != nil || len(models) == 0 {
		t.Fatal("no examples", err)
	}
	for _, m := range models {
		name := filepath.Base(filepath.Dir(m))
		for _, installer := range []string{"uv", "pip", "conda"} {
			t.Run(name+"-"+installer, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "context")
				_, stderr, code := command(t, map[string]string{"MLENV_CACHE_DIR": t.TempDir()},
					"dockerfile", filepath.Dir(m), "--offline", "--no-lock", "--installer", installer, "-o", dir)
				if name == "disagree" {
					if code != exitFindings {
						t.Errorf("a model whose files disagree gives exit code %d", code)
					}
					return
				}
				if code != exitOK {
					t.Fatalf("exit code %d: %s", code, stderr)
				}
				golden(t, filepath.Join("testdata", "dockerfile", name+"-"+installer+".txt"), contextText(t, dir))
			})
		}
	}
}

// smallModel writes a model that needs what the index of the lock's tests has, and a wheel and code
// of its own.
func smallModel(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"MLmodel": "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    code: code\n    python_version: 3.11.7\n" +
			"    env: {conda: conda.yaml, virtualenv: python_env.yaml}\nmlflow_version: 2.20.0\nrun_id: r1\nutc_time_created: '2025-01-02 03:04:05.678901'\n",
		"python_env.yaml":  "python: 3.11.7\nbuild_dependencies:\n- pip==23.0\ndependencies:\n- -r requirements.txt\n",
		"conda.yaml":       "dependencies:\n- python=3.11.7\n- pip<=23.0\n- pip:\n  - mlflow==2.20.0\n  - ./wheels/own-1.0-py3-none-any.whl\n",
		"requirements.txt": "mlflow==2.20.0\n./wheels/own-1.0-py3-none-any.whl\n",
		"code/ours.py":     "x = 1\n",
		"model.pkl":        "not opened",
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	indextest.Write(t, filepath.Join(dir, "wheels"), indextest.Parse("own 1.0: numpy<2")...)
	return dir
}

// pushBase pushes a base image with Python 3.11.7.
func pushBase(t *testing.T, ref string) string {
	t.Helper()
	img, err := basetest.Slim("3.11.7")
	if err != nil {
		t.Fatal(err)
	}
	tag, err := ggcr.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, img); err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestDockerfileLocked(t *testing.T) {
	x := indextest.New(t, append(served(), indextest.Parse("uv 0.9.0")...)...)
	model := smallModel(t)
	secret := strings.Replace(x.URL, "http://", "http://user:geheim@", 1)
	env := map[string]string{"MLENV_CACHE_DIR": t.TempDir(), "PIP_INDEX_URL": secret}
	base := pushBase(t, newRegistry(t, nil)+"/library/python:3.11.7-slim")
	args := []string{"dockerfile", model, "--base", base, "--label", "team=a$b", "--env", "GREETING=say \"hi\""}
	for _, installer := range []string{"uv", "pip"} {
		var texts []string
		for range 2 {
			dir := filepath.Join(t.TempDir(), "context")
			_, stderr, code := command(t, env, append(args, "--installer", installer, "-o", dir)...)
			if code != exitOK {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			texts = append(texts, contextText(t, dir))
			bases := basesOf(t, filepath.Join(dir, "Dockerfile"))
			if len(bases) != 2 {
				t.Errorf("the stages build on %q, want two of them", bases)
			}
			for _, b := range bases {
				if !strings.HasPrefix(b, base+"@sha256:") {
					t.Errorf("the base is %s, which is not pinned", b)
				}
			}
		}
		if texts[0] != texts[1] {
			t.Errorf("%s: two runs, two contexts:\n%s\n%s", installer, texts[0], texts[1])
		}
		if strings.Contains(texts[0], "geheim") || strings.Contains(texts[0], "user:") {
			t.Errorf("%s: the credentials are in the context", installer)
		}
		if !strings.Contains(texts[0], "--mount=type=secret,id=netrc") {
			t.Errorf("%s: the Dockerfile mounts no credentials", installer)
		}
		for _, want := range []string{"-- model-code/code/ours.py -rw-r--r-- --", "-- wheels/own-1.0-py3-none-any.whl -rw-r--r-- --",
			"-- model/MLmodel -rw-r--r-- --", `"team"="a\$b"`, `GREETING="say \"hi\""`, "mlflow==2.20.0"} {
			if installer == "uv" && want == "mlflow==2.20.0" {
				want = `name = "mlflow"`
			}
			if !strings.Contains(texts[0], want) {
				t.Errorf("%s: %s is missing in\n%s", installer, want, texts[0])
			}
		}
		if strings.Contains(texts[0], "-- model/code/") {
			t.Errorf("%s: the code is copied with the model, which changes more often", installer)
		}
	}
}

// A wheel that nobody has checked for the C library that it needs is looked at before a Dockerfile
// installs it, as mlenv image does.
func TestDockerfileChecksSymbols(t *testing.T) {
	library, err := os.ReadFile(filepath.Join("..", "..", "resolve", "dist", "testdata", "needs-glibc-2.36.so"))
	if err != nil {
		t.Fatal(err)
	}
	newer := strings.ReplaceAll(string(library), "GLIBC_2.36", "GLIBC_2.99")
	native := indextest.Dist{Name: "native", Version: "1.0", Tags: "cp311-cp311-linux_x86_64", Files: map[string]string{"native/_native.so": newer}}
	x := indextest.New(t, append(append(served(), indextest.Parse("uv 0.9.0")...), native)...)
	env := map[string]string{"MLENV_CACHE_DIR": t.TempDir(), "PIP_INDEX_URL": x.URL}
	base := pushBase(t, newRegistry(t, nil)+"/library/python:3.11.7-slim")
	model := smallModel(t)
	file := filepath.Join(t.TempDir(), "pylock.toml")
	with := []string{model, "--base", base, "--extra-pip-requirements", "native"}
	if _, stderr, code := command(t, env, append([]string{"lock", "-o", file}, with...)...); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for name, more := range map[string][]string{"locked before": {"--lock", file}, "locked now": nil} {
		args := slices.Concat([]string{"dockerfile", "-o", filepath.Join(t.TempDir(), "context")}, with, more)
		_, stderr, code := command(t, env, args...)
		if code != exitFailure || !strings.Contains(stderr, "2.99") || !strings.Contains(stderr, "build the wheel in a container of the base") {
			t.Errorf("%s: exit code %d: %s", name, code, stderr)
		}
		// Whoever may ask nobody is told what could not be looked at.
		env := map[string]string{"MLENV_CACHE_DIR": t.TempDir(), "PIP_INDEX_URL": x.URL}
		if _, stderr, code := command(t, env, append(args, "--offline", "--installer", "pip")...); name == "locked before" && (code != exitOK || !strings.Contains(stderr, "is not known")) {
			t.Errorf("%s, offline: exit code %d: %s", name, code, stderr)
		}
	}
}

// What an index has as source only is built in the stage that the image leaves behind; all else is locked,
// and may not be moved by it.
func TestDockerfileBuildsSources(t *testing.T) {
	dists := append(served(), indextest.Parse("uv 0.9.0", "needs-source 1.0: deep-source<2")...)
	x := indextest.New(t, append(dists, indextest.Dist{Name: "deep-source", Version: "1.0", Sdist: true})...)
	env := map[string]string{"MLENV_CACHE_DIR": t.TempDir(), "PIP_INDEX_URL": x.URL}
	base := pushBase(t, newRegistry(t, nil)+"/library/python:3.11.7-slim")
	for _, installer := range []string{"uv", "pip"} {
		dir := filepath.Join(t.TempDir(), "context")
		_, stderr, code := command(t, env, "dockerfile", smallModel(t), "--base", base, "--installer", installer, "-o", dir,
			"--extra-pip-requirements", "sourceonly==1.0", "--extra-pip-requirements", "needs-source")
		if code != exitOK {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		for name, want := range map[string]string{
			"source-requirements.txt": "deep-source<2\nsourceonly==1.0\n",
			"Dockerfile":              "PYTHONHASHSEED=0",
			"constraints.txt":         "needs-source==1.0\n",
			"pylock.toml":             `name = "needs-source"`,
		} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil || !strings.Contains(string(data), want) {
				t.Errorf("%s: %s lacks %q: %v\n%s", installer, name, want, err, data)
			}
			if name == "pylock.toml" && strings.Contains(string(data), "deep-source\"\nversion") {
				t.Errorf("%s: what is built is in the lock:\n%s", installer, data)
			}
		}
	}
}

func TestDockerfileRefuses(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "thesis.tex"), []byte("years of work"), 0o600); err != nil {
		t.Fatal(err)
	}
	model := smallModel(t)
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"a directory of somebody else's", []string{"-o", full}, "is not empty"},
		{"a base that is no image", []string{"--base", "host"}, "nothing that a Dockerfile can build on"},
		{"an unknown installer", []string{"--installer", "poetry"}, "uv, pip or conda"},
		{"a template that is not there", []string{"--template", filepath.Join(full, "none.tmpl")}, "none.tmpl"},
		{"a conda lock that is none", []string{"--installer", "conda", "--conda-lock", filepath.Join(full, "thesis.tex")}, "@EXPLICIT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"dockerfile", model, "--offline", "--no-lock", "-o", filepath.Join(t.TempDir(), "c")}, tt.args...)
			_, stderr, code := command(t, map[string]string{"MLENV_CACHE_DIR": t.TempDir()}, args...)
			if code != exitFailure || !strings.Contains(stderr, tt.want) {
				t.Errorf("exit code %d, stderr:\n%s", code, stderr)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(full, "thesis.tex")); err != nil {
		t.Fatal(err)
	}
}

func TestDockerfileToStdoutAndTemplates(t *testing.T) {
	model, own := smallModel(t), filepath.Join(t.TempDir(), "mine.tmpl")
	if err := os.WriteFile(own, []byte("FROM {{word .Base}}\n# {{.ModelPath}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"MLENV_CACHE_DIR": t.TempDir()}
	stdout, stderr, code := command(t, env, "dockerfile", model, "--offline", "--no-lock", "-o", "-", "--template", own)
	if code != exitOK || stdout != "FROM python:3.11.7-slim\n# /opt/ml/model\n" {
		t.Errorf("exit code %d, stdout %q, stderr %s", code, stdout, stderr)
	}
	if strings.Contains(stderr, "wrote") {
		t.Errorf("nothing was written, but: %s", stderr)
	}
}
