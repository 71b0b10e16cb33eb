package imagebuild

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"mlenv/imagebuild/layer"
)

// findSizes finds the sizes that the lock leaves open, as PEP 751 allows and pip does: which wheels
// share a layer hangs on them, and must not hang on who wrote the lock. A wheel of unknown size is
// fetched for that, once: its size is remembered.
func (w *work) findSizes(ctx context.Context) error {
	wheels := slices.Clone(w.recipe.Wheels) // the recipe's own are the caller's
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, w.Jobs))
	for i := range wheels {
		if wheels[i].Size == 0 {
			g.Go(func() (err error) {
				if wheels[i].Size, err = w.sizeOf(ctx, wheels[i]); err != nil {
					return err
				}
				return w.carry(SizesMemo, wheelID{SHA256: wheels[i].SHA256}, wheels[i].Size)
			})
		}
	}
	w.recipe.Wheels = wheels
	return g.Wait()
}

func (w *work) sizeOf(ctx context.Context, one Wheel) (size int64, err error) {
	key := wheelID{SHA256: one.SHA256}
	if _, ok, err := w.recall(ctx, SizesMemo, key, &size); err != nil || ok && size > 0 {
		return size, err
	}
	name, err := one.Path(ctx)
	if err != nil {
		return 0, fmt.Errorf("fetching %s: %w", one.Filename, err)
	}
	info, err := os.Stat(name)
	if err != nil {
		return 0, fmt.Errorf("measuring %s: %w", one.Filename, err)
	}
	return info.Size(), w.remember(ctx, SizesMemo, key, info.Size())
}

// TooLargeError says that a file does not go into one layer. A file is never split.
type TooLargeError struct {
	Path   string // in the image
	Source string // the wheel that it is from, or its path in the model
	Size   int64  // bytes that it takes in a layer, without its name
	Max    int64  // bytes of a layer
}

func (e *TooLargeError) Error() string {
	name := "/" + e.Path
	if !strings.HasSuffix(name, "/"+e.Source) {
		name += " (from " + e.Source + ")"
	}
	return fmt.Sprintf("%s has %d bytes, for which a layer of at most %d bytes has no room", name, e.Size, e.Max)
}

// checkSizes refuses files that do not go into one layer, where somebody said how large one may be.
func (w *work) checkSizes(entries []layer.Entry) error {
	if w.recipe.MaxLayer == 0 {
		return nil
	}
	for _, e := range entries {
		if e.Kind != layer.File || layer.Fits(e, w.recipe.maxLayer()) {
			continue
		}
		size := e.Content.Size
		if e.Content.Deflated {
			size = e.Content.Packed
		}
		return &TooLargeError{Path: e.Path, Source: e.Source, Size: size, Max: w.recipe.maxLayer()}
	}
	return nil
}
