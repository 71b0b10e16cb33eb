package pep440

import (
	"container/heap"
	"slices"
)

// Conjunction is a specifier set that grows: thousands of lines of a requirements file may each add
// a clause. Every addition costs the logarithm of what is there already, not all of it. The zero
// value admits every version.
type Conjunction struct {
	clauses []Clause
	known   map[string]bool // identities of the clauses
	texts   map[string]bool // of the clauses
	pins    []Version       // those clauses that name one release which satisfies all the others
	only    *Clause         // a "===", beside which there is no other candidate

	// Without "===", the versions that satisfy all are those from low on, below high, that are in none
	// of the excluded spans. low is itself the first of them: it is moved past every span that it
	// falls into, and never moves back, so that each span is looked at once.
	low, high string // high: "" is no bound
	excluded  spanHeap
}

// spanHeap orders spans by where they begin.
type spanHeap []span

func (h spanHeap) Len() int           { return len(h) }
func (h spanHeap) Less(i, j int) bool { return h[i].lo < h[j].lo }
func (h spanHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *spanHeap) Push(x any) { *h = append(*h, x.(span)) }

// Pop implements heap.Interface.
func (h *spanHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// identity tells apart what equal tells apart.
func (c Clause) identity() string {
	switch {
	case c.Op == "===" || c.version.IsZero():
		return c.Op + "t" + c.Version
	case c.Op == "~=":
		return c.Op + "n" + c.version.norm
	}
	return c.Op + "k" + c.version.key
}

// Specifiers gives the clauses so far, each once, in the order in which they were added.
func (j *Conjunction) Specifiers() Specifiers {
	return Specifiers{clauses: slices.Clone(j.clauses)}
}

// Add adds the clauses of a set. It reports whether any version could satisfy all, as Satisfiable
// does; where none could, nothing is added. A failed attempt may cost more than the logarithm.
func (j *Conjunction) Add(s Specifiers) bool {
	if j.known == nil {
		j.known, j.texts = map[string]bool{}, map[string]bool{}
	}
	var fresh []Clause
	for _, c := range fold(slices.Clone(s.clauses)) {
		if !j.known[c.identity()] {
			fresh = append(fresh, c)
		}
	}
	if len(fresh) == 0 {
		return true
	}
	if !j.narrow(fresh) {
		return false
	}
	for _, c := range fresh {
		j.known[c.identity()] = true
		j.texts[c.String()] = true
		j.clauses = append(j.clauses, c)
	}
	j.pins = slices.DeleteFunc(j.pins, func(v Version) bool { return !Join(fresh...).Match(v) })
	all := Specifiers{clauses: j.clauses}
	for _, c := range fresh {
		if (c.Op == "==" || c.Op == "===") && !c.version.IsZero() && all.Match(c.version) {
			j.pins = append(j.pins, c.version)
		}
	}
	return true
}

// narrow takes clauses into account unless no version is left.
func (j *Conjunction) narrow(fresh []Clause) bool {
	only := j.only
	for i := range fresh {
		if fresh[i].Op == "===" && only == nil {
			only = &fresh[i]
		}
	}
	if only != nil {
		check := fresh
		if j.only == nil {
			check = slices.Concat(j.clauses, fresh)
		}
		if !(Specifiers{clauses: check}).satisfiableText(only) {
			return false
		}
		j.only = only
		return true
	}
	low, high := max(j.low, keyMin), j.high
	var more []span
	for _, c := range fresh {
		if c.Op == "!=" {
			more = append(more, c.span)
			continue
		}
		low = max(low, c.span.lo)
		if high == "" || c.span.hi != "" && c.span.hi < high {
			high = c.span.hi
		}
	}
	for _, s := range more {
		heap.Push(&j.excluded, s)
	}
	var passed []span
	for len(j.excluded) > 0 && j.excluded[0].lo <= low && (high == "" || low < high) {
		s := heap.Pop(&j.excluded).(span)
		passed = append(passed, s)
		low = max(low, s.hi)
	}
	if high == "" || low < high {
		j.low, j.high = low, high
		return true
	}
	j.restore(passed, more)
	return false
}

// restore puts spans back that were passed in vain, without those that are not to be there.
func (j *Conjunction) restore(passed, more []span) {
	all := append([]span(j.excluded), passed...)
	drop := map[span]int{}
	for _, s := range more {
		drop[s]++
	}
	kept := all[:0]
	for _, s := range all {
		if drop[s] > 0 {
			drop[s]--
			continue
		}
		kept = append(kept, s)
	}
	j.excluded = kept
	heap.Init(&j.excluded)
}

// Pin gives the version that a "==" or "===" among the clauses names, as Specifiers.Pin does.
func (j *Conjunction) Pin() (Version, bool) {
	if len(j.pins) == 0 {
		return Version{}, false
	}
	return j.pins[0], true
}

// SameAs reports whether a set says the same: the same clauses in the same spelling, or a pin of the
// same version.
func (j *Conjunction) SameAs(s Specifiers) bool {
	if v, ok := j.Pin(); ok {
		if w, too := s.Pin(); too && v.Compare(w) == 0 {
			return true
		}
	}
	other := s.canonical()
	if len(other) != len(j.clauses) {
		return false
	}
	return !slices.ContainsFunc(other, func(c Clause) bool { return !j.texts[c.String()] })
}
