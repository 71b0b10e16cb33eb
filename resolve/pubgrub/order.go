package pubgrub

import "container/heap"

// conflictThreshold is how many conflicts it takes to change a package's priority.
//
// The order in which packages are decided does not affect whether a solution is found, but it
// matters a lot for how soon, and for which one. The order is uv's: given files, then pinned
// packages, then packages that often failed because of earlier decisions, then the packages those
// decisions were about, then all others in order of first appearance. A package that has failed often is
// decided before those that it failed because of: their decisions are undone.
const conflictThreshold = 5

// conflicts counts a package's conflicts with decisions.
type conflicts struct {
	lost, won   int  // versions that failed because of earlier decisions; of others because of this one
	early, late bool // the priority was raised for lost, for won
}

// queueEntry is a package's position in the queue of packages to be decided.
type queueEntry struct{ class, order int }

// entryHeap orders the packages to be decided. It may hold stale entries: a package is pushed
// whenever it becomes undecided, is narrowed or changes its priority, and next skips the entries
// that are no longer valid. That is cheaper than removing them from the middle of the heap.
type entryHeap []queueEntry

func (t entryHeap) Len() int      { return len(t) }
func (t entryHeap) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t entryHeap) Less(i, j int) bool {
	if t[i].class != t[j].class {
		return t[i].class > t[j].class
	}
	return t[i].order < t[j].order
}
func (t *entryHeap) Push(x any) { *t = append(*t, x.(queueEntry)) }
func (t *entryHeap) Pop() any {
	x := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	return x
}

// undecided reports whether a package is needed but has no version yet.
func undecided(st *state) bool {
	return !st.decided && len(st.trail) > 0 && !st.current.Has(st.n)
}

// enqueue adds a package to the queue if it is undecided and not already queued at its position.
func (s *solver) enqueue(st *state) {
	if t := (queueEntry{priorityClass(st), st.order}); undecided(st) && (!st.queued || st.entry != t) {
		st.queued, st.entry = true, t
		heap.Push(&s.pending, t)
	}
}

// next removes the first undecided package from the queue and returns it, or -1 if all packages
// are decided.
func (s *solver) next() int {
	for len(s.pending) > 0 {
		t := heap.Pop(&s.pending).(queueEntry)
		p := s.seen[t.order]
		st := s.packages[p]
		if st.queued && st.entry == t {
			st.queued = false
			if undecided(st) {
				return p
			}
		}
	}
	return -1
}

// priorityClass returns the first sort key of the queue; higher classes are decided first.
func priorityClass(s *state) int {
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

// conflictAt records a conflict that was learned. What failed is the version that was decided at the
// level where it came up, even if it takes part by what it needs alone: where each version of boto3
// narrows botocore to one that conflicts with an earlier decision, boto3 is what should be decided earlier.
func (s *solver) conflictAt(level int, i *incompat) {
	if level > 0 {
		s.recordConflict(s.decisions[level-1], i)
	}
}

// recordConflict records that a version of p failed because of the decided packages in i.
func (s *solver) recordConflict(p int, i *incompat) {
	st := s.packages[p]
	for _, t := range i.terms {
		other := s.packages[t.pkg]
		if t.pkg == p || !other.decided {
			continue
		}
		st.lost++
		other.won++
		if st.lost == conflictThreshold && !st.early {
			st.early, st.late = true, false
			s.reordered = append(s.reordered, p, t.pkg)
		}
		if other.won == conflictThreshold && !other.early && !other.late {
			other.late = true
			s.reordered = append(s.reordered, t.pkg)
		}
	}
}

// reorder backtracks to before the decisions on packages whose priority has changed. Each package
// changes its priority at most twice, and has others undone only then, so this terminates. Nothing has to be propagated again: an
// incompatibility that is no longer settled contains a package yet to be decided, and is checked
// when that happens.
func (s *solver) reorder() {
	level := s.level
	for _, p := range s.reordered {
		st := s.packages[p]
		s.enqueue(st)
		if st.decided {
			level = min(level, s.trail[st.trail[len(st.trail)-1]].level-1)
		}
	}
	s.reordered = s.reordered[:0]
	if level < s.level {
		s.backtrack(level)
	}
}
