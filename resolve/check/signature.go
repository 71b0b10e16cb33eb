package check

import (
	"errors"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"mlenv/resolve/finding"
	"mlenv/resolve/model"
	"mlenv/resolve/signature"
)

// signature compares the examples with the signature.
func (c *checker) signature() {
	m := c.in.Model
	if m.Signature.IsZero() {
		c.find(finding.SignatureMissing, "signature", []finding.Origin{{File: m.MLmodel}}, "the model has no signature")
	}
	if m.InputExample.Text == "" {
		c.find(finding.ExampleMissing, "input_example", []finding.Origin{{File: m.MLmodel}}, "the model has no input example")
	}
	s, err := signature.Parse(m.Signature.Inputs.Text, m.Signature.Outputs.Text, m.Signature.Params.Text)
	if err != nil {
		c.find(finding.SignatureUnreadable, "signature", c.from(c.signaturePart(err)), "the signature cannot be read: %v", err)
		return
	}
	s.FromTypeHint = c.other("is_signature_from_type_hint") == "true"
	if name := m.InputExample.Text; name != "" {
		info := c.exampleInfo()
		if info.Type == "" {
			info.Type = "dataframe" // old versions of MLflow did not write the type
		}
		c.example(finding.ExampleMismatch, name, func(data []byte) ([]signature.Mismatch, error) { return s.CheckExample(info, data) })
	}
	if name := m.ServingExample; name != "" {
		c.example(finding.ServingExampleMismatch, name, s.CheckServing)
	}
}

// signaturePart returns the part of the signature that an error from Parse is about.
func (c *checker) signaturePart(err error) model.Value {
	s := c.in.Model.Signature
	part := &signature.PartError{}
	errors.As(err, &part)
	switch part.Part {
	case signature.Inputs:
		return s.Inputs
	case signature.Outputs:
		return s.Outputs
	}
	return s.Params
}

// other returns the value of a top-level key of MLmodel that package model does not interpret.
func (c *checker) other(key string) string {
	for _, f := range c.in.Model.Other {
		if f.Key == key {
			return f.Value.Text
		}
	}
	return ""
}

// exampleInfo reads saved_input_example_info.
func (c *checker) exampleInfo() signature.Info {
	info := signature.Info{}
	for _, f := range c.in.Model.ExampleInfo {
		switch f.Key {
		case "type":
			info.Type = f.Value.Text
		case "format": // written by MLflow before 2.15
			info.Request = f.Value.Text == "tf-serving"
		case "params":
			info.Params = f.Value.Text != ""
		}
	}
	return info
}

// maxExample is the largest example that is checked, in bytes: its values take many times that in memory.
const maxExample = 64 << 20

// example checks one file of examples, and reports each mismatch where the example mentions its column.
func (c *checker) example(rule finding.ID, name string, check func([]byte) ([]signature.Mismatch, error)) {
	data, err := c.readExample(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errTooLarge) {
		return // modelFiles reports missing files
	}
	origin := finding.Origin{File: name}
	if err != nil {
		c.find(finding.ExampleUnreadable, name, []finding.Origin{origin}, "%s cannot be read", name)
		return
	}
	found, err := check(data)
	if err != nil {
		origin.Line = lineOf(err)
		if lines := strings.Split(string(data), "\n"); origin.Line <= len(lines) {
			origin.Text = shown(lines[origin.Line-1])
		}
		c.find(finding.ExampleUnreadable, name, []finding.Origin{origin}, "%s %v", name, err)
		return
	}
	for _, m := range found {
		subject := m.Column
		if subject == "" {
			subject = name
		}
		from := []finding.Origin{locate(name, data, m.Column)}
		part := c.in.Model.Signature.Inputs
		if m.Part == signature.Params {
			part = c.in.Model.Signature.Params
		}
		if part.Line > 0 {
			from = append(from, finding.Origin{File: part.File, Line: part.Line, Text: "signature"})
		}
		c.find(rule, subject, from, "%s does not match the signature: %s", name, m.Message)
	}
}

var errTooLarge = errors.New("is too large")

// readExample reads an example, unless it is too large.
func (c *checker) readExample(name string) ([]byte, error) {
	f, err := c.in.Model.FS.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxExample+1))
	if err == nil && len(data) > maxExample {
		err = errTooLarge
	}
	return data, err
}

// lineOf returns the line in an error from package signature, or 1 if it has none.
func lineOf(err error) int {
	if syntax := (*signature.SyntaxError)(nil); errors.As(err, &syntax) {
		return syntax.Line
	}
	return 1
}

// locate returns the first line of an example that mentions a column, or else its first line.
func locate(name string, data []byte, column string) finding.Origin {
	o := finding.Origin{File: name, Line: 1}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		if n == 1 {
			o.Text = shown(line)
		}
		if column != "" && strings.Contains(line, strconv.Quote(column)) {
			return finding.Origin{File: name, Line: n, Text: shown(line)}
		}
	}
	return o
}
