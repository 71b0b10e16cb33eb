package render

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"mlenv/resolve"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pylock"
	"mlenv/resolve/serving"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
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
			Python:            resolve.Python{Version: "3.11.7"},
			BuildDependencies: []resolve.Requirement{{Name: "pip", Specifier: "==23.3"}},
			Requirements: []resolve.Requirement{
				{Name: "mlflow", Specifier: "==2.9.2"}, {Name: "numpy", Specifier: "<2"},
				{Name: "tiny", Path: "code/tiny-1.0-py3-none-any.whl"},
			},
		},
		Lock: testLock(t), Runtime: rt, LocalWheels: true,
		InstallerLock: &pylock.Lock{Packages: []pylock.Package{{Name: "uv", Version: v(t, "0.9.0"),
			Wheels: []pylock.File{wheelFile("uv-0.9.0-py3-none-manylinux_2_17_x86_64.whl", "f")}}}},
		Labels: serving.Labels(serving.Facts{Title: "churn", MLflowVersion: "2.9.2", Flavors: []string{"python_function"}}),
	}
}

// cases are the shapes that a Dockerfile can take.
func cases(t testing.TB) map[string]Input {
	private := testInput(t, UV)
	private.Index, private.ExtraIndexes = "https://pypi.example/simple", []string{"https://more.example/simple"}
	private.Spec.EnvironmentVariables = []string{"OPENAI_API_KEY"}

	open := testInput(t, Pip)
	open.Lock = nil
	open.Spec.PackageIndex.Pre = true

	source := testInput(t, UV)
	source.ModelCode, source.ExtraCode = true, true
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

	none := testInput(t, Pip)
	none.Runtime, _ = serving.New(serving.Input{Kind: serving.None})
	return map[string]Input{
		"uv": testInput(t, UV), "pip": testInput(t, Pip), "uv-private-index": private, "pip-no-lock": open,
		"uv-source": source, "conda": conda, "conda-explicit": explicit, "pip-serve-none": none,
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

// parse reads a Dockerfile as BuildKit does.
func parse(t testing.TB, data []byte) []instructions.Stage {
	t.Helper()
	res, err := parser.Parse(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("BuildKit cannot parse it: %v\n%s", err, data)
	}
	if len(res.Warnings) > 0 {
		t.Errorf("BuildKit warns: %+v\n%s", res.Warnings, data)
	}
	stages, _, err := instructions.Parse(res.AST, nil)
	if err != nil {
		t.Fatalf("BuildKit cannot parse it: %v\n%s", err, data)
	}
	return stages
}

// names gives the instructions of a stage in order.
func names(s instructions.Stage) string {
	var out []string
	for _, c := range s.Commands {
		out = append(out, c.Name())
	}
	return strings.Join(out, " ")
}

func TestStagesOrderAndUser(t *testing.T) {
	context := builtin(t)
	for name, in := range cases(t) {
		data := context(in)[0].Data
		if strings.Contains(string(data), "syntax=") {
			t.Errorf("%s: a syntax line needs a pull", name)
		}
		stages := parse(t, data)
		if len(stages) != 2 || stages[0].Name != "build" || stages[1].BaseName != in.Base {
			t.Fatalf("%s: stages %+v", name, stages)
		}
		final := stages[1]
		var copies []string
		user := ""
		for _, c := range final.Commands {
			switch c := c.(type) {
			case *instructions.CopyCommand:
				copies = append(copies, strings.Join(c.SourcePaths, " "))
			case *instructions.UserCommand:
				user = c.User
			case *instructions.RunCommand:
				if len(in.Spec.SystemPackages) == 0 {
					t.Errorf("%s: the final stage runs %v", name, c.CmdLine)
				}
			}
		}
		want := []string{"/opt/venv"}
		if in.ExtraCode {
			want = append(want, "extra-code")
		}
		if in.ModelCode {
			want = append(want, "model-code")
		}
		if d := cmp.Diff(append(want, "model"), copies); d != "" {
			t.Errorf("%s: what changes most must be copied last (-want +got)\n%s", name, d)
		}
		if user != "1000:0" {
			t.Errorf("%s: runs as %q", name, user)
		}
		if !strings.HasSuffix(names(final), "ENTRYPOINT") {
			t.Errorf("%s: final stage is %s", name, names(final))
		}
	}
}

// FuzzNothingEscapes puts text of any kind wherever a model or a flag can put some, and holds that
// BuildKit still reads the same instructions, with the text in its place.
func FuzzNothingEscapes(f *testing.F) {
	for _, s := range []string{"plain", `a"b`, "$HOME", "${X:-y}", "a\nRUN evil", "&& evil", `\`, `end\`, "`x`", "'", "# syntax=evil",
		"\r\nUSER root", "<<EOF\nx\nEOF", "\u2028RUN evil", "é", "{{.Base}}", "--mount=type=bind", "a\x00b", `\"; RUN x`, "\xff"} {
		f.Add(s)
	}
	tmpl, err := Templates(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		plain, dirty := testInput(t, UV), testInput(t, UV)
		fill := func(in *Input, s string) {
			in.Title = s
			in.Spec.EnvironmentVariables = []string{s}
			in.Spec.SystemPackages = []resolve.SystemPackage{{Name: "libgomp1", Reason: s}}
			in.Spec.Requirements = append(in.Spec.Requirements, resolve.Requirement{Name: s, Path: "code/" + s, Editable: true})
			in.Runtime.Env = append(in.Runtime.Env, serving.Var{Name: "X", Value: s})
			in.Runtime.Entrypoint = []string{"python", s}
			in.Labels = append(in.Labels, serving.Var{Name: s, Value: s})
		}
		fill(&plain, "plain")
		fill(&dirty, s)
		got, err := Dockerfile(dirty, tmpl, "")
		if err != nil {
			return // refused, which is fine: nothing was written
		}
		want, err := Dockerfile(plain, tmpl, "")
		if err != nil {
			t.Fatal(err)
		}
		a, b := parse(t, want), parse(t, got)
		if len(a) != len(b) {
			t.Fatalf("%q made another stage:\n%s", s, got)
		}
		for i := range a {
			if names(a[i]) != names(b[i]) {
				t.Fatalf("%q changed the instructions:\n%s", s, got)
			}
		}
		checkValues(t, b[1], s)
	})
}

// checkValues holds that text arrived whole where Dockerfiles can hold it.
func checkValues(t *testing.T, stage instructions.Stage, s string) {
	unquote := strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\$`, `$`)
	for _, c := range stage.Commands {
		switch c := c.(type) {
		case *instructions.EnvCommand:
			for _, kv := range c.Env {
				if kv.Key == "X" && unquote.Replace(strings.Trim(kv.Value, "")) != `"`+s+`"` {
					t.Fatalf("X=%q is read as %s", s, kv.Value)
				}
			}
		case *instructions.EntrypointCommand:
			if c.PrependShell || len(c.CmdLine) != 2 || c.CmdLine[1] != strings.ToValidUTF8(s, "\ufffd") {
				t.Fatalf("the entrypoint for %q is %q", s, c.CmdLine)
			}
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
