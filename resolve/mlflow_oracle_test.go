package resolve_test

import (
	"cmp"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"mlenv/resolve"
	"mlenv/resolve/envfile"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// The records of .ci/oracle/mlflow_env.py: what MLflow's own code reads in the models that it saved.
type mlflowRecord struct {
	MLflow string
	Python string
	Models map[string]mlflowModel
}

type mlflowModel struct {
	PythonEnv    mlflowPythonEnv `json:"python_env"`
	Conda        mlflowPythonEnv
	Requirements []struct {
		Text        string
		Constraint  bool
		Requirement *struct{ Name, Extras, Specifier, Marker, URL string } // nil: packaging refuses the line
	}
}

type mlflowPythonEnv struct {
	Python            string
	BuildDependencies []string
	Dependencies      []string
	Error             string
}

func readRecord(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// Every model that MLflow saved resolves to what MLflow reads in it: the Python, the build
// dependencies, the requirements, the constraints.
func TestModelsAsMLflow(t *testing.T) {
	for _, name := range glob(t, "testdata/mlflow/[0-9]*.json") {
		var record mlflowRecord
		readRecord(t, name, &record)
		version := strings.TrimSuffix(filepath.Base(name), ".json")
		if len(record.Models) < 16 {
			t.Errorf("%s has %d models", name, len(record.Models))
		}
		for _, id := range slices.Sorted(maps.Keys(record.Models)) {
			t.Run(version+"/"+id, func(t *testing.T) {
				spec := resolveDir(t, filepath.Join("testdata/mlflow", version, id))
				compareWithMLflow(t, spec, record.MLflow, record.Models[id])
			})
		}
	}
}

func compareWithMLflow(t *testing.T, spec *resolve.Spec, mlflow string, want mlflowModel) {
	t.Helper()
	if got := spec.Python.Version.String(); got != want.PythonEnv.Python {
		t.Errorf("Python %s, MLflow has %s", got, want.PythonEnv.Python)
	}
	var requirements, constraints []string
	options := 0
	for _, r := range want.Requirements {
		switch {
		case r.Constraint:
			constraints = append(constraints, r.Text)
		case strings.HasPrefix(r.Text, "--"):
			options++ // MLflow hands pip's options on as if they were requirements; the spec has them in PackageIndex
		default:
			requirements = append(requirements, r.Text)
		}
	}
	build := foldLines(t, want.PythonEnv.BuildDependencies)
	narrowByConda(t, build, want.Conda.BuildDependencies)
	sameRequirements(t, "build dependency", foldSpec(t, spec.BuildDependencies), build)
	sameRequirements(t, "constraint", foldSpec(t, spec.Constraints), foldLines(t, constraints))
	expected := foldLines(t, requirements)
	pinMLflow(expected, mlflow)
	sameRequirements(t, "requirement", foldSpec(t, spec.Requirements), expected)
	index := spec.PackageIndex
	given := len(index.ExtraIndexURLs) + len(index.FindLinks)
	for _, on := range []bool{index.IndexURL != "", index.Pre, index.NoIndex} {
		if on {
			given++
		}
	}
	if given != options {
		t.Errorf("the spec has %d of pip's options, MLflow hands on %d: %+v", given, options, index)
	}
}

// pinMLflow is the one thing that the spec adds on purpose: MLflow 1 writes mlflow without a
// version, and so do people; the spec has the version that the model was logged with.
func pinMLflow(requirements map[string]folded, version string) {
	for key, r := range requirements {
		if r.name == "mlflow" && r.specifier.IsZero() {
			r.specifier = pep440.Exactly(pep440.MustParse(version))
			requirements[key] = r
		}
	}
}

// narrowByConda adds what conda.yaml says of a build dependency for which python_env.yaml has no
// version: MLflow does not look there, the spec joins the two.
func narrowByConda(t *testing.T, build map[string]folded, conda []string) {
	t.Helper()
	for key, c := range foldLines(t, conda) {
		if b, ok := build[key]; ok && b.specifier.IsZero() {
			build[key] = c
		}
	}
}

// folded is one requirement or several of the same name and marker, as pip reads them: all hold.
type folded struct {
	name, marker, direct string // direct: URL or path
	extras               []string
	hashes               int
	specifier            pep440.Specifiers
}

func add(into map[string]folded, r folded) {
	key := cmp.Or(r.name, r.direct) + ";" + r.marker
	old, known := into[key]
	if known {
		r.specifier = old.specifier.And(r.specifier)
		r.extras = append(r.extras, old.extras...)
	}
	slices.Sort(r.extras)
	r.extras = slices.Compact(r.extras)
	into[key] = r
}

// foldLines folds lines that MLflow hands to pip. It splits off hashes itself, since packaging and
// so MLflow refuse them.
func foldLines(t *testing.T, lines []string) map[string]folded {
	t.Helper()
	got := map[string]folded{}
	for _, line := range lines {
		text, hashes, hashed := strings.Cut(line, " --hash=")
		if path, ok := strings.CutSuffix(text, ".whl"); ok && !strings.Contains(text, "@") {
			name, _, _ := strings.Cut(filepath.Base(path), "-")
			add(got, folded{name: string(pep508.NormalizeName(name)), direct: text})
			continue
		}
		r, err := pep508.Parse(text)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		f := folded{name: string(r.Name), marker: r.Marker.String(), direct: r.URL, specifier: r.Specifier}
		for _, e := range r.Extras {
			f.extras = append(f.extras, string(e))
		}
		if hashed {
			f.hashes = 1 + strings.Count(hashes, "--hash=")
		}
		add(got, f)
	}
	return got
}

func foldSpec(t *testing.T, requirements []resolve.Requirement) map[string]folded {
	t.Helper()
	got := map[string]folded{}
	for _, r := range requirements {
		f := folded{name: string(r.Name), marker: r.Marker.String(), direct: cmp.Or(r.URL, r.Path), specifier: r.Specifier}
		for _, x := range r.Extras {
			f.extras = append(f.extras, string(x))
		}
		if r.Path == "" { // the spec hashes the model's own wheels, which MLflow does not
			f.hashes = len(r.Hashes)
		}
		add(got, f)
	}
	return got
}

func sameRequirements(t *testing.T, what string, got, want map[string]folded) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		g, ok := got[key]
		w := want[key]
		switch {
		case !ok:
			t.Errorf("no %s %s%s, MLflow has it", what, key, w.specifier)
		case g.direct != w.direct || g.hashes != w.hashes || !slices.Equal(g.extras, w.extras):
			t.Errorf("%s %s: got %+v, MLflow has %+v", what, key, g, w)
		case !sameVersions(g.specifier, w.specifier):
			t.Errorf("%s %s: got %s, MLflow has %s", what, key, g.specifier, w.specifier)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[key]; !ok {
			t.Errorf("%s %s, which MLflow has not", what, key)
		}
	}
}

// sameVersions compares what two sets admit among the versions that either names and their
// neighbours: the spec drops clauses that others imply, as "<9" beside "==1.7".
func sameVersions(a, b pep440.Specifiers) bool {
	probes := []string{"0", "99999"}
	for _, c := range slices.Concat(a.Clauses(), b.Clauses()) {
		v := strings.TrimSuffix(c.Version, ".*")
		public, _, _ := strings.Cut(v, "+")
		probes = append(probes, v, public, public+".dev0", public+".post1", public+".1")
	}
	return !slices.ContainsFunc(probes, func(p string) bool {
		v, err := pep440.Parse(p)
		return err == nil && a.Match(v) != b.Match(v)
	})
}

// What MLflow loses or misreads of a conda.yaml, why that is so, and what the parser has instead.
// Of every other form both must have the same. MLflow knows a line only by one expression,
// ^(python|pip|setuptools|wheel)(op)?([\d.]+)?$, and drops all else: then it takes the Python that
// it runs on, silently another one than the model's.
const (
	spaces   = "MLflow does not see past a space"
	stars    = "MLflow does not know .*"
	builds   = "MLflow does not know build strings"
	ranges   = "MLflow takes a bound for the version itself, refuses it or drops it"
	channels = "MLflow does not know channels"
	letters  = "MLflow knows lower case and plain numbers alone"
	fuzzy    = "conda's = is a prefix, MLflow makes it exact"
)

var condaUnlikeMLflow = map[string]struct{ why, want string }{
	"python 3.8":                       {spaces, "python 3.8"},
	"python 3.8.13":                    {spaces, "python 3.8.13"},
	"python =3.8":                      {spaces, "python 3.8"},
	"python = 3.8.13":                  {spaces, "python 3.8.13"},
	"wheel !=0.39":                     {spaces, "build wheel!=0.39"},
	"python=3.8.*":                     {stars, "python 3.8"},
	"pip==22.*":                        {stars, "build pip==22.*"},
	"python=3.8.13=h12debd9_0_cpython": {builds, "python 3.8.13"},
	"setuptools=65.5.0=py38_0":         {builds, "build setuptools==65.5.0"},
	"python>=3.8,<3.9":                 {ranges, "python >=3.8,<3.9"},
	"python>=3.8":                      {ranges, "python >=3.8"},
	"python<=3.9":                      {ranges, "python <=3.9"},
	"python>3.8":                       {ranges, "python >3.8"},
	"python<3.10":                      {ranges, "python <3.10"},
	"python!=3.9":                      {ranges, "python !=3.9"},
	"python~=3.9":                      {ranges, "python ~=3.9"},
	"pip>=21,<24":                      {ranges, "build pip<24,>=21"},
	"python":                           {"MLflow refuses a Python without a version; conda takes any", ""},
	"conda-forge::python=3.8":          {channels, "python 3.8"},
	"conda-forge::pip=22.3":            {channels, "build pip==22.3.*"},
	"Python=3.8":                       {letters, "python 3.8"},
	"python=3.11.0rc1":                 {letters, "python 3.11.0rc1"},
	"pip=22.3.1":                       {fuzzy, "build pip==22.3.1.*"},
	"wheel=0.38.4":                     {fuzzy, "build wheel==0.38.4.*"},
	"two pythons":                      {"MLflow makes the second one a package that pip shall install", "python 3.8.13; python 3.9.7"},
	"two pip sections":                 {"MLflow installs from the last alone and lists the first alone", "python 3.9; require a; require b"},
	"a comment in pip":                 {"MLflow hands comments on as requirements", "python 3.9; require a"},
}

// Every form of a conda line is read as MLflow reads it, or better for a reason given above.
func TestCondaAsMLflow(t *testing.T) {
	var record struct {
		Python string // of the recording MLflow, which it takes where it does not find the file's
		Files  []struct {
			Name, Text string
			Gives      mlflowPythonEnv
		}
	}
	readRecord(t, "testdata/mlflow/conda.json", &record)
	if len(record.Files) < 40 {
		t.Errorf("only %d files", len(record.Files))
	}
	seen := 0
	for _, f := range record.Files {
		want := sayMLflow(f.Gives, record.Python)
		if unlike, ok := condaUnlikeMLflow[f.Name]; ok {
			seen++
			if want == unlike.want {
				t.Errorf("%s: MLflow reads it as the parser does now; %q no longer holds", f.Name, unlike.why)
			}
			want = unlike.want
		}
		file, err := envfile.ParseConda(fstest.MapFS{"conda.yaml": {Data: []byte(f.Text)}}, "conda.yaml")
		if got := sayConda(file, err); got != want {
			t.Errorf("%s: got %q (error %v), want %q", f.Name, got, err, want)
		}
	}
	if seen != len(condaUnlikeMLflow) {
		t.Errorf("%d of %d exceptions are in the record", seen, len(condaUnlikeMLflow))
	}
}

func sayMLflow(env mlflowPythonEnv, own string) string {
	if env.Error != "" {
		return "refused"
	}
	var said []string
	if env.Python != own {
		said = append(said, "python "+env.Python)
	}
	for _, d := range env.BuildDependencies {
		said = append(said, "build "+d)
	}
	for _, d := range env.Dependencies {
		said = append(said, "require "+d)
	}
	return strings.Join(said, "; ")
}

func sayConda(file *envfile.File, err error) string {
	if err != nil {
		return "refused"
	}
	var said []string
	for _, p := range file.Python {
		said = append(said, "python "+p.Value)
	}
	for _, r := range file.BuildDependencies {
		said = append(said, "build "+r.Requirement.String())
	}
	for _, r := range file.Requirements {
		said = append(said, "require "+r.Requirement.String())
	}
	return strings.Join(said, "; ")
}
