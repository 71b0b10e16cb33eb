package sbom

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
)

var update = flag.Bool("update", false, "write the golden files")

// example is an image with everything that a document can have.
func example(t *testing.T) Input {
	t.Helper()
	text, err := os.ReadFile("testdata/pylock.toml")
	if err != nil {
		t.Fatal(err)
	}
	l, err := pylock.Parse("pylock.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	target := l.Tool.Targets[0]
	target.Python = l.Tool.Python
	return Input{
		Subject: Subject{Name: "registry.example.com:5000/team/churn", Digest: "sha256:" + strings.Repeat("a", 64), Tag: "1", Platform: "linux/amd64"},
		Model: &Model{Name: "churn", Version: "7", ID: "m-1", RunID: "r1", MLflowVersion: "3.1.0", Flavors: []string{"sklearn", "python_function"},
			Inputs: `[{"type": "double", "name": "x"}]`, Outputs: `[{"type": "long"}]`},
		Lock: l, Target: target,
		Metadata: map[pep508.Name]*dist.Metadata{
			"churn": {Expression: "LicenseRef-Acme AND (MIT OR Apache-2.0)"},
			"numpy": {License: "Copyright\nlong text", Classifiers: []string{"License :: OSI Approved :: BSD License"}},
			"here":  {Classifiers: []string{"License :: OSI Approved :: MIT License"}},
		},
		Base: &Base{
			Name: "registry.example.com/python:3.11-slim", Digest: "sha256:" + strings.Repeat("b", 64), Python: "3.11.9", Arch: "amd64",
			Install: map[string]string{"pip": "24.0"},
			System: System{ID: "debian", Version: "12", PURL: "deb", Packages: map[string]string{"libstdc++6": "12.2.0-14", "tzdata": "2024a-0+deb12u1"},
				Arches: map[string]string{"tzdata": "all"}},
		},
		Public: func(u string) bool { return u == "https://index.example.org/simple/" },
		Tool:   Tool{"mlenv", "v1.2.3"}, Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

func TestGolden(t *testing.T) {
	lockAlone := example(t)
	lockAlone.Subject, lockAlone.Model, lockAlone.Base = Subject{Name: "pylock.toml"}, nil, nil
	rpm := example(t)
	rpm.Lock, rpm.Metadata, rpm.Base.System = nil, nil, System{ID: "fedora", Unread: "RPM"}
	for name, in := range map[string]Input{"image": example(t), "lock": lockAlone, "rpm": rpm} {
		for _, f := range Formats() {
			got, err := Document(in, Format(f))
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+"."+strings.TrimSuffix(f, "-json")+".json")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(got)); d != "" {
				t.Errorf("%s: %s", file, d)
			}
			for _, bad := range []string{"secret", "user:"} {
				if bytes.Contains(got, []byte(bad)) {
					t.Errorf("%s holds %q", file, bad)
				}
			}
			again, err := Document(in, Format(f))
			if err != nil || !bytes.Equal(got, again) {
				t.Errorf("%s is not the same again: %v", file, err)
			}
		}
	}
	if _, err := Document(example(t), "xml"); err == nil {
		t.Error("a format that there is not was taken")
	}
}

// TestSameContents holds the two formats against each other.
func TestSameContents(t *testing.T) {
	var s spdxDocument
	var c cdxDocument
	for f, to := range map[Format]any{SPDX: &s, CycloneDX: &c} {
		text, err := Document(example(t), f)
		if err == nil {
			err = json.Unmarshal(text, to)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var inSPDX, inCDX, ids, refs []string
	for _, p := range s.Packages {
		inSPDX, ids = append(inSPDX, p.Name+" "+p.Version), append(ids, p.ID)
	}
	for _, p := range append([]cdxComponent{*c.Metadata.Component}, c.Components...) {
		inCDX, refs = append(inCDX, p.Name+" "+p.Version), append(refs, p.Ref)
	}
	if d := cmp.Diff(inSPDX, inCDX); d != "" {
		t.Error(d)
	}
	for _, list := range [][]string{ids, refs} {
		if sorted := slices.Sorted(slices.Values(list)); len(slices.Compact(sorted)) != len(list) {
			t.Errorf("an id is there twice: %v", sorted)
		}
	}
	// Whatever is referred to is there.
	for _, r := range s.Relationships {
		for _, end := range []string{r.From, r.To} {
			if end != docID && !slices.Contains(ids, end) {
				t.Errorf("%v names %s, which is not in the document", r, end)
			}
		}
	}
	for _, d := range c.Dependencies {
		for _, end := range append(d.DependsOn, d.Ref) {
			if !slices.Contains(refs, end) {
				t.Errorf("%v names %s, which is not in the document", d, end)
			}
		}
	}
}

func TestNamesAreUnique(t *testing.T) {
	a := example(t)
	b := example(t)
	b.Base.System.Packages["tzdata"] = "2024b"
	for _, f := range Formats() {
		one, err := Document(a, Format(f))
		if err != nil {
			t.Fatal(err)
		}
		other, err := Document(b, Format(f))
		if err != nil {
			t.Fatal(err)
		}
		name := func(text []byte) string {
			for _, line := range strings.Split(string(text), "\n") {
				if strings.Contains(line, `"documentNamespace"`) || strings.Contains(line, `"serialNumber"`) {
					return line
				}
			}
			return ""
		}
		if name(one) == "" || name(one) == name(other) {
			t.Errorf("%s: two documents have the name %q", f, name(one))
		}
	}
}

func TestLicence(t *testing.T) {
	classifiers := func(names ...string) (out []string) {
		for _, n := range names {
			out = append(out, "License :: "+n)
		}
		return out
	}
	for what, tt := range map[string]struct {
		in   *dist.Metadata
		want licence
	}{
		"nothing known":     {nil, licence{}},
		"nothing said":      {&dist.Metadata{}, licence{}},
		"expression":        {&dist.Metadata{Expression: "MIT AND (Apache-2.0 WITH LLVM-exception OR GPL-2.0+)", License: "x"}, licence{expression: "MIT AND (Apache-2.0 WITH LLVM-exception OR GPL-2.0+)"}},
		"no expression":     {&dist.Metadata{Expression: "MIT License", License: "MIT License"}, licence{text: "MIT License"}},
		"free text":         {&dist.Metadata{License: "new BSD"}, licence{text: "new BSD"}},
		"identifier":        {&dist.Metadata{License: "BSD-3-Clause", Classifiers: classifiers("OSI Approved :: BSD License")}, licence{expression: "BSD-3-Clause"}},
		"classifier":        {&dist.Metadata{License: "MIT License", Classifiers: classifiers("OSI Approved", "OSI Approved :: MIT License")}, licence{expression: "MIT", text: "MIT License"}},
		"which BSD":         {&dist.Metadata{Classifiers: classifiers("OSI Approved :: BSD License")}, licence{text: "OSI Approved :: BSD License"}},
		"any or all":        {&dist.Metadata{Classifiers: classifiers("OSI Approved :: MIT License", "OSI Approved :: Apache Software License")}, licence{text: "OSI Approved :: MIT License; OSI Approved :: Apache Software License"}},
		"one is not mapped": {&dist.Metadata{Classifiers: classifiers("OSI Approved :: MIT License", "Other/Proprietary License")}, licence{text: "OSI Approved :: MIT License; Other/Proprietary License"}},
	} {
		if got := licenceOf(tt.in); got != tt.want {
			t.Errorf("%s: %+v, want %+v", what, got, tt.want)
		}
	}
}

func TestIsExpression(t *testing.T) {
	for text, want := range map[string]bool{
		"MIT": true, "(MIT)": true, "MIT OR (A AND B)": true, "LicenseRef-x": true, "DocumentRef-a:LicenseRef-b": true, "GPL-2.0+": true,
		"": false, "MIT License": false, "MIT OR": false, "OR": false, "(MIT": false, "MIT)": false, "()": false, "MIT/X11": false,
		"(A OR B) WITH C": false, "MIT (B)": false, "https://example.com/": false,
	} {
		if got := isExpression(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestPURL(t *testing.T) {
	for _, tt := range [][2]string{
		{purl("pypi", "a", "1+b", map[string]string{"file_name": "a b.whl", "none": ""}), "pkg:pypi/a@1%2Bb?file_name=a%20b.whl"},
		{(&System{PURL: "deb", Packages: map[string]string{"libstdc++6": "1:2~3"}}).purl("libstdc++6", "amd64"), "pkg:deb/debian/libstdc%2B%2B6@1:2~3?arch=amd64"},
		{(&System{PURL: "apk", ID: "wolfi", Version: "2", Packages: map[string]string{"a": "1"}, Arches: map[string]string{"a": "x86_64"}}).purl("a", "amd64"), "pkg:apk/wolfi/a@1?arch=x86_64&distro=wolfi-2"},
		{Subject{Name: "localhost:5000/a/b:1@sha256:00", Digest: "sha256:00", Platform: "linux/arm64"}.purl(), "pkg:oci/b@sha256:00?arch=arm64&repository_url=localhost:5000%2Fa%2Fb"},
		{Subject{Name: "model"}.purl(), ""},
		{id("libstdc++6"), "libstdc-x2b--x2b-6"},
	} {
		if tt[0] != tt[1] {
			t.Errorf("%s, want %s", tt[0], tt[1])
		}
	}
}
