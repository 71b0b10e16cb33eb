package imagebuild

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"

	"mlenv/imagebuild/layer"
)

// source is a file that an image is made of, and that somebody may write to meanwhile.
type source struct {
	name string // in the model, or of the code that goes with it
	path string // in the image
	open func() (io.ReadCloser, error)
	sum  string // SHA-256 of its content, when it was hashed

	// Where the sum was remembered, the file was not read: then the memory may be wrong, instead of
	// the file having changed. The stamp tells which.
	remembered bool
	fsys       fs.FS
	stamp      fileStamp
}

// keep notes a file, so that changed can look at it again.
func (w *work) keep(f source) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files = append(w.files, f)
}

// approved gives a *ChangedError for a file of the model that is not what it was when the model was
// approved of, else nil. What goes into the image is held against the sums here, and not only the files
// beforehand: somebody may write to them in between.
func (w *work) approved() error {
	sums := w.recipe.Model.Sums
	if sums == nil {
		return nil
	}
	seen := map[string]bool{}
	for _, f := range w.files {
		if f.path != path.Join(w.paths.model, f.name) {
			continue // code that is not the model's own
		}
		if seen[f.name] = true; sums[f.name] != f.sum {
			return &ChangedError{Path: f.name}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		if !seen[name] {
			return &ChangedError{Path: name}
		}
	}
	return nil
}

// firstChanged gives a *ChangedError for the first file that is not what it was, else nil.
func firstChanged(ctx context.Context, files []source) error {
	for _, f := range files {
		if sum, err := hashFile(ctx, f.open); err == nil && sum == f.sum {
			continue
		}
		if f.remembered {
			if now, _, ok := stamp(f.fsys, f.name); ok && now == f.stamp {
				continue
			}
		}
		return &ChangedError{Path: f.name}
	}
	return nil
}

// whyContent says why the content of a file was not what it should be: it was changed meanwhile, or
// what was remembered of it is wrong, which wraps layer.ErrChanged. Errors about other files, and of
// other kinds, stay as they are.
func whyContent(ctx context.Context, files []source, err error) error {
	var content *layer.ContentError
	if !errors.As(err, &content) {
		return err
	}
	for _, f := range files {
		if f.path != content.Path {
			continue
		}
		if changed := firstChanged(ctx, files); changed != nil {
			return changed
		}
		return fmt.Errorf("%w: %w", layer.ErrChanged, err)
	}
	return err
}

// hashFile gives the SHA-256 of a file's content, in lower-case hex. It ends early when the context
// does.
func hashFile(ctx context.Context, open func() (io.ReadCloser, error)) (string, error) {
	file, err := open()
	if err != nil {
		return "", err
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return file.Read(p)
	})); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
