// Package layer writes image layers, one of them without compressing anything: where a file's content is a raw DEFLATE
// stream already, as in every wheel, the layer takes these bytes as they are.
//
// RFC 1952, section 2.2, lets a gzip file be a row of members whose contents are put together by readers. A spliced layer
// is such a row: a small member holds the padding of the file before and the tar header of the next, and then a member
// wraps the file's own DEFLATE stream, with the CRC-32 and the size that the zip has written down.
//
// The bytes of a layer depend on its entries and the compression alone: not on the machine, the number of cores,
// the time, or the order in which the entries were given.
package layer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Compression says how the bytes of a layer are made.
type Compression uint8

const (
	// Splice takes DEFLATE streams as they are and compresses the rest in members of their own: gzip, and the fastest.
	Splice Compression = iota
	// Gzip compresses the whole tar stream again into one gzip member.
	Gzip
	// Zstd compresses the whole tar stream with Zstandard (RFC 8878).
	Zstd
)

// Options says how a Layer is made. The zero value is the right one for nearly everybody.
type Options struct {
	Compression Compression
	// Progress, where not nil, is told the number of bytes of the tar stream that went by since it was last told,
	// while the layer is measured. It is called from one goroutine at a time.
	Progress func(n int64)
}

// Sum is what must be remembered of a layer so that an image can name it without its content.
type Sum struct {
	Digest    v1.Hash         `json:"digest"`
	DiffID    v1.Hash         `json:"diffID"`
	Size      int64           `json:"size"`     // bytes of the blob
	Unpacked  int64           `json:"unpacked"` // bytes of the tar stream
	MediaType types.MediaType `json:"mediaType"`
}

// Format is the version of the bytes that this package writes. It belongs into the key under which a Sum is remembered.
const Format = "2"

// ErrChanged says that the bytes of a layer are no longer those that were measured or remembered:
// a file was changed meanwhile, or what was remembered is wrong.
var ErrChanged = errors.New("the layer's content is not what was measured")

// A Layer is a v1.Layer made of entries. Nothing of it is in memory: each reader makes the bytes anew.
type Layer struct {
	entries []Entry
	opts    Options

	mu  sync.Mutex
	sum *Sum // nil until measured
}

// New sorts and checks the entries; it does not read their contents. It refuses paths that are not clean and relative,
// a path given twice, and a path below one that is not a directory. It adds no parents: see WithParents.
func New(entries []Entry, o Options) (*Layer, error) {
	if o.Compression > Zstd {
		return nil, fmt.Errorf("there is no compression %d", o.Compression)
	}
	entries = sorted(entries)
	if err := check(entries); err != nil {
		return nil, err
	}
	return &Layer{entries: entries, opts: o}, nil
}

// Measure reads every content once, checks it against its size, CRC-32 and digest, and returns the layer's sum. Where tee
// is not nil the blob is written to it on the way. A layer is measured once: later calls without a tee return what is known.
// A content that is not what it claims to be is a *ContentError.
func (l *Layer) Measure(ctx context.Context, tee io.Writer) (Sum, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sum != nil && tee == nil {
		return *l.sum, nil
	}
	s, err := l.measure(ctx, tee)
	if err != nil {
		return Sum{}, err
	}
	if l.sum != nil && *l.sum != s {
		return Sum{}, fmt.Errorf("%w: %s instead of %s", ErrChanged, s.Digest, l.sum.Digest)
	}
	l.sum = &s
	return s, nil
}

func (l *Layer) measure(ctx context.Context, tee io.Writer) (Sum, error) {
	tar, blob := newHasher(), newHasher()
	defer tar.stop()
	defer blob.stop()
	out := io.Writer(blob)
	if tee != nil {
		out = io.MultiWriter(blob, tee)
	}
	s, err := l.sink(out, tar)
	if err != nil {
		return Sum{}, err
	}
	if err := writeTar(ctx, l.entries, s); err != nil {
		return Sum{}, err
	}
	sum := Sum{MediaType: l.opts.Compression.MediaType(), Size: blob.size, Unpacked: tar.size}
	if sum.DiffID, err = tar.digest(); err != nil {
		return Sum{}, err
	}
	sum.Digest, err = blob.digest()
	return sum, err
}

// sink returns what makes the blob; tar is nil where the tar stream is not to be measured.
func (l *Layer) sink(out io.Writer, tar *hasher) (sink, error) {
	var told func(int64)
	if tar != nil {
		told = l.opts.Progress
	}
	var z io.WriteCloser
	var err error
	switch l.opts.Compression {
	case Gzip:
		z = newGzip(out)
	case Zstd:
		z, err = newZstd(out)
	default:
		return newSpliced(out, tar, told), nil
	}
	if err != nil {
		return nil, err
	}
	return newWhole(z, tar, told), nil
}

// Entries returns the layer's entries in their order. They must not be changed.
func (l *Layer) Entries() []Entry { return l.entries }

// Digest implements v1.Layer; it measures the layer where that was not done before.
func (l *Layer) Digest() (v1.Hash, error) {
	s, err := l.Measure(context.Background(), nil)
	return s.Digest, err
}

// DiffID implements v1.Layer; it measures the layer where that was not done before.
func (l *Layer) DiffID() (v1.Hash, error) {
	s, err := l.Measure(context.Background(), nil)
	return s.DiffID, err
}

// Size implements v1.Layer; it measures the layer where that was not done before.
func (l *Layer) Size() (int64, error) {
	s, err := l.Measure(context.Background(), nil)
	return s.Size, err
}

// MediaType implements v1.Layer.
func (l *Layer) MediaType() (types.MediaType, error) { return l.opts.Compression.MediaType(), nil }

// MediaType returns the type of the layers that are made so (OCI Image Format Specification,
// "Layer").
func (c Compression) MediaType() types.MediaType {
	if c == Zstd {
		return types.OCILayerZStd
	}
	return types.OCILayer
}

// Compressed implements v1.Layer. It does not inflate and does not measure. If the layer was measured, the bytes are
// compared with its size and digest, and a difference is an error wrapping ErrChanged before the last byte.
func (l *Layer) Compressed() (io.ReadCloser, error) {
	r := pipe(func(ctx context.Context, w io.Writer) error {
		s, err := l.sink(w, nil)
		if err != nil {
			return err
		}
		return writeTar(ctx, l.entries, s)
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sum == nil {
		return r, nil
	}
	return newChecked(r, l.sum.Digest, l.sum.Size), nil
}

// Uncompressed implements v1.Layer: the tar stream.
func (l *Layer) Uncompressed() (io.ReadCloser, error) {
	return pipe(func(ctx context.Context, w io.Writer) error {
		b := bufio.NewWriterSize(w, 128<<10)
		if err := writeTar(ctx, l.entries, newWhole(nopCloser{b}, nil, nil)); err != nil {
			return err
		}
		return b.Flush()
	}), nil
}

// pipe returns what write writes. Closing the reader ends write.
func pipe(write func(context.Context, io.Writer) error) io.ReadCloser {
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	p := &piped{PipeReader: r, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		w.CloseWithError(write(ctx, w))
	}()
	return p
}

type piped struct {
	*io.PipeReader
	cancel context.CancelFunc
	done   chan struct{}
}

// Close waits until the files that are read are closed, so that they may be removed.
func (p *piped) Close() error {
	p.cancel()
	err := p.PipeReader.Close()
	<-p.done
	return err
}
