package resolve

import (
	"fmt"
	"slices"
	"strings"

	"mlenv/resolve/envfile"
	"mlenv/resolve/finding"
	"mlenv/resolve/pep440"
)

// pythonDeclaration is one declaration of the Python version: a version, which may be partial, or a
// range.
type pythonDeclaration struct {
	decl    envfile.Declaration
	kind    envfile.Kind
	version pep440.Version    // zero for a range
	allowed pep440.Specifiers // of a range
}

// mergePython uses the first version in MLflow's order and compares all others with it. Without a minor
// version there are no wheels to choose, since their tags name it, so that "3" is not enough.
func (m *merger) mergePython() {
	declared := m.pythonDeclarations()
	winner := slices.IndexFunc(declared, func(w pythonDeclaration) bool { return w.isMinor() })
	if winner < 0 {
		m.inexactPython(declared)
		return
	}
	won := declared[winner]
	m.spec.Python = Python{Version: won.version, From: []finding.Origin{won.decl.From}}
	for i, w := range declared {
		switch {
		case i == winner:
		case w.version.IsZero() && !w.allowed.IsZero():
			m.comparePythonRange(won, w)
		case !w.version.IsZero():
			m.comparePython(won, w)
		}
	}
}

func (m *merger) pythonDeclarations() []pythonDeclaration {
	var declared []pythonDeclaration
	for _, f := range m.files {
		for _, d := range f.Python {
			w := pythonDeclaration{decl: d, kind: f.Kind}
			w.version, w.allowed = parsePython(d.Value)
			declared = append(declared, w)
		}
	}
	return declared
}

// parsePython reads a Python version in the forms of all files: "3.10.4", conda's "=3.10",
// "==3.10.4", "3.8.*" and ">=3.8,<3.9", and "cpython-3.10" or "3.10.4\n" of .python-version.
func parsePython(s string) (pep440.Version, pep440.Specifiers) {
	s = strings.TrimSpace(s)
	exact := strings.TrimPrefix(strings.TrimPrefix(s, "="), "=")
	exact = strings.TrimSuffix(strings.TrimPrefix(exact, "cpython-"), ".*")
	exact = strings.TrimPrefix(exact, "python-")
	if v, err := pep440.Parse(strings.TrimSpace(exact)); err == nil {
		return v, pep440.Specifiers{}
	}
	set, err := pep440.ParseSpecifiers(s)
	if err != nil {
		return pep440.Version{}, pep440.Specifiers{}
	}
	return pep440.Version{}, set
}

// isMinor reports whether the declaration determines at least the minor version.
func (w pythonDeclaration) isMinor() bool { return len(release(w.version)) >= 2 }

func release(v pep440.Version) []uint64 {
	if v.IsZero() {
		return nil
	}
	return v.Release()
}

// inexactPython handles models where no file names a minor version.
func (m *merger) inexactPython(declared []pythonDeclaration) {
	for _, w := range declared {
		if w.decl.Value == "" {
			continue
		}
		from := []finding.Origin{w.decl.From}
		version, sure := guessPython(w)
		m.spec.Python = Python{Version: version, From: from}
		if !sure {
			m.find(finding.PythonInexact, "python", from, "%s wants Python %s, which allows several minor versions%s",
				w.decl.From, w.decl.Value, usedNote(version))
		}
		return
	}
	m.find(finding.PythonMissing, "python", nil, "no file of the model says which Python it needs")
}

func usedNote(version pep440.Version) string {
	if version.IsZero() {
		return ""
	}
	return "; " + version.String() + " is used"
}

// guessPython returns the minor version that a range allows if there is only one. Otherwise sure is
// false, and the version is the start of the range, as in MLflow, or zero if it has none.
func guessPython(w pythonDeclaration) (version pep440.Version, sure bool) {
	var fitting []pep440.Version
	for number := range 40 { // 3.0 to 3.39: PEP 602 brings one a year, 3.14 in 2025
		minor := pep440.MustParse(fmt.Sprintf("3.%d", number))
		if !w.allowed.IsZero() && w.allowed.And(pep440.Within(minor)).Satisfiable() {
			fitting = append(fitting, minor)
		}
	}
	if len(fitting) == 1 {
		return fitting[0], true
	}
	for _, c := range w.allowed.Clauses() {
		if v := c.Bound(); c.Op == ">=" && v.Minor() != "" {
			return v, false
		}
	}
	return pep440.Version{}, false
}

func (m *merger) comparePython(won, w pythonDeclaration) {
	a, b := release(won.version), release(w.version)
	n := min(len(a), len(b))
	if slices.Equal(a[:n], b[:n]) {
		return
	}
	from := []finding.Origin{won.decl.From, w.decl.From}
	sides := fmt.Sprintf("%s wants Python %s but %s wants %s", won.decl.From, won.version, w.decl.From, w.version)
	switch {
	case won.kind == envfile.Flags:
		if minorDiffers(a, b) {
			m.find(finding.PythonOverridden, "python", from, "the command line asks for Python %s but %s wants %s",
				won.version, w.decl.From, w.version)
		}
	case minorDiffers(a, b):
		m.find(finding.PythonMinorDiffers, "python", from, "%s; %s is used, as MLflow would", sides, won.version)
	default:
		m.find(finding.PythonPatchDiffers, "python", from, "%s; %s is used, as MLflow would", sides, won.version)
	}
}

// minorDiffers reports whether two releases have other wheels and another language: 3.10 and 3.11. What
// only differs in the patch release does not.
func minorDiffers(a, b []uint64) bool {
	n := min(len(a), len(b), 2)
	return !slices.Equal(a[:n], b[:n])
}

// comparePythonRange compares a range with the winner. It is an error if the range excludes the
// winner's minor version, and a warning if it excludes only the patch version.
func (m *merger) comparePythonRange(won, w pythonDeclaration) {
	from := []finding.Origin{won.decl.From, w.decl.From}
	sides := fmt.Sprintf("%s wants Python %s but %s wants %s", won.decl.From, won.version, w.decl.From, w.decl.Value)
	minor := pep440.Within(pep440.MustParse(won.version.Minor()))
	rule := finding.PythonMinorDiffers
	switch {
	case w.allowed.And(minor).Satisfiable():
		if len(won.version.Release()) < 3 || w.allowed.Match(won.version) {
			return
		}
		rule = finding.PythonPatchDiffers
	}
	if won.kind == envfile.Flags {
		if rule == finding.PythonMinorDiffers {
			m.find(finding.PythonOverridden, "python", from, "the command line asks for Python %s but %s wants %s",
				won.version, w.decl.From, w.decl.Value)
		}
		return
	}
	m.find(rule, "python", from, "%s; %s is used, as MLflow would", sides, won.version)
}
