package pep440

import (
	"fmt"
	"slices"
	"strings"
)

// Clause is one comparison of a specifier set: an operator and a version.
type Clause struct {
	Op      string // one of ~= == != <= >= < > ===
	Version string // as written, ".*" included

	version Version // parsed; zero for a prefix (".*") and for "===" with text that is not a version
	span            // the versions that match, or for !=, do not match
}

// Specifiers is a set of clauses, written with commas between them, all of which must hold. The
// zero value allows every version.
type Specifiers struct {
	clauses []Clause
}

// operators lists the operators so that none comes after one of its prefixes.
var operators = []string{"===", "~=", "==", "!=", "<=", ">=", "<", ">"}

// ScanClause reads the longest clause at the start of s and also returns its length. The text after
// "===" ends only at a space, ",", ";" or ")": a comma begins the next clause, whatever this one holds.
func ScanClause(s string) (c Clause, n int, err error) {
	for _, op := range operators {
		if strings.HasPrefix(s, op) {
			c.Op = op
			break
		}
	}
	if c.Op == "" {
		return c, 0, fmt.Errorf("%q: expected an operator, one of ~= == != <= >= < > ===", s)
	}
	rest := strings.TrimLeftFunc(s[len(c.Op):], IsSpace)
	start := len(s) - len(rest)
	if c.Op == "===" {
		n := strings.IndexFunc(rest, func(r rune) bool { return r == ',' || r == ';' || r == ')' || IsSpace(r) })
		if n < 0 {
			n = len(rest)
		}
		if n == 0 {
			return c, start, fmt.Errorf("%q: expected a version after ===", s)
		}
		c.Version = rest[:n]
		c.version, _ = Parse(c.Version)
		return c, start + n, nil
	}
	n, err = c.scanVersion(rest)
	return c, start + n, err
}

// scanVersion reads the version of a clause whose operator is known.
func (c *Clause) scanVersion(s string) (int, error) {
	var room [6]string
	p, n := scan(s, room[:0])
	if n == 0 {
		return 0, fmt.Errorf("%q: expected a version after %s", c.Op+s, c.Op)
	}
	equality := c.Op == "==" || c.Op == "!="
	if equality && strings.HasPrefix(s[n:], ".*") && p.isRelease() {
		c.Version = s[:n+2]
		c.span = p.prefix(p.release)
		return n + 2, nil
	}
	if p.local != "" && !equality {
		n -= 1 + len(p.local)
		p.local = ""
	}
	if c.Op == "~=" && len(p.release) < 2 {
		return 0, fmt.Errorf("%q: ~= needs a version of at least two numbers", c.Op+s)
	}
	c.Version = s[:n]
	c.version = p.version(c.Version)
	c.span = p.span(c.Op, c.version.key)
	return n, nil
}

// ParseSpecifiers reads a specifier set such as ">=1.2,<2". "" is the zero value, and empty clauses
// are skipped, as in packaging.
func ParseSpecifiers(s string) (Specifiers, error) {
	if trimSpace(s) == "" {
		return Specifiers{}, nil
	}
	set := Specifiers{clauses: make([]Clause, 0, 1+strings.Count(s, ","))}
	for text := range strings.SplitSeq(s, ",") {
		text = trimSpace(text)
		if text == "" {
			continue
		}
		c, err := ParseClause(text)
		if err != nil {
			return Specifiers{}, err
		}
		set.clauses = append(set.clauses, c)
	}
	return set, nil
}

// MustParseSpecifiers is like ParseSpecifiers but panics if the set is invalid.
func MustParseSpecifiers(s string) Specifiers {
	set, err := ParseSpecifiers(s)
	if err != nil {
		panic(err)
	}
	return set
}

// ParseClause reads one clause, such as "== 1.2.*".
func ParseClause(s string) (Clause, error) {
	s = trimSpace(s)
	c, n, err := ScanClause(s)
	if err != nil {
		return Clause{}, fmt.Errorf("invalid specifier %w", err)
	}
	if n != len(s) {
		return Clause{}, fmt.Errorf("invalid specifier %q: %s", s, c.trailing(s[n:]))
	}
	return c, nil
}

// trailing describes what is wrong with the text that is left after a clause.
func (c *Clause) trailing(rest string) string {
	switch {
	case strings.HasPrefix(rest, ".*") && (c.Op == "==" || c.Op == "!="):
		return ".* cannot follow a pre-release, post-release, dev or local version"
	case strings.HasPrefix(rest, ".*"):
		return ".* can only be used with == or !="
	case strings.HasPrefix(rest, "+"):
		return "a local version label can only be used with == or !="
	}
	return fmt.Sprintf("unexpected %q after %s%s", rest, c.Op, c.Version)
}

// Join returns the set of the given clauses, in that order.
func Join(clauses ...Clause) Specifiers { return Specifiers{clauses: clauses} }

// Exactly returns the set "==v". If v has no local label, that also allows versions that differ
// from v by a local label only. It panics for the zero Version.
func Exactly(v Version) Specifiers {
	return MustParseSpecifiers("==" + v.String())
}

// Within returns the set of all versions whose release starts with that of v: "==3.11.*" for 3.11.
// v must be a plain release, and not zero.
func Within(v Version) Specifiers {
	return MustParseSpecifiers("==" + v.String() + ".*")
}

// Clauses lists the clauses in the order written.
func (s Specifiers) Clauses() []Clause { return s.clauses }

// IsZero reports whether there are no clauses.
func (s Specifiers) IsZero() bool { return len(s.clauses) == 0 }

// Bound returns the version that the clause compares with. It is zero for a prefix such as "1.2.*"
// and for text after "===" that is not a version.
func (c Clause) Bound() Version { return c.version }

// String returns the clause without spaces; the version stays as written.
func (c Clause) String() string { return c.Op + c.Version }

// equal reports whether two clauses have the same operator and version. 1.0 and 1.0.0 are the same
// version except after ~=, where the number of digits counts.
func (c Clause) equal(d Clause) bool {
	switch {
	case c.Op != d.Op:
		return false
	case c.Op == "===" || c.version.IsZero() || d.version.IsZero():
		return c.Version == d.Version
	case c.Op == "~=":
		return c.version.norm == d.version.norm
	}
	return c.version.key == d.version.key
}

// canonical returns the clauses sorted, without duplicates.
func (s Specifiers) canonical() []Clause {
	if len(s.clauses) < 2 {
		return s.clauses
	}
	sorted := slices.Clone(s.clauses)
	slices.SortStableFunc(sorted, func(c, d Clause) int { return strings.Compare(c.String(), d.String()) })
	return fold(sorted)
}

// fold drops duplicates of earlier clauses, in place. Few clauses are compared with each other; a
// line of a hostile file may have thousands.
func fold(clauses []Clause) []Clause {
	kept := clauses[:0]
	if len(clauses) <= 8 {
		for _, c := range clauses {
			if !slices.ContainsFunc(kept, c.equal) {
				kept = append(kept, c)
			}
		}
		return kept
	}
	seen := make(map[string]bool, len(clauses))
	for _, c := range clauses {
		if id := c.identity(); !seen[id] {
			seen[id] = true
			kept = append(kept, c)
		}
	}
	return kept
}

// String returns the canonical form: clauses sorted, no spaces, as packaging's SpecifierSet prints
// it. Versions stay as written.
func (s Specifiers) String() string {
	var b strings.Builder
	for i, c := range s.canonical() {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(c.Op)
		b.WriteString(c.Version)
	}
	return b.String()
}

// Equal reports whether both sets have the same clauses, whatever their order and spelling.
func (s Specifiers) Equal(t Specifiers) bool {
	return slices.EqualFunc(s.canonical(), t.canonical(), Clause.equal)
}

// And returns the union of the clauses of both sets, without duplicates.
func (s Specifiers) And(t Specifiers) Specifiers {
	if s.IsZero() {
		return t
	}
	if t.IsZero() {
		return s
	}
	return Specifiers{clauses: fold(slices.Concat(s.clauses, t.clauses))}
}

// AllowsPrereleases reports whether a clause other than != names a pre-release (PEP 440, "Handling
// of pre-releases").
func (s Specifiers) AllowsPrereleases() bool {
	for i := range s.clauses {
		if c := &s.clauses[i]; c.Op != "!=" && c.version.pre {
			return true
		}
	}
	return false
}

// Match reports whether v satisfies every clause. It treats pre-releases like other versions:
// whether to use them is up to the caller. "===" compares v's normalized form, ignoring case, as
// packaging does with a parsed version.
func (s Specifiers) Match(v Version) bool {
	for i := range s.clauses {
		if !s.clauses[i].match(v) {
			return false
		}
	}
	return true
}

func (c *Clause) match(v Version) bool {
	if c.Op == "===" {
		return equalFold(c.Version, v.norm)
	}
	return c.span.has(v.key) != (c.Op == "!=")
}

// Match reports whether v satisfies the clause. It treats pre-releases like other versions.
func (c Clause) Match(v Version) bool { return c.match(v) }

// MatchText is like Match for text that need not be a version. Other text is matched by "===" only,
// which compares the text itself, ignoring case.
func (c Clause) MatchText(text string) bool {
	if c.Op == "===" {
		return equalFold(c.Version, text)
	}
	v, err := Parse(text)
	return err == nil && c.match(v)
}

// Pin returns the version of a set that allows exactly one release, because it has a "==" or "==="
// clause without ".*". Versions with another local label may still match. A set that contradicts
// itself has no pin.
func (s Specifiers) Pin() (Version, bool) {
	// To match every pin with all clauses would be quadratic. A "===" is matched by its own text alone.
	// What satisfies "==" of two different versions is one of those two: 1.0+label, of which the other
	// is 1.0.
	var tried []string
	exact := slices.ContainsFunc(s.clauses, func(c Clause) bool { return c.Op == "===" })
	for i := range s.clauses {
		c := &s.clauses[i]
		pin := c.Op == "===" || c.Op == "==" && !exact
		switch {
		case !pin || c.version.IsZero() || slices.Contains(tried, c.version.key):
		case s.Match(c.version):
			return c.version, true
		case exact || len(tried) == 1:
			return Version{}, false
		default:
			tried = append(tried, c.version.key)
		}
	}
	return Version{}, false
}

// MarshalText returns the canonical form.
func (s Specifiers) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is like ParseSpecifiers.
func (s *Specifiers) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSpecifiers(string(text))
	return err
}
