package render

import (
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"mlenv/resolve"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pylock"
	"mlenv/resolve/serving"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func v(t testing.TB, s string) pep440.Version {
	t.Helper()
	version, err := pep440.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

func wheelFile(name, digit string) pylock.File {
	return pylock.File{Name: name, URL: "https://files.example/" + name, Size: 10,
		Hashes: map[string]string{"sha256": strings.Repeat(digit, 64)}}
}

func testLock(t testing.TB) *pylock.Lock {
	return &pylock.Lock{LockVersion: "1.0", CreatedBy: "mlenv", Packages: []pylock.Package{
		{Name: "mlflow", Version: v(t, "2.9.2"), Wheels: []pylock.File{wheelFile("mlflow-2.9.2-py3-none-any.whl", "a")}},
		{Name: "numpy", Version: v(t, "1.26.4"), Wheels: []pylock.File{
			wheelFile("numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64.whl", "c"),
			wheelFile("numpy-1.26.4-cp311-cp311-manylinux_2_17_aarch64.whl", "b")}},
		{Name: "pip", Version: v(t, "23.3"), Wheels: []pylock.File{wheelFile("pip-23.3-py3-none-any.whl", "d")}},
		{Name: "tiny", Version: v(t, "1.0"), Archive: &pylock.Archive{Path: "code/tiny-1.0-py3-none-any.whl",
			Hashes: map[string]string{"sha256": strings.Repeat("e", 64)}}},
	}}
}

func testInput(t testing.TB, installer Installer) Input {
	rt, err := serving.New(serving.Input{MLflowVersion: v(t, "2.9.2")})
	if err != nil {
		t.Fatal(err)
	}
	return Input{
		Installer: installer, Base: "python:3.11.7-slim@sha256:" + strings.Repeat("0", 64), Title: "churn",
		Spec: &resolve.Spec{
			Python:            resolve.Python{Version: v(t, "3.11.7")},
			BuildDependencies: []resolve.Requirement{{Name: "pip", Specifier: pep440.MustParseSpecifiers("==23.3")}},
			Requirements: []resolve.Requirement{
				{Name: "mlflow", Specifier: pep440.MustParseSpecifiers("==2.9.2")}, {Name: "numpy", Specifier: pep440.MustParseSpecifiers("<2")},
				{Name: "tiny", Path: "code/tiny-1.0-py3-none-any.whl"},
			},
		},
		Lock: testLock(t), Runtime: rt, Copies: Copies{Wheels: trees("tiny-1.0-py3-none-any.whl")},
		InstallerLock: &pylock.Lock{Packages: []pylock.Package{{Name: "uv", Version: v(t, "0.9.0"),
			Wheels: []pylock.File{wheelFile("uv-0.9.0-py3-none-manylinux_2_17_x86_64.whl", "f")}}}},
		Labels: serving.Labels(serving.Facts{Title: "churn", MLflowVersion: "2.9.2", Flavors: []string{"python_function"}}),
	}
}

// cases are the shapes that a Dockerfile can take. That BuildKit understands each of their golden files
// is tested in .ci/dockerfiles.
func cases(t testing.TB) map[string]Input {
	private := testInput(t, UV)
	private.Index, private.ExtraIndexes = "https://pypi.example/simple", []string{"https://more.example/simple"}
	private.Spec.EnvironmentVariables = []string{"OPENAI_API_KEY"}

	open := testInput(t, Pip)
	open.Lock = nil
	open.Spec.PackageIndex.Pre = true

	source := testInput(t, UV)
	source.Copies.Model, source.Copies.ModelCode, source.Copies.ExtraCode = fstest.MapFS{"code/a.py": {}}, []string{"code"}, trees("extra")
	source.Spec.Requirements = append(source.Spec.Requirements,
		resolve.Requirement{Name: "ours", URL: "git+https://git.example/ours@0123456789012345678901234567890123456789"},
		resolve.Requirement{Name: "local", Path: "code/local", Editable: true})
	source.Spec.SystemPackages = []resolve.SystemPackage{{Name: "libgomp1", Reason: "lightgbm loads libgomp.so.1"}}

	conda := testInput(t, Conda)
	conda.Base, conda.Lock = "mambaorg/micromamba:2-debian12-slim", nil
	conda.Spec.Conda = resolve.Conda{Channels: []string{"conda-forge"},
		Packages: []resolve.CondaPackage{{Name: "gdal", MatchSpec: "gdal=3.8"}}}
	explicit := testInput(t, Conda)
	explicit.Base, explicit.Lock = conda.Base, nil
	explicit.CondaExplicit = []byte("@EXPLICIT\nhttps://conda.example/linux-64/python-3.11.7-0.conda#00\n")

	// What a model or a flag says may hold all that means something to a Dockerfile.
	odd := "a\"b' $HOME ${X:-y} \\ `x` && # {{.Base}}"
	quoted := testInput(t, UV)
	quoted.Title = odd
	quoted.Spec.EnvironmentVariables = []string{odd}
	quoted.Runtime.Env = append(slices.Clone(quoted.Runtime.Env), serving.Var{Name: "X", Value: odd})
	quoted.Labels = append(quoted.Labels, serving.Var{Name: "org.example.odd", Value: odd})

	none := testInput(t, Pip)
	none.Runtime, _ = serving.New(serving.Input{Kind: serving.None})
	return map[string]Input{
		"uv": testInput(t, UV), "pip": testInput(t, Pip), "uv-private-index": private, "pip-no-lock": open,
		"uv-source": source, "conda": conda, "conda-explicit": explicit, "pip-serve-none": none,
		"uv-quoted": quoted,
	}
}

func builtin(t testing.TB) func(Input) []File {
	tmpl, err := Templates(nil)
	if err != nil {
		t.Fatal(err)
	}
	return func(in Input) []File {
		t.Helper()
		files, err := Context(in, tmpl, "")
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
}

func TestGolden(t *testing.T) {
	context := builtin(t)
	for name, in := range cases(t) {
		var b strings.Builder
		for _, f := range context(in) {
			if f.Dir || f.Open != nil {
				continue // TestCopies
			}
			if f.Exec {
				f.Data = []byte("a program\n") // which package serving tests
			}
			b.WriteString("-- " + f.Name + " --\n" + string(f.Data))
		}
		golden := filepath.Join("testdata", name+".txt")
		if *update {
			if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), b.String()); d != "" {
			t.Errorf("%s (-want +got)\n%s", name, d)
		}
	}
}

func TestRefused(t *testing.T) {
	tmpl, err := Templates(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Input){
		"base":     func(in *Input) { in.Base = "python:3.11 AS x\nRUN evil" },
		"base var": func(in *Input) { in.Base = "$BASE" },
		"user":     func(in *Input) { in.Runtime.User = "0\nRUN evil" },
		"env name": func(in *Input) { in.Runtime.Env = []serving.Var{{Name: "A=B C", Value: "x"}} },
		"env":      func(in *Input) { in.Runtime.Env = []serving.Var{{Name: "A", Value: "x\ny"}} },
		"package":  func(in *Input) { in.Spec.SystemPackages = []resolve.SystemPackage{{Name: "x && evil"}} },
		"label":    func(in *Input) { in.Labels = []serving.Var{{Name: "a", Value: "x\ny"}} },
	} {
		in := testInput(t, UV)
		spoil(&in)
		if out, err := Dockerfile(in, tmpl, ""); err == nil {
			t.Errorf("%s: accepted\n%s", name, out)
		}
	}
}

func TestOwnTemplates(t *testing.T) {
	in := testInput(t, UV)
	tmpl, err := Templates(fstest.MapFS{
		"runtime.tmpl": {Data: []byte(`{{define "runtime"}}COPY --from=build {{.Venv}} {{.Venv}}{{end}}`)},
		"mine.tmpl":    {Data: []byte("FROM {{word .Base}}\n{{template \"runtime\" .}}\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := Dockerfile(in, tmpl, "mine.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	if want := "FROM " + in.Base + "\nCOPY --from=build /opt/venv /opt/venv\n"; string(out) != want {
		t.Errorf("got %q, want %q", out, want)
	}
	if _, err := Templates(fstest.MapFS{"x.tmpl": {Data: []byte("{{.Base")}}); err == nil || !strings.Contains(err.Error(), "x.tmpl:1") {
		t.Errorf("a broken template's error does not point at it: %v", err)
	}
}

func TestParseInstaller(t *testing.T) {
	conda := &resolve.Spec{Conda: resolve.Conda{Packages: []resolve.CondaPackage{{Name: "gdal"}}}}
	for _, tt := range []struct {
		in   string
		spec *resolve.Spec
		want Installer
	}{{"", &resolve.Spec{}, UV}, {"", conda, Conda}, {"pip", conda, Pip}} {
		if got, err := ParseInstaller(tt.in, tt.spec); err != nil || got != tt.want {
			t.Errorf("ParseInstaller(%q) = %q, %v, want %q", tt.in, got, err, tt.want)
		}
	}
	if _, err := ParseInstaller("poetry", conda); err == nil {
		t.Error("poetry is accepted")
	}
}

// trees are files that a context copies.
func trees(names ...string) []Tree {
	var out []Tree
	for _, name := range names {
		out = append(out, Tree{FS: fstest.MapFS{name: {}}, Root: name})
	}
	return out
}

// TestCopies lists what a context copies: a directory before what is in it, links as what they lead
// to, the model's code in a place of its own alone.
func TestCopies(t *testing.T) {
	model := fstest.MapFS{
		"MLmodel":         {Data: []byte("m")},
		"artifacts/run":   {Mode: 0o755},
		"code/a/b.py":     {Data: []byte("b")},
		"code2/x.py":      {Data: []byte("x")},
		"artifacts/empty": {Mode: fs.ModeDir | 0o755},
	}
	files, err := Copies{
		Model: model, ModelCode: []string{"code"}, ExtraCode: []Tree{{FS: model, Root: "code/a"}},
		Wheels: trees("x-1.whl"), Sources: []Tree{{FS: model, Root: "code2"}},
	}.Files()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		line := f.Name
		if f.Dir {
			line += "/"
		}
		if f.Exec {
			line += " exec"
		}
		got = append(got, line)
	}
	want := []string{
		"model/", "model/MLmodel", "model/artifacts/", "model/artifacts/empty/", "model/artifacts/run exec", "model/code2/", "model/code2/x.py",
		"model-code/code/", "model-code/code/a/", "model-code/code/a/b.py",
		"extra-code/a/", "extra-code/a/b.py", "wheels/x-1.whl", "source/code2/", "source/code2/x.py",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	r, err := files[1].Open()
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(r); err != nil || string(data) != "m" {
		t.Errorf("MLmodel is %q, %v", data, err)
	}
	model["pipe"] = &fstest.MapFile{Mode: fs.ModeNamedPipe}
	if _, err := (Copies{Model: model}).Files(); err == nil || !strings.Contains(err.Error(), "pipe is neither") {
		t.Errorf("a named pipe: %v", err)
	}
}
