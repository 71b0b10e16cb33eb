package envfile

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// testdata/conda.json holds what rattler makes of conda's match specifications; conda_vectors.py
// records it.
func TestAgainstRattler(t *testing.T) {
	data, err := os.ReadFile("testdata/conda.json")
	if err != nil {
		t.Fatal(err)
	}
	type parts struct{ Name, Version, Build, Channel, Subdir string }
	var vectors []struct {
		Spec    string
		Refused bool
		Read    parts
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) < 150 {
		t.Fatalf("only %d vectors", len(vectors))
	}
	for _, v := range vectors {
		m, err := parseMatchSpec(v.Spec)
		if (err != nil) != v.Refused {
			t.Errorf("%q: refused %v, but %v", v.Spec, v.Refused, err)
		}
		if err != nil {
			continue
		}
		v.Read.Version = clauses(v.Read.Version)
		got := parts{m.name, clauses(m.version), m.build, m.channel, m.subdir}
		if got != v.Read {
			t.Errorf("%q: got %+v, rattler %+v", v.Spec, got, v.Read)
		}
		again, err := parseMatchSpec(m.String())
		if err != nil || again.String() != m.String() || (parts{again.name, clauses(again.version), again.build, again.channel, again.subdir}) != (parts{m.name, clauses(m.version), m.build, m.channel, m.subdir}) {
			t.Errorf("%q prints as %q, which reads as %+v, %v", v.Spec, m, again, err)
		}
	}
}

// clauses writes each clause of a conda version in one way: "=1.2" is "1.2.*" and "1.2" "==1.2".
func clauses(version string) string {
	if version == "*" {
		return ""
	}
	var b strings.Builder
	rest := version
	for rest != "" {
		i := strings.IndexAny(rest, ",|")
		if i < 0 {
			i = len(rest)
		}
		c := rest[:i]
		switch {
		case strings.HasPrefix(c, "==") && strings.HasSuffix(c, ".*"):
			c = c[2:]
		case strings.HasPrefix(c, "=") && !strings.HasPrefix(c, "=="):
			c = c[1:] + ".*"
		case c != "" && !strings.ContainsAny(c[:1], "=<>!~") && !strings.HasSuffix(c, "*"):
			c = "==" + c
		}
		b.WriteString(c)
		if i < len(rest) {
			b.WriteByte(rest[i])
			i++
		}
		rest = rest[i:]
	}
	return b.String()
}

func TestMatchSpecString(t *testing.T) {
	tests := map[string]string{
		"numpy":                           "numpy",
		"NumPy=1.2":                       "numpy=1.2",
		"numpy==1.2":                      "numpy==1.2",
		"numpy 1.2 py_0":                  "numpy==1.2=py_0",
		"numpy=1.2=py_0":                  "numpy==1.2=py_0",
		"numpy=1.2.*":                     "numpy=1.2",
		"numpy >=1.2, <2":                 "numpy[version='>=1.2,<2']",
		"conda-forge::numpy=1.2":          "conda-forge::numpy=1.2",
		"conda-forge/linux-64::numpy":     "conda-forge/linux-64::numpy",
		"numpy[channel=pytorch]":          "pytorch::numpy",
		"numpy[subdir=linux-64]":          "numpy[subdir=linux-64]",
		"pytorch=1.8.1=*cuda*":            "pytorch==1.8.1[build=*cuda*]",
		"numpy!=1.2":                      "numpy!=1.2",
		"a[md5=00, build_number='>=1']":   "a[build_number='>=1',md5=00]",
		"https://c.example/a-1.0-0.conda": "https://c.example/a-1.0-0.conda",
	}
	for spec, want := range tests {
		m, err := parseMatchSpec(spec)
		if err != nil || m.String() != want {
			t.Errorf("%q: %q, %v, want %q", spec, m, err, want)
		}
	}
}
