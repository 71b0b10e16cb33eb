package model

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"mlenv/resolve/internal/source"
)

// environment checks that the files that MLmodel names are there, and looks for those that it
// does not name: MLflow takes python_env.yaml and conda.yaml by these names.
func (r *reader) environment() {
	m := r.model
	conda, virtual := m.CondaEnv, m.VirtualEnv
	m.CondaEnv = r.named(conda, r.is(virtual.Text) || r.is(pythonEnvFile))
	m.VirtualEnv = r.named(virtual, r.is(conda.Text) || r.is(condaFile))
	if m.CondaEnv.Text == "" {
		m.UnnamedConda = r.ifExists(condaFile)
	}
	if m.VirtualEnv.Text == "" {
		m.UnnamedVirtual = r.ifExists(pythonEnvFile)
	}
}

// named returns back a file that MLmodel names. Where it is gone MLflow takes what else describes
// the environment: conda.yaml for python_env.yaml (_get_python_env in mlflow/utils/virtualenv.py),
// which it reads first when both are there.
func (r *reader) named(v Value, replaced bool) Value {
	if v.Text == "" {
		return v
	}
	var bad *LinkError
	info, err := fs.Stat(r.fsys, v.Text)
	switch {
	case errors.As(err, &bad): // BadLinks says why
		return Value{}
	case errors.Is(err, fs.ErrNotExist) && replaced:
		r.model.GoneEnv = append(r.model.GoneEnv, v)
		return Value{}
	case errors.Is(err, fs.ErrNotExist):
		r.errs = append(r.errs, &Error{File: mlmodelFile, Line: v.Line, Kind: source.NotThere,
			Msg: fmt.Sprintf("env names %q, but the model has no such file", v.Text)})
	case err != nil:
		r.errs = append(r.errs, source.ReadError(v.Text, err))
	case info.IsDir():
		r.fail(v.Line, "", "env names %q, which is a directory", v.Text)
	}
	return v
}

// is reports whether there is such a file.
func (r *reader) is(name string) bool {
	if name == "" {
		return false
	}
	info, err := fs.Stat(r.fsys, name)
	return err == nil && info.Mode().IsRegular()
}

// ifExists returns name if there is a file of that name, else "".
func (r *reader) ifExists(name string) string {
	info, err := fs.Stat(r.fsys, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ""
	case err != nil:
		r.errs = append(r.errs, source.ReadError(name, err))
		return ""
	case info.IsDir():
		r.errs = append(r.errs, &Error{File: name, Kind: source.Unreadable, Msg: "is a directory, not a file"})
		return ""
	}
	return name
}

// files looks for files that belong to a model although MLmodel does not name them.
func (r *reader) files() {
	m := r.model
	m.RequirementsTxt = r.ifExists("requirements.txt")
	m.ConstraintsTxt = r.ifExists("constraints.txt")
	m.OriginalRequirementsTxt = r.ifExists("original_requirements.txt")
	m.PythonVersionFile = r.ifExists(".python-version")
	m.PyProject = r.ifExists("pyproject.toml")
	m.UVLock = r.ifExists("uv.lock")
	if name := r.ifExists(inputExample); m.InputExample.Text == "" && name != "" {
		m.InputExample = Value{Text: name}
	}
	if name := r.ifExists(servingExample); m.ServingExample == "" {
		m.ServingExample = name
	}
	if r.ifExists(envVarsFile) != "" {
		r.envVarsFile()
	}
	entries, err := fs.ReadDir(r.fsys, wheelsDirectory)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.errs = append(r.errs, source.ReadError(wheelsDirectory, err))
	}
	for _, entry := range entries {
		if !entry.IsDir() && strings.HasSuffix(entry.Name(), ".whl") {
			m.Wheels = append(m.Wheels, path.Join(wheelsDirectory, entry.Name()))
		}
	}
	slices.Sort(m.Wheels)
}

// registered reads registered_model_meta, which MLflow writes into a model that it downloads from a
// registry. MLServer serves the model under that name.
func (r *reader) registered() {
	if r.ifExists(registeredMeta) == "" {
		return
	}
	data, err := source.ReadFile(r.fsys, registeredMeta)
	var root *source.Node
	if err == nil {
		root, err = source.ParseYAML(registeredMeta, data)
	}
	if err != nil {
		r.errs = append(r.errs, err)
		return
	}
	for _, p := range root.Pairs {
		if p.Value.Kind != source.Scalar {
			continue
		}
		v := Value{Text: clean(p.Value.Text), File: registeredMeta, Line: p.Line}
		switch p.Key {
		case "model_name":
			r.model.RegisteredName = v
		case "model_version":
			r.model.RegisteredVersion = v
		}
	}
}

// envVarsFile reads environment_variables.txt, which has one name per line, and comments.
func (r *reader) envVarsFile() {
	data, err := source.ReadFile(r.fsys, envVarsFile)
	if err == nil {
		if e := source.CheckUTF8(envVarsFile, data); e != nil {
			err = e
		}
	}
	if err != nil {
		r.errs = append(r.errs, err)
		return
	}
	n := 0
	for text := range strings.Lines(string(data)) {
		n++
		if text = strings.TrimSpace(text); !strings.HasPrefix(text, "#") {
			r.envVar(text, envVarsFile, n)
		}
	}
}

// check rejects models that have no Python environment.
func (r *reader) check(root *source.Node) {
	m := r.model
	for _, f := range m.Metadata {
		if f.Key == externalKey && strings.EqualFold(f.Value.Text, "true") {
			r.errs = nil // its files are expected to be missing
			r.fail(f.Value.Line, "", "the model is external (%s): its files are kept elsewhere and there is no environment to read", externalKey)
			return
		}
	}
	if m.Flavor(pyfunc) != nil || len(r.errs) > 0 {
		return
	}
	const hint = "mlenv serves models through the python_function flavor: log the model with it"
	if len(m.Flavors) == 0 {
		r.fail(0, hint, "the model has no flavors")
		return
	}
	var names []string
	for _, f := range m.Flavors {
		names = append(names, f.Name)
	}
	line := m.Flavors[0].Line
	for _, p := range root.Pairs {
		if p.Key == "flavors" {
			line = p.Line
		}
	}
	r.fail(line, hint, "the model has no python_function flavor, only %s", strings.Join(names, ", "))
}
