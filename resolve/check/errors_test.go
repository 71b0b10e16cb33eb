package check_test

import (
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"

	"mlenv/resolve"
	"mlenv/resolve/check"
	"mlenv/resolve/envfile"
	"mlenv/resolve/finding"
	"mlenv/resolve/model"
)

// TestErrorKinds holds that each way in which the files of a model can be wrong has its kind, and
// each kind its rule.
func TestErrorKinds(t *testing.T) {
	const flavor = "flavors:\n  python_function:\n    loader_module: x\n    env: {virtualenv: python_env.yaml}\n"
	for name, tt := range map[string]struct {
		files map[string]string // beside a good MLmodel and python_env.yaml
		kind  envfile.ErrorKind
		rule  finding.ID
	}{
		"a requirement that is none":        {map[string]string{"requirements.txt": "a ==\n"}, envfile.Malformed, finding.UnreadableFile},
		"no YAML":                           {map[string]string{"MLmodel": "a: [\n"}, envfile.Malformed, finding.UnreadableFile},
		"no UTF-8":                          {map[string]string{"requirements.txt": "a\n\xff\n"}, envfile.NotText, finding.UnreadableFile},
		"an encoding that nobody knows":     {map[string]string{"requirements.txt": "# -*- coding: klingon -*-\n"}, envfile.NotText, finding.UnreadableFile},
		"a directory":                       {map[string]string{"requirements.txt/x": ""}, envfile.Unreadable, finding.UnreadableFile},
		"an include that is not there":      {map[string]string{"requirements.txt": "-r more.txt\n"}, envfile.Unreadable, finding.UnreadableFile},
		"an environment that is not there":  {map[string]string{"MLmodel": flavor[:len(flavor)-len("python_env.yaml}\n")] + "env.yaml}\n"}, envfile.NotThere, finding.MissingModelFile},
		"code outside of the model":         {map[string]string{"MLmodel": flavor + "    code: ../code\n"}, envfile.Outside, finding.PathOutsideModel},
		"an include outside of the model":   {map[string]string{"requirements.txt": "-r ../more.txt\n"}, envfile.Outside, finding.LocalPath},
		"a wheel outside of the model":      {map[string]string{"requirements.txt": "/home/me/a-1.0-py3-none-any.whl\n"}, envfile.Outside, finding.LocalPath},
		"find-links outside of the model":   {map[string]string{"requirements.txt": "--find-links ../wheels\na\n"}, envfile.Outside, finding.LocalPath},
		"a conda.yaml that wants a machine": {map[string]string{"conda.yaml": "dependencies:\n- python=3.11\n- pip:\n  - -r ../more.txt\n"}, envfile.Outside, finding.LocalPath},
	} {
		fsys := fstest.MapFS{
			"MLmodel":         {Data: []byte(flavor)},
			"python_env.yaml": {Data: []byte("python: 3.11.7\ndependencies: []\n")},
		}
		for file, text := range tt.files {
			fsys[file] = &fstest.MapFile{Data: []byte(text), Mode: fs.FileMode(0o644)}
		}
		err := resolved(fsys)
		e := &envfile.Error{Kind: -1}
		if !errors.As(err, &e) || e.Kind != tt.kind {
			t.Errorf("%s: error %v of kind %d, want %d", name, err, e.Kind, tt.kind)
			continue
		}
		report, ok := check.FromError(err, nil, day)
		if !ok || len(report.Findings) != 1 || report.Findings[0].Rule != tt.rule {
			t.Errorf("%s: %+v, want %s", name, report, tt.rule)
		}
	}
}

func resolved(fsys fs.FS) error {
	m, err := model.Read(fsys)
	if err == nil {
		_, err = resolve.Model(m, resolve.Options{})
	}
	return err
}

// TestRuleIsOfTheKind holds that the words of an error decide nothing.
func TestRuleIsOfTheKind(t *testing.T) {
	for _, tt := range []struct {
		e    envfile.Error
		want finding.ID
	}{
		{envfile.Error{File: "MLmodel", Kind: envfile.Outside, Msg: "is elsewhere"}, finding.PathOutsideModel},
		{envfile.Error{File: "requirements.txt", Kind: envfile.Outside, Msg: "is elsewhere"}, finding.LocalPath},
		{envfile.Error{File: "MLmodel", Kind: envfile.NotThere, Msg: "is missing"}, finding.MissingModelFile},
		{envfile.Error{File: "a", Kind: envfile.Malformed, Msg: "is not inside the model, but the model has no such file"}, finding.UnreadableFile},
		{envfile.Error{File: "a", Kind: envfile.NotText, Msg: "is not inside the model"}, finding.UnreadableFile},
		{envfile.Error{File: "a", Kind: envfile.Unreadable, Msg: "but the model has no such file"}, finding.UnreadableFile},
	} {
		report, ok := check.FromError(&tt.e, nil, day)
		if !ok || len(report.Findings) != 1 || report.Findings[0].Rule != tt.want {
			t.Errorf("%+v: %+v, want %s", tt.e, report, tt.want)
		}
	}
}
