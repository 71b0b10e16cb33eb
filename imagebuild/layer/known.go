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

// Known returns a layer that was measured before. It costs nothing until somebody wants its bytes: then build is called,
// and what it returns must have the remembered digest, which is checked at the end of the stream
// (an error wrapping ErrChanged).
func Known(s Sum, build func() (v1.Layer, error)) v1.Layer { return &known{s, build} }

type known struct {
	sum   Sum
	build func() (v1.Layer, error)
}

func (k *known) Digest() (v1.Hash, error)            { return k.sum.Digest, nil }
func (k *known) DiffID() (v1.Hash, error)            { return k.sum.DiffID, nil }
func (k *known) Size() (int64, error)                { return k.sum.Size, nil }
func (k *known) MediaType() (types.MediaType, error) { return k.sum.MediaType, nil }
func (k *known) Compressed() (io.ReadCloser, error)  { return k.open(v1.Layer.Compressed, k.sum.Digest) }
func (k *known) Uncompressed() (io.ReadCloser, error) {
	return k.open(v1.Layer.Uncompressed, k.sum.DiffID)
}

func (k *known) open(how func(v1.Layer) (io.ReadCloser, error), want v1.Hash) (io.ReadCloser, error) {
	l, err := k.build()
	if err != nil {
		return nil, fmt.Errorf("building layer %s again: %w", k.sum.Digest, err)
	}
	r, err := how(l)
	if err != nil {
		return nil, fmt.Errorf("building layer %s again: %w", k.sum.Digest, err)
	}
	return newChecked(r, want), nil
}

// checked compares a stream with its digest when the end is read.
type checked struct {
	io.ReadCloser
	sum  hash.Hash
	want v1.Hash
}

func newChecked(r io.ReadCloser, want v1.Hash) io.ReadCloser {
	return &checked{ReadCloser: r, sum: sha256.New(), want: want}
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.sum.Write(p[:n])
	if err == io.EOF {
		if got := hex.EncodeToString(c.sum.Sum(nil)); got != c.want.Hex {
			err = fmt.Errorf("%w: sha256:%s instead of %s", ErrChanged, got, c.want)
		}
	}
	return n, err
}
