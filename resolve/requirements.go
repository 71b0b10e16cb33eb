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
	for _, c := range constraints {
		m.spec.Constraints = append(m.spec.Constraints, m.join(c, finding.ConflictingConstraint))
		for _, r := range requirements {
			m.reportExcluded(c, r)
		}
	}
}

// mergeBuildDependencies joins them under their own rule: MLflow writes `pip==X` into
// python_env.yaml and, because conda-forge lags behind, `pip<=X` into conda.yaml on purpose. That
// is no disagreement, and neither is a missing or an unversioned one.
func (m *merger) mergeBuildDependencies() {
	for _, g := range m.groupBy(func(f *envfile.File) []envfile.Requirement { return f.BuildDependencies }) {
		m.spec.BuildDependencies = append(m.spec.BuildDependencies, m.join(g, finding.BuildDependencyDiffers))
	}
}

// join folds the entries of a group into one requirement and reports what does not fit. rule is
// what a contradiction is called.
func (m *merger) join(g *group, rule finding.ID) Requirement {
	sides := m.sides(g)
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

// sides folds the lines of each file, so that files are compared as wholes: one entry for each
// file, and one more for what contradicts it within that file. Lines that are joined are reported
// of the first file only, as MLflow writes the same into the others.
func (m *merger) sides(g *group) []entry {
	var out, lines []entry // lines: those of out[0]
	differ := false
	for _, e := range g.entries {
		i := slices.IndexFunc(out, func(o entry) bool { return o.file == e.file && source(o) == source(e) })
		if i < 0 || relate(out[i].Specifier, nil, e) == contradictory {
			out = append(out, e)
			if len(out) == 1 {
				lines = out[:1:1]
			}
			continue
		}
		side := &out[i]
		if i == 0 && source(e) == "" {
			differ = differ || relate(side.Specifier, nil, e) == compatible
			lines = append(lines, e)
		}
		side.Specifier = side.Specifier.And(e.Specifier)
		side.Extras = sorted(append(slices.Clone(side.Extras), e.Extras...))
		side.Hashes = sorted(append(slices.Clone(side.Hashes), e.Hashes...))
	}
	if differ {
		m.reportDuplicates(lines)
	}
	return out
}

// reportDuplicates reports the lines of one file that name the same package.
func (m *merger) reportDuplicates(lines []entry) {
	const shown = 4
	var words []string
	var from []finding.Origin
	for i, e := range lines {
		from = append(from, e.From)
		if i < shown {
			words = append(words, fmt.Sprintf("%s (%s)", text(e), e.From))
		}
	}
	if more := len(lines) - shown; more > 0 {
		words = append(words, fmt.Sprintf("%d more", more))
	}
	times := "twice"
	if len(lines) > 2 {
		times = fmt.Sprintf("%d times", len(lines))
	}
	m.find(finding.DuplicateRequirement, subject(lines[0]), from, "%s is named %s: %s; the lines are joined", subject(lines[0]), times, list(words))
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

// joinHashes takes the hashes of the winner, or of e where the winner has none.
func (m *merger) joinHashes(have []string, first, e entry) []string {
	if len(have) == 0 {
		return e.Hashes
	}
	if len(e.Hashes) == 0 {
		return have
	}
	if !slices.ContainsFunc(have, func(h string) bool { return slices.Contains(e.Hashes, h) }) {
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

// reportDiffering reports entries that go together but do not say the same. A flag may narrow
// what the model declares, and a build dependency may be capped, without a word.
func (m *merger) reportDiffering(rule finding.ID, winner, e entry) {
	if rule == finding.BuildDependencyDiffers || winner.file.Kind == envfile.Flags {
		return
	}
	from := []finding.Origin{winner.From, e.From}
	m.find(finding.SpecifiersDiffer, subject(winner), from, "%s wants %s but %s wants %s; the two are joined",
		winner.From, text(winner), e.From, text(e))
}

func (m *merger) reportExtras(rule finding.ID, winner, e entry) {
	if rule == finding.BuildDependencyDiffers || winner.file.Kind == envfile.Flags || slices.Equal(e.Extras, winner.Extras) {
		return
	}
	m.find(finding.ExtrasDiffer, subject(e), []finding.Origin{winner.From, e.From},
		"%s wants %s but %s wants %s; the extras of both are taken", winner.From, text(winner), e.From, text(e))
}

// reportOneFile reports requirements that some of the files lack. A file that declares none at
// all, and a python_env.yaml that only includes requirements.txt, are not asked.
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

// reportOverlaps reports requirements of one name with different markers that all hold for the
// model's Python and yet exclude each other.
func (m *merger) reportOverlaps(groups []*group) {
	env, ok := markerEnvironment(m.spec.Python.Version)
	if !ok {
		return
	}
	holding := map[pep508.Name][]*group{}
	for _, g := range groups {
		if g.name == "" || source(g.entries[0]) != "" || !g.marker.Eval(env) {
			continue
		}
		for _, other := range holding[g.name] {
			if !g.joined.And(other.joined).Satisfiable() {
				m.find(finding.ConflictingRequirements, string(g.name), append(other.origins(), g.origins()...),
					"no version of %s is both %s%s and %s%s, and Python %s on Linux needs both",
					g.name, text(other.entries[0]), markerText(other.marker),
					text(g.entries[0]), markerText(g.marker), m.spec.Python.Version)
			}
		}
		holding[g.name] = append(holding[g.name], g)
	}
}

// markerEnvironment is Linux with the model's Python: what a model is served on.
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
func (m *merger) reportExcluded(c, r *group) {
	if c.name == "" || c.name != r.name || !(c.marker.IsZero() || r.marker.IsZero() || c.marker.String() == r.marker.String()) {
		return
	}
	limit := c.entries[0]
	for _, e := range r.entries {
		if source(e) == "" && source(limit) == "" && !e.Specifier.And(limit.Specifier).Satisfiable() {
			m.find(finding.ConflictingConstraint, string(r.name), []finding.Origin{e.From, limit.From},
				"%s (%s) is excluded by the constraint %s (%s)", text(e), e.From, text(limit), limit.From)
			return
		}
	}
}
