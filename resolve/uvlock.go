package resolve

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"mlenv/resolve/finding"
	modelfile "mlenv/resolve/internal/source"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// uvLock is what of a uv.lock says which packages are installed from where. uv documents the format no
// further than that it is TOML; these keys have been the same since its version 1.
type uvLock struct {
	Version  int         `toml:"version"`
	Packages []uvPackage `toml:"package"`
}

type uvPackage struct {
	Name         string         `toml:"name"`
	Version      string         `toml:"version"`
	Source       map[string]any `toml:"source"`
	Dependencies []struct {
		Name string `toml:"name"`
	} `toml:"dependencies"`

	line int
}

// isProject reports the project itself, of which the other packages are dependencies.
func (p uvPackage) isProject() bool {
	for _, key := range []string{"virtual", "editable", "directory"} {
		if at, ok := p.Source[key].(string); ok && at == "." {
			return true
		}
	}
	return false
}

// source is where a package comes from if that is no index, as "git https://…"; else "". An index is told
// apart by its key, "registry".
func (p uvPackage) source() string {
	for _, key := range []string{"git", "url", "path", "directory", "editable"} {
		if at, ok := p.Source[key].(string); ok {
			return key + " " + at
		}
	}
	return ""
}

// parseUVLock reads a uv.lock.
func parseUVLock(data []byte) (*uvLock, error) {
	var l uvLock
	if err := toml.Unmarshal(data, &l); err != nil {
		return nil, err
	}
	if key, line, ok := modelfile.FoldedKey(data, reflect.TypeFor[uvLock]()); ok {
		return nil, fmt.Errorf("line %d: keys are case-sensitive, and %s is written %s", line, key, strings.ToLower(key))
	}
	// The n-th [[package]] of the text is the n-th of the list.
	lines, n := bufio.NewScanner(bytes.NewReader(data)), 0
	lines.Buffer(nil, 1<<20)
	for line := 1; lines.Scan(); line++ {
		if strings.TrimSpace(lines.Text()) == "[[package]]" && n < len(l.Packages) {
			l.Packages[n].line = line + 1 // its name
			n++
		}
	}
	return &l, nil
}

// mostUVFindings is how many differences are told of one uv.lock.
const mostUVFindings = 20

// compareUVLock compares uv.lock with the requirements. MLflow 3.11 and later installs it with uv sync
// --frozen where its environment manager is uv, and then ignores requirements.txt; every other installer
// reads requirements.txt alone. The two differ where conda_env, pip_requirements or extra requirements
// were given when the model was logged.
func (m *merger) compareUVLock(fsys fs.FS, file string) {
	data, err := modelfile.ReadFile(fsys, file)
	if err != nil {
		m.find(finding.UVLockDiffers, file, []finding.Origin{{File: file}}, "%v", err)
		return
	}
	l, err := parseUVLock(data)
	if err != nil {
		m.find(finding.UVLockDiffers, file, []finding.Origin{{File: file}}, "%s cannot be read, so uv sync fails: %v", file, err)
		return
	}
	d := uvComparison{merger: m, file: file, packages: map[pep508.Name][]uvPackage{}, required: map[pep508.Name]bool{}}
	for _, p := range l.Packages {
		if !p.isProject() {
			name := pep508.NormalizeName(p.Name)
			d.packages[name] = append(d.packages[name], p)
		}
	}
	for _, r := range m.spec.Requirements {
		d.requirement(r)
	}
	for _, p := range l.Packages {
		if p.isProject() {
			d.project(p)
		}
	}
	if d.found > mostUVFindings {
		m.find(finding.UVLockDiffers, file, []finding.Origin{{File: file}}, "%s differs from the requirements in %d more packages", file, d.found-mostUVFindings)
	}
}

// uvComparison is one comparison under way. It goes both ways: what is required and not locked, and what the
// project depends on and no requirement names. Versions of packages that only others need are left alone,
// since a Spec does not name them.
type uvComparison struct {
	*merger
	file     string
	packages map[pep508.Name][]uvPackage // without the project
	required map[pep508.Name]bool
	found    int
}

func (d *uvComparison) differs(name pep508.Name, from []finding.Origin, format string, args ...any) {
	if d.found++; d.found <= mostUVFindings {
		d.find(finding.UVLockDiffers, string(name), from, format, args...)
	}
}

// requirement compares one requirement with what uv.lock has of it.
func (d *uvComparison) requirement(r Requirement) {
	if r.Name == "" {
		return
	}
	d.required[r.Name] = true
	locked := d.packages[r.Name]
	if len(locked) == 0 {
		d.differs(r.Name, r.From, "%s is required, but %s does not have it, so uv sync does not install it", r.Line(), d.file)
		return
	}
	var versions []string
	from := slices.Clone(r.From)
	for _, p := range locked {
		v, err := pep440.Parse(p.Version)
		if err == nil && r.URL == "" && r.Path == "" && p.source() == "" && r.Specifier.Match(v) {
			return
		}
		if p.source() != "" && r.URL+r.Path != "" {
			return // both name a place; how each writes it is its own affair
		}
		text := p.Version
		if s := p.source(); s != "" {
			text = strings.TrimSpace(text + " from " + s)
		}
		versions = append(versions, text)
		from = append(from, finding.Origin{File: d.file, Line: p.line, Text: fmt.Sprintf("name = %q", p.Name)})
	}
	d.differs(r.Name, from, "%s is required, but %s has %s", r.Line(), d.file, list(versions))
}

// project compares what the project depends on with the requirements.
func (d *uvComparison) project(p uvPackage) {
	for _, dep := range p.Dependencies {
		if name := pep508.NormalizeName(dep.Name); !d.required[name] {
			d.required[name] = true
			line := p.line
			if locked := d.packages[name]; len(locked) > 0 {
				line = locked[0].line
			}
			d.differs(name, []finding.Origin{{File: d.file, Line: line, Text: fmt.Sprintf("name = %q", dep.Name)}},
				"the project of %s depends on %s, which no requirement names, so only uv sync installs it", d.file, name)
		}
	}
}
