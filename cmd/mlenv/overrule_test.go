package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mlenv/resolve/index/indextest"
)

// editModel changes a file of a model.
func editModel(t *testing.T, file, old, new string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(data), old) {
		t.Fatalf("%s has no %q (%v)", file, old, err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(data), old, new, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func writePolicy(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestOverrule holds that findings which end lock, image and dockerfile can be overruled by each of
// them, that a policy can make an error of a warning, and that the last line says what would help.
func TestOverrule(t *testing.T) {
	w := newImageWorld(t)
	editModel(t, filepath.Join(w.model, "requirements.txt"), "churn\n", "churn==1.0\n")
	conda := "channels: [conda-forge]\ndependencies:\n- python=3.11.9\n- pip\n- pip:\n  - mlflow==3.1.0\n  - churn==2.0\n"
	if err := os.WriteFile(filepath.Join(w.model, "conda.yaml"), []byte(conda), 0o644); err != nil {
		t.Fatal(err)
	}
	lower := writePolicy(t, "rules:\n  conflicting-requirements: warning\n")
	raise := writePolicy(t, "rules:\n  conflicting-requirements: off\n  unnamed-environment-file: error\n")
	except := writePolicy(t, "exceptions:\n- {rule: conflicting-requirements, subject: churn, reason: known, until: 2999-01-01}\n")
	for command1, args := range map[string][]string{
		"lock":       {"lock", w.model, "--index-url", w.index.URL},
		"image":      w.args(),
		"dockerfile": {"dockerfile", w.model, "--index-url", w.index.URL, "--offline", "--no-lock"},
	} {
		for what, tt := range map[string]struct {
			flags []string
			code  int
			says  []string
		}{
			"as it is":         {nil, exitFindings, []string{"[conflicting-requirements]", "nothing was written", "--fail-on never", "--policy FILE"}},
			"never":            {[]string{"--fail-on", "never"}, 0, []string{"[conflicting-requirements]"}},
			"lowered":          {[]string{"--policy", lower}, 0, []string{"warning: "}},
			"lowered, strict":  {[]string{"--policy", lower, "--strict"}, exitFindings, []string{"warning: ", "without --strict"}},
			"warnings end it":  {[]string{"--policy", lower, "--fail-on", "warning"}, exitFindings, []string{"warning: "}},
			"excepted":         {[]string{"--policy", except}, 0, nil},
			"raised":           {[]string{"--policy", raise}, exitFindings, []string{"error: ", "[unnamed-environment-file]"}},
			"a policy of none": {[]string{"--policy", "no.such.file"}, exitFailure, []string{"no.such.file"}},
		} {
			t.Run(command1+" "+what, func(t *testing.T) {
				to := filepath.Join(t.TempDir(), "x")
				out := to
				if command1 == "image" {
					out = "oci:" + to
				}
				_, errs, code := command(t, w.env, slices.Concat(args, []string{"-o", out}, tt.flags)...)
				_, err := os.Stat(to)
				if code != tt.code || (err == nil) != (tt.code == 0) {
					t.Errorf("exit code %d, want %d; written: %v\n%s", code, tt.code, err == nil, errs)
				}
				for _, want := range tt.says {
					if !strings.Contains(errs, want) {
						t.Errorf("stderr does not say %q:\n%s", want, errs)
					}
				}
			})
		}
	}
}

// TestImageLacksAWheel holds that image says of a wheel which the model names but lacks what lock says,
// and not that an index has lost it.
func TestImageLacksAWheel(t *testing.T) {
	w := newImageWorld(t)
	editModel(t, filepath.Join(w.model, "requirements.txt"), "churn\n", "wheels/churn-2.0-py3-none-any.whl\n")
	for _, args := range [][]string{w.args("-o", "oci:"+filepath.Join(t.TempDir(), "x")), {"lock", w.model, "--index-url", w.index.URL, "-o", "-"}} {
		_, errs, code := command(t, w.env, args...)
		if code != exitFindings || !strings.Contains(errs, "requires wheels/churn-2.0-py3-none-any.whl, which the model does not have [missing-file]") || strings.Contains(errs, "gone from the index") {
			t.Errorf("%s: exit code %d\n%s", args[0], code, errs)
		}
	}
}

// TestOverlapsByPolicy holds that wheels which overlap are a warning, and an error where a policy or
// --strict says so.
func TestOverlapsByPolicy(t *testing.T) {
	w := newImageWorld(t)
	w.index.Remove("deep")
	w.index.Add(indextest.Dist{Name: "deep", Version: "0.1", Files: map[string]string{"churn/__init__.py": "other = 1\n", "LICENSE": "deep"}})
	w.index.Remove("churn")
	w.index.Add(indextest.Dist{Name: "churn", Version: "2.0", Requires: []string{"deep"}, Files: map[string]string{"churn/__init__.py": "x = 1\n", "LICENSE": "churn"}})
	strict := writePolicy(t, "rules:\n  wheel-modules-overlap: error\n")
	for what, tt := range map[string]struct {
		flags []string
		code  int
	}{"as it is": {nil, 0}, "strict": {[]string{"--strict"}, exitFindings}, "a policy": {[]string{"--policy", strict}, exitFindings}} {
		_, errs, code := command(t, w.env, w.args(append(tt.flags, "-o", "oci:"+filepath.Join(t.TempDir(), "x"))...)...)
		if code != tt.code || !strings.Contains(errs, "[wheel-modules-overlap]") || !strings.Contains(errs, "[wheel-files-overlap]") {
			t.Errorf("%s: exit code %d\n%s", what, code, errs)
		}
	}
}

// TestCondaAsPip holds that packages for conda are installed by pip where the flag or a policy asks for
// it, that what pip cannot give is refused by name, and that image names the flag.
func TestCondaAsPip(t *testing.T) {
	w := newImageWorld(t)
	conda := "channels: [conda-forge]\ndependencies:\n- python=3.11.9\n- deep=0.1\n- pip\n- pip:\n  - mlflow==3.1.0\n  - churn\n"
	file := filepath.Join(w.model, "conda.yaml")
	if err := os.WriteFile(file, []byte(conda), 0o644); err != nil {
		t.Fatal(err)
	}
	image := func(flags ...string) (string, int) {
		_, errs, code := command(t, w.env, w.args(append(flags, "-o", "oci:"+filepath.Join(t.TempDir(), "x"))...)...)
		return errs, code
	}
	if errs, code := image(); code != exitFailure || !strings.Contains(errs, "--conda-as-pip") {
		t.Errorf("without the flag: exit code %d\n%s", code, errs)
	}
	policy := writePolicy(t, "conda-as-pip: true\n")
	for _, flags := range [][]string{{"--conda-as-pip"}, {"--policy", policy}} {
		if errs, code := image(flags...); code != 0 || !strings.Contains(errs, "deep=0.1 is installed by pip, as deep==0.1.* [conda-as-pip]") {
			t.Errorf("%s: exit code %d\n%s", flags, code, errs)
		}
	}
	if out, errs, code := command(t, w.env, "resolve", w.model, "--conda-as-pip", "--format", "requirements"); code != 0 || !strings.Contains(out, "deep==0.1.*\n") {
		t.Errorf("resolve: exit code %d\n%s%s", code, out, errs)
	}
	editModel(t, file, "- deep=0.1", "- deep=0.1=cuda_1\n- cudatoolkit=11\n- pytorch::torch")
	errs, code := image("--conda-as-pip")
	for _, want := range []string{"cuda_1", "cudatoolkit", "the channel pytorch", "[conda-not-pip]"} {
		if code != exitFindings || !strings.Contains(errs, want) {
			t.Errorf("exit code %d, stderr does not say %s:\n%s", code, want, errs)
		}
	}
}

// TestDockerfileOverSSH holds that what is fetched over ssh gets an ssh client and the keys of an agent,
// with the line that builds it, and that nothing else does.
func TestDockerfileOverSSH(t *testing.T) {
	w := newImageWorld(t)
	for url, ssh := range map[string]bool{"git+ssh://git@h.example/x.git@" + strings.Repeat("a", 40): true, "git+https://h.example/x.git@" + strings.Repeat("a", 40): false} {
		for _, installer := range []string{"uv", "pip"} {
			dir := filepath.Join(t.TempDir(), "context")
			_, errs, code := command(t, w.env, "dockerfile", w.model, "--index-url", w.index.URL, "--offline", "--no-lock", "--installer", installer,
				"-o", dir, "--extra-pip-requirements", "x @ "+url)
			data, err := os.ReadFile(filepath.Join(dir, "Dockerfile"))
			if code != 0 || err != nil {
				t.Fatalf("exit code %d, %v\n%s", code, err, errs)
			}
			for _, want := range []string{"openssh-client", "--mount=type=ssh", "docker build --ssh default", "GIT_SSH_COMMAND="} {
				if strings.Contains(string(data), want) != ssh {
					t.Errorf("%s, %s: %s is in the Dockerfile: %v", url, installer, want, !ssh)
				}
			}
			if strings.Contains(errs, "docker build --ssh default ") != ssh {
				t.Errorf("%s: %s", url, errs)
			}
		}
	}
}
