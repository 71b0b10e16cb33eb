package envfile

import (
	"testing"
	"testing/fstest"

	"mlenv/resolve/finding"
)

func parseText(t *testing.T, files map[string]string, name string, parse func(f fstest.MapFS, name string) (*File, error)) (*File, error) {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return parse(fsys, name)
}

func requirements(f fstest.MapFS, name string) (*File, error) { return ParseRequirements(f, name) }
func conda(f fstest.MapFS, name string) (*File, error)        { return ParseConda(f, name) }
func pythonEnv(f fstest.MapFS, name string) (*File, error)    { return ParsePythonEnv(f, name) }

func TestCondaPython(t *testing.T) {
	tests := map[string]string{
		"python=3.8":                    "3.8",
		"python=3.10":                   "3.10",
		"python==3.8.13":                "3.8.13",
		"python=3.8.13=h12debd9_0":      "3.8.13",
		"python=3.8.*":                  "3.8",
		"python 3.8":                    "3.8",
		"python 3.8.13 h12debd9_0":      "3.8.13",
		"python~=3.9":                   "~=3.9",
		"python>=3.8,<3.9":              ">=3.8,<3.9",
		"python >=3.8, <3.9":            ">=3.8,<3.9",
		"conda-forge::python=3.8":       "3.8",
		"defaults/linux-64::python=3.8": "3.8",
		"python[version='>=3.8,<3.9']":  ">=3.8,<3.9",
		"python[version=3.8]":           "3.8",
		"python=3.8|3.9":                "",
		"python":                        "",
		"Python=3.8":                    "3.8",
		"python!=3.8.1":                 "!=3.8.1",
		"python>=3.8.*":                 ">=3.8",
		"python=3.8,!=3.8.1":            "==3.8.*,!=3.8.1",
	}
	for spec, want := range tests {
		f, err := parseText(t, map[string]string{"conda.yaml": "dependencies:\n  - \"" + spec + "\"\n"}, "conda.yaml", conda)
		if err != nil {
			t.Errorf("%s: %v", spec, err)
			continue
		}
		got := ""
		if len(f.Python) == 1 {
			got = f.Python[0].Value
		}
		if got != want || got == "" && len(f.Notes) != 1 {
			t.Errorf("%s: got %q, want %q (notes %v)", spec, got, want, f.Notes)
		}
	}
}

func TestUnquotedPythonStaysText(t *testing.T) {
	f, err := parseText(t, map[string]string{"e": "python: 3.10\ndependencies:\n- -r requirements.txt\n", "requirements.txt": "a==1\n"}, "e", pythonEnv)
	if err != nil || f.Python[0].Value != "3.10" || f.Notes[0].Rule != "python-not-text" || f.Requirements[0].From != (finding.Origin{File: "requirements.txt", Line: 1, Text: "a==1"}) {
		t.Errorf("%+v %v", f, err)
	}
}
