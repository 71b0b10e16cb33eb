// Package pep440 parses, compares and matches versions and version specifiers as defined by PEP
// 440. Where that leaves room, it does what the packaging library of the Python Packaging Authority
// does, because that is what pip uses.
//
// Every version has a key, a byte string that sorts in PEP 440's order. A clause of a specifier is
// a half-open interval of keys (or the complement of one). So matching takes two string comparisons
// and no allocation, and to find out whether a set can be satisfied at all is to intersect
// intervals.
package pep440

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Version is a parsed PEP 440 version. The zero Version is not a valid version; it sorts before all
// others. Do not compare Versions with ==: each keeps its own spelling, so 1.0 and 1.0.0 differ in
// Go although they are the same version.
type Version struct {
	text string // as written, without surrounding space
	norm string // normalized
	key  string // PEP 440's order as an order of bytes
	pre  bool   // has an a, b, rc or dev segment
	post bool   // has a post segment
}

// ErrInvalid is wrapped by the errors of Parse.
var ErrInvalid = errors.New("not a PEP 440 version")

// Parse reads a version in any form that PEP 440 permits (Appendix B):
// surrounding space, a leading "v", epochs, alternative spellings and
// separators, and the implicit post release "1.0-1".
func Parse(s string) (Version, error) {
	t := trimSpace(s)
	var room [6]string
	p, n := scan(t, room[:0])
	if n != len(t) || n == 0 {
		return Version{}, fmt.Errorf("%q is %w", s, ErrInvalid)
	}
	return p.version(t), nil
}

// MustParse is like Parse but panics if the version is invalid.
func MustParse(s string) Version {
	v, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return v
}

// version returns the Version with the parts p, spelled text.
func (p *parts) version(text string) Version {
	var room [64]byte
	norm := p.appendNormal(room[:0])
	v := Version{text: text, norm: text, pre: p.pre != 0 || p.dev != "", post: p.post != ""}
	if string(norm) != text {
		v.norm = string(norm)
	}
	v.key = p.key()
	return v
}

// IsZero reports whether v is the zero Version.
func (v Version) IsZero() bool { return v.key == "" }

// String returns the normalized form with the local label (PEP 440, "Normalization"). Trailing
// zeros of the release are kept.
func (v Version) String() string { return v.norm }

// Text returns the version as it was written, without surrounding space.
func (v Version) Text() string { return v.text }

// Key returns a string that compares like the version, for use as a map key: 1.0 and 1.0.0 have the
// same one. Do not store it, as its format may change.
func (v Version) Key() string { return v.key }

// Compare returns -1, 0 or +1 by PEP 440's order, in which 1.0 equals 1.0.0 and local labels count.
// The zero Version comes first.
func (v Version) Compare(w Version) int { return strings.Compare(v.key, w.key) }

// Equal reports whether v and w are the same version, however spelled.
func (v Version) Equal(w Version) bool { return v.key == w.key }

// IsPrerelease reports whether v has an a, b, rc or dev segment.
func (v Version) IsPrerelease() bool { return v.pre }

// IsPostrelease reports whether v has a post segment.
func (v Version) IsPostrelease() bool { return v.post }

// Local returns the normalized local version label, "" if there is none.
func (v Version) Local() string {
	_, local, _ := strings.Cut(v.norm, "+")
	return local
}

// Public returns v without its local label.
func (v Version) Public() Version {
	public, _, found := strings.Cut(v.norm, "+")
	if !found {
		return v
	}
	p, _ := scan(public, nil)
	return p.version(public)
}

// Release returns the release segment as written, trailing zeros included: 3.10.1 gives [3 10 1]. A
// number that does not fit is returned as the largest uint64; comparisons have no such limit.
func (v Version) Release() []uint64 {
	s := v.norm
	if _, after, found := strings.Cut(s, "!"); found {
		s = after
	}
	var release []uint64
	for {
		n := digits(s)
		if n == 0 {
			return release
		}
		number, err := strconv.ParseUint(s[:n], 10, 64)
		if err != nil {
			number = math.MaxUint64
		}
		release = append(release, number)
		if n == len(s) || s[n] != '.' {
			return release
		}
		s = s[n+1:]
	}
}

// Minor returns the first two numbers of the release, "3.11" of 3.11.7 and of 3.11rc1: what Python
// calls a minor version. It returns "" if the release has only one number.
func (v Version) Minor() string {
	r := v.Release()
	if len(r) < 2 {
		return ""
	}
	return strconv.FormatUint(r[0], 10) + "." + strconv.FormatUint(r[1], 10)
}

// MarshalText returns the normalized form, "" for the zero Version.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.norm), nil }

// UnmarshalText parses a version; "" is the zero Version.
func (v *Version) UnmarshalText(text []byte) (err error) {
	*v = Version{}
	if len(text) > 0 {
		*v, err = Parse(string(text))
	}
	return err
}
