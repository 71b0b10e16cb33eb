package envfile

import (
	"io/fs"
	"strings"

	"mlenv/resolve/finding"
	"mlenv/resolve/internal/source"
	"mlenv/resolve/secret"
)

// document reads the entries of a YAML file. Lists of requirements in it are read as lines of a
// requirements file are, "-r FILE" included, since MLflow writes them into one.
type document struct {
	*reader
	in include
}

// openDocument reads a YAML file whose root must be a mapping. The node is nil if that fails.
func openDocument(fsys fs.FS, kind Kind, name string) (*document, *source.Node) {
	d := &document{newReader(fsys, kind, name), include{name: name}}
	d.stack = []include{d.in} // included files are relative to this one
	data, err := d.bytes(name)
	if err != nil {
		d.failed(err)
		return d, nil
	}
	root, err := source.ParseYAML(name, data)
	switch {
	case err != nil:
		d.failed(err)
		return d, nil
	case root.Kind == source.Null:
		d.failed(&Error{File: name, Msg: "is empty"})
		return d, nil
	case root.Kind != source.Map:
		d.fail(d.at(root.Line, ""), "", "the file must be a mapping of keys to values, but it is %s", root)
		return d, nil
	}
	return d, root
}

// at returns the origin of a text that cannot contain credentials.
func (d *document) at(line int, text string) finding.Origin {
	return finding.Origin{File: d.in.name, Line: line, Text: text}
}

// origin returns the origin of a text that may contain credentials, without them.
func (d *document) origin(line int, text string) finding.Origin {
	if secret.HasSpace(text) {
		text = secret.Redact(text)
		d.fail(d.at(line, text), "write it percent-encoded, a space as %20", "the user or password of a URL holds white space")
	}
	text, found := secret.Scrub(text)
	o := d.at(line, text)
	if found {
		d.file.CredentialsIn = append(d.file.CredentialsIn, o)
	}
	return o
}

// scalar returns the value of a key, or nil if it is null or not text. A number is given as it is written:
// whoever writes 3.10 means 3.10.
func (d *document) scalar(p source.Pair) *Declaration {
	switch p.Value.Kind {
	case source.Null:
		return nil
	case source.Scalar:
		o := d.origin(p.Line, p.Key+": "+p.Value.Text)
		_, value, _ := strings.Cut(o.Text, ": ")
		return &Declaration{Value: value, From: o}
	}
	d.fail(d.at(p.Line, p.Key), "", "%s must be text, but it is %s", p.Key, p.Value)
	return nil
}

// strings returns the items of a list of strings; null is an empty list.
func (d *document) strings(key string, line int, n *source.Node) []*source.Node {
	if n.Kind == source.Null {
		return nil
	}
	if n.Kind != source.List {
		d.fail(d.at(line, key), "begin each item with \"- \" on a line of its own", "%s must be a list, but it is %s", key, n)
		return nil
	}
	var items []*source.Node
	for _, item := range n.Items {
		if item.Kind != source.Scalar || item.Tag != "!!str" {
			d.fail(d.at(item.Line, key), "", "an item of %s must be text, but it is %s", key, item)
			continue
		}
		items = append(items, item)
	}
	return items
}

// requirementList reads a list whose items are lines of a requirements file. An error is reported
// for the line of the item. An item may have several lines, and a backslash at the end of an item joins
// it to the next one, for that is how they come out when they are written to a file.
func (d *document) requirementList(key string, at int, n *source.Node) {
	var lines []line
	for _, item := range d.strings(key, at, n) {
		lines = append(lines, splitLines(item.Text, item.Line)...)
	}
	d.findLocked(lines)
	for _, l := range logicalLines(lines) {
		d.line(l, d.in)
	}
}
