package imagebuild

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"

	"mlenv/imagebuild/layer"
	"mlenv/imagebuild/wheel"
)

// shelf holds the wheels that are open: each is opened once, when it is first needed.
type shelf struct {
	scheme wheel.Scheme
	mu     sync.Mutex
	open   map[string]*opened // by SHA-256
}

type opened struct {
	once     sync.Once
	wheel    *wheel.Wheel
	entries  []layer.Entry
	distInfo string
	err      error
}

func newShelf(s wheel.Scheme) *shelf {
	return &shelf{scheme: s, open: map[string]*opened{}}
}

// take gives a wheel's files as they are installed, and the name of its .dist-info directory.
func (s *shelf) take(ctx context.Context, w Wheel) (*opened, error) {
	s.mu.Lock()
	o := s.open[w.SHA256]
	if o == nil {
		o = &opened{}
		s.open[w.SHA256] = o
	}
	s.mu.Unlock()
	o.once.Do(func() { o.err = o.read(ctx, w, s.scheme) })
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
	o.distInfo = o.wheel.Name + "-" + o.wheel.Version + ".dist-info"
	o.entries, err = o.wheel.Install(scheme, wheel.Options{DirectURL: w.DirectURL})
	if err != nil {
		return errors.Join(err, o.wheel.Close())
	}
	for i := range o.entries {
		o.entries[i].Source = w.Filename
	}
	return nil
}

func (s *shelf) close() error {
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

// takeAll gives the files of several wheels, each path once, and their .dist-info directories by
// SHA-256.
func (s *shelf) takeAll(ctx context.Context, wheels []Wheel) ([]layer.Entry, map[string]string, error) {
	u := union{}
	distInfo := map[string]string{}
	for _, w := range wheels {
		o, err := s.take(ctx, w)
		if err != nil {
			return nil, nil, err
		}
		distInfo[w.SHA256] = o.distInfo
		if err := u.add(o.entries); err != nil {
			return nil, nil, err
		}
	}
	return u.entries(), distInfo, nil
}

// union is a set of files from several wheels.
type union map[string]layer.Entry

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
		default:
			return &Collision{Path: e.Path, Wheels: [2]string{old.Source, e.Source}}
		}
	}
	return nil
}

// checkDirs refuses a file where another wheel needs a directory.
func (u union) checkDirs() error {
	for _, e := range u.entries() {
		for at := strings.LastIndexByte(e.Path, '/'); at > 0; at = strings.LastIndexByte(e.Path[:at], '/') {
			if old, ok := u[e.Path[:at]]; ok {
				return &Collision{Path: old.Path, Wheels: [2]string{old.Source, e.Source}}
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

// checkUnion makes sure that no two wheels, and none and the environment itself, hold the same path
// with different content. In layers the last would win in silence. A set of wheels that was found
// fine is remembered.
func (w *work) checkUnion(ctx context.Context) error {
	key := w.wheelsKey(w.recipe.Wheels)
	var fine bool
	if _, ok := w.memory.get("unions", key, &fine); ok && fine && !w.Fresh {
		return nil
	}
	u := union{}
	if err := u.add(w.paths.skeleton()); err != nil {
		return err
	}
	for _, one := range sortedWheels(w.recipe.Wheels) {
		o, err := w.shelf.take(ctx, one)
		if err != nil {
			return err
		}
		if err := u.add(o.entries); err != nil {
			return err
		}
	}
	if err := u.checkDirs(); err != nil {
		return err
	}
	return w.memory.put("unions", key, true)
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
