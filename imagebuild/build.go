package imagebuild

import (
	"context"
	"fmt"
	"maps"
	"path"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"mlenv/imagebuild/layer"
	"mlenv/imagebuild/sink"
	"mlenv/resolve/finding"
)

// Builder builds images.
type Builder struct {
	Memo  Memo // nil: nothing is remembered
	Jobs  int  // layers made, and beside that wheels fetched and opened, at once; 0: one
	Fresh bool // believe nothing that is remembered, and remember anew
	// Progress, where not nil, is told how the layers come along. It may be called from several
	// goroutines.
	Progress func(Event)
	// Review, where not nil, is told by Publish what was found while the images were built, before
	// anything is sent. An error ends Publish.
	Review func(finding.List) error
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
	distInfo map[string]string // of the wheels among them the .dist-info directories, by SHA-256
	findings finding.List      // what is odd about these wheels
}

// made is a part that was made or remembered.
type made struct {
	layers   []v1.Layer
	sums     []layer.Sum
	distInfo map[string]string // by the wheel's SHA-256
	findings finding.List
	reused   bool
}

// remembered is what a Memo holds of a part.
type remembered struct {
	Sums     []layer.Sum       `json:"sums"`
	DistInfo map[string]string `json:"distInfo,omitempty"`
	Findings finding.List      `json:"findings,omitempty"`
}

// work is one run of Build.
type work struct {
	*Builder
	recipe Recipe
	wheels *openWheels
	cpu    chan struct{} // a place for each layer that is made at once
	paths  paths
	small  []layer.Entry // files of the model that go into the last layer

	overlaps []overlap // of the wheels, once checkUnion has run

	mu    sync.Mutex
	files []source
}

// Build builds the image of one platform. What is wrong with the wheels is a *wheel.Error, a
// *layer.ContentError or a *CollisionError; what cannot be put into layers is a *TooLargeError or a
// *TooManyLayersError. Close the image when it was sent.
func (b *Builder) Build(ctx context.Context, r Recipe) (img *Image, err error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	bud, err := newBudget(r.Base.Layers)
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
	w.tell(Event{Plan: plan(parts)})
	done, err := w.makeAll(ctx, parts)
	if err != nil {
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

// makeAll makes the parts beside each other, and checks that the wheels go together.
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
	g.Go(func() error { return w.checkUnion(ctx) })
	return out, g.Wait()
}

func (w *work) makePart(ctx context.Context, p part) (made, error) {
	if p.prepare != nil {
		var err error
		if p.key, err = w.prepare(ctx, p); err != nil {
			return made{}, err
		}
	}
	key := partKey{Version: partFormat, Format: layer.Format, Compression: w.recipe.Compression, Max: w.recipe.maxLayer(), Part: p.key}
	if p.key != nil {
		var known remembered
		_, ok, err := w.recall(ctx, LayersMemo, key, &known)
		if err != nil {
			return made{}, err
		}
		if ok && known.valid(w.recipe.Compression) && known.isOf(p.key) {
			w.tell(Event{Part: p.index, Holds: p.holds, Done: true, Reused: true})
			return w.madeOf(ctx, p, known), nil
		}
	}
	c, err := p.make(ctx)
	if err != nil {
		return made{}, err
	}
	w.tell(Event{Part: p.index, Holds: p.holds, Total: tarSize(c.entries)})
	layers, err := w.split(p, c.entries)
	if err != nil {
		return made{}, err
	}
	m := made{distInfo: c.distInfo, findings: c.findings}
	for _, l := range layers {
		sum, err := w.measure(ctx, l)
		if err != nil {
			return made{}, err
		}
		m.layers, m.sums = append(m.layers, l), append(m.sums, sum)
	}
	w.tell(Event{Part: p.index, Holds: p.holds, Done: true})
	if p.key == nil {
		return m, nil
	}
	return m, w.remember(ctx, LayersMemo, key, remembered{m.sums, m.distInfo, m.findings})
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

// partFormat changes when the meaning of remembered does.
const partFormat = 3

// partKey is what the layers of a part depend on.
type partKey struct {
	Version     int // partFormat
	Format      string
	Compression layer.Compression
	Max         int64
	Part        any
}

// valid reports whether all of it can be true, as far as that can be told without the bytes.
func (r remembered) valid(c layer.Compression) bool {
	seen := map[v1.Hash]bool{}
	for _, s := range r.Sums {
		if s.Digest.Hex == "" || s.DiffID.Hex == "" || s.Size <= 0 || s.Unpacked <= 0 || s.MediaType != c.MediaType() {
			return false
		}
		if seen[s.Digest] || seen[s.DiffID] {
			return false // what a part is split into differs
		}
		seen[s.Digest], seen[s.DiffID] = true, true
	}
	return len(r.Sums) > 0
}

// isOf reports whether it names the .dist-info directories of the wheels that a part is made of.
func (r remembered) isOf(key any) bool {
	wheels, _ := key.(wheelKey)
	for _, one := range wheels.Wheels {
		dir := r.DistInfo[one.SHA256]
		if path.Base(dir) != dir || !strings.HasSuffix(dir, ".dist-info") {
			return false
		}
	}
	return len(r.DistInfo) == len(wheels.Wheels)
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

// madeOf gives the layers of a part that was remembered. Its content is read only if somebody wants
// the bytes, and once for all of its layers.
func (w *work) madeOf(ctx context.Context, p part, known remembered) made {
	m := made{sums: known.Sums, distInfo: known.DistInfo, findings: known.Findings, reused: true}
	// The bytes are wanted after Build has returned, when its own context may be over.
	ctx = context.WithoutCancel(ctx)
	again := sync.OnceValues(func() ([]*layer.Layer, error) {
		c, err := p.make(ctx)
		if err != nil {
			return nil, err
		}
		layers, err := w.split(p, c.entries)
		if err == nil && (len(layers) != len(known.Sums) || !maps.Equal(c.distInfo, known.DistInfo)) {
			err = fmt.Errorf("%w: what is remembered of %s is not what it is made of", layer.ErrChanged, p.holds)
		}
		return layers, err
	})
	for i, sum := range known.Sums {
		m.layers = append(m.layers, layer.Known(sum, func() (v1.Layer, error) {
			layers, err := again()
			if err != nil {
				return nil, err
			}
			return layers[i], nil
		}))
	}
	return m
}
