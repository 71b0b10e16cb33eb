package pylock

import (
	"mlenv/resolve/dist"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// Needs is what the packages that a target installs can rely on: which others there are. It is for comparing
// a wheel with the lock once the wheel is at hand: the lock was made of what an index said of it.
type Needs struct {
	env      pep508.Environment
	versions map[pep508.Name]pep440.Version
}

// NeedsOf gives what a target installs of picks.
func NeedsOf(picks []Pick, t dist.Target) *Needs {
	n := &Needs{env: t.Environment(), versions: map[pep508.Name]pep440.Version{}}
	for _, p := range picks {
		n.versions[p.Name] = p.Version
	}
	return n
}

// Unmet gives the requirements of a distribution that nothing among the picks meets, as texts. What only
// an extra needs does not count: a lock does not say which extras were asked for.
func (n *Needs) Unmet(m *dist.Metadata) []string {
	unmet := append([]string(nil), m.Invalid...)
	for i := range m.RequiresDist {
		r := &m.RequiresDist[i]
		if !r.Marker.Eval(n.env) {
			continue
		}
		if v, ok := n.versions[r.Name]; !ok || !v.IsZero() && !r.Specifier.Match(v) {
			unmet = append(unmet, r.String())
		}
	}
	return unmet
}
