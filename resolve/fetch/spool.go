package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// spool is the directory for the files that were fetched: each at most once, under its own path, so that
// whatever needs a file by its name on disk finds it there.
type spool struct {
	dir      string
	parts    string // where files lie until they are whole
	store    Store
	try      func(context.Context, func() error) error
	progress func(Event)
	memory   Memory
	resume   bool // the directory is the user's, and what an earlier run has left in it is taken up

	mu    sync.Mutex
	files map[string]*spooled
	first error // of fetching a file
}

// failed is the first error of fetching a file, nil for none.
func (s *spool) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first
}

// spooled is a file that is being fetched, or was.
type spooled struct {
	once sync.Once
	size int64
	err  error
}

// open fetches a file if it is not there yet, and opens it.
func (s *spool) open(ctx context.Context, f File) (*os.File, error) {
	if _, err := s.size(ctx, f); err != nil {
		return nil, err
	}
	return os.Open(s.path(f.Path))
}

// size fetches a file if it is not there yet, and gives its size. Several callers of one file wait for
// the first.
func (s *spool) size(ctx context.Context, f File) (int64, error) {
	s.mu.Lock()
	one := s.files[f.Path]
	if one == nil {
		one = &spooled{}
		s.files[f.Path] = one
	}
	s.mu.Unlock()
	one.once.Do(func() {
		one.size, one.err = s.fetch(ctx, f)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.first == nil {
			s.first = one.err
		}
	})
	return one.size, one.err
}

func (s *spool) path(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }

// fetch brings a file to its place in the directory.
func (s *spool) fetch(ctx context.Context, f File) (size int64, err error) {
	if s.recall(ctx, f) {
		s.tell(Event{File: f.Path, Bytes: f.Size, Total: f.Size, Done: true, Kept: true})
		return f.Size, nil
	}
	name := s.path(f.Path)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return 0, fmt.Errorf("making room for %s: %w", f.Path, withoutPath(err))
	}
	out, err := s.openPart(f)
	if err != nil {
		return 0, fmt.Errorf("making room for %s: %w", f.Path, withoutPath(err))
	}
	d := &download{spool: s, f: f, out: out}
	if s.resume {
		err = d.takeUp()
	}
	if err == nil {
		err = s.try(ctx, func() error { return d.attempt(ctx) })
	}
	if e := out.Close(); err == nil && e != nil {
		err = fmt.Errorf("writing %s: %w", f.Path, withoutPath(e))
	}
	switch {
	case err == nil && d.kept:
		d.n, err = d.f.Size, removeIfThere(out.Name())
	case err == nil:
		err = os.Rename(out.Name(), name)
	}
	if err != nil {
		if _, e := os.Stat(out.Name() + ".tag"); e == nil && d.n > 0 {
			return 0, err // the next run goes on with it
		}
		if e := removeIfThere(out.Name()); e != nil {
			err = errors.Join(err, e)
		}
		return 0, err
	}
	if f.Tag != "" || f.Size >= worthKeeping { // asking whether a small file has changed is no less than fetching it
		s.remember(ctx, d.f)
	}
	s.tell(Event{File: f.Path, Bytes: d.n, Total: d.n, Done: true, Kept: d.kept})
	return d.n, nil
}

func removeIfThere(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// withoutPath drops the name of the temporary directory, which tells nobody anything.
func withoutPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func (s *spool) tell(e Event) {
	if s.progress != nil {
		s.progress(e)
	}
}

// download is a file on its way to disk, over as many attempts as it takes.
type download struct {
	*spool
	f    File
	out  *os.File
	n    int64 // bytes that are written
	kept bool  // the file is in its place without them
}

// attempt fetches the rest of the file, or all of it where the store cannot go on in the middle.
func (d *download) attempt(ctx context.Context) error {
	offset := d.n
	if d.f.Tag == "" {
		offset = 0 // nothing proves that the rest is the rest of the same file
	}
	body, err := d.store.Open(ctx, d.f, offset)
	if err != nil {
		return d.named(err)
	}
	defer body.Close()
	if d.f.Tag == "" {
		d.f.Tag = body.Tag
	}
	if body.Begins != offset || body.Tag != "" && body.Tag != d.f.Tag {
		if body.Begins != 0 {
			return &Error{Kind: ServerFailed, Msg: "the server sent another part of " + d.f.Path + " than was asked for"}
		}
		d.f.Tag = body.Tag
	}
	if d.f.Size >= 0 && body.Size >= 0 && body.Size != d.f.Size {
		return d.otherSize(body.Size)
	}
	if d.f.Sum == "" {
		d.f.Sum = body.Sum
	}
	if d.kept = body.Begins == 0 && d.recallSum(ctx, d.f); d.kept {
		return nil
	}
	if err := d.rewind(body.Begins); err != nil {
		return err
	}
	if err := d.note(); err != nil {
		return fmt.Errorf("writing %s: %w", d.f.Path, withoutPath(err))
	}
	return d.copy(ctx, body)
}

// rewind makes the file end where the body begins.
func (d *download) rewind(at int64) error {
	err := d.out.Truncate(at)
	if err == nil {
		_, err = d.out.Seek(at, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", d.f.Path, withoutPath(err))
	}
	d.n = at
	return nil
}

// copy writes what comes. A server may send more than it listed, without end: nothing is read beyond that size.
func (d *download) copy(ctx context.Context, body *Body) error {
	buf := make([]byte, 256<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if d.f.Size >= 0 && d.n+int64(n) > d.f.Size {
				return d.otherSize(-1)
			}
			if _, err := d.out.Write(buf[:n]); err != nil {
				return fmt.Errorf("writing %s: %w", d.f.Path, withoutPath(err))
			}
			d.n += int64(n)
			d.tell(Event{File: d.f.Path, Bytes: d.n, Total: max(d.f.Size, body.Size)})
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == io.EOF && (d.f.Size < 0 && body.Size < 0 || d.n == max(d.f.Size, body.Size)):
			return nil
		case err == io.EOF:
			return d.cut(nil)
		case err != nil:
			return d.cut(err)
		}
	}
}

func (d *download) cut(err error) error {
	msg := fmt.Sprintf("%s ended after %d bytes", d.f.Path, d.n)
	if d.f.Size >= 0 {
		msg = fmt.Sprintf("%s ended after %d of %d bytes", d.f.Path, d.n, d.f.Size)
	}
	return &Error{Kind: Truncated, Msg: msg, Err: err, Temporary: true}
}

func (d *download) otherSize(n int64) error {
	if n < 0 {
		return &Error{Kind: Changed, Msg: fmt.Sprintf("%s is longer than the %d bytes that the server listed", d.f.Path, d.f.Size)}
	}
	return &Error{Kind: Changed, Msg: fmt.Sprintf("%s has %d bytes, but the server listed it with %d", d.f.Path, n, d.f.Size)}
}

// named says of which file a store's error is.
func (d *download) named(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return fmt.Errorf("fetching %s: %w", d.f.Path, err)
	}
	one := *e
	one.Msg = d.f.Path + ": " + e.Msg
	return &one
}

// newSpool makes a spool in an empty directory; parts is another on the same file system.
func newSpool(dir, parts string, store Store, o Options) *spool {
	o = o.withDefaults()
	return &spool{dir: dir, parts: parts, store: store, try: newClient(o, nil).Try, progress: o.Progress, memory: o.Memory, files: map[string]*spooled{}}
}
