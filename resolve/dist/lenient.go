package dist

import (
	"regexp"
	"strings"
	"sync"

	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// repairs are mistakes in published metadata, which uv repairs as well, and what is meant instead.
// They are applied in turn, each to the result of the ones before.
var repairs = [...]struct{ wrong, right string }{
	{`(\d)([<>=~!])`, "$1,$2"},                    // >=7.2.0<8.0.0
	{`!=~((?:\d+\.)*\d+)`, "!=$1.*"},              // !=~5.0
	{`(<=|>=|<|>)(\s*\d+(?:\.\d+)*)\.\*`, "$1$2"}, // >=1.9.*
	{`(\d)\*`, "$1.*"},                            // !=3.0*
	{`>dev`, ">0.0.0dev"},
	{`(\d(?:a|b|rc)\d+)\.0\b`, "$1"}, // >=9.0.0a1.0
	{`['"]`, ""},                     // >='2.6'
}

// compiledRepairs returns the expressions of repairs. They are compiled on first use, because most
// runs never need them.
var compiledRepairs = sync.OnceValue(func() (compiled [len(repairs)]*regexp.Regexp) {
	for i, m := range repairs {
		compiled[i] = regexp.MustCompile(m.wrong)
	}
	return compiled
})

// repair calls parse with s, and then with s after each repair until there is no error. If nothing
// helps, it returns the first error.
func repair(s string, parse func(string) error) error {
	first := parse(s)
	if first == nil {
		return nil
	}
	for i, wrong := range compiledRepairs() {
		if repaired := wrong.ReplaceAllString(s, repairs[i].right); repaired != s {
			s = repaired
			if parse(s) == nil {
				return nil
			}
		}
	}
	return first
}

// ParseRequiresPython reads a Requires-Python field or attribute, repairing mistakes of published
// packages such as ">=3.6.*". On an error, do what pip does: treat the package as if it had no
// Requires-Python.
func ParseRequiresPython(s string) (set pep440.Specifiers, err error) {
	err = repair(s, func(s string) (err error) {
		set, err = pep440.ParseSpecifiers(s)
		return err
	})
	return set, err
}

// parseRequirement reads a Requires-Dist field, repairing mistakes in its version specifier.
func parseRequirement(s string) (pep508.Requirement, error) {
	r, first := pep508.Parse(s)
	if first == nil {
		return r, nil
	}
	rest, marker, found := strings.Cut(s, ";")
	if found {
		marker = ";" + marker
	}
	name := ""
	if i := strings.IndexAny(rest, "<>=!~('\" "); i > 0 {
		name, rest = rest[:i], rest[i:]
	}
	err := repair(rest, func(specifier string) (err error) {
		r, err = pep508.Parse(name + specifier + marker)
		return err
	})
	if err != nil {
		return pep508.Requirement{}, first
	}
	return r, nil
}
