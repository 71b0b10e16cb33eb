package envfile

import (
	"errors"
	"io/fs"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"mlenv/resolve/finding"
	"mlenv/resolve/internal/source"
	"mlenv/resolve/pattern"
	"mlenv/resolve/pep440"
	"mlenv/resolve/secret"
)

// implementation matches the forms in which uv and pyenv accept a version of CPython.
var implementation = pattern.New(`^(?:cpython[-@]|python[-@]?)?([0-9][0-9A-Za-z.]*|[<>=!~].*)$`)

// ParsePythonVersion reads a .python-version file: its first line that is not a comment. pyenv takes
// several versions, of which the first is the one that python starts. What is no version of CPython, such
// as the name of a virtualenv, is a note: the file is for the author's machine and not for the model's.
func ParsePythonVersion(fsys fs.FS, path string) (*File, error) {
	r := newReader(fsys, PythonVersionFile, path)
	data, err := r.bytes(path)
	if err == nil {
		if e := source.CheckUTF8(path, data); e != nil {
			err = e
		}
	}
	if err != nil {
		return nil, err
	}
	for _, l := range splitLines(strings.TrimPrefix(string(data), "\ufeff"), 1) {
		text, _ := secret.Scrub(strings.TrimFunc(cutComment(l.text), isSpace))
		if text == "" {
			continue
		}
		o := finding.Origin{File: path, Line: l.n, Text: text}
		m := implementation.FindStringSubmatch(text)
		if m == nil || !isVersionOrSpecifier(m[1]) {
			r.note(o, finding.PythonNotUnderstood, "python", "%q is not a version of CPython and is ignored", text)
			break
		}
		r.file.Python = append(r.file.Python, Declaration{Value: m[1], From: o})
		break
	}
	return r.file, nil
}

func isVersionOrSpecifier(text string) bool {
	if _, err := pep440.Parse(text); err == nil {
		return true
	}
	_, err := pep440.ParseSpecifiers(text)
	return err == nil && text != ""
}

// ParsePyProject reads project.requires-python in a pyproject.toml, and nothing else: the file describes
// the project in which the model was made, whose dependencies are not the model's.
func ParsePyProject(fsys fs.FS, path string) (*File, error) {
	r := newReader(fsys, PyProject, path)
	data, err := r.bytes(path)
	if err != nil {
		return nil, err
	}
	if e := source.CheckUTF8(path, data); e != nil {
		return nil, e
	}
	var doc map[string]any // the fields of a struct would be filled from keys in any case
	if err := toml.Unmarshal(data, &doc); err != nil {
		var at *toml.DecodeError
		e := &Error{File: path, Msg: "is not TOML: " + strings.TrimPrefix(err.Error(), "toml: ")}
		if errors.As(err, &at) {
			e.Line, _ = at.Position()
		}
		e.Msg, _ = secret.Scrub(e.Msg)
		return nil, e
	}
	project, _ := doc["project"].(map[string]any)
	given, ok := project["requires-python"]
	if !ok {
		return r.file, nil
	}
	value, ok := given.(string)
	o := finding.Origin{File: path, Line: requiresPythonLine(data)}
	if !ok {
		r.fail(o, "", "requires-python must be text")
		return r.result()
	}
	value, _ = secret.Scrub(value)
	o.Text = "requires-python = " + value
	if _, err := pep440.ParseSpecifiers(value); err != nil {
		r.fail(o, `it is written as ">=3.10"`, "requires-python %q is not a set of version specifiers", value)
		return r.result()
	}
	r.file.Python = append(r.file.Python, Declaration{Value: value, From: o})
	return r.result()
}

// requiresPythonLine returns the line of project.requires-python in a valid document.
func requiresPythonLine(data []byte) int {
	var p unstable.Parser
	p.Reset(data)
	table := ""
	for p.NextExpression() {
		e := p.Expression()
		var keys []string
		var at unstable.Range
		for it := e.Key(); it.Next(); {
			keys = append(keys, string(it.Node().Data))
			at = it.Node().Raw
		}
		name := strings.Join(keys, ".")
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = name + "."
		case unstable.KeyValue:
			full := table + name
			if full == "project.requires-python" || full == "project" {
				return p.Shape(at).Start.Line
			}
		}
	}
	return 0
}
