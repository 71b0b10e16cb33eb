package dockerfiles

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"mlenv/render"
	"mlenv/resolve"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
	"mlenv/resolve/serving"
)

// input is a small environment.
func input(t testing.TB) render.Input {
	t.Helper()
	version, err := pep440.Parse("2.9.2")
	if err != nil {
		t.Fatal(err)
	}
	rt, err := serving.New(serving.Input{MLflowVersion: version})
	if err != nil {
		t.Fatal(err)
	}
	locked := func(name string) *pylock.Lock {
		return &pylock.Lock{LockVersion: "1.0", CreatedBy: "mlenv", Packages: []pylock.Package{{
			Name: pep508.Name(name), Version: version,
			Wheels: []pylock.File{{Name: name + "-2.9.2-py3-none-any.whl", URL: "https://files.example/" + name + "-2.9.2-py3-none-any.whl",
				Size: 10, Hashes: map[string]string{"sha256": strings.Repeat("a", 64)}}},
		}}}
	}
	return render.Input{
		Installer: render.UV, Base: "python:3.11.7-slim@sha256:" + strings.Repeat("0", 64),
		Spec: &resolve.Spec{},
		Lock: locked("mlflow"), InstallerLock: locked("uv"), Runtime: rt, Copies: render.Copies{Wheels: []render.Tree{{FS: fstest.MapFS{"x.whl": {}}, Root: "x.whl"}}},
	}
}

// fill puts a text wherever a model or a flag can put some.
func fill(in render.Input, s string) render.Input {
	in.Title = s
	in.Spec.EnvironmentVariables = []string{s}
	in.Spec.SystemPackages = []resolve.SystemPackage{{Name: "libgomp1", Reason: s}}
	in.Spec.Requirements = append(in.Spec.Requirements, resolve.Requirement{Name: pep508.Name(s), Path: "code/" + s, Editable: true})
	in.Runtime.Env = append(in.Runtime.Env, serving.Var{Name: "X", Value: s})
	in.Runtime.Entrypoint = []string{"python", s}
	in.Labels = append(in.Labels, serving.Var{Name: s, Value: s})
	return in
}

// FuzzNothingEscapes puts text of any kind into a Dockerfile, and holds that BuildKit still reads the
// same instructions, with the text in its place.
func FuzzNothingEscapes(f *testing.F) {
	for _, s := range []string{"plain", `a"b`, "$HOME", "${X:-y}", "a\nRUN evil", "&& evil", `\`, `end\`, "`x`", "'", "# syntax=evil",
		"\r\nUSER root", "<<EOF\nx\nEOF", "\u2028RUN evil", "é", "{{.Base}}", "--mount=type=bind", "a\x00b", `\"; RUN x`, "\xff"} {
		f.Add(s)
	}
	tmpl, err := render.Templates(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := render.Dockerfile(fill(input(t), s), tmpl, "")
		if err != nil {
			return // refused, which is fine: nothing was written
		}
		want, err := render.Dockerfile(fill(input(t), "plain"), tmpl, "")
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

// checkValues holds that a text arrived whole where Dockerfiles can hold it.
func checkValues(t *testing.T, stage instructions.Stage, s string) {
	unquote := strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\$`, `$`)
	for _, c := range stage.Commands {
		switch c := c.(type) {
		case *instructions.EnvCommand:
			for _, kv := range c.Env {
				if kv.Key == "X" && unquote.Replace(kv.Value) != `"`+s+`"` {
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
