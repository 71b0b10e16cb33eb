package dist

import (
	"regexp"
	"strings"
	"sync"

	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// mends are the mistakes of published metadata that uv mends, too, and what
// is meant. They are tried in turn, each on what the ones before have left.
var mends = [...]struct{ wrong, right string }{
	{`(\d)([<>=~!])`, "$1,$2"},                    // >=7.2.0<8.0.0
	{`!=~((?:\d+\.)*\d+)`, "!=$1.*"},              // !=~5.0
	{`(<=|>=|<|>)(\s*\d+(?:\.\d+)*)\.\*`, "$1$2"}, // >=1.9.*
	{`(\d)\*`, "$1.*"},                            // !=3.0*
	{`>dev`, ">0.0.0dev"},
	{`(\d(?:a|b|rc)\d+)\.0\b`, "$1"}, // >=9.0.0a1.0
	{`['"]`, ""},                     // >='2.6'
}

// wrongs are the expressions of mends, compiled when first needed: few
// programs ever do.
var wrongs = sync.OnceValue(func() (compiled [len(mends)]*regexp.Regexp) {
	for i, m := range mends {
		compiled[i] = regexp.MustCompile(m.wrong)
	}
	return compiled
})

// mend calls parse with s and then with s mended further and further, until
// it gives no error. The error is the first.
func mend(s string, parse func(string) error) error {
	first := parse(s)
	if first == nil {
		return nil
	}
	for i, wrong := range wrongs() {
		if mended := wrong.ReplaceAllString(s, mends[i].right); mended != s {
			s = mended
			if parse(s) == nil {
				return nil
			}
		}
	}
	return first
}

// ParseRequiresPython reads a Requires-Python field or attribute, mending mistakes of published
// packages such as ">=3.6.*". Where there is an error, treat the package as pip does: as one that
// states nothing.
func ParseRequiresPython(s string) (set pep440.Specifiers, err error) {
	err = mend(s, func(s string) (err error) {
		set, err = pep440.ParseSpecifiers(s)
		return err
	})
	return set, err
}

// parseRequirement reads a Requires-Dist field, mending mistakes in its
// version specifier.
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
	err := mend(rest, func(specifier string) (err error) {
		r, err = pep508.Parse(name + specifier + marker)
		return err
	})
	if err != nil {
		return pep508.Requirement{}, first
	}
	return r, nil
}
