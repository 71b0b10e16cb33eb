package check

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"mlenv/resolve"
	"mlenv/resolve/finding"
	"mlenv/resolve/model"
)

// modelFiles looks for every file that MLmodel names. The files of the environment, and code, are
// package resolve's.
func (c *checker) modelFiles() {
	for _, f := range c.in.Model.Flavors {
		for _, field := range f.Fields {
			switch {
			case field.Key == "model_code_path":
				// A path on the machine that logged the model. The file is in the model under its
				// base name.
				v := field.Value
				if !strings.Contains(v.Text, `\`) {
					v.Text = path.Base(v.Text)
				}
				c.modelFile(f.Name+"."+field.Key, v)
			case slices.Contains(resolve.PathKeys, field.Key), isArtifactPath(field.Key):
				c.modelFile(f.Name+"."+field.Key, field.Value)
			}
		}
	}
	if v := c.in.Model.InputExample; v.Line > 0 {
		c.modelFile("saved_input_example_info", v)
	}
	if name := c.in.Model.ServingExample; name != "" {
		c.modelFile("saved_input_example_info", c.written(name))
	}
}

// variables names what the model wants set when it runs.
func (c *checker) variables() {
	c.findings = append(c.findings, resolve.VariableFindings(c.in.Model)...)
}

// isArtifactPath reports whether a key is the path of an artifact of a Python model: artifacts.NAME.path.
func isArtifactPath(key string) bool {
	return strings.HasPrefix(key, "artifacts.") && strings.HasSuffix(key, ".path")
}

// written returns the value in MLmodel that names a file.
func (c *checker) written(name string) model.Value {
	m := c.in.Model
	c.origin(m.MLmodel, 0)
	for i, line := range c.text[m.MLmodel] {
		if strings.HasSuffix(strings.TrimSpace(line), ": "+name) {
			return model.Value{Text: name, File: m.MLmodel, Line: i + 1}
		}
	}
	return model.Value{Text: name, File: m.MLmodel}
}

// modelFile checks that a path in MLmodel is that of a file or directory in the model.
func (c *checker) modelFile(key string, v model.Value) {
	if v.Text == "" || strings.Contains(v.Text, "://") || v.Text == "None" || strings.Contains(v.Text, `\`) {
		return // package resolve has reported a path of Windows
	}
	name := path.Clean(v.Text)
	if outside(v.Text) || !fs.ValidPath(name) {
		c.find(finding.PathOutsideModel, v.Text, c.from(v), "%s names %s, which is not inside the model", key, v.Text)
		return
	}
	var bad *model.LinkError
	switch _, err := fs.Stat(c.in.Model.FS, name); {
	case errors.As(err, &bad): // package resolve reports the link
	case errors.Is(err, fs.ErrNotExist) && c.ofPaddle(name):
	case errors.Is(err, fs.ErrNotExist):
		c.find(finding.MissingModelFile, v.Text, c.from(v), "%s names %s, which the model does not have", key, v.Text)
	case err != nil:
		c.find(finding.MissingModelFile, v.Text, c.from(v), "%s names %s, which cannot be read", key, v.Text)
	}
}

// ofPaddle reports that a name is the beginning of the names of Paddle's files, as its flavor records
// it: model for model.pdmodel, model.json and model.pdiparams.
func (c *checker) ofPaddle(name string) bool {
	if c.in.Model.Flavor("paddle") == nil {
		return false
	}
	entries, err := fs.ReadDir(c.in.Model.FS, path.Dir(name))
	return err == nil && slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), path.Base(name)+".pd") })
}
