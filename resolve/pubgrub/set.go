package pubgrub

import (
	"iter"
	"math/bits"
)

// Set is a set of versions of one package, identified by index. Its capacity is fixed when it is
// created, and sets of one package all have the same length.
type Set []uint64

// words returns how many words it takes to hold n versions and the "not selected" bit.
func words(n int) int { return n/64 + 1 }

// NewSet returns an empty set for a package with n versions.
func NewSet(n int) Set { return make(Set, words(n)) }

// Add adds version i to s.
func (s Set) Add(i int) { s[i/64] |= 1 << (i % 64) }

// Remove removes version i from s.
func (s Set) Remove(i int) { s[i/64] &^= 1 << (i % 64) }

// Has reports whether version i is in s.
func (s Set) Has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

// Len returns the number of versions in s.
func (s Set) Len() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// Empty reports whether s holds no version.
func (s Set) Empty() bool {
	for _, w := range s {
		if w != 0 {
			return false
		}
	}
	return true
}

// Max returns the greatest index in s, or -1 if s is empty.
func (s Set) Max() int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] != 0 {
			return i*64 + 63 - bits.LeadingZeros64(s[i])
		}
	}
	return -1
}

// Down yields the versions from the greatest index to the least.
func (s Set) Down() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := len(s) - 1; i >= 0; i-- {
			for w := s[i]; w != 0; {
				b := 63 - bits.LeadingZeros64(w)
				if !yield(i*64 + b) {
					return
				}
				w &^= 1 << b
			}
		}
	}
}

// Clone returns a copy of s.
func (s Set) Clone() Set { return append(Set(nil), s...) }

// And returns the intersection of two sets of one package.
func (s Set) And(t Set) Set {
	r := make(Set, len(s))
	for i := range s {
		r[i] = s[i] & t[i]
	}
	return r
}

// Or returns the union of two sets of one package.
func (s Set) Or(t Set) Set {
	r := make(Set, len(s))
	for i := range s {
		r[i] = s[i] | t[i]
	}
	return r
}

// Minus returns the versions of s that are not in t.
func (s Set) Minus(t Set) Set {
	r := make(Set, len(s))
	for i := range s {
		r[i] = s[i] &^ t[i]
	}
	return r
}

// Equal reports whether two sets of one package hold the same versions.
func (s Set) Equal(t Set) bool {
	for i := range s {
		if s[i] != t[i] {
			return false
		}
	}
	return len(s) == len(t)
}

// SubsetOf reports whether every version of s is in t.
func (s Set) SubsetOf(t Set) bool {
	for i := range s {
		if s[i]&^t[i] != 0 {
			return false
		}
	}
	return true
}

// Disjoint reports whether no version is in both.
func (s Set) Disjoint(t Set) bool {
	for i := range s {
		if s[i]&t[i] != 0 {
			return false
		}
	}
	return true
}

// full returns the set of n versions and the "not selected" bit n.
func full(n int) Set {
	s := NewSet(n)
	for i := range s {
		s[i] = ^uint64(0)
	}
	// Equal compares whole words, so the unused bits of the last one must be zero.
	if r := (n + 1) % 64; r != 0 {
		s[len(s)-1] = 1<<r - 1
	}
	return s
}
