package lock

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"

	"mlenv/resolve/dist"
	"mlenv/resolve/index"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pubgrub"
)

// reason says why a version does not count. The greater ones hide the lesser: a version is named
// after the file of it that came closest.
type reason int

const (
	usable      reason = iota
	outOfLimits        // by a constraint
	isPrerelease
	isYanked
	wrongHash
	noBinary
	tooNew
	wrongPython
	wrongTags
	onlySource
)

// candidate is one version of a project. Its files are looked at when it is tried: most versions
// never are.
type candidate struct {
	version pep440.Version
	early   reason // what the version alone says

	examined sync.Once
	late     reason       // what its files say
	wheels   []*dist.File // that fit the target, the best first
	files    []dist.File  // all of the version
	listing  error        // why the files could not be listed

	reading  sync.Once
	metadata *dist.Metadata
	err      error
}

// project is what the target can use of one name. It is built once and read by many.
type project struct {
	name     pep508.Name
	versions []*candidate // ascending
	missing  error        // no index knows the name
	err      error        // the index could not answer
	direct   *Root        // it is fixed by a direct reference
	prefer   []pep440.Specifiers
	keep     pep440.Version // of the previous lock, zero if none
	pre      bool           // it has pre-releases that do not count
	finals   bool           // pre-releases come last: none but packages ask for them
	barred   bool           // nor are they admitted because packages ask for them
	near     []int          // the order in which versions are tried, nil for the usual one

	limits []*Root // constraints
	pinned bool    // by a constraint
	filter *fileFilter

	sets map[string]pubgrub.Set // of the solver's goroutine
}

// why says why a version does not count.
func (pr *project) why(i int) reason {
	c := pr.versions[i]
	if c.early != usable {
		return c.early
	}
	pr.filter.examine(c)
	return c.late
}

// load lists a project's versions.
func (w *targetView) load(name pep508.Name) *project {
	pr := &project{name: name, sets: map[string]pubgrub.Set{}, prefer: w.of(name).soft, keep: w.keep[name]}
	w.limit(pr)
	pr.filter = w.newFileFilter(pr)
	if r := w.of(name).direct; r != nil {
		w.loadDirect(pr, r)
		return pr
	}
	if w.known.first(string(name)) {
		if pr.err = w.left.read(); pr.err != nil {
			return pr
		}
	}
	versions, err := w.index.Versions(w.ctx, name)
	if missing := (*index.NotFoundError)(nil); errors.As(err, &missing) {
		pr.missing = err
		return pr
	}
	if err != nil {
		pr.err = err
		return pr
	}
	all := make([]candidate, len(versions))
	pr.versions = make([]*candidate, len(versions))
	for i, v := range versions {
		all[i].version = v
		pr.versions[i] = &all[i]
	}
	if aims := w.near[name]; aims != nil {
		pr.near = pr.byDistance(aims)
	}
	asked, ok := w.p.prereleases[name]
	pr.finals, pr.barred = asked && !w.p.Limits.Pre, ok && !asked
	finals := pr.hasFinal(!w.p.Limits.Cutoff.IsZero())
	for _, c := range pr.versions {
		switch {
		case slices.ContainsFunc(pr.limits, func(r *Root) bool { return !r.Specifier.Match(c.version) }):
			c.early = outOfLimits
		case finals && c.version.IsPrerelease() && !w.p.Limits.Pre && !w.p.prereleases[name] && !w.named(name, c.version) && !c.version.Equal(pr.keep):
			c.early, pr.pre = isPrerelease, true
		}
	}
	return pr
}

// hasFinal reports whether a project has a version that is no pre-release; with a cutoff, one from
// before it.
func (pr *project) hasFinal(cutoff bool) bool {
	for i, c := range pr.versions {
		if !c.version.IsPrerelease() && (!cutoff || pr.why(i) != tooNew) {
			return true
		}
	}
	return false
}

// named reports whether one of the user's own requirements of a project names a pre-release, which
// admits all of them (PEP 440, "Handling of pre-releases").
func (w *targetView) named(name pep508.Name, v pep440.Version) bool {
	a := w.of(name)
	admits := func(r *Root) bool { return r.Specifier.AllowsPrereleases() && r.Specifier.Match(v) }
	return slices.ContainsFunc(a.roots, admits) || slices.ContainsFunc(a.limits, admits)
}

// limit finds the constraints on a project.
func (w *targetView) limit(pr *project) {
	for _, r := range w.of(pr.name).limits {
		if r.Specifier.IsZero() {
			continue
		}
		pr.limits = append(pr.limits, r)
		_, pin := r.Specifier.Pin()
		pr.pinned = pr.pinned || pin
	}
}

// fileFilter decides which files of one project count. It is used by several goroutines.
type fileFilter struct {
	w        *targetView
	pr       *project
	asked    *asked
	noBinary bool
	pinned   []pep440.Specifiers // by ==: these admit yanked versions
	mu       sync.Mutex
	pythons  map[string]bool // Requires-Python as listed, and whether it admits the target's
}

func (w *targetView) newFileFilter(pr *project) *fileFilter {
	ff := &fileFilter{w: w, pr: pr, asked: w.of(pr.name), pythons: map[string]bool{}}
	ff.noBinary = w.noBinary.has(pr.name) && !w.onlyBinary.has(pr.name)
	for _, list := range [][]*Root{ff.asked.roots, ff.asked.limits} {
		for _, r := range list {
			if _, ok := r.Specifier.Pin(); ok {
				ff.pinned = append(ff.pinned, r.Specifier)
			}
		}
	}
	return ff
}

// examine decides which files of a version count, once.
func (ff *fileFilter) examine(c *candidate) {
	c.examined.Do(func() {
		if c.files == nil {
			c.files, c.listing = ff.w.index.VersionFiles(ff.w.ctx, ff.pr.name, c.version)
		}
		if c.listing == nil { // else whoever wants the metadata is told
			ff.candidate(c)
		}
	})
}

func (ff *fileFilter) candidate(c *candidate) {
	c.late = onlySource
	kept := !ff.pr.keep.IsZero() && c.version.Equal(ff.pr.keep)
	for i := range c.files {
		f := &c.files[i]
		why := ff.file(f)
		if why == isYanked && (kept || ff.admitsYanked(c.version)) {
			why = usable
		}
		c.late = min(c.late, why)
		if why == usable {
			c.wheels = append(c.wheels, f)
		}
	}
	if len(c.wheels) > 1 {
		fits := make(map[*dist.File]dist.Fit, len(c.wheels))
		for _, f := range c.wheels {
			fits[f], _ = ff.w.tags.Fit(f.Tags, f.Build)
		}
		slices.SortStableFunc(c.wheels, func(a, b *dist.File) int {
			return cmp.Or(fits[a].Compare(fits[b]), strings.Compare(a.Filename, b.Filename))
		})
	}
}

func (ff *fileFilter) file(f *dist.File) reason {
	if !f.Wheel {
		return onlySource
	}
	if _, ok := ff.w.tags.Rank(f.Tags); !ok {
		return wrongTags
	}
	switch {
	case !ff.python(f.RequiresPython):
		return wrongPython
	case ff.tooNew(f):
		return tooNew
	case ff.noBinary:
		return noBinary
	case len(ff.asked.hashes) > 0 && !hasHash(f, ff.asked.hashes):
		return wrongHash
	case f.Yanked:
		return isYanked
	}
	return usable
}

// tooNew reports whether the cutoff excludes a file. It is about what an index may have taken in
// since: what lies in a folder or is linked by a page the user has put there (as in pip and uv).
// What the previous lock has is not spared: it may be what the cutoff is to keep out.
func (ff *fileFilter) tooNew(f *dist.File) bool {
	cutoff := ff.w.p.Limits.Cutoff
	return !cutoff.IsZero() && f.Index != "" && (f.UploadTime.IsZero() || !f.UploadTime.Before(cutoff))
}

func (ff *fileFilter) admitsYanked(v pep440.Version) bool {
	return ff.w.p.yanked[ff.pr.name] || slices.ContainsFunc(ff.pinned, func(s pep440.Specifiers) bool { return s.Match(v) })
}

func (ff *fileFilter) python(s string) bool {
	if s == "" {
		return true
	}
	ff.mu.Lock()
	defer ff.mu.Unlock()
	ok, known := ff.pythons[s]
	if !known {
		set, err := dist.ParseRequiresPython(s)
		ok = err != nil || ff.w.target.FitsPython(set)
		ff.pythons[s] = ok
	}
	return ok
}

func hasHash(f *dist.File, hashes map[string]bool) bool {
	for algorithm, sum := range f.Hashes {
		if hashes[strings.ToLower(algorithm+":"+sum)] {
			return true
		}
	}
	return false
}

// best is the version to be tried first of those that ok admits, -1 if there is none: the kept
// one, then what a soft requirement prefers, then the newest.
func (pr *project) best(ok func(i int) bool) int {
	newest := -1
	for _, i := range pr.near {
		if ok(i) && pr.why(i) == usable {
			return i
		}
	}
	if !pr.keep.IsZero() {
		for i, c := range pr.versions {
			if c.version.Equal(pr.keep) && ok(i) {
				return i
			}
		}
		// The same release in another build, such as 2.7.1+cpu for 2.7.1: it is no upgrade.
		for i := len(pr.versions) - 1; i >= 0; i-- {
			if v := pr.versions[i].version; v.Public().Equal(pr.keep.Public()) && ok(i) && pr.why(i) == usable {
				return i
			}
		}
	}
	if pr.finals {
		for i := len(pr.versions) - 1; i >= 0; i-- {
			if ok(i) && !pr.versions[i].version.IsPrerelease() && pr.why(i) == usable {
				return i
			}
		}
	}
	for i := len(pr.versions) - 1; i >= 0; i-- {
		if !ok(i) {
			continue
		}
		if len(pr.prefer) == 0 {
			return i
		}
		if newest < 0 {
			newest = i
		}
		if pr.why(i) != usable {
			continue
		}
		if !slices.ContainsFunc(pr.prefer, func(s pep440.Specifiers) bool { return !s.Match(pr.versions[i].version) }) {
			return i
		}
	}
	return newest
}

// byDistance orders the versions by how near they are to some: first those of the same minor version,
// then of the same major one, then the others; of these the nearest in the list, and of two that are
// as near the newer.
func (pr *project) byDistance(aims []pep440.Version) []int {
	type ranked struct{ index, class, distance int }
	all := make([]ranked, len(pr.versions))
	for i, c := range pr.versions {
		all[i] = ranked{i, 2, len(pr.versions)}
		for _, aim := range aims {
			at := sort.Search(len(pr.versions), func(k int) bool { return pr.versions[k].version.Compare(aim) >= 0 })
			all[i].distance = min(all[i].distance, max(i-at, at-i))
			switch {
			case c.version.Minor() == aim.Minor():
				all[i].class = 0
			case major(c.version) == major(aim):
				all[i].class = min(all[i].class, 1)
			}
		}
	}
	slices.SortFunc(all, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.distance, b.distance), cmp.Compare(b.index, a.index))
	})
	order := make([]int, len(all))
	for i, p := range all {
		order[i] = p.index
	}
	return order
}

// major is the first number of a release.
func major(v pep440.Version) uint64 {
	if r := v.Release(); len(r) > 0 {
		return r[0]
	}
	return 0
}

// meta reads the metadata of a version's best wheel.
func (w *targetView) meta(c *candidate) (*dist.Metadata, error) {
	c.reading.Do(func() {
		if c.err = c.listing; c.err != nil {
			return
		}
		f := c.wheels[0]
		if w.known.first(f.Filename) {
			if c.err = w.left.read(); c.err != nil {
				return
			}
		}
		m, err := w.index.Metadata(w.ctx, *f)
		switch {
		case err != nil:
			c.err = unusable(*f, err)
		case m.Name != "" && m.Name != f.Name:
			c.err = &pubgrub.UnavailableError{Note: fmt.Sprintf("its metadata is that of %s", m.Name)}
		case !m.Version.IsZero() && !m.Version.Equal(c.version):
			c.err = &pubgrub.UnavailableError{Note: fmt.Sprintf("its metadata is that of version %s", m.Version)}
		case len(m.Invalid) > 0:
			c.err = &pubgrub.UnavailableError{Note: fmt.Sprintf("its requirement %q is not valid", m.Invalid[0])}
		case !w.target.FitsPython(m.RequiresPython):
			c.err = &pubgrub.UnavailableError{Note: fmt.Sprintf("it needs Python %s", m.RequiresPython)}
		}
		c.metadata = m
	})
	return c.metadata, c.err
}

// unusable turns what is wrong with one file into what rules out its version. Everything else
// says nothing of the file and ends the search: bytes too that are not those which the index
// promises, for whoever can spoil them on their way could else choose an older version for us. A broken
// file of this machine ends it too: the user has put it there, can mend it, and would look for the fault
// among the requirements if it were passed over.
func unusable(f dist.File, err error) error {
	switch {
	case strings.HasPrefix(f.URL, "file:") && errors.As(err, new(*index.FormatError)):
		return err
	case errors.As(err, new(*index.NotFoundError)):
		return &pubgrub.UnavailableError{Note: "its file is gone from the index"}
	case errors.As(err, new(*index.FormatError)):
		return &pubgrub.UnavailableError{Note: "its metadata cannot be read: " + err.Error()}
	}
	return err
}
