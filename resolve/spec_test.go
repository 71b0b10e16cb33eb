package resolve

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// TestRequirementForms holds that the parts of a requirement are written as the texts that they were
// before they had types: what is not there has no key, and every text is canonical.
func TestRequirementForms(t *testing.T) {
	marker, err := pep508.ParseMarker("os_name=='nt'")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		r          Requirement
		json, yaml string
	}{
		{Requirement{Name: "a"}, `{"name":"a","from":null}`, "name: a\nfrom: []\n"},
		{
			Requirement{Name: "a", Extras: []pep508.Name{"x", "z"}, Specifier: pep440.MustParseSpecifiers(">=1, <2"), Marker: marker},
			`{"name":"a","extras":["x","z"],"specifier":"<2,>=1","marker":"os_name == \"nt\"","from":null}`,
			"name: a\nextras:\n  - x\n  - z\nspecifier: <2,>=1\nmarker: os_name == \"nt\"\nfrom: []\n",
		},
	} {
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(tt.r); err != nil || strings.TrimSpace(b.String()) != tt.json {
			t.Errorf("JSON: %v\n got %s\nwant %s", err, b.String(), tt.json)
		}
		if got, err := encodeYAML(tt.r); err != nil || string(got) != tt.yaml {
			t.Errorf("YAML: %v (-want +got)\n%s", err, cmp.Diff(tt.yaml, string(got)))
		}
	}
}

// TestParseSpec holds that a spec is read with the grammars of its parts, and that names are
// brought to their normal form.
func TestParseSpec(t *testing.T) {
	const head = "schemaVersion: 1\nrequirements:\n"
	s, err := ParseSpec([]byte(head + "- name: Scikit_Learn\n  extras: [A.B]\n  specifier: '>=1,<2'\n"))
	if err != nil {
		t.Fatal(err)
	}
	if r := s.Requirements[0]; r.Line() != "scikit-learn[a-b]<2,>=1" || !r.Marker.IsZero() {
		t.Errorf("read as %+v", r)
	}
	for in, want := range map[string]string{
		head + "- name: a\n  specifier: 'one'\n":                `"one"`,
		head + "- name: a\n  marker: 'os_name'\n":               "os_name",
		"schemaVersion: 1\npython:\n  version: three\n":         `"three"`,
		"schemaVersion: 2\n":                                    "schemaVersion is 2",
		"schemaVersion: 1\npython:\n  versions: [3.11, 3.12]\n": "versions",
	} {
		if _, err := ParseSpec([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
}
