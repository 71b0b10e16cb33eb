package lock

import (
	"fmt"
	"strings"

	"mlenv/resolve/pep508"
	"mlenv/resolve/pubgrub"
)

// NoSolutionError is the error of requirements that cannot be met together. Its Hints look for what
// would help.
type NoSolutionError struct {
	Reasons []string // sentences, each building on those before it
	Roots   []Root   // the requirements that take part

	// Buildable are the packages without a fitting wheel that have a source distribution, sorted:
	// what SolveWithout may leave out.
	Buildable []pep508.Name

	failure *failure
	why     *pubgrub.Derivation // the proof without what goes without saying
}

// Summary is what an explanation begins with.
const Summary = "there is no set of packages that meets the requirements:"

func (e *NoSolutionError) Error() string {
	return Summary + "\n  " + strings.Join(e.Reasons, "\n  ")
}

// explanation tells a proof. It follows the order of PubGrub's error reporting: a chain of sentences,
// with numbers for what is needed in more than one place.
type explanation struct {
	f       *failure
	lines   []string
	numbers map[*pubgrub.Derivation]int
	uses    map[*pubgrub.Derivation]int
	short   map[*pubgrub.Derivation]*pubgrub.Derivation
	said    map[string]*step // by what the line says, without its number
	last    int              // number given
}

// step is a line of a proof.
type step struct{ at, number int } // its index; 0: it has no number

func (f *failure) explain() error {
	s := &explanation{f: f, numbers: map[*pubgrub.Derivation]int{}, uses: map[*pubgrub.Derivation]int{},
		short: map[*pubgrub.Derivation]*pubgrub.Derivation{}, said: map[string]*step{}}
	why := s.shorten(f.why)
	s.count(why)
	if why.Left == nil {
		s.lines = append(s.lines, sentence(s.fact(why)))
	} else {
		s.tell(why)
	}
	e := &NoSolutionError{failure: f, why: why}
	seen := map[*Root]bool{}
	facts(why, func(d *pubgrub.Derivation) {
		if n, ok := noteOf(d); ok && n.root != nil && !seen[n.root] {
			seen[n.root] = true
			e.Roots = append(e.Roots, *n.root)
		}
	})
	besides, sourceOnly := f.unobtainable(e.Roots)
	f.sourceOnly, e.Buildable = sourceOnly, f.buildable()
	e.Reasons = append(s.lines, besides...)
	return e
}

// shorten leaves out facts that go without saying.
func (s *explanation) shorten(d *pubgrub.Derivation) *pubgrub.Derivation {
	if d.Left == nil {
		return d
	}
	if r := s.short[d]; r != nil {
		return r
	}
	left, right := s.shorten(d.Left), s.shorten(d.Right)
	r := *d
	r.Left, r.Right = left, right
	out := &r
	switch {
	case trivial(left, right):
		out = right
	case trivial(right, left):
		out = left
	}
	s.short[d] = out
	return out
}

// trivial reports whether d goes without saying beside the fact that it is joined with. That
// pre-releases and yanked versions do not count is worth a word only where it settles the matter.
func trivial(d, beside *pubgrub.Derivation) bool {
	if d.Left != nil {
		return false
	}
	if n, ok := noteOf(d); ok {
		return n.same
	}
	return (d.Note == isPrerelease || d.Note == isYanked) && (beside.Left != nil || beside.Dependency == nil)
}

func (s *explanation) count(d *pubgrub.Derivation) {
	s.uses[d]++
	if s.uses[d] == 1 && d.Left != nil {
		s.count(d.Left)
		s.count(d.Right)
	}
}

func (s *explanation) say(d *pubgrub.Derivation, start, because string) {
	var line string
	switch conclusion := s.fact(d); {
	case len(d.Terms) == 0 && because == "":
		line = start + " your requirements cannot be met together."
	case len(d.Terms) == 0:
		line = start + " " + because + ", your requirements cannot be met together."
	case because == "":
		line = start + " " + conclusion + "."
	default:
		line = start + " " + because + ", " + conclusion + "."
	}
	// Two steps of a proof may read the same: they differ in versions that do not count.
	said, again := s.said[line]
	if !again {
		said = &step{at: len(s.lines)}
		s.said[line] = said
		s.lines = append(s.lines, line)
	}
	if s.uses[d] > 1 {
		if said.number == 0 {
			s.last++
			said.number = s.last
			s.lines[said.at] += fmt.Sprintf(" [%d]", said.number)
		}
		s.numbers[d] = said.number
	}
}

// ref is a fact inside a sentence, with the number of the sentence that proved it.
func (s *explanation) ref(d *pubgrub.Derivation) string {
	if n := s.numbers[d]; n > 0 {
		return fmt.Sprintf("%s [%d]", s.fact(d), n)
	}
	return s.fact(d)
}

func (s *explanation) stated(d *pubgrub.Derivation) bool { return d.Left == nil || s.numbers[d] > 0 }

// tell proves d, ending in a sentence that states it.
func (s *explanation) tell(d *pubgrub.Derivation) {
	a, b := d.Left, d.Right
	if s.stated(a) || !s.stated(b) && s.plain(a) {
		a, b = b, a // b is the one that needs less telling
	}
	switch {
	case s.stated(a) && s.stated(b):
		// Roots read best last: "because x needs y and you require z".
		if s.root(a) && !s.root(b) {
			a, b = b, a
		}
		s.say(d, "Because", s.ref(a)+" and "+s.ref(b))
	case s.stated(b):
		if s.uses[a] == 1 && s.stated(a.Left) != s.stated(a.Right) {
			// a is one step of a chain: both steps fit in one sentence.
			inner, given := a.Left, a.Right
			if s.stated(inner) {
				inner, given = given, inner
			}
			s.tell(inner)
			s.say(d, "And because", s.ref(given)+" and "+s.ref(b))
			return
		}
		s.tell(a)
		s.say(d, "And because", s.ref(b))
	case s.plain(b) && s.uses[b] == 1:
		s.tell(a)
		s.tell(b)
		s.say(d, "Therefore", "")
	default:
		s.uses[a]++ // it is stated far from where it is used: number it
		s.tell(a)
		if s.stated(b) {
			s.say(d, "And because", s.ref(b))
			return
		}
		s.tell(b)
		s.say(d, "And because", s.ref(a))
	}
}

// plain reports whether d follows from given facts at once.
func (s *explanation) plain(d *pubgrub.Derivation) bool {
	return d.Left != nil && s.stated(d.Left) && s.stated(d.Right)
}

func (s *explanation) root(d *pubgrub.Derivation) bool {
	n, ok := noteOf(d)
	return ok && n.root != nil
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] + "." }
