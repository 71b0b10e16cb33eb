package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"
)

// unfinished is the directory that a download has in the one that it fills, until it is complete.
const unfinished = ".mlenv-fetch"

// ErrUnfinished is wrapped by the error of a Download that the next one can go on with.
var ErrUnfinished = errors.New("what came so far was kept")

// Download fetches all files of what a URI names into a directory, which must be new or empty, or hold an
// unfinished download of the same. MLmodel comes last, so that a directory that has one is complete. Options.Dir
// is not used. Its errors are those of Open.
//
// A download that breaks off is kept where that is of use: where the server proves, by an ETag, that
// a file is still the one of which a part is there. Then the error wraps ErrUnfinished. Else all that was
// written is removed.
func Download(ctx context.Context, uri, dir string, o Options) (_ *Source, err error) {
	at, err := Locate(ctx, uri, o)
	if err != nil {
		return nil, err
	}
	if at.Store == nil {
		root, err := os.OpenRoot(at.Dir)
		if err != nil {
			return nil, of(uri, &Error{Kind: NotFound, Msg: "opening its directory", Err: withoutPath(err)})
		}
		defer root.Close()
		at.Store = dirStore{root.FS()}
	}
	g := &getter{at: at, dir: dir, state: filepath.Join(dir, unfinished)}
	if err := g.begin(); err != nil {
		return nil, of(at.URI, err)
	}
	if err := g.fetch(ctx, o); err != nil {
		return nil, g.end(of(at.URI, err))
	}
	return &at.Source, os.RemoveAll(g.state)
}

// getter is one download.
type getter struct {
	at         *Location
	dir, state string
	made       bool // the directory is ours
	tree       *tree
}

// begin makes the directory, or takes up what an earlier download has left in it.
func (g *getter) begin() error {
	// What it is a download of, without what may change though the files are the same.
	of := g.at.Source
	of.URI, of.Alias, of.Stage = "", "", ""
	source, err := json.Marshal(of)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(g.dir)
	g.made = errors.Is(err, fs.ErrNotExist)
	if err != nil && !g.made {
		return fmt.Errorf("reading the directory: %w", err)
	}
	mark := filepath.Join(g.state, "source.json")
	if len(entries) > 0 {
		old, err := os.ReadFile(mark)
		if err != nil {
			return &Error{Kind: NotEmptyDir, Msg: g.dir + " is not empty"}
		}
		if string(old) != string(source) {
			return &Error{Kind: NotEmptyDir, Msg: g.dir + " holds an unfinished download of something else"}
		}
		return nil
	}
	if err := os.MkdirAll(g.state, 0o755); err != nil {
		return fmt.Errorf("making the directory: %w", err)
	}
	return os.WriteFile(mark, source, 0o644)
}

// fetch brings the files.
func (g *getter) fetch(ctx context.Context, o Options) (err error) {
	sp := newSpool(g.dir, g.state, g.at.Store, o)
	sp.resume = true
	extra := g.at.meta()
	if g.tree, err = newTree(ctx, g.at.Store, extra, sp); err != nil {
		return err
	}
	if _, ok := g.tree.files[unfinished]; ok {
		return badListing("lists %q, which is a name that mlenv needs", unfinished)
	}
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(4)
	const last = "MLmodel"
	for _, name := range g.tree.paths() {
		if _, ours := extra[name]; !ours && name != last {
			group.Go(func() error { _, err := sp.size(inner, g.tree.files[name]); return err })
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for name, data := range extra {
		if err := os.WriteFile(filepath.Join(g.dir, name), data, 0o644); err != nil {
			return err
		}
	}
	if f, ok := g.tree.files[last]; ok {
		_, err = sp.size(ctx, f)
	}
	return err
}

// end keeps what the next download can use, or removes everything.
func (g *getter) end(err error) error {
	if notes, _ := filepath.Glob(filepath.Join(g.state, "*.tag")); len(notes) > 0 { // a pattern of ours
		return fmt.Errorf("%w (%w)", err, ErrUnfinished)
	}
	errs := []error{err}
	if g.made {
		if e := os.RemoveAll(g.dir); e != nil {
			errs = append(errs, e)
		}
		return errors.Join(errs...)
	}
	if g.tree != nil {
		names := g.tree.paths()
		for _, name := range names {
			errs = append(errs, removeIfThere(filepath.Join(g.dir, filepath.FromSlash(name))))
		}
		var dirs []string
		for name := range g.tree.dirs {
			dirs = append(dirs, name)
		}
		slices.Sort(dirs)
		for _, name := range slices.Backward(dirs) {
			if name != "." {
				errs = append(errs, removeIfThere(filepath.Join(g.dir, filepath.FromSlash(name))))
			}
		}
	}
	return errors.Join(append(errs, os.RemoveAll(g.state))...)
}

// part is the file in which a download of a file waits for the next one.
func (s *spool) part(name string) string {
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(s.parts, hex.EncodeToString(sum[:16]))
}

// worthKeeping is the size from which on a part of a file is kept for the next download: to fetch less anew costs
// no more than asking whether it is still the same.
const worthKeeping = 1 << 20

// takeUp goes on with what an earlier download has left of the file, finished or not. Of a finished one, the
// last byte is asked for again: that is how the server says whether the file is still the same.
func (d *download) takeUp() error {
	part := d.part(d.f.Path)
	tag, err := os.ReadFile(part + ".tag")
	if err != nil || len(tag) == 0 || d.f.Size < worthKeeping {
		return nil
	}
	info, err := d.out.Stat()
	if err != nil {
		return fmt.Errorf("reading what is there of %s: %w", d.f.Path, withoutPath(err))
	}
	if d.n = min(info.Size(), d.f.Size-1); d.n > 0 {
		d.f.Tag = string(tag)
	}
	return nil
}

// openPart opens the file that is written to: a new one, or for a download that may be taken up the one
// that an earlier run has left.
func (s *spool) openPart(f File) (*os.File, error) {
	if !s.resume {
		out, err := os.CreateTemp(s.parts, "")
		if err == nil {
			err = out.Chmod(0o644) // others may read it, as they may what MLflow downloads
		}
		return out, err
	}
	part := s.part(f.Path)
	if info, err := os.Lstat(s.path(f.Path)); err == nil && info.Mode().IsRegular() {
		if err := os.Rename(s.path(f.Path), part); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o644)
}

// note writes down the tag of the file that is being written, by which the next download can go on.
func (d *download) note() error {
	if !d.resume || d.f.Tag == "" || d.f.Size < worthKeeping {
		return nil
	}
	return os.WriteFile(d.part(d.f.Path)+".tag", []byte(d.f.Tag), 0o644)
}

// dirStore is a Store of a local directory.
type dirStore struct{ fsys fs.FS }

// List implements Store.
func (s dirStore) List(_ context.Context, add func(File) error) error {
	return fs.WalkDir(s.fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		info, err := fs.Stat(s.fsys, name)
		if err != nil {
			return err
		}
		return add(File{Path: path.Clean(name), Dir: info.IsDir(), Size: info.Size()})
	})
}

// Open implements Store.
func (s dirStore) Open(_ context.Context, f File, _ int64) (*Body, error) {
	in, err := s.fsys.Open(f.Path)
	if err != nil {
		return nil, err
	}
	return &Body{ReadCloser: in, Size: -1}, nil
}
