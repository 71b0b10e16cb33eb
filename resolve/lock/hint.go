package lock

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"mlenv/resolve/index"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pubgrub"
)

// HintKind says what would help where requirements cannot be met.
type HintKind int

// The kinds of hints, with the fields that they have beside Packages.
const (
	OtherVersion      HintKind = iota // Version instead of Root's: tried, a solution
	WithoutConstraint                 // without the constraint Root: tried, a solution
	NearVersions                      // Versions are those nearest to Root's, which does not exist
	WithoutLabel                      // Version has no local label, as Root's has Label: tried, a solution
	OtherLabel                        // Version is there without Label, which is of another index
	OnOtherIndex                      // Index, which the strategy passes over, has Version
	AdmitPre                          // pre-releases of the packages: tried, a solution
	LaterCutoff                       // files uploaded until Cutoff: tried, a solution
	OtherTarget                       // a target that the packages have wheels for, or wheels of one's own
	BuildWheel                        // wheels of one's own: there are source distributions only
	OtherPython                       // a Python that the packages admit
	AdmitWheels                       // the wheels of the packages, which the problem excludes
)

// Hint is one thing that would help, as a value: which words say it, and with which flags it is done,
// is for the caller to know.
type Hint struct {
	Kind     HintKind
	Packages []pep508.Name
	Root     *Root // whose requirement would change; nil where it is none of the user's
	Version  pep440.Version
	Versions []pep440.Version
	Label    string
	Index    string
	Cutoff   time.Time // the end of the day of the last upload needed
}

// String is for logs and tests; it is no text for users.
func (h Hint) String() string {
	names := [...]string{"other version", "without constraint", "near versions", "without label", "other label", "on other index",
		"admit pre", "later cutoff", "other target", "build wheel", "other python", "admit wheels"}
	parts := []string{names[h.Kind] + ":", nameList(h.Packages)}
	if !h.Version.IsZero() {
		parts = append(parts, h.Version.String())
	}
	for _, v := range h.Versions {
		parts = append(parts, v.String())
	}
	for _, s := range []string{h.Label, h.Index} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if !h.Cutoff.IsZero() {
		parts = append(parts, formatTime(h.Cutoff))
	}
	if h.Root != nil {
		parts = append(parts, "for "+h.Root.Line()+where(h.Root.From))
	}
	return strings.Join(parts, " ")
}

// Line is the requirement without its marker.
func (r *Root) Line() string { return spec(&r.Requirement) }

// What is read of the index in search of all hints of one failure is half of what the failure took, so
// that a refusal takes little more for its hints, but within these bounds. The steps that a search takes
// among what is known cost less.
const (
	leastReads, mostReads = 40, 60
	mostSteps             = 600
)

// mostTried is how many requirements may take part in a failure for one of them to be tried without
// its limit: with more, a change of one of them hardly ever helps.
const mostTried = 8

// Hints looks for what would help, the surest first. Most hints are searches of their own; all of them
// share one bound of work, and end with ctx, so that a caller who wants them within some time gives
// ctx a deadline. What has not been found by then is left out.
func (e *NoSolutionError) Hints(ctx context.Context) iter.Seq[Hint] {
	return func(yield func(Hint) bool) {
		if e.failure == nil {
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		f := e.failure
		s := *f.p.w.session
		s.ctx, s.prefetches = ctx, &sync.WaitGroup{}
		defer s.prefetches.Wait()
		defer cancel()
		h := &hinter{f: f, s: &s, why: e.why, roots: e.Roots, buildable: e.Buildable}
		h.left.reads.Store(int64(min(max(s.known.count()/2, leastReads), mostReads)))
		h.left.steps.Store(mostSteps)
		for _, find := range []func(func(Hint) bool) bool{h.ofMissing, h.ofRoots, h.ofPre, h.ofCutoff, h.ofWheels} {
			if !find(yield) {
				return
			}
		}
	}
}

// hinter looks for hints.
type hinter struct {
	f         *failure
	s         *session
	why       *pubgrub.Derivation
	roots     []Root
	buildable []pep508.Name
	left      work
	done      []*Root // requirements of which a hint has been given
}

// try solves a changed problem, nil where it has no solution or none was found within the bounds.
func (h *hinter) try(q *Problem, near map[pep508.Name][]pep440.Version) *picks {
	if h.left.done() || h.s.ctx.Err() != nil {
		return nil
	}
	q.Keep.Lock = nil
	s := *h.s
	s.p = q
	w := s.view(h.f.p.w.target, h.f.p.w.env, nil)
	w.left, w.near = &h.left, near
	got, _, err := s.trySettled(w)
	if err != nil {
		return nil
	}
	return got
}

// problem is a copy of the problem whose requirements can be changed.
func (h *hinter) problem() *Problem {
	q := *h.f.p.w.p
	q.Roots, q.Constraints = slices.Clone(q.Roots), slices.Clone(q.Constraints)
	return &q
}

// ofMissing is about versions that are not where they were looked for.
func (h *hinter) ofMissing(yield func(Hint) bool) bool {
	goOn := true
	facts(h.why, func(d *pubgrub.Derivation) {
		n, ok := noteOf(d)
		if !goOn || !ok || d.Dependency == nil || !d.Dependency.Allowed.Empty() || n.same {
			return
		}
		pr := h.f.p.projects[d.Dependency.Package]
		if pr.direct != nil {
			return
		}
		hint := Hint{Packages: []pep508.Name{pr.name}, Root: n.root}
		found, ok := h.elsewhere(hint, n.requirement)
		if !ok {
			found, ok = h.unlabelled(hint, n, pr)
		}
		if ok {
			h.done = append(h.done, n.root)
			goOn = yield(found)
		}
	})
	return goOn
}

// elsewhere looks for a version on the indexes that the strategy passes over.
func (h *hinter) elsewhere(hint Hint, r *pep508.Requirement) (Hint, bool) {
	other, ok := h.s.index.(interface {
		Elsewhere(context.Context, pep508.Name) ([]index.Listing, error)
	})
	if !ok {
		return hint, false
	}
	lists, err := other.Elsewhere(h.s.ctx, r.Name)
	if err != nil {
		return hint, false
	}
	for _, l := range lists {
		for _, v := range slices.Backward(l.Versions) {
			if r.Specifier.Match(v) {
				hint.Kind, hint.Index, hint.Version = OnOtherIndex, l.Index, v
				return hint, true
			}
		}
	}
	return hint, false
}

// unlabelled is about a pinned version with a local label ("2.7.1+cu128") that is there without it.
// Such labels are those of indexes beside the main one, which does not take them (PEP 440).
func (h *hinter) unlabelled(hint Hint, n need, pr *project) (Hint, bool) {
	pin, ok := n.requirement.Specifier.Pin()
	public := pin.Public()
	if !ok || pin.Local() == "" || !slices.ContainsFunc(pr.versions, func(c *candidate) bool { return c.version.Equal(public) }) {
		return hint, false
	}
	hint.Kind, hint.Version, hint.Label = OtherLabel, public, pin.Local()
	if n.root == nil {
		return hint, true
	}
	q := h.problem()
	exact, err := pep440.ParseSpecifiers("==" + public.String())
	if err != nil {
		return hint, true
	}
	for i := range q.Roots {
		if sameRoot(&q.Roots[i], n.root) {
			q.Roots[i].Specifier, q.Roots[i].Hashes = exact, nil
		}
	}
	if h.try(q, nil) != nil {
		hint.Kind = WithoutLabel
	}
	return hint, true
}

func sameRoot(a, b *Root) bool {
	return a.Name == b.Name && slices.Equal(a.From, b.From) && a.Specifier.Equal(b.Specifier)
}

// ofRoots tries each of the user's requirements that take part without its limit.
func (h *hinter) ofRoots(yield func(Hint) bool) bool {
	if len(h.roots) > mostTried {
		return true
	}
	for i := range h.roots {
		r := &h.roots[i]
		if r.Specifier.IsZero() || slices.ContainsFunc(h.done, func(o *Root) bool { return o != nil && sameRoot(o, r) }) {
			continue
		}
		hint, ok := h.without(r)
		if !ok {
			hint, ok = h.nearest(r)
		}
		if ok && !yield(hint) {
			return false
		}
	}
	return true
}

// without tries a problem without the limit of one requirement. Of the versions that then count, those
// near to it are tried first: whoever has pickled a model wants to stay close.
func (h *hinter) without(r *Root) (Hint, bool) {
	q := h.problem()
	hint := Hint{Kind: OtherVersion, Packages: []pep508.Name{r.Name}, Root: r}
	constraint := slices.ContainsFunc(q.Constraints, func(o Root) bool { return sameRoot(&o, r) })
	q.Constraints = slices.DeleteFunc(q.Constraints, func(o Root) bool { return sameRoot(&o, r) })
	for i := range q.Roots {
		if sameRoot(&q.Roots[i], r) {
			q.Roots[i].Specifier, q.Roots[i].Hashes = pep440.Specifiers{}, nil
		}
	}
	got := h.try(q, map[pep508.Name][]pep440.Version{r.Name: bounds(r.Specifier)})
	switch {
	case got == nil:
		return hint, false
	case constraint:
		hint.Kind = WithoutConstraint
		return hint, true
	}
	x := got.find(r.Name)
	if x == nil {
		return hint, false
	}
	hint.Version = x.candidate.version
	return hint, true
}

// bounds are the versions that a specifier names.
func bounds(s pep440.Specifiers) []pep440.Version {
	var out []pep440.Version
	for _, c := range s.Clauses() {
		if v, err := pep440.Parse(strings.TrimSuffix(c.Version, ".*")); err == nil && c.Op != "!=" {
			out = append(out, v)
		}
	}
	return out
}

// nearest gives the versions next to one that does not exist. Nobody has tried them: some other
// conflict is in the way of any.
func (h *hinter) nearest(r *Root) (Hint, bool) {
	hint := Hint{Kind: NearVersions, Packages: []pep508.Name{r.Name}, Root: r}
	w := h.s.view(h.f.p.w.target, h.f.p.w.env, nil)
	pr := w.project(r.Name)
	if pr.missing != nil || pr.err != nil || pr.direct != nil || slices.ContainsFunc(pr.versions, func(c *candidate) bool { return r.Specifier.Match(c.version) }) {
		return hint, false
	}
	const most = 3
	for _, i := range pr.byDistance(bounds(r.Specifier)) {
		if pr.why(i) == usable {
			hint.Versions = append(hint.Versions, pr.versions[i].version)
		}
		if len(hint.Versions) == most {
			break
		}
	}
	slices.SortFunc(hint.Versions, pep440.Version.Compare)
	return hint, len(hint.Versions) > 0
}

// ofPre tries to admit pre-releases, where some do not count.
func (h *hinter) ofPre(yield func(Hint) bool) bool {
	names := h.excludedFor(isPrerelease)
	q := h.problem()
	q.Limits.Pre = true
	if len(names) == 0 || h.f.p.w.p.Limits.Pre {
		return true
	}
	got := h.try(q, nil)
	if got == nil {
		return true
	}
	names = slices.DeleteFunc(names, func(n pep508.Name) bool {
		x := got.find(n)
		return x == nil || !x.candidate.version.IsPrerelease()
	})
	return len(names) == 0 || yield(Hint{Kind: AdmitPre, Packages: names})
}

// excludedFor lists the packages of which the proof says that versions do not count for a reason.
func (h *hinter) excludedFor(why reason) []pep508.Name {
	var names []pep508.Name
	facts(h.f.why, func(d *pubgrub.Derivation) {
		if d.Note == why {
			names = append(names, h.f.p.items[d.Package].name)
		}
	})
	slices.Sort(names)
	return slices.Compact(names)
}

// ofCutoff looks for the first day on which what was too new would do.
func (h *hinter) ofCutoff(yield func(Hint) bool) bool {
	names := h.excludedFor(tooNew)
	if len(names) == 0 {
		return true
	}
	q := h.problem()
	q.Limits.Cutoff = time.Time{}
	got := h.try(q, nil)
	if got == nil {
		return true
	}
	hint := Hint{Kind: LaterCutoff}
	limit := h.f.p.w.p.Limits.Cutoff
	for _, x := range got.list {
		if t := x.candidate.wheels[0].UploadTime; !t.Before(limit) && x.project.direct == nil {
			hint.Packages = append(hint.Packages, x.name)
			if end := endOfDay(t); end.After(hint.Cutoff) {
				hint.Cutoff = end
			}
		}
	}
	// The newest versions are not needed, only newer ones: an earlier day may do.
	for range 3 {
		q.Limits.Cutoff = h.nextDay(q.Limits.Cutoff)
		if q.Limits.Cutoff.IsZero() || !q.Limits.Cutoff.Before(hint.Cutoff) {
			break
		}
		if h.try(q, nil) != nil {
			hint.Cutoff = q.Limits.Cutoff
			break
		}
	}
	return hint.Cutoff.IsZero() || yield(hint)
}

// nextDay is the end of the first day after a time by which each package that the proof calls too new
// has a version that the proof asks for; zero where there is none.
func (h *hinter) nextDay(after time.Time) time.Time {
	var latest time.Time
	facts(h.f.why, func(d *pubgrub.Derivation) {
		if d.Note != tooNew {
			return
		}
		var first time.Time
		pr := h.f.p.projects[d.Package]
		for i := range d.Versions.Down() {
			for _, f := range pr.versions[i].files {
				t := f.UploadTime
				if pr.why(i) == tooNew && !t.IsZero() && t.After(after) && (first.IsZero() || t.Before(first)) {
					first = t
				}
			}
		}
		if first.After(latest) {
			latest = first
		}
	})
	if latest.IsZero() {
		return latest
	}
	return endOfDay(latest)
}

// endOfDay is the first moment of the day after.
func endOfDay(t time.Time) time.Time { return t.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1) }

// ofWheels says what to do about packages without a fitting wheel. It takes no search.
func (h *hinter) ofWheels(yield func(Hint) bool) bool {
	source := h.excludedFor(onlySource)
	for _, n := range slices.Concat(h.f.sourceOnly, h.buildable) {
		if !slices.Contains(source, n) {
			source = append(source, n)
		}
	}
	for _, hint := range []Hint{
		{Kind: OtherTarget, Packages: h.excludedFor(wrongTags)}, {Kind: BuildWheel, Packages: source},
		{Kind: OtherPython, Packages: h.excludedFor(wrongPython)}, {Kind: AdmitWheels, Packages: h.excludedFor(noBinary)},
	} {
		if len(hint.Packages) > 0 && !yield(hint) {
			return false
		}
	}
	return true
}

func nameList(names []pep508.Name) string {
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
