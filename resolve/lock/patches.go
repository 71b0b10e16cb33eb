package lock

import (
	"fmt"
	"math"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// Most markers tell minor versions of Python apart, some also patch releases ("async-timeout;
// python_full_version < '3.11.3'"). What is chosen then holds only for the patch releases on which
// these markers say the same. A lock must not claim more: installed on another patch release it
// would silently lack a package. Where the target is an exact Python, the lock's requires-python says
// for which it holds. Where it is a minor version, all of its patch releases are meant: those that the
// markers tell apart are solved one after the other, and packages that only some need get a marker.

// patches is a row of patch releases of one minor version of Python, from the first one to before the
// other.
type patches struct{ from, to int }

// lastPatch is beyond what any minor version of Python has come to; what holds of it holds of all
// later ones.
const lastPatch = 99

// anyPatch is every patch release.
func anyPatch() patches { return patches{0, math.MaxInt} }

// and is the patch releases that are in both rows.
func (p patches) and(q patches) patches { return patches{max(p.from, q.from), min(p.to, q.to)} }

// specifiers are the Python versions of a row.
func (p patches) specifiers(minor string) (pep440.Specifiers, error) {
	text := "==" + minor + ".*"
	if p.from > 0 {
		text += fmt.Sprintf(",>=%s.%d", minor, p.from)
	}
	if p.to < math.MaxInt {
		text += fmt.Sprintf(",<%s.%d", minor, p.to)
	}
	return pep440.ParseSpecifiers(text)
}

// marker holds on a row of patch releases; it is zero for all of them.
func (p patches) marker(minor string) (m pep508.Marker, err error) {
	if p.from > 0 {
		if m, err = pep508.ParseMarker(fmt.Sprintf("python_full_version >= '%s.%d'", minor, p.from)); err != nil {
			return m, err
		}
	}
	if p.to == math.MaxInt {
		return m, nil
	}
	below, err := pep508.ParseMarker(fmt.Sprintf("python_full_version < '%s.%d'", minor, p.to))
	return m.And(below), err
}

// patchOf is the patch release of a target's Python, and whether the target names one.
func patchOf(t dist.Target) (patch int, exact bool) {
	r := t.Python.Release()
	if len(r) < 3 {
		return 0, false
	}
	return int(min(r[2], lastPatch)), true
}

// onPatch is an environment with another patch release of the target's Python.
func onPatch(env pep508.Environment, minor string, patch int) pep508.Environment {
	env.PythonFullVersion = fmt.Sprintf("%s.%d", minor, patch)
	env.ImplementationVersion = env.PythonFullVersion
	return env
}

// decided is a marker that has decided something, and for which extras.
type decided struct {
	marker pep508.Marker
	extras []pep508.Name
}

// markers are those that tell patch releases apart among all that has decided a choice: those of the
// roots, and of what the chosen packages may need.
func (p *picks) markers() []decided {
	out := p.patchy
	for _, roots := range [][]Root{p.view.p.Roots, p.view.p.Constraints} {
		for i := range roots {
			if m := roots[i].Marker; m.UsesPatch() {
				out = append(out, decided{marker: m})
			}
		}
	}
	return out
}

// patchy gives the markers of a package's requirements that tell patch releases apart.
func patchy(m *dist.Metadata, extra pep508.Name) []decided {
	var out []decided
	for i := range m.RequiresDist {
		if r := &m.RequiresDist[i]; r.Marker.UsesPatch() {
			d := decided{marker: r.Marker}
			if extra != "" {
				d.extras = []pep508.Name{extra}
			}
			out = append(out, d)
		}
	}
	return out
}

// hold finds the patch releases around one on which all that has decided the choice says the same.
func (p *picks) hold(patch int) patches {
	row, minor := anyPatch(), p.view.target.Python.Minor()
	for _, d := range p.markers() {
		env := p.view.env
		env.Extras = d.extras
		want := d.marker.Eval(env)
		same := func(patch int) bool { return d.marker.Eval(onPatch(env, minor, patch)) == want }
		for i := patch + 1; i <= lastPatch && i < row.to; i++ {
			if !same(i) {
				row.to = i
			}
		}
		for i := patch - 1; i >= row.from; i-- {
			if !same(i) {
				row.from = i + 1
			}
		}
	}
	return row
}
