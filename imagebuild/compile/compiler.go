package compile

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"mlenv/imagebuild/layer"
	"mlenv/resolve/cache"
)

// A Compiler makes the compiled files of one base's Python. The base is unpacked, and its Python started, when the
// first source is to be compiled.
type Compiler struct {
	Image   v1.Image
	Python  string   // the interpreter's absolute path in the image, no symbolic link
	Minor   int      // of CPython 3
	Dir     string   // a directory of the caller's, where one of the Compiler's own is made; Close removes that
	Jobs    int      // processes at once; 0: one
	Confine []string // as for NewPool; nil: the interpreter runs unconfined
	// Blobs, where not nil, are where Keep keeps compiled files.
	Blobs *cache.Blobs

	once sync.Once
	err  error
	dir  string
	pool *Pool
	made *Interpreter

	mu    sync.Mutex
	spool *os.File // compiled files, each a DEFLATE stream, one after the other
	size  int64
	open  []*os.File // archives
}

// Interpreter returns the base's Python, which it unpacks if that was not done yet.
func (c *Compiler) Interpreter(ctx context.Context) (*Interpreter, error) {
	c.once.Do(func() { c.err = c.unpack(context.WithoutCancel(ctx)) })
	return c.made, c.err
}

func (c *Compiler) unpack(ctx context.Context) (err error) {
	if c.dir, err = os.MkdirTemp(c.Dir, "python-"); err != nil {
		return err
	}
	root := filepath.Join(c.dir, "root")
	if err := os.Mkdir(root, 0o700); err != nil {
		return err
	}
	if c.made, err = Unpack(ctx, c.Image, c.Python, c.Minor, root); err != nil {
		return err
	}
	if c.spool, err = os.Create(filepath.Join(c.dir, "compiled")); err != nil {
		return err
	}
	c.pool = NewPool(c.made, max(1, c.Jobs), c.Confine)
	return nil
}

// Close ends what runs, and removes all files. What Files returned can then no longer be read.
func (c *Compiler) Close() error {
	c.once.Do(func() { c.err = errors.New("the compiler is closed") })
	if c.pool != nil {
		c.pool.Close()
	}
	var err error
	if c.spool != nil {
		err = c.spool.Close()
	}
	for _, f := range c.open {
		err = errors.Join(err, f.Close())
	}
	if c.dir != "" {
		err = errors.Join(err, os.RemoveAll(c.dir))
	}
	return err
}

// A Source is a module that shall be compiled.
type Source struct {
	Path string // in the image, as a layer.Entry has it
	Open func() (io.ReadCloser, error)
}

// Files compiles sources, and returns their compiled files as entries of a layer, in no order. Those that do not
// compile have none.
func (c *Compiler) Files(ctx context.Context, sources []Source) ([]layer.Entry, error) {
	if _, err := c.Interpreter(ctx); err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var out []layer.Entry
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, c.Jobs))
	for _, s := range sources {
		g.Go(func() error {
			content, err := c.file(ctx, s)
			if errors.Is(err, ErrSyntax) {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			out = append(out, layer.Entry{Path: strings.TrimPrefix(Cached(s.Path, c.Minor), "/"), Content: content, Source: "the compiled " + s.Path})
			return err
		})
	}
	return out, g.Wait()
}

// file compiles one source and keeps the result.
func (c *Compiler) file(ctx context.Context, s Source) (layer.Content, error) {
	source, err := read(s)
	if err != nil {
		return layer.Content{}, err
	}
	data, err := c.pool.Compile(ctx, "/"+strings.TrimPrefix(s.Path, "/"), source)
	if err != nil {
		return layer.Content{}, err
	}
	var packed bytes.Buffer
	z, err := flate.NewWriter(&packed, flate.DefaultCompression)
	if err != nil {
		return layer.Content{}, err
	}
	if _, err := z.Write(data); err != nil {
		return layer.Content{}, err
	}
	if err := z.Close(); err != nil {
		return layer.Content{}, err
	}
	content := layer.Bytes(data) // for its size and digest
	content.Deflated, content.Packed, content.CRC, content.HasCRC = true, int64(packed.Len()), crc32.ChecksumIEEE(data), true
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.size
	if _, err := c.spool.WriteAt(packed.Bytes(), at); err != nil {
		return layer.Content{}, fmt.Errorf("keeping a compiled file: %w", err)
	}
	c.size += content.Packed
	content.Open = func() (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(c.spool, at, content.Packed)), nil
	}
	return content, nil
}

// read reads a source. One that is too large does not compile.
func read(s Source) ([]byte, error) {
	r, err := s.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxSource+1))
	if err == nil && len(data) > maxSource {
		err = ErrSyntax
	}
	return data, err
}
