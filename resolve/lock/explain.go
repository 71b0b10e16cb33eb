package lock

import (
	"fmt"
	"slices"
	"strings"

	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pubgrub"
)

// NoSolutionError is the error of requirements that cannot be met together.
type NoSolutionError struct {
	Reasons []string // sentences, each building on those before it
	Hints   []string // what would help, each by itself
	Roots   []Root   // the requirements that take part
}

func (e *NoSolutionError) Error() string {
	s := "there is no set of packages that meets the requirements:\n  " + strings.Join(e.Reasons, "\n  ")
	for _, h := range e.Hints {
		s += "\n  try: " + h
	}
	return s
}

// story tells a proof. It follows the order of PubGrub's error reporting: a chain of sentences,
// with numbers for what is needed in more than one place.
type story struct {
	f       *failure
	lines   []string
	numbers map[*pubgrub.Derivation]int
	uses    map[*pubgrub.Derivation]int
	short   map[*pubgrub.Derivation]*pubgrub.Derivation
}

func (f *failure) explain() error {
	s := &story{f: f, numbers: map[*pubgrub.Derivation]int{}, uses: map[*pubgrub.Derivation]int{},
		short: map[*pubgrub.Derivation]*pubgrub.Derivation{}}
	why := s.shorten(f.why)
	s.count(why)
	if why.Left == nil {
		s.lines = append(s.lines, sentence(s.fact(why)))
	} else {
		s.tell(why)
	}
	e := &NoSolutionError{Reasons: s.lines}
	seen := map[*Root]bool{}
	facts(why, func(d *pubgrub.Derivation) {
		if n, ok := noteOf(d); ok && n.root != nil && !seen[n.root] {
			seen[n.root] = true
			e.Roots = append(e.Roots, *n.root)
		}
	})
	e.Hints = f.hints(why, e.Roots)
	return e
}

// shorten leaves out facts that go without saying.
func (s *story) shorten(d *pubgrub.Derivation) *pubgrub.Derivation {
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

func (s *story) count(d *pubgrub.Derivation) {
	s.uses[d]++
	if s.uses[d] == 1 && d.Left != nil {
		s.count(d.Left)
		s.count(d.Right)
	}
}

func (s *story) say(d *pubgrub.Derivation, start, because string) {
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
	if s.uses[d] > 1 {
		s.numbers[d] = len(s.numbers) + 1
		line += fmt.Sprintf(" [%d]", s.numbers[d])
	}
	s.lines = append(s.lines, line)
}

// ref is a fact inside a sentence, with the number of the sentence that proved it.
func (s *story) ref(d *pubgrub.Derivation) string {
	if n := s.numbers[d]; n > 0 {
		return fmt.Sprintf("%s [%d]", s.fact(d), n)
	}
	return s.fact(d)
}

func (s *story) told(d *pubgrub.Derivation) bool { return d.Left == nil || s.numbers[d] > 0 }

// tell proves d, ending in a sentence that states it.
func (s *story) tell(d *pubgrub.Derivation) {
	a, b := d.Left, d.Right
	if s.told(a) || !s.told(b) && s.plain(a) {
		a, b = b, a // b is the one that needs less telling
	}
	switch {
	case s.told(a) && s.told(b):
		// Roots read best last: "because x needs y and you require z".
		if s.root(a) && !s.root(b) {
			a, b = b, a
		}
		s.say(d, "Because", s.ref(a)+" and "+s.ref(b))
	case s.told(b):
		if s.uses[a] == 1 && s.told(a.Left) != s.told(a.Right) {
			// a is one step of a chain: both steps fit in one sentence.
			inner, given := a.Left, a.Right
			if s.told(inner) {
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
		if s.told(b) {
			s.say(d, "And because", s.ref(b))
			return
		}
		s.tell(b)
		s.say(d, "And because", s.ref(a))
	}
}

// plain reports whether d follows from given facts at once.
func (s *story) plain(d *pubgrub.Derivation) bool {
	return d.Left != nil && s.told(d.Left) && s.told(d.Right)
}

func (s *story) root(d *pubgrub.Derivation) bool {
	n, ok := noteOf(d)
	return ok && n.root != nil
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] + "." }

// hints tries what would help: each requirement of the user's that takes part, without its limit.
func (f *failure) hints(why *pubgrub.Derivation, roots []Root) []string {
	p := f.p.w.p
	var out []string
	if p.SkipHints {
		return nil
	}
	for _, r := range roots {
		if r.Specifier.IsZero() || len(roots) > 8 {
			continue
		}
		same := func(o Root) bool { return o.Name == r.Name && slices.Equal(o.From, r.From) }
		q := *p
		q.SkipHints, q.Keep.Lock = true, nil
		constraint := slices.ContainsFunc(q.Constraints, same)
		q.Constraints = slices.DeleteFunc(slices.Clone(q.Constraints), same)
		q.Roots = slices.Clone(q.Roots)
		for i := range q.Roots {
			if same(q.Roots[i]) {
				q.Roots[i].Specifier = pep440.Specifiers{}
			}
		}
		s := *f.p.w.session
		s.p = &q
		w := s.world(f.p.w.target, f.p.w.env, nil)
		got, _, err := w.try(&q)
		if err != nil {
			continue
		}
		if x := got.find(r.Name); x != nil && !constraint {
			out = append(out, fmt.Sprintf("%s %s instead of %s%s", r.Name, x.candidate.version, spec(&r.Requirement), where(r.From)))
		} else if constraint {
			out = append(out, fmt.Sprintf("without the constraint %s%s", spec(&r.Requirement), where(r.From)))
		}
	}
	return append(out, f.wheelHints(why)...)
}

// wheelHints says what to do about packages without a fitting wheel.
func (f *failure) wheelHints(why *pubgrub.Derivation) []string {
	var tags, source, python, removed []pep508.Name
	facts(why, func(d *pubgrub.Derivation) {
		add := func(list *[]pep508.Name) {
			if n := f.p.items[d.Package].name; !slices.Contains(*list, n) {
				*list = append(*list, n)
			}
		}
		switch d.Note {
		case wrongTags:
			add(&tags)
		case onlySource:
			add(&source)
		case wrongPython:
			add(&python)
		case noBinary:
			add(&removed)
		}
	})
	var out []string
	say := func(list []pep508.Name, format string) {
		if len(list) > 0 {
			out = append(out, fmt.Sprintf(format, join2(list)))
		}
	}
	say(tags, "another --python, --platform or --libc that %s has wheels for, or a wheel of your own in a folder given by --find-links")
	say(source, "a wheel of %s built by you (pip wheel), in a folder given by --find-links")
	say(python, "another --python that %s admits")
	say(removed, "to drop --no-binary for %s: an image is made of wheels only")
	return out
}

func join2(names []pep508.Name) string {
	list := make([]string, len(names))
	for i, n := range names {
		list[i] = string(n)
	}
	return and(list)
}

// and joins a list as one says it.
func and(list []string) string {
	switch len(list) {
	case 0:
		return ""
	case 1:
		return list[0]
	}
	return strings.Join(list[:len(list)-1], ", ") + " and " + list[len(list)-1]
}
