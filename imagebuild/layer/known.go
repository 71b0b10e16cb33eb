package layer

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Known returns a layer that was measured before. Only when its bytes are read is build called. The
// layer that build returns must have the remembered media type, size and digest. Size and digest
// are checked before the last byte is returned, with an error wrapping ErrChanged, so that no
// reader ever gets a complete wrong blob.
//
// Compressed does not check the diff ID, as it would have to inflate everything.
func Known(s Sum, build func() (v1.Layer, error)) v1.Layer { return &known{s, build} }

// Remembered returns the sum of a layer that Known returned.
func Remembered(l v1.Layer) (Sum, bool) {
	k, ok := l.(*known)
	if !ok {
		return Sum{}, false
	}
	return k.sum, true
}

type known struct {
	sum   Sum
	build func() (v1.Layer, error)
}

func (k *known) Digest() (v1.Hash, error)            { return k.sum.Digest, nil }
func (k *known) DiffID() (v1.Hash, error)            { return k.sum.DiffID, nil }
func (k *known) Size() (int64, error)                { return k.sum.Size, nil }
func (k *known) MediaType() (types.MediaType, error) { return k.sum.MediaType, nil }

func (k *known) Compressed() (io.ReadCloser, error) {
	r, err := k.open(v1.Layer.Compressed)
	if err != nil {
		return nil, err
	}
	return newChecked(r, k.sum.Digest, k.sum.Size), nil
}

func (k *known) Uncompressed() (io.ReadCloser, error) {
	r, err := k.open(v1.Layer.Uncompressed)
	if err != nil {
		return nil, err
	}
	return newChecked(r, k.sum.DiffID, k.sum.Unpacked), nil
}

func (k *known) open(how func(v1.Layer) (io.ReadCloser, error)) (io.ReadCloser, error) {
	l, err := k.build()
	if err != nil {
		return nil, fmt.Errorf("building layer %s again: %w", k.sum.Digest, err)
	}
	t, err := l.MediaType()
	if err == nil && t != k.sum.MediaType {
		err = fmt.Errorf("%w: it is of type %s instead of %s", ErrChanged, t, k.sum.MediaType)
	}
	if err != nil {
		return nil, fmt.Errorf("building layer %s again: %w", k.sum.Digest, err)
	}
	r, err := how(l)
	if err != nil {
		return nil, fmt.Errorf("building layer %s again: %w", k.sum.Digest, err)
	}
	return r, nil
}

// checked compares a stream with its size and digest, and holds back the last byte until both are
// verified: a reader that knows the size may never read up to io.EOF, so an error there would come
// too late.
type checked struct {
	io.ReadCloser
	sum  hash.Hash
	want v1.Hash
	left int64 // bytes not yet returned
	err  error // the result of the last read
}

func newChecked(r io.ReadCloser, want v1.Hash, size int64) io.ReadCloser {
	return &checked{ReadCloser: r, sum: sha256.New(), want: want, left: size}
}

func (c *checked) Read(p []byte) (int, error) {
	if c.err != nil || len(p) == 0 {
		return 0, c.err
	}
	if c.left <= 1 {
		var n int
		n, c.err = c.last(p)
		return n, c.err
	}
	n, err := c.ReadCloser.Read(p[:min(int64(len(p)), c.left-1)])
	c.sum.Write(p[:n])
	c.left -= int64(n)
	if err == io.EOF {
		err = fmt.Errorf("%w: it ends %d bytes early", ErrChanged, c.left)
	}
	c.err = err
	return n, err
}

// last reads what should be the last byte, and returns it with io.EOF if size and digest are right.
func (c *checked) last(p []byte) (int, error) {
	var rest [2]byte
	n, err := io.ReadFull(c.ReadCloser, rest[:])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return 0, err
	}
	if int64(n) != c.left {
		return 0, fmt.Errorf("%w: it does not end where it should", ErrChanged)
	}
	c.sum.Write(rest[:n])
	if got := hex.EncodeToString(c.sum.Sum(nil)); got != c.want.Hex {
		return 0, fmt.Errorf("%w: sha256:%s instead of %s", ErrChanged, got, c.want)
	}
	return copy(p, rest[:n]), io.EOF
}
