package pubgrub

import "container/heap"

// Which package is decided next does not matter for whether a solution is found, but much for how
// soon and for which one. The order is that of uv: given files, then pinned packages, then
// packages that kept losing against earlier decisions, then those they lost against, then the
// others as they first appeared. Losing threshold times changes a package's place, once.
const threshold = 5

// conflicts counts a package's conflicts with decisions.
type conflicts struct {
	lost, won   int  // versions that failed because of earlier decisions; of others because of this one
	early, late bool // its place has changed
}

// turn is a package's place in the queue of packages to be decided.
type turn struct{ class, order int }

// turns is a heap of turns. It may hold turns that no longer count: a package is put in whenever
// it becomes undecided, narrower or moves, and looked at when it comes out.
type turns []turn

func (t turns) Len() int      { return len(t) }
func (t turns) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t turns) Less(i, j int) bool {
	if t[i].class != t[j].class {
		return t[i].class > t[j].class
	}
	return t[i].order < t[j].order
}
func (t *turns) Push(x any) { *t = append(*t, x.(turn)) }
func (t *turns) Pop() any {
	x := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	return x
}

// waiting reports whether a package is needed and undecided.
func waiting(st *state) bool {
	return !st.decided && len(st.trail) > 0 && !st.current.Has(st.n)
}

// await lines up a package if it is waiting and not in line already.
func (s *solver) await(st *state) {
	if t := (turn{class(st), st.order}); waiting(st) && (!st.lined || st.line != t) {
		st.lined, st.line = true, t
		heap.Push(&s.turns, t)
	}
}

// next takes the undecided package that comes first out of the line, -1 if all are decided.
func (s *solver) next() int {
	for len(s.turns) > 0 {
		t := heap.Pop(&s.turns).(turn)
		p := s.seen[t.order]
		st := s.packages[p]
		if st.lined && st.line == t {
			st.lined = false
			if waiting(st) {
				return p
			}
		}
	}
	return -1
}

func class(s *state) int {
	switch {
	case s.rank == Fixed:
		return 4
	case s.rank == Pinned:
		return 3
	case s.early:
		return 2
	case s.late:
		return 1
	}
	return 0
}

// conflictAt counts a conflict that propagation found: the latest decision in it loses.
func (s *solver) conflictAt(i *incompat) {
	latest, at := -1, -1
	for _, t := range i.terms {
		st := s.packages[t.pkg]
		if !st.decided {
			continue
		}
		if k := st.trail[len(st.trail)-1]; k > at {
			latest, at = t.pkg, k
		}
	}
	if latest >= 0 {
		s.recordConflict(latest, i)
	}
}

// recordConflict counts that a version of p failed because of the decided packages of i.
func (s *solver) recordConflict(p int, i *incompat) {
	st := s.packages[p]
	for _, t := range i.terms {
		other := s.packages[t.pkg]
		if t.pkg == p || !other.decided {
			continue
		}
		st.lost++
		other.won++
		if st.lost == threshold && !st.early {
			st.early, st.late = true, false
			s.moves = append(s.moves, p)
		}
		if other.won == threshold && !other.early && !other.late {
			other.late = true
			s.moves = append(s.moves, t.pkg)
		}
	}
}

// reorder goes back to before the decisions on packages whose place has changed. Each package
// changes its place at most twice, so this ends. Nothing needs to be propagated anew: whatever is
// in doubt after it holds a package that is yet to be decided, and is looked at then.
func (s *solver) reorder() {
	level := s.level
	for _, p := range s.moves {
		st := s.packages[p]
		s.await(st)
		if st.decided {
			level = min(level, s.trail[st.trail[len(st.trail)-1]].level-1)
		}
	}
	s.moves = s.moves[:0]
	if level < s.level {
		s.backtrack(level)
	}
}
