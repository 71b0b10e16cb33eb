package imagebuild

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"

	"mlenv/imagebuild/layer"
	"mlenv/imagebuild/wheel"
	"mlenv/resolve/dist"
	"mlenv/resolve/finding"
)

// openWheels are the wheels that are open: each is opened once, when it is first needed.
type openWheels struct {
	scheme wheel.Scheme
	slots  chan struct{} // one for each wheel that is fetched and opened at once
	mu     sync.Mutex
	open   map[string]*opened // by SHA-256
}

type opened struct {
	once     sync.Once
	wheel    *wheel.Wheel
	entries  []layer.Entry
	distInfo string
	source   string // the file's name, as the lock has it
	err      error
}

func newOpenWheels(s wheel.Scheme, jobs int) *openWheels {
	return &openWheels{scheme: s, slots: make(chan struct{}, jobs), open: map[string]*opened{}}
}

// take gives a wheel's files as they are installed, and the name of its .dist-info directory.
func (s *openWheels) take(ctx context.Context, w Wheel) (*opened, error) {
	s.mu.Lock()
	o := s.open[w.SHA256]
	if o == nil {
		o = &opened{}
		s.open[w.SHA256] = o
	}
	s.mu.Unlock()
	// Who waits for a wheel that another opens has no slot meanwhile, so that nobody waits for ever.
	o.once.Do(func() {
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
			o.err = o.read(ctx, w, s.scheme)
		case <-ctx.Done():
			o.err = ctx.Err()
		}
	})
	if o.err != nil {
		s.mu.Lock()
		if s.open[w.SHA256] == o {
			delete(s.open, w.SHA256) // so that a download that failed can be tried again
		}
		s.mu.Unlock()
	}
	return o, o.err
}

func (o *opened) read(ctx context.Context, w Wheel, scheme wheel.Scheme) error {
	name, err := w.Path(ctx)
	if err != nil {
		return fmt.Errorf("fetching %s: %w", w.Filename, err)
	}
	if o.wheel, err = wheel.Open(name); err != nil {
		return err
	}
	o.distInfo, o.source = o.wheel.DistInfo(), w.Filename
	if err = o.compare(w); err == nil {
		o.entries, err = o.wheel.Install(scheme, wheel.Options{DirectURL: w.DirectURL})
	}
	if err != nil {
		return errors.Join(err, o.wheel.Close())
	}
	for i := range o.entries {
		o.entries[i].Source = w.Filename
	}
	return nil
}

// compare refuses a wheel that needs more than the lock has: the lock was made by what an index said of
// the wheel, which the wheel itself does not say.
func (o *opened) compare(w Wheel) error {
	if w.Needs == nil {
		return nil
	}
	data, err := o.wheel.Metadata()
	if err != nil {
		return err
	}
	m, err := dist.ParseMetadata(data)
	if err != nil {
		return fmt.Errorf("%s: %w", w.Filename, err)
	}
	if unmet := w.Needs.Unmet(m); len(unmet) > 0 {
		return &UnmetError{Wheel: w.Filename, Unmet: unmet}
	}
	return nil
}

// UnmetError says that a wheel of a lock needs what the lock does not have.
type UnmetError struct {
	Wheel string   // its file name
	Unmet []string // its requirements, as it has them
}

func (e *UnmetError) Error() string {
	const most = 5
	more := ""
	if n := len(e.Unmet) - most; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("%s needs %.500s%s, which the lock does not have", e.Wheel, strings.Join(e.Unmet[:min(len(e.Unmet), most)], ", "), more)
}

func (s *openWheels) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, o := range s.open {
		if o.wheel != nil && o.err == nil {
			if err := o.wheel.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	s.open = map[string]*opened{}
	return errors.Join(errs...)
}

// takeAll gives the files of several wheels, each path once, what is known of each by its SHA-256, and
// what is odd about them.
func (s *openWheels) takeAll(ctx context.Context, wheels []Wheel, p paths) (contents, error) {
	u := union{}
	c := contents{facts: map[string]wheelFacts{}}
	for _, w := range sortedWheels(wheels) {
		o, err := s.take(ctx, w)
		if err != nil {
			return contents{}, err
		}
		c.facts[w.SHA256] = wheelFacts{o.distInfo, p.roots(o.claims(p))}
		c.findings = append(c.findings, o.findings(w.Filename)...)
		if err := u.add(o.entries); err != nil {
			return contents{}, err
		}
	}
	c.entries = u.entries()
	return c, u.checkDirs()
}

// maxFindings is how much is said of one wheel.
const maxFindings = 5

// findings says what is odd about a wheel.
func (o *opened) findings(filename string) finding.List {
	var out finding.List
	for i, n := range o.wheel.Notes {
		if i == maxFindings {
			out.Add(n.Rule, filename, nil, "%s: and %d more of the kind", filename, len(o.wheel.Notes)-i)
			break
		}
		out.Add(n.Rule, filename, nil, "%s: %s: %s", filename, n.Path, n.Text)
	}
	return out
}

// claims are the paths that a wheel has: its files, and the mark that the last layer may add.
func (o *opened) claims(p paths) []layer.Entry {
	return append(slices.Clip(o.entries), layer.Entry{
		Path: p.requested(o.distInfo), Content: layer.Bytes(nil), Source: o.source,
	})
}

// union is a set of files from several wheels, which are added by the names of their packages: of two
// files with one path the later one stays.
type union map[string]layer.Entry

// add refuses what may not overlap; the other overlaps are found by compare.
func (u union) add(entries []layer.Entry) error {
	for _, e := range entries {
		if e.Kind == layer.Dir {
			continue
		}
		old, ok := u[e.Path]
		switch {
		case !ok:
			u[e.Path] = e
		case old.Same(e):
			u[e.Path] = layer.Either(e, old)
		case mayOverlap(e.Path):
			u[e.Path] = e
		default:
			return &CollisionError{Path: e.Path, Wheels: [2]string{old.Source, e.Source}}
		}
	}
	return nil
}

// checkDirs refuses a file where another wheel needs a directory.
func (u union) checkDirs() error {
	for _, e := range u.entries() {
		for at := strings.LastIndexByte(e.Path, '/'); at > 0; at = strings.LastIndexByte(e.Path[:at], '/') {
			if old, ok := u[e.Path[:at]]; ok {
				return &CollisionError{Path: old.Path, Wheels: [2]string{old.Source, e.Source}}
			}
		}
	}
	return nil
}

func (u union) entries() []layer.Entry {
	out := make([]layer.Entry, 0, len(u))
	for _, e := range u {
		out = append(out, e)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Path < out[j].Path })
	return out
}

// checkUnion finds the paths that several wheels hold with different content, since in layers the
// last would win in silence. It refuses what can only be a mistake: a wheel that holds a file of the
// environment itself, or a file where another has a directory. What was found of a set of wheels is
// remembered. Of another set only those wheels are looked at whose roots are another's too, and of these
// only those are opened that were never seen, and those whose outlines do not go together.
func (w *work) checkUnion(ctx context.Context, done []made) error {
	if len(w.recipe.Wheels) == 0 {
		return nil
	}
	key := unionKey{unionFormat, w.wheelsKey(w.recipe.Wheels)}
	var known unionNote
	_, ok, err := w.recall(ctx, UnionsMemo, key, &known)
	if err != nil {
		return err
	}
	if !ok || !known.Fine || !remembersOverlaps(known.Overlaps, w.recipe.Wheels) {
		if known.Overlaps, err = w.findOverlaps(ctx, w.neighbours(sortedWheels(w.recipe.Wheels), done)); err != nil {
			return err
		}
		known.Fine = true
		if err := w.remember(ctx, UnionsMemo, key, known); err != nil {
			return err
		}
	}
	w.overlaps = known.Overlaps
	return w.carry(UnionsMemo, key, known)
}

// findOverlaps finds the overlaps of wheels, sorted by name.
func (w *work) findOverlaps(ctx context.Context, wheels []Wheel) ([]overlap, error) {
	outlines := []outline{outlineOf(w.paths.reserved())}
	for _, one := range wheels {
		o, err := w.outline(ctx, one)
		if err != nil {
			return nil, err
		}
		outlines = append(outlines, o)
	}
	paths := disputed(outlines)
	if len(paths) == 0 {
		return nil, nil
	}
	var some []Wheel
	for i, one := range wheels {
		if outlines[i+1].holdsAny(paths) {
			some = append(some, one)
		}
	}
	return w.compare(ctx, some)
}

// unionNote is what is remembered of a set of wheels.
type unionNote struct {
	Fine     bool      `json:"fine"` // always; a note of something else has no such field
	Overlaps []overlap `json:"overlaps,omitempty"`
}

// compare opens wheels, sorted by name, and finds the paths that they dispute. It refuses those that
// cannot be installed beside each other or into the environment.
func (w *work) compare(ctx context.Context, wheels []Wheel) ([]overlap, error) {
	reserved, u := union{}, union{}
	if err := reserved.add(w.paths.reserved()); err != nil {
		return nil, err
	}
	holders := map[string][]string{} // of every path
	disputed := map[string]bool{}
	for _, one := range wheels {
		o, err := w.wheels.take(ctx, one)
		if err != nil {
			return nil, err
		}
		for _, e := range o.claims(w.paths) {
			if old, ok := reserved[e.Path]; ok {
				return nil, &CollisionError{Path: e.Path, Wheels: [2]string{old.Source, e.Source}}
			}
			if old, ok := u[e.Path]; ok && !old.Same(e) {
				disputed[e.Path] = true
			}
			holders[e.Path] = append(holders[e.Path], one.SHA256)
		}
		if err := u.add(o.claims(w.paths)); err != nil {
			return nil, err
		}
	}
	maps.Copy(u, reserved)
	var out []overlap
	for _, name := range slices.Sorted(maps.Keys(disputed)) {
		out = append(out, overlap{Path: name, Wheels: holders[name]})
	}
	return out, u.checkDirs()
}

// unionFormat changes when what checkUnion finds does.
const unionFormat = 4

type unionKey struct {
	Version int // unionFormat
	wheelKey
}

func sortedWheels(wheels []Wheel) []Wheel {
	out := append([]Wheel{}, wheels...)
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// wheelKey is what a wheel's layer depends on.
type wheelKey struct {
	Scheme wheel.Scheme
	Wheels []wheelID
}

type wheelID struct{ SHA256, DirectURL string }

func (w *work) wheelsKey(wheels []Wheel) wheelKey {
	k := wheelKey{Scheme: w.paths.scheme}
	for _, one := range wheels {
		k.Wheels = append(k.Wheels, wheelID{one.SHA256, string(one.DirectURL)})
	}
	sort.Slice(k.Wheels, func(i, j int) bool { return k.Wheels[i].SHA256 < k.Wheels[j].SHA256 })
	return k
}
