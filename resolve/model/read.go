package model

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"mlenv/resolve/internal/source"
	"mlenv/resolve/secret"
)

// The names that MLflow gives to files of a model.
const (
	mlmodelFile     = "MLmodel"
	pyfunc          = "python_function"
	externalKey     = "mlflow.model.isExternal"
	envVarsFile     = "environment_variables.txt"
	condaFile       = "conda.yaml"
	pythonEnvFile   = "python_env.yaml"
	inputExample    = "input_example.json"
	servingExample  = "serving_input_example.json"
	wheelsDirectory = "wheels"
	registeredMeta  = "registered_model_meta"
)

// Open reads the model in a directory of the file system, given the directory or its MLmodel
// file. Symbolic links may not leave the directory: see BadLinks. The model's FS is usable until Close.
func Open(path string) (*Model, error) { return OpenExtra(path, nil) }

// OpenExtra is Open for a model to which files were added that are not in the directory, such as what
// a registry says of it. They are given by their names at the directory's root, and hide others there.
func OpenExtra(path string, extra map[string][]byte) (*Model, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{File: path, Kind: source.Unreadable, Msg: "there is no such directory or file"}
	}
	if err != nil {
		return nil, source.ReadError(path, err)
	}
	dir := path
	if !info.IsDir() {
		if filepath.Base(path) != mlmodelFile {
			return nil, &Error{File: path, Kind: source.Unreadable, Msg: "is neither a model directory nor an MLmodel file", Hint: "give the directory that contains MLmodel"}
		}
		dir = filepath.Dir(path)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, source.ReadError(path, err)
	}
	fsys := root.FS()
	if len(extra) > 0 {
		fsys = extraFS{fsys, extra}
	}
	m, err := Read(filesFS{FS: fsys, dirs: rootNames(dir)})
	if err != nil {
		root.Close()
		return nil, err
	}
	m.closer = root
	return m, nil
}

// rootNames returns the absolute paths of a directory, with and without links in the path resolved.
func rootNames(dir string) []string {
	var out []string
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil
	}
	out = append(out, filepath.ToSlash(abs))
	if real, err := filepath.EvalSymlinks(abs); err == nil && real != abs {
		out = append(out, filepath.ToSlash(real))
	}
	return out
}

// Read reads the model at the root of fsys. The model's FS contains only the files that are part of
// a model, see Files. Errors about the model's files are of type *Error, joined with errors.Join if
// there are several.
func Read(fsys fs.FS) (*Model, error) {
	files, _ := Files(fsys).(filesFS)
	files.hideBad = true
	fsys = files
	r := &reader{fsys: fsys, model: &Model{FS: fsys, MLmodel: mlmodelFile}}
	data, err := source.ReadFile(fsys, mlmodelFile)
	if err := linkReason(fsys, mlmodelFile); err != nil {
		return nil, err
	}
	if errors.Is(statError(fsys, mlmodelFile), fs.ErrNotExist) {
		return nil, missing(fsys)
	}
	if err != nil {
		return nil, err
	}
	root, err := source.ParseYAML(mlmodelFile, data)
	if err != nil {
		return nil, err
	}
	if root.Kind != source.Map {
		return nil, &Error{File: mlmodelFile, Line: root.Line, Msg: fmt.Sprintf("must be a mapping with the key flavors, but it is %s", root)}
	}
	for _, p := range root.Pairs {
		r.topLevel(p)
	}
	r.model.BadLinks = badLinks(files)
	r.environment()
	r.files()
	r.registered()
	r.check(root)
	if len(r.errs) > 0 {
		return nil, errors.Join(r.errs...)
	}
	return r.model, nil
}

func statError(fsys fs.FS, name string) error {
	_, err := fs.Stat(fsys, name)
	return err
}

// missing returns the error for a directory without MLmodel. It says what there is instead, because
// the user often means a directory above or below.
func missing(fsys fs.FS) error {
	e := &Error{File: mlmodelFile, Kind: source.Unreadable, Msg: "there is no such file, so this is not an MLflow Model"}
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return e
	}
	var names, models []string
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() {
			name += "/"
			if statError(fsys, path.Join(entry.Name(), mlmodelFile)) == nil {
				models = append(models, name)
			}
		}
		names = append(names, name)
	}
	const most = 10
	switch {
	case len(names) == 0:
		e.Msg += "; the directory is empty"
	case len(names) > most:
		e.Msg += fmt.Sprintf("; there are %s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	default:
		e.Msg += "; there are " + strings.Join(names, ", ")
	}
	if len(models) > 0 {
		e.Hint = "did you mean " + strings.Join(models[:min(len(models), most)], " or ") + "?"
	}
	return e
}

// reader fills a Model.
type reader struct {
	fsys  fs.FS
	model *Model
	errs  []error
}

func (r *reader) fail(line int, hint, format string, args ...any) {
	r.errs = append(r.errs, &Error{File: mlmodelFile, Line: line, Msg: fmt.Sprintf(format, args...), Hint: hint})
}

// topLevel reads one top-level key of MLmodel.
func (r *reader) topLevel(p source.Pair) {
	m := r.model
	switch p.Key {
	case "flavors":
		r.flavors(p)
	case "mlflow_version":
		m.MLflowVersion = r.scalar(p)
	case "model_id":
		if v := r.scalar(p); v.Text != "" {
			m.ModelID = v
		}
	case "model_uuid":
		if v := r.scalar(p); m.ModelID.Text == "" {
			m.ModelID = v
		}
	case "run_id":
		m.RunID = r.scalar(p)
	case "artifact_path":
		m.ArtifactPath = r.scalar(p)
	case "utc_time_created":
		m.TimeCreated = r.scalar(p)
	case "time_created":
		if v := r.scalar(p); m.TimeCreated.Text == "" {
			m.TimeCreated = v
		}
	case "model_size_bytes":
		m.SizeBytes = r.scalar(p)
	case "signature":
		r.signature(p)
	case "saved_input_example_info":
		r.inputExample(p)
	case "metadata":
		m.Metadata = flatten("", p.Value, nil)
	case "env_vars":
		r.envVars(p)
	default:
		m.Other = flatten(p.Key, p.Value, m.Other)
		if p.Value.Kind == source.Null {
			m.Other = append(m.Other, Field{Key: clean(p.Key), Value: Value{File: mlmodelFile, Line: p.Line}})
		}
	}
}

func clean(text string) string {
	text, _ = secret.Scrub(text)
	return text
}

func value(text string, line int) Value {
	return Value{Text: clean(text), File: mlmodelFile, Line: line}
}

// scalar returns the value of a key, or the zero Value for null.
func (r *reader) scalar(p source.Pair) Value {
	switch p.Value.Kind {
	case source.Null:
		return Value{}
	case source.Scalar:
		return value(p.Value.Text, p.Line)
	}
	r.fail(p.Line, "", "%s must be text, but it is %s", clean(p.Key), p.Value)
	return Value{}
}

// maxKey is the longest path of keys to a value that is kept, in bytes. MLflow's own have tens; paths are
// repeated with every value below them, so that long ones would make gigabytes of a small file.
const maxKey = 256

// flatten appends the scalars in a node. Null has none. What lies below a longer path than maxKey is left out:
// whoever looks for a value knows its path.
func flatten(key string, n *source.Node, fields []Field) []Field {
	if len(key) > maxKey {
		return fields
	}
	at := func(child string) string {
		if key == "" {
			return child
		}
		return key + "." + child
	}
	switch n.Kind {
	case source.Scalar:
		fields = append(fields, Field{Key: clean(key), Value: value(n.Text, n.Line)})
	case source.List:
		for i, item := range n.Items {
			fields = flatten(at(fmt.Sprint(i)), item, fields)
		}
	case source.Map:
		for _, p := range n.Pairs {
			fields = flatten(at(p.Key), p.Value, fields)
		}
	}
	return fields
}

func (r *reader) flavors(p source.Pair) {
	if p.Value.Kind != source.Map {
		if p.Value.Kind != source.Null { // check reports a model without flavors
			r.fail(p.Line, "", "flavors must be a mapping, but it is %s", p.Value)
		}
		return
	}
	for _, f := range p.Value.Pairs {
		name := clean(f.Key)
		if f.Value.Kind != source.Map && f.Value.Kind != source.Null {
			r.fail(f.Line, "", "the flavor %s must be a mapping, but it is %s", name, f.Value)
			continue
		}
		r.model.Flavors = append(r.model.Flavors, Flavor{Name: name, Line: f.Line, Fields: flatten("", f.Value, nil)})
		r.code(f.Value.Get("code"), f.Line)
		if f.Key == pyfunc {
			r.pyfunc(f.Value)
		}
	}
	slices.SortFunc(r.model.Flavors, func(a, b Flavor) int { return strings.Compare(a.Name, b.Name) })
}

// pyfunc reads the parts of the python_function flavor that concern the environment.
func (r *reader) pyfunc(n *source.Node) {
	for _, p := range n.Pairs {
		switch p.Key {
		case "python_version":
			r.model.PythonVersion = r.scalar(p)
		case "env":
			switch p.Value.Kind {
			case source.Scalar: // before MLflow 2.0
				r.model.CondaEnv = r.path(r.scalar(p), "env")
			case source.Map:
				for _, e := range p.Value.Pairs {
					switch e.Key {
					case "conda":
						r.model.CondaEnv = r.path(r.scalar(e), "env.conda")
					case "virtualenv":
						r.model.VirtualEnv = r.path(r.scalar(e), "env.virtualenv")
					}
				}
			case source.List:
				r.fail(p.Line, "", "env must be the name of a file or a mapping with the keys conda and virtualenv, but it is a list")
			}
		}
	}
}

// path returns v if it is a path inside the model, else the zero Value.
func (r *reader) path(v Value, what string) Value {
	if v.Text == "" {
		return Value{}
	}
	p, ok := source.Clean("", v.Text)
	if !ok {
		r.errs = append(r.errs, &Error{File: mlmodelFile, Line: v.Line, Kind: source.Outside,
			Msg: fmt.Sprintf("%s names %q, which is not inside the model", what, v.Text)})
		return Value{}
	}
	v.Text = p
	return v
}

// code reads a flavor's code, the directory that is put on Python's path.
func (r *reader) code(n *source.Node, line int) {
	if n == nil {
		return
	}
	items := []*source.Node{n}
	if n.Kind == source.List {
		items = n.Items
	}
	for _, item := range items {
		switch item.Kind {
		case source.Null:
			continue
		case source.Scalar:
		default:
			r.fail(item.Line, "", "code must be the path of a directory, but it is %s", item)
			continue
		}
		v := r.path(value(item.Text, item.Line), "code")
		if v.Text != "" && !slices.ContainsFunc(r.model.Code, func(c Value) bool { return c.Text == v.Text }) {
			r.model.Code = append(r.model.Code, v)
		}
	}
}

func (r *reader) signature(p source.Pair) {
	if p.Value.Kind == source.Null {
		return
	}
	if p.Value.Kind != source.Map {
		r.fail(p.Line, "", "signature must be a mapping, but it is %s", p.Value)
		return
	}
	for _, part := range p.Value.Pairs {
		switch part.Key {
		case "inputs":
			r.model.Signature.Inputs = r.scalar(part)
		case "outputs":
			r.model.Signature.Outputs = r.scalar(part)
		case "params":
			r.model.Signature.Params = r.scalar(part)
		}
	}
}

func (r *reader) inputExample(p source.Pair) {
	if p.Value.Kind == source.Null {
		return
	}
	if p.Value.Kind != source.Map {
		r.fail(p.Line, "", "saved_input_example_info must be a mapping, but it is %s", p.Value)
		return
	}
	r.model.ExampleInfo = flatten("", p.Value, nil)
	for _, part := range p.Value.Pairs {
		switch part.Key {
		case "artifact_path":
			r.model.InputExample = r.path(r.scalar(part), part.Key)
		case "serving_input_path":
			r.model.ServingExample = r.path(r.scalar(part), part.Key).Text
		}
	}
}

func (r *reader) envVars(p source.Pair) {
	switch p.Value.Kind {
	case source.Null:
		return
	case source.List:
	default:
		r.fail(p.Line, "", "env_vars must be a list of names, but it is %s", p.Value)
		return
	}
	for _, item := range p.Value.Items {
		if item.Kind != source.Scalar {
			r.fail(item.Line, "", "env_vars must be a list of names, but one is %s", item)
			continue
		}
		r.envVar(item.Text, mlmodelFile, item.Line)
	}
}

// envVar adds the name of a variable. If a value is given too, it is dropped, as it may be a
// secret.
func (r *reader) envVar(text, file string, line int) {
	name, _, _ := strings.Cut(text, "=")
	name = strings.TrimSpace(name)
	i, found := slices.BinarySearchFunc(r.model.EnvVars, name, func(v Value, name string) int { return strings.Compare(v.Text, name) })
	if name != "" && !found {
		r.model.EnvVars = slices.Insert(r.model.EnvVars, i, Value{Text: name, File: file, Line: line})
	}
}
