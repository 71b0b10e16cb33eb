package envfile

import (
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"mlenv/resolve/finding"
)

var update = flag.Bool("update", false, "write the golden files anew")

// dump is all that a parser gives, as text.
func dump(f *File, err error) string {
	var b strings.Builder
	if err != nil {
		for _, e := range flatErrors(err) {
			fmt.Fprintf(&b, "%v\n", e)
			if e, ok := e.(*Error); ok && e.Hint != "" {
				fmt.Fprintf(&b, "    hint: %s\n", e.Hint)
			}
		}
		return b.String()
	}
	d := dumper{&b}
	d.list("python", f.Python)
	d.requirements("build", f.BuildDependencies)
	d.requirements("requirement", f.Requirements)
	d.requirements("constraint", f.Constraints)
	o := f.Options
	d.one("index-url", o.IndexURL)
	d.list("extra-index-url", o.ExtraIndexURLs)
	d.list("find-links", o.FindLinks)
	d.list("trusted-host", o.TrustedHosts)
	d.list("no-binary", o.NoBinary)
	d.list("only-binary", o.OnlyBinary)
	d.one("no-index", o.NoIndex)
	d.one("pre", o.Pre)
	d.one("prefer-binary", o.PreferBinary)
	d.one("require-hashes", o.RequireHashes)
	d.list("use-feature", o.UseFeatures)
	d.one("name", f.Name)
	d.one("prefix", f.Prefix)
	d.list("channel", f.Channels)
	for _, c := range f.CondaPackages {
		fmt.Fprintf(&b, "conda %s | channel %q version %q build %q name %q | %s\n", c.MatchSpec, c.Channel, c.Version, c.Build, c.Name, place(c.From))
	}
	d.list("variable", f.Variables)
	if f.Locked {
		fmt.Fprintln(&b, "locked")
	}
	for _, o := range f.CredentialsIn {
		fmt.Fprintf(&b, "credentials in %s\n", place(o))
	}
	for _, n := range f.Notes {
		fmt.Fprintf(&b, "note %s %q: %s | %s\n", n.Rule, n.Subject, n.Message, place(n.From))
	}
	return b.String()
}

func flatErrors(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range many.Unwrap() {
			out = append(out, flatErrors(e)...)
		}
		return out
	}
	return []error{err}
}

func place(o finding.Origin) string { return fmt.Sprintf("%s:%d %q", o.File, o.Line, o.Text) }

type dumper struct{ b *strings.Builder }

func (d dumper) one(name string, v *Declaration) {
	if v != nil {
		d.list(name, []Declaration{*v})
	}
}

func (d dumper) list(name string, vs []Declaration) {
	for _, v := range vs {
		fmt.Fprintf(d.b, "%s %q | %s\n", name, v.Value, place(v.From))
	}
}

func (d dumper) requirements(name string, reqs []Requirement) {
	for _, r := range reqs {
		j, _ := json.Marshal(struct {
			R    string
			Path string   `json:",omitempty"`
			Edit bool     `json:",omitempty"`
			Hash []string `json:",omitempty"`
		}{r.Requirement.String(), r.Path, r.Editable, r.Hashes})
		text := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(j))
		fmt.Fprintf(d.b, "%s %s | %s\n", name, text, place(r.From))
	}
}

// Every testdata/golden/*.txtar holds files; the one named "want" is what the parser gives for
// the first of the others, whose name tells the parser. A file "args" holds values of flags.
func TestGolden(t *testing.T) {
	names, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			fsys := fstest.MapFS{}
			want := -1
			for i, f := range a.Files {
				if f.Name == "want" {
					want = i
					continue
				}
				fsys[f.Name] = &fstest.MapFile{Data: f.Data}
			}
			got := dump(parseByName(fsys, a.Files[0].Name))
			if *update {
				if want < 0 {
					a.Files = append(a.Files, txtar.File{Name: "want"})
					want = len(a.Files) - 1
				}
				a.Files[want].Data = []byte(got)
				if err := os.WriteFile(name, txtar.Format(a), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want < 0 || got != string(a.Files[want].Data) {
				t.Errorf("got:\n%s", got)
			}
		})
	}
}

func parseByName(fsys fstest.MapFS, name string) (*File, error) {
	switch name {
	case "conda.yaml":
		return ParseConda(fsys, name)
	case "python_env.yaml":
		return ParsePythonEnv(fsys, name)
	case ".python-version":
		return ParsePythonVersion(fsys, name)
	case "pyproject.toml":
		return ParsePyProject(fsys, name)
	case "args":
		open := func(name string) (fs.File, error) { return fsys.Open(strings.TrimLeft(name, "./")) }
		return ParseRequirementArgs(open, strings.Split(strings.TrimSpace(string(fsys[name].Data)), "\n"))
	}
	return ParseRequirements(fsys, name)
}

// What another tool was to fill in is named for what it is.
func TestPlaceholders(t *testing.T) {
	for text, want := range map[string]string{
		"numpy==${V}": "environment variables", "numpy==$V": "placeholder", "numpy==%V%": "placeholder",
		"numpy=={{ v }}": "placeholder", "numpy==<version>": "placeholder", "numpy=1.0": "conda's syntax", "numpy==one": "",
	} {
		if got := requirementHint(text); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: hint %q, want %q", text, got, want)
		}
	}
}
