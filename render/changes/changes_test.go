package changes_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mlenv/render/changes"
	"mlenv/resolve/diff"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file of testdata, or writes it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o777), os.WriteFile(name, got, 0o666)); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v (run with -update)", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got, run with -update if it is meant):\n%s", name, diff)
	}
}

// everything has something of every part, and names that would be markup.
func everything() *diff.Changes {
	return &diff.Changes{
		SchemaVersion: diff.SchemaVersion,
		Old:           diff.End{Name: "registry.example/churn:1", Kind: diff.Image, Digest: "sha256:" + strings.Repeat("a", 64)},
		New:           diff.End{Name: "registry.example/churn:2", Kind: diff.Image, Digest: "sha256:" + strings.Repeat("b", 64)},
		Settings: diff.Settings{Python: &diff.Two{Old: "3.11.9", New: "3.12.1"},
			BaseName:   &diff.Two{Old: "python:3.11-slim", New: "python:3.12-slim"},
			BaseDigest: &diff.Two{Old: "sha256:01", New: "sha256:02"},
			Server:     &diff.Two{Old: "mlflow", New: "mlserver"},
			Platforms:  &diff.Two{Old: "linux/amd64 glibc:2.36", New: "linux/amd64 glibc:2.41"},
			Packages: []diff.Package{
				{Item: diff.Item{Name: "flask", Change: diff.Upgraded, Old: "3.0.0", New: "3.1.0"}, Relation: diff.Transitive, Via: []string{"mlflow", "mlflow-server"}},
				{Item: diff.Item{Name: "numpy", Change: diff.Downgraded, Old: "2.1.0", New: "1.26.4"}, Relation: diff.Direct},
				{Item: diff.Item{Name: "pip", Change: diff.Replaced, Old: "24.0", New: "24.0"}, Relation: diff.Direct},
				{Item: diff.Item{Name: "six", Change: diff.Removed, Old: "1.16.0"}},
				{Item: diff.Item{Name: "torch", Change: diff.Changed, Old: "2.0 (by URL)", New: "2.0"}, Relation: diff.Direct},
				{Item: diff.Item{Name: "zstandard", Change: diff.Added, New: "0.23.0"}, Relation: diff.Transitive, Via: []string{"mlflow"}},
			},
			Signature: &diff.Signature{
				Callers: diff.Breaks,
				Inputs: []diff.SignatureChange{
					{Item: diff.Item{Name: "age", Change: diff.Changed, Old: "integer", New: "long"}, Effect: diff.Safe, Why: "MLflow widens integer to long"},
					{Item: diff.Item{Name: "a|b`c`", Change: diff.Added, New: "double"}, Effect: diff.Breaks, Why: "it is required, and callers do not send it yet"},
				},
				Outputs: []diff.SignatureChange{{Item: diff.Item{Name: "score", Change: diff.Changed, Old: "double", New: "double, optional"}, Effect: diff.MayBreak, Why: "responses may not contain it"}},
				Params:  []diff.SignatureChange{{Item: diff.Item{Name: "\x1b[31m@everyone\u202e", Change: diff.Added, New: `string = "<b>"`}, Effect: diff.Safe, Why: "it has a default"}},
			}},
		Lists: diff.Lists{
			Requirements:      []diff.Item{{Name: "numpy", Change: diff.Changed, Old: "numpy>=2", New: "numpy<2"}, {Name: "shap", Change: diff.Changed, Old: "shap", New: "shap==0.46"}},
			Constraints:       []diff.Item{{Name: "six", Change: diff.Added, New: "six<2"}},
			BuildDependencies: []diff.Item{{Name: "pip", Change: diff.Upgraded, Old: "pip==23.0", New: "pip==24.0"}},
			PackageIndex:      []diff.Item{{Name: "index-url", Change: diff.Removed, Old: "https://pypi.example/simple"}},
			CondaPackages:     []diff.Item{{Name: "libgomp", Change: diff.Changed, Old: "=13.1.0", New: ">=13||12"}},
			SystemPackages:    []diff.Item{{Name: "libgomp1", Change: diff.Added, New: "lightgbm loads libgomp.so.1"}},
			CodePaths:         []diff.Item{{Name: "code", Change: diff.Changed, Old: "h1:aaa=", New: "h1:bbb="}},
			NeededVariables:   []diff.Item{{Name: "API_KEY", Change: diff.Added}},
			Environment:       []diff.Item{{Name: "WORKERS", Change: diff.Changed, Old: "1", New: "2"}},
		},
		Size:        &diff.Sizes{Of: "layers, compressed", Old: 1_234_567_890, New: 999},
		Identity:    []diff.Item{{Name: "run", Change: diff.Changed, Old: "r1", New: "r2"}},
		NotCompared: []diff.NotCompared{{What: "code", Why: "the code of <registry>_1 is in a layer that was not read"}},
	}
}

func format(t *testing.T, c *diff.Changes, name string, paint changes.Paint) []byte {
	t.Helper()
	out, err := changes.Format(c, name, paint)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFormats(t *testing.T) {
	same := &diff.Changes{Old: diff.End{Name: "a", Kind: diff.Model}, New: diff.End{Name: "b", Kind: diff.Model}, Same: true}
	for _, f := range changes.Formats {
		golden(t, "everything."+f, format(t, everything(), f, nil))
		golden(t, "same."+f, format(t, same, f, nil))
	}
	if _, err := changes.Format(same, "html", nil); err == nil {
		t.Error("html is taken for a format")
	}
}

// Only text is coloured, and taking the colours off leaves the text without colours: columns are
// as wide as what is seen.
func TestPaint(t *testing.T) {
	paint := func(_ changes.Style, s string) string { return "{" + s + "}" }
	got := string(format(t, everything(), "text", paint))
	plain := strings.NewReplacer("{", "", "}", "").Replace(got)
	if want := string(format(t, everything(), "text", nil)); plain != want {
		t.Errorf("(-want +got)\n%s", cmp.Diff(want, plain))
	}
	if got == plain {
		t.Error("nothing was painted")
	}
	for _, f := range changes.Formats[1:] {
		if diff := cmp.Diff(format(t, everything(), f, nil), format(t, everything(), f, paint)); diff != "" {
			t.Errorf("%s is painted", f)
		}
	}
}

// No text of a model reaches a terminal or a page as anything but text.
func TestHostileNames(t *testing.T) {
	for _, f := range []string{"text", "markdown"} {
		out := string(format(t, everything(), f, nil))
		for _, bad := range []string{"\x1b", "\u202e"} {
			if strings.Contains(out, bad) {
				t.Errorf("%s holds %q", f, bad)
			}
		}
	}
	// Cells of a table hold code spans, which end at no bar and no shorter fence.
	out := string(format(t, everything(), "markdown", nil))
	if !strings.Contains(out, "| `` a\\|b`c` `` |") {
		t.Errorf("the name with backquotes is not in a longer fence:\n%s", out)
	}
}

// A long list still fits into a comment; JSON has all of it.
func TestLongLists(t *testing.T) {
	c := everything()
	for len(c.Packages) < 2000 {
		c.Packages = append(c.Packages, diff.Package{Item: diff.Item{Name: "some-package-with-a-long-name", Change: diff.Upgraded, Old: "2024.10.1.post1", New: "2024.10.2.post1"},
			Relation: diff.Transitive, Via: []string{"mlflow", "another-package", "yet-another-package"}})
	}
	if n := len(format(t, c, "markdown", nil)); n > 65536 {
		t.Errorf("the Markdown has %d bytes, more than a comment takes", n)
	}
	if n := strings.Count(string(format(t, c, "json", nil)), "some-package"); n < 1990 {
		t.Errorf("JSON has %d packages", n)
	}
}
