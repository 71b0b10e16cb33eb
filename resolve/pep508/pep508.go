// Package pep508 parses names, requirements and environment markers as PEP 508 defines them, with
// names normalized by PEP 503 and extras by PEP 685, and with the marker variables of PEP 751. It
// accepts, prints and evaluates the same as the packaging library of the Python Packaging
// Authority, which pip uses.
package pep508

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"mlenv/resolve/pep440"
)

// Name is the name of a project or extra, normalized by PEP 503: in lower case, with each run of
// -_. replaced by one "-".
type Name string

// NormalizeName normalizes a name. The name need not be valid; see ValidName.
func NormalizeName(s string) Name {
	if isNormal(s) {
		return Name(s)
	}
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		if strings.IndexByte("-_.", s[i]) < 0 {
			b = append(b, s[i])
		} else if i == 0 || strings.IndexByte("-_.", s[i-1]) < 0 {
			b = append(b, '-')
		}
	}
	return Name(strings.ToLower(string(b)))
}

// isNormal reports whether s is normalized already, as most names are.
func isNormal(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
		case c == '-' && (i == 0 || s[i-1] != '-'):
		default:
			return false
		}
	}
	return true
}

// ValidName reports whether s is a name in PEP 508's grammar: ASCII letters, digits and -_., with a
// letter or digit at both ends.
func ValidName(s string) bool {
	if s == "" || !alnum(s[0]) || !alnum(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if !nameByte(s[i]) {
			return false
		}
	}
	return true
}

// Requirement is one PEP 508 requirement.
type Requirement struct {
	Name      Name
	Spelling  string // the name as written
	Extras    []Name // sorted, unique
	Specifier pep440.Specifiers
	URL       string // of a direct reference ("name @ URL"), else ""
	Marker    Marker
}

// SyntaxError reports what is wrong in an input, and where.
type SyntaxError struct {
	Input   string
	Column  int    // of the character, from 1
	Problem string // "expected …"
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("column %d of %q: %s", e.Column, e.Input, e.Problem)
}

// Parse reads one requirement. The error is a *SyntaxError.
func Parse(s string) (Requirement, error) {
	p := &parser{in: s}
	r := p.requirement()
	if p.err != nil {
		return Requirement{}, p.err
	}
	return r, nil
}

// String returns the canonical form, as packaging prints it, except that the name and the extras
// are normalized.
func (r Requirement) String() string {
	var b strings.Builder
	b.WriteString(string(r.Name))
	for i, extra := range r.Extras {
		b.WriteByte("[,"[min(i, 1)])
		b.WriteString(string(extra))
	}
	if len(r.Extras) > 0 {
		b.WriteByte(']')
	}
	b.WriteString(r.Specifier.String())
	if r.URL != "" {
		b.WriteString(" @ ")
		b.WriteString(r.URL)
		if !r.Marker.IsZero() {
			b.WriteByte(' ')
		}
	}
	if !r.Marker.IsZero() {
		b.WriteString("; ")
		b.WriteString(r.Marker.String())
	}
	return b.String()
}

// Equal reports whether r and q are the same but for the spelling of names. It compares the form
// only: two markers may differ and still mean the same.
func (r Requirement) Equal(q Requirement) bool {
	return r.Name == q.Name && slices.Equal(r.Extras, q.Extras) && r.URL == q.URL &&
		r.Specifier.Equal(q.Specifier) && r.Marker.Equal(q.Marker)
}

// MarshalText returns the canonical form.
func (r Requirement) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is like Parse.
func (r *Requirement) UnmarshalText(text []byte) (err error) {
	*r, err = Parse(string(text))
	return err
}

// column returns the column of the byte at offset i of s, counted in characters from 1.
func column(s string, i int) int { return utf8.RuneCountInString(s[:i]) + 1 }
