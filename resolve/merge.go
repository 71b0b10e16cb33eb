package resolve

import (
	"cmp"
	"slices"
	"strings"

	"mlenv/resolve/envfile"
	"mlenv/resolve/finding"
)

// Merge merges environment files into one Spec. The order of its arguments does not matter: if
// files disagree, the one that MLflow itself would use wins (flags, then python_env.yaml,
// requirements.txt, conda.yaml), and the disagreement becomes a finding.
func Merge(files ...*envfile.File) *Spec {
	m := newMerger(files)
	m.mergeAll()
	return m.finish()
}

// merger builds one Spec.
type merger struct {
	files []*envfile.File // in the order of precedence
	spec  *Spec

	fromConda map[finding.Origin]bool // where requirements were written as packages for conda
}

func newMerger(files []*envfile.File) *merger {
	m := &merger{files: slices.Clone(files), spec: &Spec{SchemaVersion: SchemaVersion}}
	slices.SortStableFunc(m.files, func(a, b *envfile.File) int {
		return cmp.Or(cmp.Compare(precedence(a.Kind), precedence(b.Kind)), cmp.Compare(a.Path, b.Path))
	})
	return m
}

// precedence ranks the kinds of files as MLflow does. The lowest rank wins. The last three are not read by
// MLflow for requirements; they only say what the Python was.
func precedence(k envfile.Kind) int {
	return slices.Index([]envfile.Kind{
		envfile.Flags, envfile.PythonEnv, envfile.Requirements, envfile.Conda,
		envfile.MLmodel, envfile.PythonVersionFile, envfile.PyProject,
	}, k)
}

func (m *merger) mergeAll() {
	m.mergePython()
	m.mergeBuildDependencies()
	m.mergeRequirements()
	m.mergeConstraints()
	m.mergeIndex()
	m.mergeConda()
	m.reportCredentials()
	if f := m.locked(); f != nil {
		m.find(finding.LockedRequirements, f.Path, nil, "%s is a lock that MLflow wrote when it logged the model", f.Path)
	}
	for _, f := range m.files {
		m.spec.Secrets = append(m.spec.Secrets, f.Secrets...)
		for _, v := range f.Variables {
			m.spec.EnvironmentVariables = append(m.spec.EnvironmentVariables, v.Value)
		}
		for _, n := range f.Notes {
			m.find(n.Rule, n.Subject, []finding.Origin{n.From}, "%s", n.Message)
		}
	}
}

// locked returns the file that MLflow wrote as a lock, or nil. The other files only repeat or
// include requirements.txt then.
func (m *merger) locked() *envfile.File {
	var found *envfile.File
	for _, f := range m.files {
		if f.Locked && (found == nil || f.Kind == envfile.Requirements) {
			found = f
		}
	}
	return found
}

// reportCredentials reports each URL with credentials once, with all the files that have it: MLflow copies
// a requirement into three files, and there is one password to change.
func (m *merger) reportCredentials() {
	var texts []string
	places := map[string]*origins{}
	for _, f := range m.files {
		for _, o := range f.CredentialsIn {
			if places[o.Text] == nil {
				places[o.Text] = &origins{}
				texts = append(texts, o.Text)
			}
			places[o.Text].add(o)
		}
	}
	for _, text := range texts {
		var words []string
		from := places[text].list
		for _, o := range from {
			words = append(words, o.String())
		}
		m.find(finding.CredentialsInURL, from[0].File, from,
			"a URL in %s contains credentials; they are left out here, but anyone who can read the model can see them", list(words))
	}
}

func (m *merger) mergeConda() {
	known := map[string]int{} // the packages, by their canonical text
	var from []*origins       // of each package
	for _, f := range m.files {
		m.spec.Conda.Channels = appendValues(m.spec.Conda.Channels, f.Channels)
		for _, p := range f.CondaPackages {
			i, ok := known[p.MatchSpec]
			if !ok {
				i = len(m.spec.Conda.Packages)
				known[p.MatchSpec] = i
				m.spec.Conda.Packages = append(m.spec.Conda.Packages, CondaPackage{Name: p.Name, MatchSpec: p.MatchSpec})
				from = append(from, &origins{})
			}
			from[i].add(p.From)
		}
	}
	for i := range from {
		m.spec.Conda.Packages[i].From = from[i].list
	}
	m.reportCondaPackages()
}

// reportCondaPackages reports that there are conda packages at all, in one finding: a conda.yaml made by
// "conda env export" lists hundreds.
func (m *merger) reportCondaPackages() {
	packages := m.spec.Conda.Packages
	if len(packages) == 0 {
		return
	}
	var names []string
	var from []finding.Origin
	for _, p := range packages {
		names = append(names, p.Name)
		from = append(from, p.From...)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	what := "is declared as a conda package, which"
	if len(names) > 1 {
		what = "are declared as conda packages, which"
	}
	m.find(finding.CondaPackages, "conda", from, "%s %s pip and uv do not install", list(names), what)
}

// condaAsPip makes requirements of the packages for conda. Those that cannot be stay what they are.
func (m *merger) condaAsPip() {
	m.fromConda = map[finding.Origin]bool{}
	for _, f := range m.files {
		var rest []envfile.CondaPackage
		for _, p := range f.CondaPackages {
			r, why := p.Requirement()
			from := []finding.Origin{p.From}
			if why != "" {
				m.find(finding.CondaNotPip, p.Name, from, "%s cannot be installed by pip: %s", p.MatchSpec, why)
				rest = append(rest, p)
				continue
			}
			m.find(finding.CondaAsPip, p.Name, from, "%s is installed by pip, as %s", p.MatchSpec, r.Requirement)
			m.fromConda[p.From] = true
			f.Requirements = append(f.Requirements, r)
		}
		f.CondaPackages = rest
	}
}

// find reports a finding of a rule. The findings are sorted in the end; nothing depends on the order of calls.
func (m *merger) find(rule finding.ID, subject string, from []finding.Origin, format string, args ...any) {
	m.spec.Findings.Add(rule, subject, from, format, args...)
}

// finish sorts everything whose order has no meaning, replaces nil lists, and sets the digest. Extra indexes
// and conda's channels stay as they are: their order decides where a package is taken from.
func (m *merger) finish() *Spec {
	s := m.spec
	slices.Sort(s.EnvironmentVariables)
	s.EnvironmentVariables = slices.Compact(s.EnvironmentVariables)
	for _, list := range [][]Requirement{s.BuildDependencies, s.Requirements, s.Constraints} {
		slices.SortStableFunc(list, compareRequirements)
	}
	slices.SortStableFunc(s.Conda.Packages, func(a, b CondaPackage) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.MatchSpec, b.MatchSpec))
	})
	slices.SortStableFunc(s.CodePaths, func(a, b CodePath) int { return cmp.Compare(a.Path, b.Path) })
	slices.SortStableFunc(s.SystemPackages, func(a, b SystemPackage) int { return cmp.Compare(a.Name, b.Name) })
	s.Findings = s.Findings.Sorted()
	s.fill()
	s.Digest = s.digest()
	return s
}

func compareRequirements(a, b Requirement) int {
	return cmp.Or(
		cmp.Compare(a.Name, b.Name), cmp.Compare(a.Marker.String(), b.Marker.String()), cmp.Compare(a.URL, b.URL),
		cmp.Compare(a.Path, b.Path), cmp.Compare(a.Specifier.String(), b.Specifier.String()))
}

// fill replaces nil lists by empty ones, so that they are lists in JSON and YAML, not null.
func (s *Spec) fill() {
	s.Model.Flavors = orEmpty(s.Model.Flavors)
	s.Python.From = orEmpty(s.Python.From)
	s.BuildDependencies = orEmpty(s.BuildDependencies)
	s.Requirements = orEmpty(s.Requirements)
	s.Constraints = orEmpty(s.Constraints)
	s.Conda.Channels = orEmpty(s.Conda.Channels)
	s.Conda.Packages = orEmpty(s.Conda.Packages)
	s.CodePaths = orEmpty(s.CodePaths)
	s.EnvironmentVariables = orEmpty(s.EnvironmentVariables)
	s.SystemPackages = orEmpty(s.SystemPackages)
	s.Findings = orEmpty(s.Findings)
	for i := range s.Findings {
		s.Findings[i].From = orEmpty(s.Findings[i].From)
	}
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// origins are places, each once: a file that is included and also read by itself declares its entries
// once.
type origins struct {
	list []finding.Origin
	seen map[finding.Origin]bool
}

func (l *origins) add(o finding.Origin) {
	if l.seen[o] {
		return
	}
	if l.seen == nil {
		l.seen = map[finding.Origin]bool{}
	}
	l.seen[o] = true
	l.list = append(l.list, o)
}

// list joins words for a sentence: "a, b and c".
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
