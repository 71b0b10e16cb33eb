package resolve

import (
	"io/fs"
	"slices"
	"strings"

	"mlenv/resolve/finding"
	"mlenv/resolve/model"
)

// PathKeys are the keys of flavors whose value is a path in the model, as MLflow's flavors write them.
// Lists and maps below them are not.
var PathKeys = []string{
	"data", "model_path", "model_data", "pickled_model", "python_model", "saved_model_dir", "model_binary", "model_code_path",
}

// reportWindowsPaths reports paths of MLmodel with the separators of Windows. MLflow joins them to the
// model's directory as they are (os.path.join), so that on Linux they name a file that is not there,
// and the model does not load. Mending MLmodel in the image would hide that from everybody else who
// loads the model, so it is an error.
func (m *merger) reportWindowsPaths(from *model.Model) {
	report := func(key string, v model.Value) {
		origin := finding.Origin{File: v.File, Line: v.Line, Text: key + ": " + v.Text}
		m.find(finding.WindowsPath, v.Text, []finding.Origin{origin},
			"%s is %s, a path of Windows: on Linux MLflow looks for a file of that name, with its backslashes, and fails to load the model", key, v.Text)
	}
	for _, f := range from.Flavors {
		for _, field := range f.Fields {
			if strings.Contains(field.Value.Text, `\`) && isPath(from.FS, field) {
				report(f.Name+"."+field.Key, field.Value)
			}
		}
	}
	for _, field := range from.ExampleInfo {
		if strings.HasSuffix(field.Key, "path") && strings.Contains(field.Value.Text, `\`) {
			report("saved_input_example_info."+field.Key, field.Value)
		}
	}
}

// isPath reports whether the value of a flavor's key, which has a backslash, is meant as a path: by its
// key, or since with slashes it would name something in the model. A regular expression or an escaped
// text has backslashes, too.
func isPath(fsys fs.FS, field model.Field) bool {
	top, _, _ := strings.Cut(field.Key, ".")
	if slices.Contains(PathKeys, field.Key) || top == "artifacts" && strings.HasSuffix(field.Key, ".path") || top == "code" || top == "env" {
		return true
	}
	name := strings.ReplaceAll(field.Value.Text, `\`, "/")
	if !fs.ValidPath(name) {
		return false
	}
	_, err := fs.Stat(fsys, name)
	return err == nil
}

// reportUnfetchable reports direct references that no installer can fetch. They come from "pip freeze" of an
// environment that conda, a notebook service or a build farm has filled.
func (m *merger) reportUnfetchable() {
	for _, list := range [][]Requirement{m.spec.Requirements, m.spec.BuildDependencies} {
		for _, r := range list {
			if r.URL == "" || Fetchable(r.URL) {
				continue
			}
			scheme, _, ok := strings.Cut(r.URL, ":")
			why := scheme + ": is nothing that pip, uv or mlenv can fetch"
			if !ok || len(scheme) == 1 || strings.Contains(scheme, "/") {
				why = "it is a path, and behind @ stands a URL"
			}
			m.find(finding.UnfetchableURL, string(r.Name), r.From, "%s comes from %s: %s", r.Name, r.URL, why)
		}
	}
}

// Fetchable reports whether a URL of a direct reference is of a kind that installers fetch: http, https
// and file, and version control systems over a transport of theirs (pip, "VCS Support").
func Fetchable(url string) bool {
	scheme, _, _ := strings.Cut(url, ":")
	scheme = strings.ToLower(scheme)
	vcs, transport, ok := strings.Cut(scheme, "+")
	if !ok {
		return scheme == "http" || scheme == "https" || scheme == "file"
	}
	return slices.Contains([]string{"git", "hg", "svn", "bzr"}, vcs) &&
		slices.Contains([]string{"http", "https", "ssh", "file", "git", "svn", "sftp", "static-http", "lp", "ftp"}, transport)
}
