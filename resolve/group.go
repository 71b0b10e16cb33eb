package resolve

import (
	"path"
	"slices"
	"strings"

	"mlenv/resolve/envfile"
	"mlenv/resolve/finding"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// entry is a requirement with the file it was read from. Requirement.From names the file that
// contains it, which may be an included one.
type entry struct {
	envfile.Requirement
	file *envfile.File
}

// group holds all entries with the same name and marker. The first entry wins any conflict. Entries of one
// name with different markers are different groups: "a==1; python_version < '3.9'" and "a==2;
// python_version >= '3.9'" are no contradiction.
type group struct {
	name    pep508.Name
	marker  pep508.Marker
	entries []entry
	seen    map[line]bool     // of the entries
	files   []*envfile.File   // the files that declare it
	joined  pep440.Specifiers // the specifiers of all entries that agree with the winner
}

// groupBy groups the requirements that pick returns for each file, in the order of precedence.
func (m *merger) groupBy(pick func(*envfile.File) []envfile.Requirement) []*group {
	var groups []*group
	index := map[string]*group{}
	for _, f := range m.files {
		for _, r := range pick(f) {
			g := index[key(r)]
			if g == nil {
				g = &group{name: r.Name, marker: r.Marker}
				index[key(r)] = g
				groups = append(groups, g)
			}
			g.add(entry{r, f})
		}
	}
	return groups
}

// key returns the identity of a requirement: its name and marker, or its path or URL if its name is
// not known.
func key(r envfile.Requirement) string {
	name := string(r.Name)
	if name == "" {
		name = "\x00" + r.URL + r.Path
	}
	return name + "\x00" + r.Marker.String()
}

// line is a requirement where it stands.
type line struct {
	from finding.Origin
	text string
}

func (g *group) add(e entry) {
	if !slices.Contains(g.files, e.file) {
		g.files = append(g.files, e.file)
	}
	l := line{e.From, whole(e)}
	if g.seen[l] {
		return // the same line, already read through an include
	}
	if g.seen == nil {
		g.seen = map[line]bool{}
	}
	g.seen[l] = true
	g.entries = append(g.entries, e)
}

func (g *group) origins() []finding.Origin {
	var from origins
	for _, e := range g.entries {
		from.add(e.From)
	}
	return from.list
}

// subject returns the name of the group in findings.
func (g *group) subject() string {
	if g.name != "" {
		return string(g.name)
	}
	return source(g.entries[0])
}

// source returns the URL or path of a direct requirement, or "" for one from an index.
func source(e entry) string {
	if e.Path != "" {
		return e.Path
	}
	return e.URL
}

// shown is how much of a requirement a message shows, in bytes.
const shown = 300

// text returns the requirement as messages show it: a line of ten thousand specifiers is not shown whole,
// as often as there is something to say of it.
func text(e entry) string {
	if s := whole(e); len(s) > shown+len("…") {
		return strings.ToValidUTF8(s[:shown], "") + "…"
	} else {
		return s
	}
}

// whole is all of the requirement but its marker.
func whole(e entry) string {
	var b strings.Builder
	b.WriteString(string(e.Name))
	b.WriteString(extrasText(e.Extras))
	switch s := source(e); {
	case s != "" && e.Name != "":
		b.WriteString(" @ " + s)
	case s != "":
		b.WriteString(s)
	default:
		b.WriteString(e.Specifier.String())
	}
	return b.String()
}

func extrasText(extras []pep508.Name) string {
	if len(extras) == 0 {
		return ""
	}
	words := make([]string, len(extras))
	for i, x := range extras {
		words[i] = string(x)
	}
	return "[" + strings.Join(words, ",") + "]"
}

// pinnedBySource returns the version of a direct requirement if its file name contains it, as that
// of a wheel does. Other archives are not relied on: those of repositories are named after a tag or commit.
func pinnedBySource(e entry) (pep440.Version, bool) {
	base, _, _ := strings.Cut(path.Base(source(e)), "#")
	if !strings.HasSuffix(base, ".whl") {
		return pep440.Version{}, false
	}
	parts := strings.Split(base, "-")
	if len(parts) < 5 {
		return pep440.Version{}, false
	}
	v, err := pep440.Parse(strings.ReplaceAll(parts[1], "_", "-"))
	return v, err == nil
}

// relation is how two entries of a group relate. Compatible entries are joined, as pip would do with two
// lines of one file; of contradictory ones the first is kept and the other one reported.
type relation int

const (
	equal relation = iota
	compatible
	contradictory
)

// relate compares e with the specifiers merged so far. direct is the direct requirement among the
// merged entries, or nil.
func relate(joined pep440.Specifiers, direct *entry, e entry) relation {
	switch {
	case direct != nil && source(e) != "":
		if source(*direct) == source(e) && direct.Editable == e.Editable {
			return equal
		}
		return contradictory
	case direct != nil:
		return fits(*direct, e.Specifier)
	case source(e) != "":
		return fits(e, joined)
	case samePin(joined, e.Specifier) || joined.String() == e.Specifier.String():
		return equal
	case joined.And(e.Specifier).Satisfiable():
		return compatible
	}
	return contradictory
}

// fits compares a direct requirement with versions wanted from an index. A contradiction can only
// be detected if the file name contains the version.
func fits(direct entry, wanted pep440.Specifiers) relation {
	if v, ok := pinnedBySource(direct); ok && !wanted.Match(v) {
		return contradictory
	}
	return compatible
}

// samePin reports whether two specifiers pin the same version, even if it is written differently,
// such as ==1.0 and ==1.0.0.
func samePin(a, b pep440.Specifiers) bool {
	v, ok := a.Pin()
	w, too := b.Pin()
	return ok && too && v.Compare(w) == 0
}

// reduce removes the clauses of a satisfiable set that a pin in it makes redundant, so that a Spec says
// "==2.0" and not "==2.0,>=1.5,<3". Of several pins the most exact one wins: ==2.0+cu118 over ==2.0.
func reduce(s pep440.Specifiers) pep440.Specifiers {
	var best pep440.Specifiers
	var version pep440.Version
	for _, c := range s.Clauses() {
		one := pep440.Join(c)
		if v, ok := one.Pin(); ok && (version.IsZero() || version.Local() == "" && v.Local() != "") {
			best, version = one, v
		}
	}
	if version.IsZero() || !s.Match(version) {
		return s
	}
	return best
}
