package resolve

import (
	"errors"
	"io/fs"
	"slices"

	"mlenv/resolve/envfile"
	"mlenv/resolve/finding"
	"mlenv/resolve/model"
)

// Options is what the user adds to the declarations of the model. The zero value adds nothing.
type Options struct {
	// Flags holds the declarations on the command line, as a file of kind envfile.Flags, or nil. It
	// takes precedence over every file of the model.
	Flags *envfile.File
	// Replace drops the model's own requirements and constraints and uses only those of Flags.
	Replace bool
	// CodePaths are added to those of the model.
	CodePaths []CodePath
	// CondaAsPip takes packages for conda as requirements for pip, see envfile.CondaPackage.
	CondaAsPip bool
}

// Model reads the environment files of a model and merges them. Files with invalid syntax are
// errors, joined if there are several, so that one run tells all of them. Everything that is wrong with
// valid files is a finding: there is a Spec then, and a policy decides what becomes of it.
func Model(from *model.Model, opts Options) (*Spec, error) {
	files, err := readFiles(from)
	if err != nil {
		return nil, err
	}
	if opts.Replace {
		for _, f := range files {
			f.Requirements, f.Constraints = nil, nil
		}
	}
	if opts.Flags != nil {
		files = append(files, opts.Flags)
	}
	m := newMerger(files)
	if opts.CondaAsPip {
		m.condaAsPip()
	}
	m.mergeAll()
	m.spec.Model = modelInfo(from)
	m.spec.CodePaths = slices.Clone(opts.CodePaths)
	m.pinMLflow(from.MLflowVersion)
	for _, v := range from.EnvVars {
		m.spec.EnvironmentVariables = append(m.spec.EnvironmentVariables, v.Text)
	}
	m.addSystemPackages(from.Flavors)
	m.reportWindowsPaths(from)
	m.reportUnfetchable()
	for _, l := range from.BadLinks {
		m.find(finding.LinkNotFollowed, l.Name, []finding.Origin{{File: l.Name}}, "%s", l.Error())
	}
	m.reportSidecars(from, opts.Replace)
	if err := errors.Join(m.addCode(from), m.readLocal(from.FS)); err != nil {
		return nil, err
	}
	return m.finish(), nil
}

func modelInfo(m *model.Model) ModelInfo {
	info := ModelInfo{
		MLflowVersion: m.MLflowVersion.Text,
		ModelID:       m.ModelID.Text,
		RunID:         m.RunID.Text,
		TimeCreated:   m.TimeCreated.Text,
		Signature:     !m.Signature.IsZero(),
		InputExample:  m.InputExample.Text,
	}
	for _, f := range m.Flavors {
		info.Flavors = append(info.Flavors, f.Name)
	}
	return info
}

// readFiles reads every file in which the model declares its environment. It goes on after a file with
// errors. A file that MLflow would find without being told its name is read, too, if MLmodel names none.
func readFiles(m *model.Model) ([]*envfile.File, error) {
	var files []*envfile.File
	var errs []error
	read := func(path string, parse func(fs.FS, string) (*envfile.File, error)) {
		if path == "" {
			return
		}
		f, err := parse(m.FS, path)
		if err != nil {
			errs = append(errs, err)
			return
		}
		files = append(files, f)
	}
	read(firstNonEmpty(m.VirtualEnv.Text, m.UnnamedVirtual), envfile.ParsePythonEnv)
	read(m.RequirementsTxt, envfile.ParseRequirements)
	read(firstNonEmpty(m.CondaEnv.Text, m.UnnamedConda), envfile.ParseConda)
	read(m.PythonVersionFile, envfile.ParsePythonVersion)
	read(m.PyProject, envfile.ParsePyProject)
	if v := m.PythonVersion; v.Text != "" {
		files = append(files, &envfile.File{Path: v.File, Kind: envfile.MLmodel, Python: []envfile.Declaration{{
			Value: v.Text,
			From:  finding.Origin{File: v.File, Line: v.Line, Text: "python_version: " + v.Text},
		}}})
	}
	return files, errors.Join(distinct(errs)...)
}

// distinct takes errors that were joined apart, and leaves out those that were given before: a file
// that others include is read with each of them, and what is wrong with it is found each time.
func distinct(errs []error) []error {
	var out []error
	for _, err := range errs {
		all := []error{err}
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			all = joined.Unwrap()
		}
		for _, one := range all {
			if !slices.ContainsFunc(out, func(before error) bool { return same(before, one) }) {
				out = append(out, one)
			}
		}
	}
	return out
}

func same(a, b error) bool {
	var x, y *envfile.Error
	if errors.As(a, &x) && errors.As(b, &y) {
		return x.Same(y)
	}
	return a.Error() == b.Error()
}

func firstNonEmpty(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// reportSidecars reports files in the model that look like part of its environment but are not.
func (m *merger) reportSidecars(from *model.Model, replaced bool) {
	unnamed := func(path string) {
		if path != "" {
			m.find(finding.UnnamedEnvironmentFile, path, []finding.Origin{{File: path}}, "%s is read although MLmodel does not name it", path)
		}
	}
	for _, v := range from.GoneEnv {
		origin := finding.Origin{File: v.File, Line: v.Line, Text: v.Text}
		m.find(finding.EnvironmentFileMissing, v.Text, []finding.Origin{origin}, "%s names %s, which the model does not have; %s is read instead, as MLflow does",
			origin, v.Text, firstNonEmpty(firstNonEmpty(from.VirtualEnv.Text, from.UnnamedVirtual), firstNonEmpty(from.CondaEnv.Text, from.UnnamedConda)))
	}
	unnamed(from.UnnamedConda)
	if from.CondaEnv.Text == "" { // MLflow before 2.0 named only conda.yaml
		unnamed(from.UnnamedVirtual)
	}
	if from.UVLock != "" {
		m.find(finding.UVLockUnused, from.UVLock, []finding.Origin{{File: from.UVLock}},
			"%s is compared with the requirements, but nothing is installed from it; MLflow 3.11 and later does so with its environment manager uv", from.UVLock)
		m.compareUVLock(from.FS, from.UVLock)
	}
	// When MLflow locks requirements, uv applies the constraints and the lock no longer names them.
	if path := from.ConstraintsTxt; path != "" && !replaced && !m.applies(path) && m.locked() == nil {
		if f, err := envfile.ParseRequirements(from.FS, path); err == nil && len(f.Requirements) > 0 {
			m.find(finding.OrphanConstraints, path, []finding.Origin{f.Requirements[0].From}, "%s exists but no file applies it, so it has no effect", path)
		}
	}
}

// applies reports whether a file of the model includes the constraints file path.
func (m *merger) applies(path string) bool {
	for _, f := range m.files {
		for _, c := range f.Constraints {
			if c.From.File == path {
				return true
			}
		}
	}
	return false
}
