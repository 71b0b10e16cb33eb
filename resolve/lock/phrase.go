package lock

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"mlenv/resolve/dist"
	"mlenv/resolve/index"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pubgrub"
)

// spec is a requirement without its marker.
func spec(r *pep508.Requirement) string {
	q := *r
	q.Marker = pep508.Marker{}
	return q.String()
}

// fact states a fact as a clause without a full stop.
func (s *explanation) fact(d *pubgrub.Derivation) string {
	if d.Left != nil {
		return s.derived(d.Terms)
	}
	n, ok := noteOf(d)
	switch {
	case ok && d.Dependency == nil:
		return fmt.Sprintf("you limit %s%s", spec(n.requirement), where(n.root.From))
	case ok && d.Package < 0:
		return fmt.Sprintf("you require %s%s%s", spec(n.requirement), where(n.root.From), s.lack(d.Dependency))
	case ok && n.same:
		return s.subject(d.Package, d.Versions) + " goes with the same version of itself"
	case ok:
		verb := "needs"
		if s.plural(d.Package, d.Versions) {
			verb = "need"
		}
		return fmt.Sprintf("%s %s %s%s", s.subject(d.Package, d.Versions), verb, spec(n.requirement), s.lack(d.Dependency))
	}
	return s.excluded(d)
}

// lack says why nothing satisfies a requirement, "" if something does.
func (s *explanation) lack(d *pubgrub.Dependency) string {
	if !d.Allowed.Empty() {
		return ""
	}
	pr := s.f.p.projects[d.Package]
	switch {
	case pr.missing != nil:
		if alone := (*index.NotFoundError)(nil); errors.As(pr.missing, &alone) && alone.Own {
			return ", but " + strings.Join(alone.Where, ", ") + ", which it is to come from, has no package of that name"
		}
		return ", but no index has a package of that name"
	case len(pr.versions) == 0:
		return ", but the index lists no file for it that has the name of a distribution"
	case pr.direct != nil:
		return fmt.Sprintf(", but %s is fixed to %s%s", pr.name, pr.versions[0].version, where(pr.direct.From))
	}
	if n, ok := d.Note.(need); ok {
		if pin, exact := n.requirement.Specifier.Pin(); exact && pin.Local() != "" && pr.has(pin.Public()) {
			return fmt.Sprintf(", but there is only %s without the label +%s", pin.Public(), pin.Local())
		}
	}
	newest := pr.versions[len(pr.versions)-1].version
	for _, c := range slices.Backward(pr.versions) {
		if !c.version.IsPrerelease() {
			newest = c.version
			break
		}
	}
	if index := pr.indexName(); index != "" {
		return fmt.Sprintf(", but %s has no such version (its newest is %s)", index, newest)
	}
	return fmt.Sprintf(", but there is no such version (the newest is %s)", newest)
}

// has reports whether there is a version.
func (pr *project) has(v pep440.Version) bool {
	return slices.ContainsFunc(pr.versions, func(c *candidate) bool { return c.version.Equal(v) })
}

// indexName is the index where a project's versions were found, "" where it was none.
func (pr *project) indexName() string {
	var indexes []string
	for _, c := range pr.versions {
		pr.filter.examine(c)
		for _, f := range c.files {
			if f.Index != "" && !slices.Contains(indexes, f.Index) {
				indexes = append(indexes, f.Index)
			}
		}
		if len(indexes) > 0 {
			return and(indexes)
		}
	}
	return ""
}

// excluded states why versions do not count.
func (s *explanation) excluded(d *pubgrub.Derivation) string {
	w := s.f.p.w
	who := s.subject(d.Package, d.Versions)
	have, are := "has", "is"
	if s.plural(d.Package, d.Versions) {
		have, are = "have", "are"
	}
	pr := s.f.p.projects[d.Package]
	c := pr.versions[d.Versions.Max()]
	for i := range d.Versions.Down() {
		if d.Note == pr.why(i) {
			c = pr.versions[i] // the newest of those for which it is true
			break
		}
	}
	several := d.Versions.Len() > 1 // of which c is but one
	target := fmt.Sprintf("Python %s on %s (%s)", w.target.Python, w.target.Platform(), w.target.Libc)
	switch d.Note {
	case isPrerelease:
		return fmt.Sprintf("%s %s a pre-release, which counts only where it is asked for", who, are)
	case isYanked:
		return fmt.Sprintf("%s %s yanked%s, which counts only where it is pinned by ==", who, are, yankedBecause(c))
	case wrongHash:
		return fmt.Sprintf("no file of %s has one of the hashes written beside its requirement", who)
	case noBinary:
		return fmt.Sprintf("the wheels of %s are excluded, as you asked", who)
	case tooNew:
		if undated(c) {
			return fmt.Sprintf("%s %s excluded, for %s does not say when the files were uploaded, and only those from before %s count",
				who, are, cmp.Or(pr.indexName(), "the index"), formatTime(w.p.Limits.Cutoff))
		}
		return fmt.Sprintf("%s %s not uploaded before %s", who, are, formatTime(w.p.Limits.Cutoff))
	case wrongPython:
		if several {
			return fmt.Sprintf("%s %s for other versions of Python than %s (%s for %s)", who, are, w.target.Python, c.version, requiresPython(c))
		}
		return fmt.Sprintf("%s %s for Python %s", who, are, requiresPython(c))
	case wrongTags:
		if several {
			return fmt.Sprintf("%s %s no wheel for %s (%s has one for %s)", who, have, target, c.version, tagsOf(c))
		}
		return fmt.Sprintf("%s %s no wheel for %s, only for %s", who, have, target, tagsOf(c))
	case onlySource:
		if several {
			return fmt.Sprintf("%s %s no wheel at all, only source distributions", who, have)
		}
		return fmt.Sprintf("%s %s no wheel at all, only %s", who, have, sourcesOf(c))
	}
	return fmt.Sprintf("%s cannot be used: %v", who, d.Note)
}

// printable is a text of an index's in one line without control characters, which could play with
// the terminal that it is shown on.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	const most = 200
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + "…"
	}
	return s
}

func yankedBecause(c *candidate) string {
	for _, f := range c.files {
		if f.YankedReason != "" {
			return " (" + printable(f.YankedReason) + ")"
		}
	}
	return ""
}

// undated reports whether the index says of none of a version's wheels when it was uploaded.
func undated(c *candidate) bool {
	return !slices.ContainsFunc(c.files, func(f dist.File) bool { return f.Wheel && !f.UploadTime.IsZero() })
}

func requiresPython(c *candidate) string {
	for _, f := range c.files {
		if f.RequiresPython != "" {
			return f.RequiresPython
		}
	}
	return "other versions"
}

func sourcesOf(c *candidate) string {
	for _, f := range c.files {
		if !f.Wheel {
			return "a source distribution (" + f.Filename + ")"
		}
	}
	return "other files"
}

// tagsOf sums up what a version has wheels for.
func tagsOf(c *candidate) string {
	var pythons, platforms []string
	add := func(list *[]string, s string) {
		if !slices.Contains(*list, s) {
			*list = append(*list, s)
		}
	}
	for _, f := range c.files {
		for _, t := range f.Tags {
			python := t.Python
			if t.ABI == "abi3" {
				python += " and newer"
			} else if strings.HasSuffix(t.ABI, "t") && strings.HasPrefix(t.ABI, "cp") {
				python = "free-threaded " + python
			}
			add(&pythons, python)
			add(&platforms, platform(t.Platform))
		}
	}
	const most = 8
	if len(pythons) > most {
		pythons = append([]string{"…"}, pythons[len(pythons)-most:]...)
	}
	return and(pythons) + " on " + and(platforms)
}

// platform shortens a platform tag to what matters to a reader.
func platform(tag string) string {
	for _, p := range []string{"macosx", "musllinux", "win", "android", "ios"} {
		if strings.HasPrefix(tag, p) {
			switch p {
			case "macosx":
				return "macOS"
			case "win":
				return "Windows"
			case "musllinux":
				return "musl Linux " + machine(tag)
			}
			return p
		}
	}
	if tag == "any" {
		return "any platform"
	}
	if strings.Contains(tag, "linux") {
		return "Linux " + machine(tag)
	}
	return tag
}

// machine is the architecture at the end of a platform tag.
func machine(tag string) string {
	for _, m := range []string{"x86_64", "aarch64", "i686", "ppc64le", "s390x", "armv7l", "riscv64", "loongarch64"} {
		if strings.HasSuffix(tag, m) {
			return m
		}
	}
	return tag[strings.LastIndexByte(tag, '_')+1:]
}

// derived states what follows, by the shape of its terms.
func (s *explanation) derived(terms []pubgrub.Term) string {
	var yes, no []pubgrub.Term
	for _, t := range terms {
		if t.Negative {
			no = append(no, t)
		} else {
			yes = append(yes, t)
		}
	}
	list := func(terms []pubgrub.Term) []string {
		var out []string
		for _, t := range terms {
			who := s.subject(t.Package, t.Versions)
			if pr := s.f.p.projects[t.Package]; t.Negative && pr.phrase(t.Versions) == "" {
				who = s.name(t.Package) // in any version
				if t.Versions.Len() < len(pr.versions) {
					// What must be used is not every version, though it may be every one that counts.
					who += " " + pr.phraseBy(t.Versions, func(int) bool { return true })
				}
			}
			out = append(out, who)
		}
		return out
	}
	switch {
	case len(terms) == 0:
		return "your requirements cannot be met together"
	case len(no) == 0 && len(yes) == 1:
		return list(yes)[0] + " cannot be used"
	case len(no) == 0:
		return and(list(yes)) + " exclude each other"
	case len(yes) == 0 && len(no) == 1:
		return list(no)[0] + " must be used"
	case len(yes) == 0:
		return strings.Join(list(no), " or ") + " must be used"
	}
	verb := " needs "
	if len(yes) > 1 || s.plural(yes[0].Package, yes[0].Versions) {
		verb = " need "
	}
	return and(list(yes)) + verb + strings.Join(list(no), " or ")
}

// subject names a package with some of its versions.
func (s *explanation) subject(id int, set pubgrub.Set) string {
	if versions := s.f.p.projects[id].phrase(set); versions != "" {
		return s.name(id) + " " + versions
	}
	return "every version of " + s.name(id)
}

// name is a package, with its extra.
func (s *explanation) name(id int) string {
	it := s.f.p.items[id]
	if it.extra != "" {
		return string(it.name) + "[" + string(it.extra) + "]"
	}
	return string(it.name)
}

// plural reports whether subject names several versions.
func (s *explanation) plural(id int, set pubgrub.Set) bool {
	return set.Len() > 1 && s.f.p.projects[id].phrase(set) != ""
}

// phrase puts a set of versions into words: a version, a range, or a few of them; "" stands for
// all. A gap of versions that do not count anyway is no gap.
func (pr *project) phrase(set pubgrub.Set) string {
	return pr.phraseBy(set, func(i int) bool { return pr.counts(i, set) })
}

// phraseBy is phrase where counts says which versions outside of the set are a gap.
func (pr *project) phraseBy(set pubgrub.Set, counts func(int) bool) string {
	type run struct{ lo, hi int }
	var runs []run
	open := false // the last run may go on
	for i := range pr.versions {
		switch {
		case set.Has(i) && open:
			runs[len(runs)-1].hi = i
		case set.Has(i):
			runs = append(runs, run{i, i})
			open = true
		case counts(i):
			open = false
		}
	}
	if len(runs) == 0 {
		return "(no version)"
	}
	first, last := 0, len(pr.versions)-1
	for first < last && !set.Has(first) && !counts(first) {
		first++
	}
	for last > first && !set.Has(last) && !counts(last) {
		last--
	}
	if runs[0].lo <= first && runs[0].hi >= last && last > first {
		return ""
	}
	v := func(i int) string { return pr.versions[i].version.String() }
	if len(runs) > 3 {
		return fmt.Sprintf("(%d versions from %s to %s)", set.Len(), v(runs[0].lo), v(runs[len(runs)-1].hi))
	}
	var parts []string
	for _, r := range runs {
		switch {
		case r.lo == r.hi:
			parts = append(parts, v(r.lo))
		case r.hi == last:
			parts = append(parts, v(r.lo)+" and newer")
		case r.lo == first:
			parts = append(parts, v(r.hi)+" and older")
		default:
			parts = append(parts, v(r.lo)+" to "+v(r.hi))
		}
	}
	return strings.Join(parts, ", ")
}

// counts reports whether a version outside of a set is a gap in it. One that does not count is
// none, but that among those that do not.
func (pr *project) counts(i int, set pubgrub.Set) bool {
	if top := set.Max(); top >= 0 && pr.versions[top].early == usable && pr.why(top) != usable {
		return pr.versions[i].early == usable
	}
	return pr.why(i) == usable
}
