// Package pep440 parses, compares and matches versions and version
// specifiers as PEP 440 defines them.
package pep440

import "errors"

// Version is a parsed PEP 440 version. The zero Version is no version.
type Version struct {
	text string
}

// Parse reads a version in any form that PEP 440 permits (Appendix B).
func Parse(s string) (Version, error) { return Version{text: s}, errors.New("pep440: unwritten") }

// IsZero reports whether v is the zero Version.
func (v Version) IsZero() bool { return v.text == "" }

// String gives the normalized form, local label included.
func (v Version) String() string { return v.text }

// Text gives the version as it was written.
func (v Version) Text() string { return v.text }

// Compare is -1, 0 or +1 in PEP 440's order.
func (v Version) Compare(w Version) int { panic("unwritten") }

// IsPrerelease reports an a, b, rc or dev segment.
func (v Version) IsPrerelease() bool { panic("unwritten") }

// IsPostrelease reports a post segment.
func (v Version) IsPostrelease() bool { panic("unwritten") }

// Local is the normalized local version label, "" if there is none.
func (v Version) Local() string { panic("unwritten") }

// Public is v without its local label.
func (v Version) Public() Version { panic("unwritten") }

// Release is the release segment: 3.10.1 gives [3 10 1].
func (v Version) Release() []uint64 { panic("unwritten") }

// Clause is one comparison of a specifier set: an operator and a version.
type Clause struct {
	Op      string // one of ~= == != <= >= < > ===
	Version string // as written, ".*" included
}

// Specifiers is a comma-separated set of clauses, all of which must hold. The zero value
// admits every version.
type Specifiers struct {
	clauses []Clause
}

// ParseSpecifiers reads a specifier set such as ">=1.2,<2". "" gives the zero value.
func ParseSpecifiers(s string) (Specifiers, error) {
	return Specifiers{}, errors.New("pep440: unwritten")
}

// Clauses lists the clauses in the order written.
func (s Specifiers) Clauses() []Clause { return s.clauses }

// IsZero reports whether there are no clauses.
func (s Specifiers) IsZero() bool { return len(s.clauses) == 0 }

// String is the canonical form: clauses sorted, no spaces, as packaging's SpecifierSet prints it.
func (s Specifiers) String() string { panic("unwritten") }

// And joins two sets; equal clauses fold into one.
func (s Specifiers) And(t Specifiers) Specifiers { panic("unwritten") }

// AllowsPrereleases reports whether a clause itself names a pre-release
// (PEP 440, "Handling of pre-releases").
func (s Specifiers) AllowsPrereleases() bool { panic("unwritten") }

// Match reports whether v satisfies every clause, pre-releases admitted: the caller decides
// about those.
func (s Specifiers) Match(v Version) bool { panic("unwritten") }

// Satisfiable reports whether any version whatever could satisfy the set. It never says false of
// a set that has a solution.
func (s Specifiers) Satisfiable() bool { panic("unwritten") }

// Pin gives the version of a set that admits exactly one release: "==" or "===" without ".*".
func (s Specifiers) Pin() (Version, bool) { panic("unwritten") }
