package pep508

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// vectors is what testdata/vectors.py writes.
type vectors struct {
	Packaging    string
	Seed         uint64
	Environments []map[string]any
	Markers      []markerRow
	Requirements []requirementRow
}

type markerRow struct {
	Text   string
	Valid  bool
	Norm   *string
	Values string // a letter for each environment: 0, 1, or - where packaging raises an error
}

type requirementRow struct {
	Text     string
	Valid    bool
	Norm     *string
	Spelling string
	Name     Name
	Extras   []Name
	URL      string
}

func (r *markerRow) UnmarshalJSON(data []byte) error {
	return row(data, &r.Valid, &r.Text, &r.Norm, &r.Values)
}

func (r *requirementRow) UnmarshalJSON(data []byte) error {
	return row(data, &r.Valid, &r.Text, &r.Norm, &r.Spelling, &r.Name, &r.Extras, &r.URL)
}

// row reads an array into fields; one element alone is what is not valid.
func row(data []byte, valid *bool, fields ...any) error {
	var raw []json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	*valid = len(raw) > 1
	if *valid && len(raw) != len(fields) {
		return fmt.Errorf("%s: %d fields", data, len(raw))
	}
	for i := range raw {
		if err := json.Unmarshal(raw[i], fields[i]); err != nil {
			return err
		}
	}
	return nil
}

// readVectors reads the recorded vectors, or with MLENV_PYTHON set, fresh ones.
func readVectors(t testing.TB) (v vectors) {
	data, err := os.ReadFile("testdata/vectors.json.gz")
	if python := os.Getenv("MLENV_PYTHON"); python != "" {
		seed, _ := rand.Int(rand.Reader, big.NewInt(1<<32))
		cmd := exec.Command(python, "testdata/vectors.py", seed.String())
		cmd.Stderr = os.Stderr
		data, err = cmd.Output()
	}
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err == nil {
		err = json.NewDecoder(z).Decode(&v)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("packaging %s, seed %d", v.Packaging, v.Seed)
	return v
}

func environment(vars map[string]any) Environment {
	s := func(name string) string { return vars[name].(string) }
	env := Environment{
		OSName: s("os_name"), SysPlatform: s("sys_platform"), PlatformMachine: s("platform_machine"),
		PlatformPythonImplementation: s("platform_python_implementation"),
		PlatformRelease:              s("platform_release"), PlatformSystem: s("platform_system"),
		PlatformVersion: s("platform_version"), PythonVersion: s("python_version"),
		PythonFullVersion: s("python_full_version"), ImplementationName: s("implementation_name"),
		ImplementationVersion: s("implementation_version"),
	}
	for _, e := range vars["extras"].([]any) {
		env.Extras = append(env.Extras, NormalizeName(e.(string)))
	}
	for _, g := range vars["dependency_groups"].([]any) {
		env.DependencyGroups = append(env.DependencyGroups, g.(string))
	}
	return env
}

// printsOtherwise reports the one known difference in what is printed: a
// string with a backslash or a line break, or with both quotes. Packaging
// prints the first two bare, so that they read back as something else, and
// fails on the last; quote escapes them all.
func printsOtherwise(text string) bool { return strings.Contains(text, `\`) }

// readsOtherwise reports the one known difference in what is read: names of
// characters in strings, "\N{DASH}".
func readsOtherwise(text string) bool { return strings.Contains(text, `\N`) }

func TestMarkersAsPackaging(t *testing.T) {
	v := readVectors(t)
	if len(v.Markers) < 1000 || len(v.Environments) < 10 {
		t.Fatalf("only %d markers, %d environments", len(v.Markers), len(v.Environments))
	}
	var envs []Environment
	for _, vars := range v.Environments {
		envs = append(envs, environment(vars))
	}
	for _, r := range v.Markers {
		m, err := ParseMarker(r.Text)
		if strings.Trim(r.Text, " \t") == "" || readsOtherwise(r.Text) {
			continue // packaging has no empty marker
		}
		if (err == nil) != r.Valid {
			t.Errorf("%q: error %v, valid %v", r.Text, err, r.Valid)
			continue
		}
		if !r.Valid {
			continue
		}
		checkPrinted(t, r.Text, m.String(), r.Norm)
		for i, env := range envs {
			if want := r.Values[i]; want != '-' && m.Eval(env) != (want == '1') {
				t.Errorf("%s: %v, want %c in %+v", r.Text, m.Eval(env), want, env)
			}
		}
		again, err := ParseMarker(m.String())
		if err != nil || !again.Equal(m) {
			t.Errorf("%s reads back as %s, error %v", m, again, err)
		}
	}
}

func checkPrinted(t *testing.T, text, got string, want *string) {
	t.Helper()
	if printsOtherwise(text) {
		return
	}
	if want == nil || got != *want {
		t.Errorf("%q prints as %q", text, got)
		if want != nil {
			t.Errorf("want %q", *want)
		}
	}
}

func TestRequirementsAsPackaging(t *testing.T) {
	v := readVectors(t)
	if len(v.Requirements) < 1000 {
		t.Fatalf("only %d requirements", len(v.Requirements))
	}
	for _, q := range v.Requirements {
		r, err := Parse(q.Text)
		if readsOtherwise(q.Text) {
			continue
		}
		if (err == nil) != q.Valid {
			t.Errorf("%q: error %v, valid %v", q.Text, err, q.Valid)
			continue
		}
		if !q.Valid {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Column < 1 || syntax.Column > len(q.Text)+1 {
				t.Errorf("%q: error %#v", q.Text, err)
			}
			continue
		}
		checkPrinted(t, q.Text, r.String(), q.Norm)
		if r.Spelling != q.Spelling || r.Name != q.Name || !slices.Equal(r.Extras, q.Extras) || r.URL != q.URL {
			t.Errorf("%q: %+v, want %+v", q.Text, r, q)
		}
		names := append([]Name{r.Name}, r.Extras...)
		if slices.ContainsFunc(names, func(n Name) bool { return !ValidName(string(n)) }) {
			continue // packaging takes "a_", whose normalized form is no name
		}
		again, err := Parse(r.String())
		if err != nil || !again.Equal(r) {
			t.Errorf("%s reads back as %s, error %v", r, again, err)
		}
	}
}
