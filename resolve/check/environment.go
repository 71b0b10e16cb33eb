package check

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"mlenv/resolve"
	"mlenv/resolve/finding"
	"mlenv/resolve/pattern"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// requirements checks the form of every requirement and the sources of packages.
func (c *checker) requirements() {
	for _, r := range c.in.Spec.Requirements {
		c.requirement(r)
	}
	p := c.in.Spec.PackageIndex
	for _, list := range [][]string{{p.IndexURL}, p.ExtraIndexURLs, p.FindLinks} {
		for _, u := range list {
			if plainHTTP(u) {
				c.find(finding.HTTPIndex, u, c.findText(u), "%s is not encrypted", u)
			}
		}
	}
}

// requirement applies the rules for one requirement, by what it names: a path, a URL or versions.
func (c *checker) requirement(r resolve.Requirement) {
	name := string(r.Name)
	if name == "" {
		name = r.URL + r.Path
	}
	switch {
	case r.Editable:
		c.find(finding.EditableRequirement, name, r.From, "%s is an editable install", r.Line())
	case r.Path != "":
		if r.Digest != "" || len(r.Hashes) > 0 && !strings.HasSuffix(strings.ToLower(r.Path), ".whl") {
			c.find(finding.SourceRequirement, name, r.From, "%s is source code, not a wheel", r.Path)
		}
	case r.URL != "":
		c.direct(name, r)
	default:
		c.specifier(r)
	}
}

// outside reports whether a path leaves the model.
func outside(path string) bool {
	return strings.HasPrefix(path, "/") || path == ".." || strings.HasPrefix(path, "../") || strings.HasPrefix(path, `\`) ||
		len(path) > 2 && path[1] == ':' && (path[2] == '\\' || path[2] == '/')
}

var (
	commit    = pattern.New(`^[0-9a-fA-F]{40}([0-9a-fA-F]{24})?$`)
	hashInURL = pattern.New(`[#&](sha256|sha384|sha512)=[0-9a-fA-F]+`)
)

// direct checks a requirement by URL: whether it always gives the same bytes, and whether they can be changed
// on the way. A lock has hashes of its own.
func (c *checker) direct(name string, r resolve.Requirement) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return
	}
	if vcs, transport, ok := strings.Cut(u.Scheme, "+"); ok {
		_, revision, _ := strings.Cut(u.Path, "@")
		if !commit.MatchString(revision) {
			what := "no revision"
			if revision != "" {
				what = "the revision " + revision + ", which may move"
			}
			c.find(finding.VCSWithoutCommit, name, r.From, "%s comes from %s with %s", name, vcs, what)
		}
		if transport == "http" {
			c.find(finding.HTTPIndex, name, r.From, "%s is not encrypted", r.URL)
		}
		return
	}
	if u.Scheme == "http" {
		c.find(finding.HTTPIndex, name, r.From, "%s is not encrypted", r.URL)
	}
	if len(r.Hashes) == 0 && !hashInURL.MatchString(r.URL) && c.in.Lock == nil {
		c.find(finding.URLWithoutHash, name, r.From, "%s has no hash", r.URL)
	}
}

// plainHTTP reports whether a URL is not encrypted. On the machine itself nobody can listen.
func plainHTTP(u string) bool {
	parsed, err := url.Parse(u)
	if err != nil || parsed.Scheme != "http" {
		return false
	}
	host := parsed.Hostname()
	return host != "localhost" && host != "127.0.0.1" && host != "::1"
}

// specifier checks what a requirement says about versions. What a lock or a constraint pins need not be
// pinned here.
func (c *checker) specifier(r resolve.Requirement) {
	name := string(r.Name)
	_, pinned := r.Specifier.Pin()
	switch {
	case !r.Specifier.Satisfiable():
		c.find(finding.UnsatisfiableRequirement, name, r.From, "no version of %s is %s", name, r.Specifier)
	case pinned || c.locked(r.Name) != nil || c.constrained(r.Name):
	case r.Specifier.IsZero():
		c.find(finding.UnpinnedRequirement, name, r.From, "%s has no version", name)
	default:
		c.find(finding.LooselyPinnedRequirement, name, r.From, "%s allows several versions", r.Line())
	}
}

// constrained reports whether a constraint pins the package.
func (c *checker) constrained(name pep508.Name) bool {
	return slices.ContainsFunc(c.in.Spec.Constraints, func(r resolve.Requirement) bool {
		_, pinned := r.Specifier.Pin()
		return pinned && r.Name == name
	})
}

// findText returns the first line in the model's files that contains a text, such as the URL of an
// index.
func (c *checker) findText(text string) []finding.Origin {
	if text == "" {
		return nil
	}
	m := c.in.Model
	for _, file := range []string{m.RequirementsTxt, m.CondaEnv.Text, m.UnnamedConda, m.VirtualEnv.Text, m.UnnamedVirtual} {
		if file == "" {
			continue
		}
		c.origin(file, 0)
		for i, line := range c.text[file] {
			if strings.Contains(shown(line), text) {
				return []finding.Origin{c.origin(file, i+1)}
			}
		}
	}
	return nil
}

// buildNeed says which versions of a build tool do not work with which versions of Python.
type buildNeed struct {
	name    pep508.Name
	version pep440.Specifiers // the versions of the tool
	python  pep440.Specifiers // the versions of Python they do not work with
	why     string
}

// buildNeeds comes from the metadata of the tools (the Requires-Python of the first release that no
// longer supports a Python) and, for versions that are too old, from what that Python removed.
var buildNeeds = func() []buildNeed {
	set := pep440.MustParseSpecifiers
	return []buildNeed{
		{"pip", set(">25.0.1"), set("<3.9"), "needs Python 3.9"},
		{"pip", set(">26.0.1"), set("<3.10"), "needs Python 3.10"},
		{"setuptools", set(">75.3.9999"), set("<3.9"), "needs Python 3.9"},
		{"setuptools", set(">82.0.1"), set("<3.10"), "needs Python 3.10"},
		{"wheel", set(">0.45.1"), set("<3.9"), "needs Python 3.9"},
		{"pip", set("<23.1.2"), set(">=3.12"), "uses pkgutil.ImpImporter, which Python 3.12 dropped"},
		{"setuptools", set("<66.1"), set(">=3.12"), "uses pkgutil.ImpImporter, which Python 3.12 dropped"},
	}
}()

// buildDependencies reports build tools that do not run on the model's Python, one finding for each.
func (c *checker) buildDependencies() {
	python := c.in.Spec.Python.Version
	if python.IsZero() {
		return
	}
	for _, r := range c.in.Spec.BuildDependencies {
		version, pinned := r.Specifier.Pin()
		for _, need := range buildNeeds {
			if pinned && need.name == r.Name && need.version.Match(version) && need.python.Match(python) {
				c.find(finding.BuildDependencyPython, string(r.Name), append(slices.Clone(r.From), c.in.Spec.Python.From...),
					"%s %s does not work with Python %s: it %s", r.Name, version, python, need.why)
				break
			}
		}
	}
}

// endOfLife is the last day on which a minor version of Python gets security fixes. The dates are
// from the release schedules (PEP 494, 537, 569, 596, 619, 664, 693, 719, 745) and the status page
// of the Python developer's guide. If only a month is announced, it is the last day of that month.
var endOfLife = map[string]string{
	"2.7": "2020-01-01", "3.5": "2020-09-30", "3.6": "2021-12-23", "3.7": "2023-06-27",
	"3.8": "2024-10-07", "3.9": "2025-10-31", "3.10": "2026-10-31", "3.11": "2027-10-31",
	"3.12": "2028-10-31", "3.13": "2029-10-31", "3.14": "2030-10-31",
}

// pythonEndOfLife reports a Python that gets no security fixes on the day of the check. A version that is not
// in the table is taken for a newer one.
func (c *checker) pythonEndOfLife() {
	minor := c.minor()
	end, known := endOfLife[minor]
	if known && !c.in.Today.IsZero() && c.in.Today.Format(time.DateOnly) > end {
		c.find(finding.PythonEndOfLife, "python", c.in.Spec.Python.From, "Python %s has had no security fixes since %s", minor, end)
	}
}

// minor returns the model's Python as "3.11", or "" if it is not known.
func (c *checker) minor() string { return c.in.Spec.Python.Version.Minor() }
