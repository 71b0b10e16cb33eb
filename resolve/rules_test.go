package resolve_test

import (
	"slices"
	"testing"
	"testing/fstest"

	"mlenv/resolve"
	"mlenv/resolve/finding"
	"mlenv/resolve/model"
)

// Rules of the parsers and of the merge that no golden model happens to break.
func TestRulesOfOddFiles(t *testing.T) {
	const mlmodel = "flavors:\n  python_function:\n    loader_module: m\n    env: {conda: conda.yaml}\nmlflow_version: 2.9.2\n"
	tests := []struct {
		rule              finding.ID
		requirements, yml string
	}{
		{"build-option", "six==1.16.0 --config-settings=a=b\n", ""},
		{"ignored-option", "--config-settings a=b\n", ""},
		{"ignored-text", "--pre and more\n", ""},
		{"python-inexact", "", "dependencies: ['python>=3.8,<3.12']\n"},
		{"python-without-version", "", "dependencies: [python]\n"},
		{"several-pip-sections", "", "dependencies: [{pip: [a==1]}, {pip: [b==1]}]\n"},
		{"unnamed-environment-file", "", ""},
		{"version-not-understood", "", "dependencies: ['pip=1.2|2.3']\n"},
	}
	for _, tt := range tests {
		t.Run(string(tt.rule), func(t *testing.T) {
			files := fstest.MapFS{"MLmodel": {Data: []byte(mlmodel)}, "conda.yaml": {Data: []byte("dependencies: []\n")}}
			if tt.yml != "" {
				files["conda.yaml"] = &fstest.MapFile{Data: []byte(tt.yml)}
			}
			if tt.requirements != "" {
				files["requirements.txt"] = &fstest.MapFile{Data: []byte(tt.requirements)}
			}
			if tt.rule == finding.UnnamedEnvironmentFile {
				files["MLmodel"] = &fstest.MapFile{Data: []byte("flavors:\n  python_function:\n    loader_module: m\n")}
			}
			m, err := model.Read(files)
			if err != nil {
				t.Fatal(err)
			}
			spec, err := resolve.Model(m, resolve.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(spec.Findings, func(f finding.Finding) bool { return f.Rule == tt.rule }) {
				t.Errorf("found only %+v", spec.Findings)
			}
		})
	}
}
