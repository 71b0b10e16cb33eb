package diff_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"mlenv/resolve"
	"mlenv/resolve/diff"
	"mlenv/resolve/model"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
)

// lockOf makes a lock of lines "NAME VERSION [> DEP,DEP]"; the names before a first line of "--"
// are what was asked for.
func lockOf(t *testing.T, text string) *pylock.Lock {
	t.Helper()
	requested, packages, ok := strings.Cut(text, "--")
	if !ok {
		requested, packages = "", text
	}
	var b strings.Builder
	b.WriteString("lock-version = \"1.0\"\ncreated-by = \"test\"\n")
	for line := range strings.SplitSeq(strings.TrimSpace(packages), "\n") {
		head, deps, _ := strings.Cut(strings.TrimSpace(line), ">")
		f := strings.Fields(head)
		b.WriteString("[[packages]]\nname = \"" + f[0] + "\"\nversion = \"" + f[1] + "\"\n")
		if deps != "" {
			b.WriteString("dependencies = [")
			for dep := range strings.SplitSeq(deps, ",") {
				b.WriteString("{name = \"" + strings.TrimSpace(dep) + "\"},")
			}
			b.WriteString("]\n")
		}
		sum := strings.Repeat("0", 64)
		if len(f) > 2 {
			sum = strings.Repeat(f[2], 64)
		}
		b.WriteString("wheels = [{name = \"" + f[0] + "-" + f[1] + "-py3-none-any.whl\", url = \"https://files.example/x\", size = 10, hashes = {sha256 = \"" + sum + "\"}}]\n")
	}
	l, err := pylock.Parse("test.toml", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(requested) {
		l.Tool.Requested = append(l.Tool.Requested, pep508.Name(name))
	}
	return l
}

func sideOfLock(t *testing.T, text string) diff.Side {
	return diff.Side{Name: "pylock.toml", Kind: diff.Lock, Lock: lockOf(t, text)}
}

// sideOfModel makes a side of a model's files.
func sideOfModel(t *testing.T, files map[string]string) diff.Side {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	m, err := model.Read(fsys)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := resolve.Model(m, resolve.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return diff.Side{Name: "model", Kind: diff.Model, Spec: spec, Signature: &m.Signature}
}

const mlmodel = `flavors:
  python_function:
    loader_module: mlflow.sklearn
    python_version: 3.11.7
    env: {virtualenv: python_env.yaml}
mlflow_version: 2.9.2
`

func modelFiles(requirements string) map[string]string {
	return map[string]string{
		"MLmodel": mlmodel, "python_env.yaml": "python: 3.11.7\ndependencies: [-r requirements.txt]\n",
		"requirements.txt": requirements,
	}
}

func TestPackages(t *testing.T) {
	for _, tt := range []struct{ name, old, now, want string }{
		{"nothing", "a -- a 1.0", "a -- a 1.0", ""},
		{"equal versions are the same", "a -- a 1.0", "a -- a 1.0.0", ""},
		{"added and removed", "a -- a 1.0", "b -- b 2.0", "a removed 1.0  direct\nb added  2.0 direct"},
		{"by PEP 440, not by text", "a -- a 1.9", "a -- a 1.10", "a upgraded 1.9 1.10 direct"},
		{"a pre-release comes before", "a -- a 1.0", "a -- a 1.0rc1", "a downgraded 1.0 1.0rc1 direct"},
		{"an epoch wins", "a -- a 2.0", "a -- a 1!1.0", "a upgraded 2.0 1!1.0 direct"},
		{"a local version comes after", "a -- a 2.0+cpu", "a -- a 2.0", "a downgraded 2.0+cpu 2.0 direct"},
		{"replaced", "a -- a 1.0 1", "a -- a 1.0 2", "a replaced 1.0 1.0 direct"},
		{"the shortest chain", "a -- a 1.0 > b,c\nb 1.0 > d\nc 1.0 > e\nd 1.0 > e\ne 1.0", "a -- a 1.0 > b,c\nb 1.0 > d\nc 1.0 > e\nd 1.0 > e\ne 2.0",
			"e upgraded 1.0 2.0 transitive a>c"},
		{"removed by the old graph", "a -- a 1.0 > b\nb 1.0", "a -- a 1.0", "b removed 1.0  transitive a"},
		{"a cycle", "a -- a 1.0 > b\nb 1.0 > a", "a -- a 1.0 > b\nb 2.0 > a", "b upgraded 1.0 2.0 transitive a"},
		{"nobody says what was asked for", "a 1.0 > b\nb 1.0", "a 2.0 > b\nb 2.0", "a upgraded 1.0 2.0 direct\nb upgraded 1.0 2.0 transitive a"},
		{"without a graph nothing is known", "a 1.0\nb 1.0", "a 2.0\nb 1.0", "a upgraded 1.0 2.0 "},
		{"one for each platform", "a -- a 1.0\na 2.0", "a -- a 1.0\na 3.0", "a changed 1.0, 2.0 1.0, 3.0 direct"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := diff.Compare(sideOfLock(t, tt.old), sideOfLock(t, tt.now))
			var got []string
			for _, p := range c.Packages {
				line := strings.Join([]string{p.Name, string(p.Change), p.Old, p.New, p.Relation}, " ")
				if len(p.Via) > 0 {
					line += " " + strings.Join(p.Via, ">")
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, "\n")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if c.Same != (tt.want == "") {
				t.Errorf("same is %v", c.Same)
			}
		})
	}
}

func TestRequirements(t *testing.T) {
	for _, tt := range []struct{ name, old, now, want string }{
		{"the order and the spelling mean nothing", "numpy==1.0\nPyYAML==6\n", "pyyaml==6\nnumpy==1.0\n", ""},
		{"pins have an order", "numpy==1.9\n", "numpy==1.10\n", "numpy upgraded numpy==1.9 numpy==1.10"},
		{"ranges have none", "numpy>=1.9\n", "numpy>=1.10\n", "numpy changed numpy>=1.9 numpy>=1.10"},
		{"a marker makes another requirement", "numpy\n", "numpy ; sys_platform == 'linux'\n",
			"numpy removed numpy \nnumpy ; sys_platform == \"linux\" added  numpy ; sys_platform == \"linux\""},
		{"extras", "a[x]==1\n", "a[x,y]==1\n", "a changed a[x]==1 a[x,y]==1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := diff.Compare(sideOfModel(t, modelFiles("mlflow==2.9.2\n"+tt.old)), sideOfModel(t, modelFiles("mlflow==2.9.2\n"+tt.now)))
			var got []string
			for _, i := range c.Requirements {
				got = append(got, strings.Join([]string{i.Name, string(i.Change), i.Old, i.New}, " "))
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, "\n")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if len(c.NotCompared) > 0 {
				t.Errorf("not compared: %v", c.NotCompared)
			}
		})
	}
}

// Sides of different kinds are compared in what both have, and the rest is named.
func TestDifferentKinds(t *testing.T) {
	m := sideOfModel(t, modelFiles("mlflow==2.9.2\nnumpy==1.26.4\nshap\nscipy>=1 ; sys_platform == 'win32'\n"))
	l := sideOfLock(t, "mlflow numpy -- mlflow 2.9.2\nnumpy 2.0.0")
	l.Lock.Tool.Python = pep440.MustParse("3.12.1")
	l.BaseName = "python:3.12-slim"
	i := diff.Side{Name: "churn:1", Kind: diff.Image, Lock: l.Lock, Env: map[string]string{"A": "1"}, NoCode: "too large", Spec: m.Spec, Signature: m.Signature}
	var got []string
	for _, pair := range [][2]diff.Side{{m, l}, {l, m}, {m, i}, {l, i}} {
		c := diff.Compare(pair[0], pair[1])
		got = append(got, string(c.Old.Kind)+" "+string(c.New.Kind))
		if c.Python != nil {
			got = append(got, "  Python "+c.Python.Old+" "+c.Python.New)
		}
		for _, r := range c.Requirements {
			got = append(got, "  "+string(r.Change)+" "+r.Old+" -> "+r.New)
		}
		for _, n := range c.NotCompared {
			got = append(got, "  not "+n.What+": "+n.Why)
		}
	}
	want := `model lock
  Python 3.11.7 3.12.1
  changed numpy==1.26.4 -> 2.0.0
  removed shap -> 
  not base image: model names none
  not locked packages: model is a model directory, which locks nothing
  not signature, code, environment variables, conda and system packages: pylock.toml is a lock, which does not record them
  not size: model and lock sizes are not comparable
lock model
  Python 3.12.1 3.11.7
  changed 2.0.0 -> numpy==1.26.4
  added  -> shap
  not base image: model names none
  not locked packages: model is a model directory, which locks nothing
  not signature, code, environment variables, conda and system packages: pylock.toml is a lock, which does not record them
  not size: lock and model sizes are not comparable
model image
  Python 3.11.7 3.12.1
  not locked packages: model is a model directory, which locks nothing
  not code: too large
  not environment of the container: model is a model directory, not an image
  not size: model and image sizes are not comparable
lock image
  not base image: churn:1 names none
  not requirements, signature, code, environment variables, conda and system packages: pylock.toml is a lock, which does not record them
  not environment of the container: pylock.toml is a lock, not an image
  not size: lock and image sizes are not comparable`
	if diff := cmp.Diff(want, strings.Join(got, "\n")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A change of an image's secret is told, its value is not.
func TestSecretsAreNotShown(t *testing.T) {
	a := diff.Side{Name: "a", Kind: diff.Image, Env: map[string]string{"API_TOKEN": "hunter2", "INDEX": "https://me:hunter2@pypi.example/simple", "PLAIN": "1"}}
	b := diff.Side{Name: "b", Kind: diff.Image, Env: map[string]string{"API_TOKEN": "hunter3", "INDEX": "https://me:hunter3@files.example/simple", "PLAIN": "2"}}
	c := diff.Compare(a, b)
	want := []diff.Item{
		{Name: "API_TOKEN", Change: diff.Changed, Old: "(not shown)", New: "(not shown)"},
		{Name: "INDEX", Change: diff.Changed, Old: "https://pypi.example/simple", New: "https://files.example/simple"},
		{Name: "PLAIN", Change: diff.Changed, Old: "1", New: "2"},
	}
	if diff := cmp.Diff(want, c.Environment); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestTheRestOfAModel(t *testing.T) {
	old, now := modelFiles("mlflow==2.9.2\n"), modelFiles("mlflow==2.9.2\n")
	old["conda.yaml"] = "channels: [conda-forge]\ndependencies: [python=3.11.7, libgomp=13.1.0, pip: [mlflow==2.9.2]]\n"
	now["conda.yaml"] = "channels: [conda-forge]\ndependencies: [python=3.11.7, libgomp=13.2.0, pip: [mlflow==2.9.2]]\n"
	now["MLmodel"] = strings.Replace(mlmodel, "    env:", "    code: code\n    env:", 1) + "env_vars: [API_KEY]\nrun_id: r2\n"
	now["code/a.py"] = "x = 1\n"
	c := diff.Compare(sideOfModel(t, old), sideOfModel(t, now))
	for _, tt := range []struct {
		what string
		got  []diff.Item
		want string
	}{
		{"conda", c.CondaPackages, "libgomp"}, {"code", c.CodePaths, "code"},
		{"variables", c.NeededVariables, "API_KEY"}, {"identity", c.Identity, "run"},
	} {
		if len(tt.got) != 1 || tt.got[0].Name != tt.want {
			t.Errorf("%s: %v, want %s", tt.what, tt.got, tt.want)
		}
	}
	// Which model it is does not count.
	now = modelFiles("mlflow==2.9.2\n")
	now["MLmodel"] += "run_id: r2\n"
	if c := diff.Compare(sideOfModel(t, modelFiles("mlflow==2.9.2\n")), sideOfModel(t, now)); !c.Same || len(c.Identity) != 1 {
		t.Errorf("another run: same is %v, identity %v", c.Same, c.Identity)
	}
}
