package envfile

import (
	"io/fs"

	"mlenv/resolve/finding"
	"mlenv/resolve/internal/source"
	"mlenv/resolve/pep440"
	"mlenv/resolve/secret"
)

// ParsePythonEnv reads MLflow's python_env.yaml: python, build_dependencies and dependencies, each
// of which may be missing. The items of both lists are lines of a requirements file. A key that MLflow
// does not know is an error, for MLflow passes all of them to a constructor, which then fails.
func ParsePythonEnv(fsys fs.FS, path string) (*File, error) {
	d, root := openDocument(fsys, PythonEnv, path)
	if root == nil {
		return d.result()
	}
	for _, p := range root.Pairs {
		switch p.Key {
		case "python":
			d.pythonVersion(p)
		case "build_dependencies":
			runtime := d.file.Requirements
			d.file.Requirements = nil
			d.read = map[include]bool{} // the same file may be included in both lists
			d.requirementList(p.Key, p.Line, p.Value)
			d.file.BuildDependencies, d.file.Requirements = d.file.Requirements, runtime
			d.read = map[include]bool{}
		case "dependencies":
			d.requirementList(p.Key, p.Line, p.Value)
		default:
			key, _ := secret.Scrub(p.Key)
			d.fail(d.at(p.Line, key), "the valid keys are python, build_dependencies and dependencies", "MLflow does not know the key %q and rejects the file", key)
		}
	}
	return d.result()
}

func (d *document) pythonVersion(p source.Pair) {
	v := d.scalar(p)
	if v == nil {
		return
	}
	// Without quotes, 3.10 is the number 3.1 to every YAML reader.
	if p.Value.Tag == "!!float" || p.Value.Tag == "!!int" {
		d.note(v.From, finding.PythonNotText, "python", "MLflow reads %s as a number and rejects it: put it in quotes", v.Value)
	}
	if _, err := pep440.Parse(v.Value); err != nil {
		if _, err := pep440.ParseSpecifiers(v.Value); err != nil {
			d.fail(v.From, `a version is written as "3.11.7"`, "%q is not a Python version", v.Value)
			return
		}
	}
	d.file.Python = append(d.file.Python, *v)
}
