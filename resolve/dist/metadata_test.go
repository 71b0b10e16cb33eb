package dist

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

func requirement(s string) pep508.Requirement {
	r, err := pep508.Parse(s)
	if err != nil {
		panic(err)
	}
	return r
}

func specifiers(s string) pep440.Specifiers {
	set, err := pep440.ParseSpecifiers(s)
	if err != nil {
		panic(err)
	}
	return set
}

func TestParseMetadata(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       Metadata
	}{
		{"2.4", "\ufeffMetadata-Version: 2.4\r\nName: Foo.Bar\r\nVersion: 1.0-1\r\nSummary: caf\u00e9\r\n" +
			"License-Expression: Apache-2.0\r\nLicense-File: LICENSE\r\nLicense: old\r\n" +
			"Classifier: Framework :: A\r\nClassifier: Topic :: B\r\nDynamic: Requires-Dist\r\n" +
			"Requires-Python: >=3.8\r\nRequires-Dist: a>=1\r\nRequires-Dist: b[x] (<2) ; extra == 'Test_It'\r\n" +
			"Provides-Extra: Test_It\r\nProvides-Extra: test-it\r\n\r\nRequires-Dist: body\r\n",
			Metadata{
				MetadataVersion: "2.4", Name: "foo-bar", Version: pep440.MustParse("1.0.post1"),
				RequiresPython: specifiers(">=3.8"), License: "Apache-2.0", Expression: "Apache-2.0",
				RequiresDist:  []pep508.Requirement{requirement("a>=1"), requirement("b[x]<2; extra == 'test-it'")},
				ProvidesExtra: []pep508.Name{"test-it"}, Classifiers: []string{"Framework :: A", "Topic :: B"},
				Dynamic: []string{"requires-dist"},
			}},
		{"1.0", "Metadata-Version: 1.0\nName: foo\nVersion: 0.1\nLicense: UNKNOWN\nDescription: x\n        \n        y\nPlatform: any\n",
			Metadata{MetadataVersion: "1.0", Name: "foo", Version: pep440.MustParse("0.1")}},
		{"folded", "name:foo\nversion:1\nLicense: MIT\n        |more\nRequires-Dist: a>=1\n  ,<2 ;\n\tos_name=='nt'\n",
			Metadata{Name: "foo", Version: pep440.MustParse("1"), License: "MIT\n|more",
				RequiresDist: []pep508.Requirement{requirement("a>=1,<2; os_name=='nt'")}}},
		{"wrong", "Name: foo\nVersion: 1\nRequires-Dist: a b c\nRequires-Dist: d>=1.0.*\nRequires-Python: three\nRequires-Dist:\n",
			Metadata{Name: "foo", Version: pep440.MustParse("1"), Invalid: []string{"a b c"}, InvalidPython: "three",
				RequiresDist: []pep508.Requirement{requirement("d>=1.0")}}},
		{"repaired Python", "Name: foo\nVersion: 1\nRequires-Python: >=3.6.*\nRequires-Python: >=4\n",
			Metadata{Name: "foo", Version: pep440.MustParse("1"), RequiresPython: specifiers(">=3.6")}},
	} {
		got, err := ParseMetadata([]byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if diff := cmp.Diff(c.want, *got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
	for _, text := range []string{"", "\nName: a\nVersion: 1\n", "Name: a\n", "Version: 1\n", "Name: a b\nVersion: 1\n", "Name: a\nVersion: x\n"} {
		if m, err := ParseMetadata([]byte(text)); err == nil {
			t.Errorf("%q: %+v, no error", text, m)
		}
	}
}

// TestMend holds what uv 0.13 makes of the Requires-Dist fields of wheels, "" for a refusal, but
// for dep2, whose name uv takes for a version.
func TestMend(t *testing.T) {
	for in, want := range map[string]string{
		"dep>=7.2.0<8.0.0":                    "dep<8.0.0,>=7.2.0",
		"dep2>=7.2.0<8.0.0":                   "dep2<8.0.0,>=7.2.0",
		"dep!=~5.0":                           "dep!=5.0.*",
		"dep>=1.9.*":                          "dep>=1.9",
		"dep<3.4.*":                           "dep<3.4",
		"dep!=3.0*":                           "dep!=3.0.*",
		"dep>dev":                             "dep>0.0.0dev",
		"dep>=9.0.0a1.0":                      "dep>=9.0.0a1",
		"dep>=0.16.0.0rc1.0":                  "dep>=0.16.0.0rc1",
		"dep>='2.6'":                          "dep>=2.6",
		"dep>=1.3.0,<1.4.0',":                 "dep<1.4.0,>=1.3.0",
		"dep (>=1.0)":                         "dep>=1.0",
		"dep>= 1.0.*":                         "dep>=1.0",
		"dep[x]>=1.0.*":                       "dep[x]>=1.0",
		"dep>=1.0,;python_version>'2'":        `dep>=1.0; python_version > "2"`,
		"dep>=1.0.*; python_version>='3.*'":   `dep>=1.0; python_version >= "3.*"`,
		"dep==2.*,":                           "dep==2.*",
		"dep<4.0dev":                          "dep<4.0dev",
		"dep>=2.7.":                           "",
		"dep=>2.0":                            "",
		"dep~=1":                              "",
		"dep~=2.*":                            "",
		"dep==1.*.*":                          "",
		"dep >=1.0 <2":                        "",
		"dep*":                                "",
		"dep~=2.0.*":                          "",
		"dep<=3.x":                            "",
		"dep>=1.0-*":                          "",
		"dep>=2.0; extra==dev":                "",
		"dep==2 or ==3":                       "",
		"dep,>=2":                             "",
		"dep>=2;":                             "",
		"dep>=2.0 ; (sys_platform=='linux'":   "",
		"dep^2.0":                             "",
		"dep==dev":                            "",
		"dep @ https://files.example/d.whl x": "",
	} {
		r, err := parseRequirement(in)
		if r.String() != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, error %v, want %q", in, r, err, want)
		}
	}
	for in, want := range map[string]string{
		">=3.6.*": ">=3.6", ">=2.7,!=3.0*,!=3.1*": "!=3.0.*,!=3.1.*,>=2.7", ">=3.6,": ">=3.6", "": "", ">='3.6'": ">=3.6",
		"~=3.7": "~=3.7", ">=3.5<4": "<4,>=3.5",
	} {
		if set, err := ParseRequiresPython(in); err != nil || set.String() != want {
			t.Errorf("%q: %q, error %v, want %q", in, set, err, want)
		}
	}
	if set, err := ParseRequiresPython("3.7 or later"); err == nil || !set.IsZero() {
		t.Errorf("%q, error %v", set, err)
	}
}

func FuzzParseMetadata(f *testing.F) {
	f.Add([]byte("Metadata-Version: 2.1\r\nName: a\r\nVersion: 1\r\nRequires-Dist: b>=1.0.*\r\n ; extra=='x'\r\n\r\nbody"))
	f.Add([]byte("Name:a\rVersion:1\rRequires-Python:>=3<4"))
	f.Add([]byte("Name: a\nVersion: 1\n" + strings.Repeat("Requires-Dist: b\n", 200) + strings.Repeat("Provides-Extra: x\n", 200)))
	f.Add([]byte("Name: a\x1b[2J\nVersion: 1\n::error::x\nRequires-Dist: ../../etc/passwd\nRequires-Python: " + strings.Repeat("!=3,", 300) + "\n"))
	f.Add([]byte("Name: a\nName: b\nVersion: 1\nVersion: 2\nRequires-Dist: b @ https://u:p@h/b.whl?token=t ; extra == '\u202e'\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseMetadata(data)
		if (m == nil) != (err != nil) {
			t.Errorf("%+v, error %v", m, err)
		}
		if err == nil && (m.Name == "" || m.Version.IsZero()) {
			t.Errorf("%+v", m)
		}
	})
}

func BenchmarkParseMetadata(b *testing.B) {
	text := "Metadata-Version: 2.1\nName: requests\nVersion: 2.31.0\nRequires-Python: >=3.7\nLicense: Apache 2.0\n" +
		"Requires-Dist: charset-normalizer (<4,>=2)\nRequires-Dist: idna (<4,>=2.5)\nRequires-Dist: urllib3 (<3,>=1.21.1)\n" +
		"Requires-Dist: certifi (>=2017.4.17)\nProvides-Extra: socks\n" +
		"Requires-Dist: PySocks (!=1.5.7,>=1.5.6) ; extra == 'socks'\n\n# Requests\n"
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseMetadata([]byte(text)); err != nil {
			b.Fatal(err)
		}
	}
}
