// Package layer writes image layers. It can do so without compressing files again: if the content
// of a file is a raw DEFLATE stream already, as in every wheel, the layer uses these bytes as they
// are.
//
// According to RFC 1952, section 2.2, a gzip file is a series of members, and readers concatenate
// their contents. A spliced layer is such a series: a small member contains the padding of the
// previous file and the tar header of the next one, and then a member wraps the file's own DEFLATE
// stream, with the CRC-32 and size recorded in the zip archive.
//
// The bytes of a layer depend only on its entries and the compression, not on the machine, the
// number of cores, the time, or the order in which the entries were given.
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

// Compression is how a layer is compressed.
type Compression uint8

const (
	// Splice copies DEFLATE streams as they are and compresses the rest in members of its own. The
	// result is gzip. This is the fastest way.
	Splice Compression = iota
	// Gzip compresses the whole tar stream as one gzip member.
	Gzip
	// Zstd compresses the whole tar stream with Zstandard (RFC 8878).
	Zstd
)

// Options is how a Layer is made. The zero value is right for nearly everybody.
type Options struct {
	Compression Compression
	// Progress, if not nil, is called while the layer is measured, with the number of bytes of the
	// tar stream processed since the last call. It is called from one goroutine at a time.
	Progress func(n int64)
}

// Sum is what an image needs to know about a layer to refer to it without its content.
type Sum struct {
	Digest    v1.Hash         `json:"digest"`
	DiffID    v1.Hash         `json:"diffID"`
	Size      int64           `json:"size"`     // bytes of the blob
	Unpacked  int64           `json:"unpacked"` // bytes of the tar stream
	MediaType types.MediaType `json:"mediaType"`
}

// Format is the version of the output of this package. It must be part of the key under which a Sum
// is remembered.
const Format = "2"

// ErrChanged reports that the bytes of a layer are not those that were measured or remembered: a
// file has changed since, or the remembered sum is wrong.
var ErrChanged = errors.New("the layer's content is not what was measured")

// A Layer is a v1.Layer made of entries. Its bytes are not kept in memory: every reader generates
// them again.
type Layer struct {
	entries []Entry
	opts    Options

	mu  sync.Mutex
	sum *Sum // nil until measured
}

// New returns a layer of the entries. It sorts and checks them, but does not read their contents.
// It rejects paths that are not clean and relative, duplicate paths, and paths below one that is
// not a directory. It does not add parents: see WithParents.
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

// Measure reads every content once, checks its size, CRC-32 and digest, and returns the layer's
// sum. If tee is not nil, the blob is also written to it. A layer is measured only once: later
// calls without a tee return the known sum. If a content does not match its entry, the error is a
// *ContentError.
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

// sink returns the sink that writes the blob to out. tar is nil if the tar stream is not measured.
func (l *Layer) sink(out io.Writer, tar *hasher) (sink, error) {
	var onProgress func(int64)
	if tar != nil {
		onProgress = l.opts.Progress
	}
	var z io.WriteCloser
	var err error
	switch l.opts.Compression {
	case Gzip:
		z = newGzip(out)
	case Zstd:
		z, err = newZstd(out)
	default:
		return newSpliced(out, tar, onProgress), nil
	}
	if err != nil {
		return nil, err
	}
	return newWhole(z, tar, onProgress), nil
}

// Entries returns the layer's entries in order. They must not be modified.
func (l *Layer) Entries() []Entry { return l.entries }

// Digest implements v1.Layer. It measures the layer if necessary.
func (l *Layer) Digest() (v1.Hash, error) {
	s, err := l.Measure(context.Background(), nil)
	return s.Digest, err
}

// DiffID implements v1.Layer. It measures the layer if necessary.
func (l *Layer) DiffID() (v1.Hash, error) {
	s, err := l.Measure(context.Background(), nil)
	return s.DiffID, err
}

// Size implements v1.Layer. It measures the layer if necessary.
func (l *Layer) Size() (int64, error) {
	s, err := l.Measure(context.Background(), nil)
	return s.Size, err
}

// MediaType implements v1.Layer.
func (l *Layer) MediaType() (types.MediaType, error) { return l.opts.Compression.MediaType(), nil }

// MediaType returns the media type of layers with this compression (OCI Image Format Specification,
// "Layer").
func (c Compression) MediaType() types.MediaType {
	if c == Zstd {
		return types.OCILayerZStd
	}
	return types.OCILayer
}

// Compressed implements v1.Layer. It neither inflates nor measures. If the layer was measured, a
// difference in size or digest is an error wrapping ErrChanged, returned before the last byte.
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

// Uncompressed implements v1.Layer. It returns the tar stream.
func (l *Layer) Uncompressed() (io.ReadCloser, error) {
	return pipe(func(ctx context.Context, w io.Writer) error {
		b := bufio.NewWriterSize(w, 128<<10)
		if err := writeTar(ctx, l.entries, newWhole(nopCloser{b}, nil, nil)); err != nil {
			return err
		}
		return b.Flush()
	}), nil
}

// pipe returns a reader of what write writes. Closing the reader stops write.
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

// Close waits until the files being read are closed, so that they can be removed.
func (p *piped) Close() error {
	p.cancel()
	err := p.PipeReader.Close()
	<-p.done
	return err
}
