package envfile

import (
	"io/fs"
	"strings"

	"mlenv/resolve/finding"
	"mlenv/resolve/internal/source"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/secret"
)

// ParseConda reads a conda environment.yml. Its python entry becomes Python; pip, setuptools and
// wheel become BuildDependencies, with their versions translated to PEP 440, as MLflow has it when it
// makes a virtualenv of such a file; the items of pip sections become Requirements, and all other
// packages CondaPackages.
func ParseConda(fsys fs.FS, path string) (*File, error) {
	d, root := openDocument(fsys, Conda, path)
	if root == nil {
		return d.result()
	}
	for _, p := range root.Pairs {
		switch p.Key {
		case "name":
			d.file.Name = d.scalar(p)
		case "prefix":
			d.file.Prefix = d.scalar(p)
		case "channels":
			for _, item := range d.strings(p.Key, p.Line, p.Value) {
				o := d.origin(item.Line, item.Text)
				d.file.Channels = append(d.file.Channels, Declaration{Value: o.Text, From: o})
			}
		case "dependencies":
			d.condaDependencies(p)
		case "variables":
			d.condaVariables(p)
		default:
			key, _ := secret.Scrub(p.Key)
			d.note(d.at(p.Line, key), finding.UnknownKey, key, "conda ignores the key %q", key)
		}
	}
	return d.result()
}

// condaVariables keeps the names of the variables only: the values may be secrets.
func (d *document) condaVariables(p source.Pair) {
	if p.Value.Kind == source.Null {
		return
	}
	if p.Value.Kind != source.Map {
		d.fail(d.at(p.Line, p.Key), "", "variables must be a mapping of names to values, but it is %s", p.Value)
		return
	}
	for _, v := range p.Value.Pairs {
		d.file.Variables = append(d.file.Variables, Declaration{Value: v.Key, From: d.at(v.Line, v.Key)})
	}
}

func (d *document) condaDependencies(p source.Pair) {
	if p.Value.Kind == source.Null {
		return
	}
	if p.Value.Kind != source.List {
		d.fail(d.at(p.Line, p.Key), "", "dependencies must be a list, but it is %s", p.Value)
		return
	}
	sections := 0
	for _, item := range p.Value.Items {
		switch {
		case item.Kind == source.Map:
			for _, section := range item.Pairs {
				if section.Key != "pip" {
					d.fail(d.at(section.Line, section.Key), `conda wants "- name=version"`, "the only mapping allowed among the dependencies is pip, not %q", section.Key)
					continue
				}
				sections++
				if sections == 2 {
					d.note(d.at(section.Line, "pip:"), finding.SeveralPipSections, "pip", "there are several pip sections: MLflow reads the first when it looks for requirements and the last when it builds the environment")
				}
				d.requirementList("pip", section.Line, section.Value)
			}
		case item.Kind == source.Scalar && item.Tag == "!!str":
			d.condaPackage(item)
		default:
			d.fail(d.at(item.Line, ""), "", "a dependency must be text, but it is %s", item)
		}
	}
}

func (d *document) condaPackage(item *source.Node) {
	text := strings.TrimSpace(item.Text)
	if strings.HasPrefix(text, "#") || text == "" {
		return
	}
	o := d.origin(item.Line, text)
	m, err := parseMatchSpec(o.Text)
	if err != nil {
		d.fail(o, "", "%q is not a conda package: %v", o.Text, err)
		return
	}
	switch m.name {
	case "python":
		d.condaPython(m, o)
	case "pip", "setuptools", "wheel":
		d.condaBuildDependency(m, o)
	default:
		d.file.CondaPackages = append(d.file.CondaPackages, CondaPackage{
			Name: m.name, Channel: m.channel, Version: m.written, Build: m.build, MatchSpec: m.String(), From: o,
		})
	}
}

// condaPython records the Python version. One that PEP 440 cannot express, such as "3.8|3.9",
// becomes a note and no error: other files of the model mostly say the version, too.
func (d *document) condaPython(m matchSpec, o finding.Origin) {
	version, plain, ok := m.pep440()
	if ok && version != "" {
		var err error
		if plain {
			_, err = pep440.Parse(version)
		} else {
			_, err = pep440.ParseSpecifiers(version)
		}
		ok = err == nil
	}
	switch {
	case !ok:
		d.note(o, finding.PythonNotUnderstood, "python", "the Python version %q cannot be expressed in PEP 440 and is ignored", m.written)
	case version == "":
		d.note(o, finding.PythonWithoutVersion, "python", "python is listed without a version")
	default:
		d.file.Python = append(d.file.Python, Declaration{Value: version, From: o})
	}
}

func (d *document) condaBuildDependency(m matchSpec, o finding.Origin) {
	req := Requirement{Requirement: pep508.Requirement{Name: pep508.Name(m.name), Spelling: m.name}, From: o}
	version, plain, ok := m.pep440()
	if plain {
		if m.fuzzy() { // conda's "=24" is every 24.x, which PEP 440 writes as "==24.*"
			version += ".*"
		}
		version = "==" + version
	}
	var err error
	if ok {
		req.Specifier, err = pep440.ParseSpecifiers(version)
	}
	if !ok || err != nil {
		d.note(o, finding.VersionNotUnderstood, m.name, "the version %q of %s cannot be expressed in PEP 440 and is ignored", m.written, m.name)
	}
	d.file.BuildDependencies = append(d.file.BuildDependencies, req)
}
