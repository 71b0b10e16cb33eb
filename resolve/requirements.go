package resolve

import (
	"fmt"
	"slices"
	"strings"

	"mlenv/resolve/envfile"
	"mlenv/resolve/finding"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

func (m *merger) mergeRequirements() {
	groups := m.groupBy(func(f *envfile.File) []envfile.Requirement { return f.Requirements })
	for _, g := range groups {
		m.spec.Requirements = append(m.spec.Requirements, m.join(g, finding.ConflictingRequirements))
	}
	m.reportOneFile(groups)
	m.reportOverlaps(groups)
}

func (m *merger) mergeConstraints() {
	constraints := m.groupBy(func(f *envfile.File) []envfile.Requirement { return f.Constraints })
	requirements := m.groupBy(func(f *envfile.File) []envfile.Requirement { return f.Requirements })
	byName := map[pep508.Name][]*group{}
	for _, r := range requirements {
		byName[r.name] = append(byName[r.name], r)
	}
	left := budget(maxComparisons)
	for _, c := range constraints {
		m.spec.Constraints = append(m.spec.Constraints, m.join(c, finding.ConflictingConstraint))
		for _, r := range byName[c.name] {
			m.reportExcluded(c, r, &left)
		}
	}
}

// mergeBuildDependencies merges build dependencies, with a rule of their own. MLflow writes
// `pip==X` to python_env.yaml and deliberately `pip<=X` to conda.yaml, because conda-forge lags
// behind. That is not a disagreement, and neither is a build dependency that is missing or has no
// version.
func (m *merger) mergeBuildDependencies() {
	for _, g := range m.groupBy(func(f *envfile.File) []envfile.Requirement { return f.BuildDependencies }) {
		m.spec.BuildDependencies = append(m.spec.BuildDependencies, m.join(g, finding.BuildDependencyDiffers))
	}
}

// join merges the entries of a group into one requirement and reports those that do not fit. rule
// is the rule for contradictions.
func (m *merger) join(g *group, rule finding.ID) Requirement {
	sides := m.foldFiles(g)
	first := sides[0]
	g.joined = first.Specifier
	extras, hashes := first.Extras, first.Hashes
	var direct *entry
	if source(first) != "" {
		direct = &first
	}
	for _, e := range sides[1:] {
		switch relate(g.joined, direct, e) {
		case contradictory:
			m.reportConflict(rule, first, e)
			continue
		case compatible:
			m.reportDiffering(rule, first, e)
			if source(e) != "" {
				direct = &e
			}
			g.joined = g.joined.And(e.Specifier)
		}
		m.reportExtras(rule, first, e)
		extras = append(slices.Clone(extras), e.Extras...)
		hashes = m.joinHashes(hashes, first, e)
	}
	g.joined = reduce(g.joined)
	return g.requirement(direct, extras, hashes)
}

// maxContradictions is how many lines of one file may contradict its others, for one package, and
// still be reported one by one: each is compared with all that was joined.
const maxContradictions = 50

// maxComparisons bounds what is compared pair by pair, in clauses. Only a file that is made for it
// comes near; what is then left unsaid here comes out when a lock is solved.
const maxComparisons = 2_000_000

// budget is what is left of maxComparisons.
type budget int

func (b *budget) spend(sets ...pep440.Specifiers) bool {
	for _, s := range sets {
		*b -= budget(1 + len(s.Clauses()))
	}
	return *b >= 0
}

// side is what one file says of a group, from one source. Its lines are joined as they come, in time that
// grows with their number alone: compared one by one, ten thousand lines of a hostile model would take hours.
type side struct {
	entry
	all    pep440.Conjunction
	never  string // the first line's specifier, if no version satisfies it
	extras []pep508.Name
	hashes []string
	lines  int
}

// take joins a line with those before it, unless it contradicts them.
func (s *side) take(e entry) relation {
	rel := equal
	switch {
	case source(e) != "":
	case s.never != "": // the first line contradicts itself, and so whatever says anything else
		if s.never != e.Specifier.String() {
			return contradictory
		}
	default:
		if !s.all.SameAs(e.Specifier) {
			rel = compatible
		}
		if !s.all.Add(e.Specifier) {
			if s.lines == 0 {
				s.never = e.Specifier.String()
			}
			return contradictory
		}
	}
	s.lines++
	s.extras = append(s.extras, e.Extras...)
	s.hashes = append(s.hashes, e.Hashes...)
	return rel
}

// whole returns the lines as one entry.
func (s *side) whole() entry {
	switch {
	case s.never != "":
		s.Extras, s.Hashes = sorted(append(s.Extras, s.extras...)), sorted(append(s.Hashes, s.hashes...))
	case s.lines > 1:
		s.Specifier, s.Extras, s.Hashes = s.all.Specifiers(), sorted(s.extras), sorted(s.hashes)
	}
	return s.entry
}

// foldFiles folds the lines of each file, so that files are compared as wholes: one entry for each
// file, and one more if a line in the file contradicts it. Duplicate lines are reported for the
// first file only, as MLflow writes the same lines to the others.
func (m *merger) foldFiles(g *group) []entry {
	type place struct {
		file   *envfile.File
		source string
	}
	var all []*side
	var lines []entry // those of the first side
	first := map[place]*side{}
	differ, contradictions := false, 0
	for _, e := range g.entries {
		at := place{e.file, source(e)}
		s := first[at]
		if s == nil {
			s = &side{entry: e}
			s.take(e)
			first[at] = s
			if all = append(all, s); len(all) == 1 {
				lines = []entry{e}
			}
			continue
		}
		rel := s.take(e)
		switch {
		case rel != contradictory:
			if s == all[0] && source(e) == "" {
				differ = differ || rel == compatible
				lines = append(lines, e)
			}
		case contradictions < maxContradictions:
			contradictions++
			all = append(all, &side{entry: e})
		}
	}
	if differ {
		m.reportDuplicates(lines)
	}
	var out []entry
	for _, s := range all {
		out = append(out, s.whole())
	}
	return out
}

// reportDuplicates reports the lines of one file that name the same package.
func (m *merger) reportDuplicates(lines []entry) {
	const most = 4
	var words []string
	var from []finding.Origin
	for i, e := range lines {
		from = append(from, e.From)
		if i < most {
			words = append(words, fmt.Sprintf("%s (%s)", text(e), e.From))
		}
	}
	if more := len(lines) - most; more > 0 {
		words = append(words, fmt.Sprintf("%d more", more))
	}
	times := "twice"
	if len(lines) > 2 {
		times = fmt.Sprintf("%d times", len(lines))
	}
	m.find(finding.DuplicateRequirement, subject(lines[0]), from, "%s is named %s: %s; the lines are combined", subject(lines[0]), times, list(words))
}

func (g *group) requirement(direct *entry, extras []pep508.Name, hashes []string) Requirement {
	out := Requirement{
		Name:   g.name,
		Extras: sorted(extras),
		Marker: g.marker,
		From:   g.origins(),
		Hashes: sorted(hashes),
	}
	if direct == nil {
		out.Specifier = g.joined
	} else {
		out.URL, out.Path, out.Editable = direct.URL, direct.Path, direct.Editable
	}
	return out
}

func sorted[T ~string](list []T) []T {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// joinHashes returns the hashes of the winner, or those of e if the winner has none. They are not joined:
// a hash more is a file more that would be accepted.
func (m *merger) joinHashes(have []string, first, e entry) []string {
	if len(have) == 0 {
		return e.Hashes
	}
	if len(e.Hashes) == 0 {
		return have
	}
	theirs := map[string]bool{}
	for _, h := range e.Hashes {
		theirs[h] = true
	}
	if !slices.ContainsFunc(have, func(h string) bool { return theirs[h] }) {
		m.find(finding.ConflictingHashes, subject(e), []finding.Origin{first.From, e.From},
			"%s and %s give different hashes for %s; those of %s are used",
			first.From, e.From, text(e), first.From)
	}
	return have
}

func subject(e entry) string {
	if e.Name != "" {
		return string(e.Name)
	}
	return source(e)
}

func (m *merger) reportConflict(rule finding.ID, winner, loser entry) {
	from := []finding.Origin{winner.From, loser.From}
	sides := fmt.Sprintf("%s (%s) and %s (%s)", text(winner), winner.From, text(loser), loser.From)
	choice := "as MLflow would"
	if winner.file.Kind == envfile.Flags {
		choice = "as the command line says"
	}
	what := "no version of " + subject(winner) + " is both"
	if source(winner) != "" || source(loser) != "" {
		what = subject(winner) + " cannot come from both"
	}
	m.find(rule, subject(winner), from, "%s %s; %s is used, %s", what, sides, text(winner), choice)
}

// reportDiffering reports entries that are compatible but not the same. It is not a finding if a
// flag narrows what the model declares, or if a build dependency is capped.
func (m *merger) reportDiffering(rule finding.ID, winner, e entry) {
	if rule == finding.BuildDependencyDiffers || winner.file.Kind == envfile.Flags {
		return
	}
	from := []finding.Origin{winner.From, e.From}
	m.find(finding.SpecifiersDiffer, subject(winner), from, "%s wants %s but %s wants %s; the two are combined",
		winner.From, text(winner), e.From, text(e))
}

func (m *merger) reportExtras(rule finding.ID, winner, e entry) {
	if rule == finding.BuildDependencyDiffers || winner.file.Kind == envfile.Flags || slices.Equal(e.Extras, winner.Extras) {
		return
	}
	m.find(finding.ExtrasDiffer, subject(e), []finding.Origin{winner.From, e.From},
		"%s wants %s but %s wants %s; the extras of both are used", winner.From, text(winner), e.From, text(e))
}

// reportOneFile reports requirements that are missing from some of the files. It ignores files that
// declare no requirements at all, and a python_env.yaml that only includes requirements.txt. Whoever adds a
// package by hand edits one file; with another environment manager MLflow then reads one without it.
func (m *merger) reportOneFile(groups []*group) {
	var sources []*envfile.File
	for _, f := range m.files {
		switch f.Kind {
		case envfile.PythonEnv:
			if slices.ContainsFunc(f.Requirements, func(r envfile.Requirement) bool { return r.From.File == f.Path }) {
				sources = append(sources, f)
			}
		case envfile.Requirements, envfile.Conda:
			if len(f.Requirements) > 0 {
				sources = append(sources, f)
			}
		}
	}
	for _, g := range groups {
		if slices.ContainsFunc(g.entries, func(e entry) bool { return m.fromConda[e.From] }) {
			continue // pip never read it there
		}
		var with, without []string
		for _, f := range sources {
			if slices.Contains(g.files, f) {
				with = append(with, f.Path)
			} else {
				without = append(without, f.Path)
			}
		}
		if len(with) > 0 && len(without) > 0 {
			m.find(finding.RequirementInOneFile, g.subject(), g.origins(), "%s is declared in %s but not in %s",
				strings.TrimSpace(text(g.entries[0])+markerText(g.marker)), list(with), list(without))
		}
	}
}

func markerText(m pep508.Marker) string {
	if m.IsZero() {
		return ""
	}
	return " (where " + m.String() + ")"
}

// reportOverlaps reports requirements of one package with different markers that are all true for
// the model's Python but exclude each other. In the file they look like alternatives.
func (m *merger) reportOverlaps(groups []*group) {
	env, ok := markerEnvironment(m.spec.Python.Version)
	if !ok {
		return
	}
	holding := map[pep508.Name][]*group{}
	together := map[pep508.Name]*pep440.Conjunction{}
	reported := map[pep508.Name]int{}
	left := budget(maxComparisons)
	for _, g := range groups {
		if g.name == "" || source(g.entries[0]) != "" || !g.marker.Eval(env) {
			continue
		}
		if together[g.name] == nil {
			together[g.name] = &pep440.Conjunction{}
		}
		others := holding[g.name]
		if together[g.name].Add(g.joined) {
			others = nil // what goes with all of them goes with each
		}
		for _, other := range others {
			if reported[g.name] >= maxContradictions || !left.spend(g.joined, other.joined) {
				break
			}
			if !g.joined.And(other.joined).Satisfiable() {
				reported[g.name]++
				m.find(finding.ConflictingRequirements, string(g.name), append(other.origins(), g.origins()...),
					"no version of %s is both %s%s and %s%s, and Python %s on Linux needs both",
					g.name, text(other.entries[0]), markerText(other.marker),
					text(g.entries[0]), markerText(g.marker), m.spec.Python.Version)
			}
		}
		holding[g.name] = append(holding[g.name], g)
	}
}

// markerEnvironment returns the environment that models are served in: Linux with the model's
// Python (PEP 508, "Environment markers"). Where a marker asks for the machine, this one is x86-64: there is
// no base yet that would say. It only serves to find contradictions; what is installed is decided anew.
func markerEnvironment(python pep440.Version) (pep508.Environment, bool) {
	minor := python.Minor()
	if minor == "" {
		return pep508.Environment{}, false
	}
	full := python.String()
	if len(python.Release()) == 2 {
		full += ".0"
	}
	return pep508.Environment{
		OSName: "posix", SysPlatform: "linux", PlatformMachine: "x86_64", PlatformSystem: "Linux",
		PlatformPythonImplementation: "CPython", ImplementationName: "cpython",
		PythonVersion: minor, PythonFullVersion: full, ImplementationVersion: full,
	}, true
}

// reportExcluded reports a constraint that leaves no version of a requirement.
func (m *merger) reportExcluded(c, r *group, left *budget) {
	if c.name == "" || c.name != r.name || !(c.marker.IsZero() || r.marker.IsZero() || c.marker.String() == r.marker.String()) {
		return
	}
	limit := c.entries[0]
	for _, e := range r.entries {
		if source(e) != "" || source(limit) != "" {
			continue
		}
		if !left.spend(e.Specifier, limit.Specifier) {
			return
		}
		if !e.Specifier.And(limit.Specifier).Satisfiable() {
			m.find(finding.ConflictingConstraint, string(r.name), []finding.Origin{e.From, limit.From},
				"%s (%s) is excluded by the constraint %s (%s)", text(e), e.From, text(limit), limit.From)
			return
		}
	}
}
