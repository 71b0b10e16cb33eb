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

	version Version // parsed; zero for a prefix (".*") and for "===" text that is no version
	span            // of the versions meant; != means all others
}

// Specifiers is a comma-separated set of clauses, all of which must hold. The zero value
// admits every version.
type Specifiers struct {
	clauses []Clause
}

// operators in an order in which none hides behind one that begins it.
var operators = []string{"===", "~=", "==", "!=", "<=", ">=", "<", ">"}

// ScanClause reads the longest clause that s begins with and gives its length
// too. The text after "===" ends at space, ";" or ")" only.
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
	rest := strings.TrimLeftFunc(s[len(c.Op):], isSpace)
	start := len(s) - len(rest)
	if c.Op == "===" {
		n := strings.IndexFunc(rest, func(r rune) bool { return r == ';' || r == ')' || isSpace(r) })
		if n < 0 {
			n = len(rest)
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

// ParseSpecifiers reads a specifier set such as ">=1.2,<2". "" gives the zero value, and empty
// clauses are passed over, as packaging does.
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

// MustParseSpecifiers is ParseSpecifiers for sets known to be valid; it panics on others.
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

// trailing says what is wrong with the text left after a clause.
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

// Join gives the set of the clauses, in their order.
func Join(clauses ...Clause) Specifiers { return Specifiers{clauses: clauses} }

// Exactly gives the set that admits v, and what differs from it by a local
// label only if v has none: "==v". It panics for the zero Version.
func Exactly(v Version) Specifiers {
	return MustParseSpecifiers("==" + v.String())
}

// Within gives the set that admits every version whose release begins with that of v, which is
// neither zero nor more than a release: "==3.11.*" for 3.11.
func Within(v Version) Specifiers {
	return MustParseSpecifiers("==" + v.String() + ".*")
}

// Clauses lists the clauses in the order written.
func (s Specifiers) Clauses() []Clause { return s.clauses }

// IsZero reports whether there are no clauses.
func (s Specifiers) IsZero() bool { return len(s.clauses) == 0 }

// Bound is the version that the clause compares with; zero for a prefix such as "1.2.*", and for
// text after "===" that is no version.
func (c Clause) Bound() Version { return c.version }

// String is the clause without spaces, its version as written.
func (c Clause) String() string { return c.Op + c.Version }

// equal reports whether two clauses mean the same by their form: 1.0 is 1.0.0
// except after ~=.
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

// canonical sorts the clauses and folds equal ones.
func (s Specifiers) canonical() []Clause {
	if len(s.clauses) < 2 {
		return s.clauses
	}
	sorted := slices.Clone(s.clauses)
	slices.SortStableFunc(sorted, func(c, d Clause) int { return strings.Compare(c.String(), d.String()) })
	return fold(sorted)
}

// fold drops clauses equal to earlier ones, in place.
func fold(clauses []Clause) []Clause {
	kept := clauses[:0]
	for _, c := range clauses {
		if !slices.ContainsFunc(kept, c.equal) {
			kept = append(kept, c)
		}
	}
	return kept
}

// String is the canonical form: clauses sorted, no spaces, as packaging's SpecifierSet prints it.
// Versions stay as written.
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

// And joins two sets; equal clauses fold into one.
func (s Specifiers) And(t Specifiers) Specifiers {
	if s.IsZero() {
		return t
	}
	if t.IsZero() {
		return s
	}
	return Specifiers{clauses: fold(slices.Concat(s.clauses, t.clauses))}
}

// AllowsPrereleases reports whether a clause itself names a pre-release
// (PEP 440, "Handling of pre-releases"); != does not count.
func (s Specifiers) AllowsPrereleases() bool {
	for i := range s.clauses {
		if c := &s.clauses[i]; c.Op != "!=" && c.version.pre {
			return true
		}
	}
	return false
}

// Match reports whether v satisfies every clause, pre-releases admitted: the caller decides
// about those. "===" compares v's normalized form, in any case, as packaging does with a
// parsed version.
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

// Match reports whether v satisfies the clause, pre-releases admitted.
func (c Clause) Match(v Version) bool { return c.match(v) }

// MatchText is Match for text that need not be a version: only "===" matches text that is none,
// and it compares the text itself, in any case.
func (c Clause) MatchText(text string) bool {
	if c.Op == "===" {
		return equalFold(c.Version, text)
	}
	v, err := Parse(text)
	return err == nil && c.match(v)
}

// Pin gives the version of a set that admits exactly one release: "==" or "===" without ".*".
// A local label beyond the version given may still differ. A set that contradicts itself has none.
func (s Specifiers) Pin() (Version, bool) {
	for i := range s.clauses {
		c := &s.clauses[i]
		if (c.Op == "==" || c.Op == "===") && !c.version.IsZero() && s.Match(c.version) {
			return c.version, true
		}
	}
	return Version{}, false
}

// MarshalText gives the canonical form.
func (s Specifiers) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is ParseSpecifiers.
func (s *Specifiers) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSpecifiers(string(text))
	return err
}
