package imagebuild

import (
	"context"
	"fmt"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"mlenv/imagebuild/layer"
	"mlenv/imagebuild/sink"
	"mlenv/resolve/finding"
)

// Builder builds images.
type Builder struct {
	Memo  Memo  // nil: nothing is remembered
	Blobs Blobs // nil: layers that are remembered are made again where their bytes are wanted
	Jobs  int   // layers made, and beside that wheels fetched and opened, at once; 0: one
	Fresh bool  // believe nothing that is remembered, and remember anew
	// Verify is the percentage of the remembered layers that are made all the same and compared, chosen
	// by their digests. One that differs is a *WrongNoteError.
	Verify int
	// Progress, where not nil, is told how the layers come along. It may be called from several
	// goroutines.
	Progress func(Event)
	// Review, where not nil, is told by Publish what was found while the images were built, before
	// anything is sent. An error ends Publish.
	Review func(finding.List) error
	// Save, where not nil, is given by Publish what was sent everywhere, while the images' bytes can
	// still be read.
	Save func(context.Context, *Published)
}

// Event is a step on the way of one layer.
type Event struct {
	Plan   []Planned // of the first event, which is of no layer: all that is to be made
	Part   int       // which of Plan it is about
	Holds  string    // as in Layer
	Total  int64     // bytes of the tar stream, close to exact; 0: not known yet
	Bytes  int64     // of the tar stream, since the last event
	Done   bool
	Reused bool // with Done: nothing was read

	// What Publish tells besides.
	Again   bool      // what was remembered was wrong: everything is built once more
	Sending string    // name of the sink that begins
	Step    sink.Step // of the sink that began last
}

// Planned is a layer to be made, or a part of the image that is too large for one.
type Planned struct {
	Wheels []Wheel // that are fetched for it
	Size   int64   // bytes of what it is made of, as far as that is known
}

// part is what one layer, or several where it is too large for one, is made of.
type part struct {
	holds string // for people
	kind  string // for readers of the image; see image.KindAnnotation
	plan  Planned
	index int // in the plan
	key   any // what the bytes depend on; nil: not remembered
	least int // layers that it takes at the least; 0: one
	// prepare, where not nil, finds the key.
	prepare func(ctx context.Context) (any, error)
	make    func(ctx context.Context) (contents, error)
}

// contents are what the layers of a part hold.
type contents struct {
	entries  []layer.Entry
	facts    map[string]wheelFacts // of the wheels among them, by SHA-256
	findings finding.List          // what is odd about these wheels
}

// made is a part that was made or remembered.
type made struct {
	layers   []v1.Layer
	sums     []layer.Sum
	facts    map[string]wheelFacts // by the wheel's SHA-256
	findings finding.List
	reused   bool
	carried  Carried // what the image tells of it; no key where it tells nothing
}

// work is one run of Build.
type work struct {
	*Builder
	recipe Recipe
	wheels *openWheels
	cpu    chan struct{} // a place for each layer that is made at once
	paths  paths
	small  []layer.Entry // files of the model that go into the last layer
	code   []layer.Entry // files of the model and beside it, among which are modules

	overlaps []overlap // of the wheels, once checkUnion has run

	mu      sync.Mutex
	files   []source
	carried []Carried // what the image tells beside what it tells of its layers
}

// Build builds the image of one platform. What is wrong with the wheels is a *wheel.Error, a
// *layer.ContentError or a *CollisionError; what cannot be put into layers is a *TooLargeError or a
// *TooManyLayersError. Close the image when it was sent.
func (b *Builder) Build(ctx context.Context, r Recipe) (img *Image, err error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	bud, err := newBudget(r.Base.Layers, r.aside())
	if err != nil {
		return nil, err
	}
	w := &work{Builder: b, recipe: r, paths: newPaths(r.Base.Base), cpu: make(chan struct{}, max(1, b.Jobs))}
	w.wheels = newOpenWheels(w.paths.scheme, max(1, b.Jobs))
	defer func() {
		if err != nil {
			w.wheels.close()
			err = whyContent(ctx, w.files, err)
		}
	}()
	if err := w.findSizes(ctx); err != nil {
		return nil, err
	}
	parts, err := w.parts(bud)
	if err != nil {
		return nil, err
	}
	compiled, err := w.compiledParts(ctx)
	if err != nil {
		return nil, err
	}
	parts = append(parts, compiled...)
	w.tell(Event{Plan: plan(parts)})
	done, err := w.makeAll(ctx, parts)
	if err != nil {
		return nil, err
	}
	if err := w.checkUnion(ctx, done); err != nil {
		return nil, err
	}
	overlay, err := w.makeOverlay(ctx, bud)
	if err != nil {
		return nil, err
	}
	planned := len(parts)
	if overlay != nil {
		parts, done = append(parts, w.overlayPart()), append(done, *overlay)
	}
	last, err := w.makeLast(ctx, planned, done)
	if err != nil {
		return nil, err
	}
	if last != nil {
		parts, done = append(parts, w.lastPart(nil)), append(done, *last)
	}
	if err := w.approved(); err != nil {
		return nil, err
	}
	return w.assemble(parts, done)
}

// plan numbers the parts, and lists them with the last one, whose content is not yet known.
func plan(parts []part) []Planned {
	var out []Planned
	for i := range parts {
		parts[i].index = i
		out = append(out, parts[i].plan)
	}
	return append(out, Planned{})
}

// makeAll makes the parts beside each other.
func (w *work) makeAll(ctx context.Context, parts []part) ([]made, error) {
	out := make([]made, len(parts))
	g, ctx := errgroup.WithContext(ctx)
	for i, p := range parts {
		g.Go(func() error {
			m, err := w.makePart(ctx, p)
			if err != nil {
				return err
			}
			out[i] = m
			return nil
		})
	}
	return out, g.Wait()
}

func (w *work) makePart(ctx context.Context, p part) (made, error) {
	if p.prepare != nil {
		var err error
		if p.key, err = w.prepare(ctx, p); err != nil {
			return made{}, err
		}
	}
	of := w.packing()
	of.Part = p.key
	var known remembered
	var trusted bool
	if p.key != nil {
		_, ok, err := w.recall(ctx, LayersMemo, of, &known)
		if err != nil {
			return made{}, err
		}
		trusted = ok && known.valid(w.recipe.Compression) && known.isOf(p.key)
		if trusted && !known.chosen(w.Verify) {
			w.tell(Event{Part: p.index, Holds: p.holds, Done: true, Reused: true})
			return w.madeOf(ctx, p, of, known)
		}
	}
	m, err := w.makeNew(ctx, p)
	if err != nil || p.key == nil {
		return m, err
	}
	now := remembered{m.sums, factsIn(p.key, m.facts), m.findings}
	if trusted && !now.same(known) {
		return made{}, &WrongNoteError{Holds: p.holds, Noted: known.Sums, Made: now.Sums}
	}
	if m.carried, err = carry(LayersMemo, of, now); err != nil {
		return made{}, err
	}
	return m, w.remember(ctx, LayersMemo, of, now)
}

// makeNew makes the layers of a part of which nothing is remembered.
func (w *work) makeNew(ctx context.Context, p part) (made, error) {
	c, err := p.make(ctx)
	if err != nil {
		return made{}, err
	}
	w.tell(Event{Part: p.index, Holds: p.holds, Total: tarSize(c.entries)})
	layers, err := w.split(p, c.entries)
	if err != nil {
		return made{}, err
	}
	m := made{facts: c.facts, findings: c.findings}
	for _, l := range layers {
		sum, err := w.measure(ctx, l)
		if err != nil {
			return made{}, err
		}
		m.layers, m.sums = append(m.layers, l), append(m.sums, sum)
	}
	w.tell(Event{Part: p.index, Holds: p.holds, Done: true})
	return m, nil
}

// prepare finds a part's key, which may mean hashing files.
func (w *work) prepare(ctx context.Context, p part) (any, error) {
	select {
	case w.cpu <- struct{}{}:
		defer func() { <-w.cpu }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return p.prepare(ctx)
}

func (w *work) measure(ctx context.Context, l *layer.Layer) (layer.Sum, error) {
	select {
	case w.cpu <- struct{}{}:
		defer func() { <-w.cpu }()
	case <-ctx.Done():
		return layer.Sum{}, ctx.Err()
	}
	return l.Measure(ctx, nil)
}

func (b *Builder) tell(e Event) {
	if b.Progress != nil && e.Part >= 0 {
		b.Progress(e)
	}
}

// split makes the layers of a part, usually one.
func (w *work) split(p part, entries []layer.Entry) ([]*layer.Layer, error) {
	var out []*layer.Layer
	opts := layer.Options{Compression: w.recipe.Compression, Progress: func(n int64) {
		w.tell(Event{Part: p.index, Holds: p.holds, Bytes: n})
	}}
	if err := w.checkSizes(entries); err != nil {
		return nil, err
	}
	for _, group := range layer.Split(entries, w.recipe.maxLayer()) {
		l, err := layer.New(group, opts)
		if err != nil {
			return nil, fmt.Errorf("making the layer of %s: %w", p.holds, err)
		}
		out = append(out, l)
	}
	return out, nil
}

// tarSize is how many bytes a tar of the entries has, but for long names.
func tarSize(entries []layer.Entry) int64 {
	const block = 512
	n := int64(2 * block)
	for _, e := range entries {
		n += block + (e.Content.Size+block-1)/block*block
	}
	return n
}
