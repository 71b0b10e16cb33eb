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
	"context"
	"errors"
	"io"

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

// A Layer is a v1.Layer made of entries. Nothing of it is in memory: each reader makes the bytes anew.
type Layer struct {
	entries []Entry
	opts    Options
}

// Format is the version of the bytes that this package writes. It belongs into the key under which a Sum is remembered.
const Format = "1"

var errUnwritten = errors.New("unwritten")

// New sorts and checks the entries; it does not read their contents. It refuses paths that are not clean and relative,
// a path given twice, and a path below one that is not a directory. It adds no parents: see WithParents.
func New(entries []Entry, o Options) (*Layer, error) { return &Layer{entries: entries, opts: o}, nil }

// Measure reads every content once, checks it against its size, CRC-32 and digest, and returns the layer's sum. Where tee
// is not nil the blob is written to it on the way. A layer is measured once: later calls without a tee return what is known.
// A content that is not what it claims to be is a *ContentError.
func (l *Layer) Measure(ctx context.Context, tee io.Writer) (Sum, error) { return Sum{}, errUnwritten }

// Entries returns the layer's entries in their order. They must not be changed.
func (l *Layer) Entries() []Entry { return l.entries }

// Digest implements v1.Layer; it measures the layer where that was not done before.
func (l *Layer) Digest() (v1.Hash, error) { return v1.Hash{}, errUnwritten }

// DiffID implements v1.Layer; it measures the layer where that was not done before.
func (l *Layer) DiffID() (v1.Hash, error) { return v1.Hash{}, errUnwritten }

// Size implements v1.Layer; it measures the layer where that was not done before.
func (l *Layer) Size() (int64, error) { return 0, errUnwritten }

// MediaType implements v1.Layer.
func (l *Layer) MediaType() (types.MediaType, error) { return types.OCILayer, nil }

// Compressed implements v1.Layer. It does not inflate and does not measure. If the layer was measured, the bytes are
// compared with its digest, and a difference is an error wrapping ErrChanged at the end of the stream.
func (l *Layer) Compressed() (io.ReadCloser, error) { return nil, errUnwritten }

// Uncompressed implements v1.Layer: the tar stream.
func (l *Layer) Uncompressed() (io.ReadCloser, error) { return nil, errUnwritten }

// ErrChanged says that the bytes of a layer are no longer those that were measured or remembered:
// a file was changed meanwhile, or what was remembered is wrong.
var ErrChanged = errors.New("the layer's content is not what was measured")

// A ContentError says that the content of one entry is not what the entry claims.
type ContentError struct {
	Path   string
	Source string
	Err    error
}

func (e *ContentError) Error() string { return e.Source + ": " + e.Path + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *ContentError) Unwrap() error { return e.Err }

// Known returns a layer that was measured before. It costs nothing until somebody wants its bytes: then build is called,
// at most once at a time, and what it returns must have the remembered digest, which is checked at the end
// of the stream (an error wrapping ErrChanged).
func Known(s Sum, build func() (v1.Layer, error)) v1.Layer { return nil }

// Estimate returns the most bytes that an entry takes in a spliced layer.
func Estimate(e Entry) int64 { return 0 }

// Split cuts the entries, sorted by path, into groups that stay below max bytes each as layers. A single file of more
// than that has a group of its own. There is always at least one group.
func Split(entries []Entry, max int64) [][]Entry { return [][]Entry{entries} }
