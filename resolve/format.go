package resolve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"mlenv/resolve/pep508"
)

// JSON returns the spec as indented JSON. "<" and ">" stay as they are: they are in every other specifier,
// and nobody puts a Spec into a web page as it is.
func (s *Spec) JSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(s); err != nil {
		return nil, fmt.Errorf("writing the spec as JSON: %w", err)
	}
	return b.Bytes(), nil
}

// YAML returns the spec as YAML, with the keys of its JSON form in the same order.
func (s *Spec) YAML() ([]byte, error) {
	data, err := encodeYAML(s)
	if err != nil {
		return nil, fmt.Errorf("writing the spec as YAML: %w", err)
	}
	return data, nil
}

func encodeYAML(v any) ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	if err := e.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// ParseSpec reads a spec in its YAML or JSON form, which is YAML, too. A key that it does not know is an
// error: it is a typing mistake, or of a later version that means something by it.
func ParseSpec(data []byte) (*Spec, error) {
	var s Spec
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&s); err != nil {
		return nil, fmt.Errorf("reading a spec: %w", err)
	}
	if s.SchemaVersion != SchemaVersion {
		return nil, fmt.Errorf("reading a spec: its schemaVersion is %d, not %d", s.SchemaVersion, SchemaVersion)
	}
	for _, list := range [][]Requirement{s.BuildDependencies, s.Requirements, s.Constraints} {
		for i := range list {
			list[i].normalize()
		}
	}
	s.fill()
	return &s, nil
}

// normalize normalizes names, in case somebody has edited the spec.
func (r *Requirement) normalize() {
	r.Name = pep508.NormalizeName(string(r.Name))
	for i, extra := range r.Extras {
		r.Extras[i] = pep508.NormalizeName(string(extra))
	}
}

// RequirementsTxt returns the spec as a requirements file for pip and uv. A requirements file
// cannot contain constraints: those on required packages are merged into the requirements, the
// others become comments. Hashes are written only if every requirement has them, because pip
// requires either all or none, and would refuse a file with some.
func (s *Spec) RequirementsTxt() []byte {
	var b bytes.Buffer
	if !s.Python.Version.IsZero() {
		fmt.Fprintf(&b, "# Python %s\n", s.Python.Version)
	}
	for _, line := range s.PackageIndex.lines() {
		fmt.Fprintln(&b, line)
	}
	requirements, loose := s.constrained()
	hashed := !slices.ContainsFunc(requirements, func(r Requirement) bool { return len(r.Hashes) == 0 })
	for _, r := range requirements {
		b.WriteString(r.Line())
		if hashed {
			for _, h := range r.Hashes {
				fmt.Fprintf(&b, " \\\n    --hash=%s", h)
			}
		}
		b.WriteByte('\n')
	}
	if len(loose) > 0 {
		b.WriteString("# Constraints, for a file that is given with -c:\n")
		for _, c := range loose {
			fmt.Fprintf(&b, "#   %s\n", c.Line())
		}
	}
	return b.Bytes()
}

// constrained merges constraints into the requirements they apply to. It also returns those that
// apply to none.
func (s *Spec) constrained() (requirements, loose []Requirement) {
	requirements = slices.Clone(s.Requirements)
	for _, c := range s.Constraints {
		joined := false
		for i := range requirements {
			r := &requirements[i]
			if r.Name != c.Name || !r.Marker.Equal(c.Marker) || r.URL+r.Path+c.URL+c.Path != "" {
				continue
			}
			if both := r.Specifier.And(c.Specifier); both.Satisfiable() {
				r.Specifier = reduce(both)
				joined = true
			}
		}
		if !joined {
			loose = append(loose, c)
		}
	}
	return requirements, loose
}

// Line returns the requirement as a line of a requirements file, without hashes.
func (r Requirement) Line() string {
	var b strings.Builder
	extras := extrasText(r.Extras)
	if r.Editable {
		b.WriteString("-e ")
	}
	switch {
	case r.Path != "":
		b.WriteString(localPath(r.Path) + extras)
	case r.Editable:
		b.WriteString(r.URL)
	case r.URL != "" && r.Name == "":
		b.WriteString(r.URL)
	case r.URL != "":
		b.WriteString(string(r.Name) + extras + " @ " + r.URL)
	default:
		b.WriteString(string(r.Name) + extras + r.Specifier.String())
	}
	if !r.Marker.IsZero() {
		b.WriteString(" ; " + r.Marker.String())
	}
	return b.String()
}

// localPath returns the path in a form that installers do not mistake for a package name: "source" is a
// project of the index, "./source" is not.
func localPath(p string) string {
	if strings.HasPrefix(p, "/") || strings.HasPrefix(p, ".") || len(p) > 1 && p[1] == ':' {
		return p
	}
	return "./" + p
}

// lines returns the index settings as options of a requirements file.
func (p PackageIndex) lines() []string {
	var out []string
	add := func(option string, values ...string) {
		for _, v := range values {
			out = append(out, option+" "+v)
		}
	}
	flag := func(option string, on bool) {
		if on {
			out = append(out, option)
		}
	}
	if p.IndexURL != "" {
		add("--index-url", p.IndexURL)
	}
	add("--extra-index-url", p.ExtraIndexURLs...)
	add("--find-links", p.FindLinks...)
	add("--trusted-host", p.TrustedHosts...)
	add("--no-binary", p.NoBinary...)
	add("--only-binary", p.OnlyBinary...)
	flag("--no-index", p.NoIndex)
	flag("--pre", p.Pre)
	flag("--prefer-binary", p.PreferBinary)
	flag("--require-hashes", p.RequireHashes)
	return out
}

// condaFile is the structure of an environment.yml.
type condaFile struct {
	Name         string   `yaml:"name"`
	Channels     []string `yaml:"channels"`
	Dependencies []any    `yaml:"dependencies"`
}

// condaCap makes a cap of an exact version, and conda's own form of a fuzzy one: "<=23.1" of "==23.1",
// "=23.*" of "==23.*". Other comparisons mean the same to conda. See CondaYAML for why it is a cap.
func condaCap(specifier string) string {
	parts := strings.Split(specifier, ",")
	for i, part := range parts {
		version, exact := strings.CutPrefix(part, "==")
		switch {
		case exact && strings.HasSuffix(version, ".*"):
			parts[i] = "=" + version
		case exact:
			parts[i] = "<=" + strings.TrimPrefix(version, "=")
		}
	}
	return strings.Join(parts, ",")
}

// CondaYAML returns the spec as conda's environment.yml. As MLflow does, it caps pip instead of
// pinning it: conda's channels lag behind the Python Package Index, whose version the pin names.
// The other build dependencies go to the pip section for the same reason.
func (s *Spec) CondaYAML() ([]byte, error) {
	file := condaFile{Name: "mlflow-env", Channels: s.Conda.Channels}
	if len(file.Channels) == 0 {
		file.Channels = []string{"conda-forge"}
	}
	python := "python"
	if !s.Python.Version.IsZero() {
		python += "=" + s.Python.Version.String()
	}
	file.Dependencies = append(file.Dependencies, python)
	pip, section := "pip", s.PackageIndex.lines()
	for _, b := range s.BuildDependencies {
		if b.Name == "pip" {
			pip += condaCap(b.Specifier.String())
		} else {
			section = append(section, b.Line())
		}
	}
	file.Dependencies = append(file.Dependencies, pip)
	for _, p := range s.Conda.Packages {
		file.Dependencies = append(file.Dependencies, p.MatchSpec)
	}
	requirements, _ := s.constrained()
	for _, r := range requirements {
		section = append(section, r.Line())
	}
	if len(section) > 0 {
		file.Dependencies = append(file.Dependencies, map[string][]string{"pip": section})
	}
	data, err := encodeYAML(file)
	if err != nil {
		return nil, fmt.Errorf("writing environment.yml: %w", err)
	}
	return data, nil
}
