package sink

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// contentError reports that the content of a blob could not be read or is wrong.
type contentError struct{ err error }

func (e *contentError) Error() string { return e.err.Error() }
func (e *contentError) Unwrap() error { return e.err }

// passing reports whether reading the content again may help, because it comes from a network.
func (e *contentError) passing() bool {
	var network net.Error
	return errors.As(e.err, &network) || errors.Is(e.err, io.ErrUnexpectedEOF)
}

// content is a blob being read. It is always read from the first byte, whatever part is sent, so
// that its digest can be verified at the end.
type content struct {
	ctx  context.Context
	from io.ReadCloser
	hash hash.Hash
	err  error // a *contentError, if reading has failed
}

// openContent opens a blob at an offset.
func openContent(ctx context.Context, b blob, offset int64) (*content, error) {
	h, err := v1.Hasher(b.digest.Algorithm)
	if err != nil {
		return nil, err
	}
	from, err := b.open()
	if err != nil {
		return nil, &contentError{err}
	}
	c := &content{ctx: ctx, from: from, hash: h}
	if _, err := io.CopyN(io.Discard, c, offset); err != nil {
		c.Close()
		if errors.Is(err, io.EOF) {
			c.fail(fmt.Errorf("it ends before byte %d", offset))
		}
		if c.err != nil {
			err = c.err
		}
		return nil, err
	}
	return c, nil
}

func (c *content) fail(err error) { c.err = &contentError{fmt.Errorf("reading the blob: %w", err)} }

// Read implements io.Reader. It ends early when the context does.
func (c *content) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.from.Read(p)
	c.hash.Write(p[:n])
	if err != nil && !errors.Is(err, io.EOF) {
		c.fail(err)
	}
	return n, err
}

func (c *content) Close() error { return c.from.Close() }

// verify checks size and digest of the blob after all of it has been read.
func (c *content) verify(b blob) error {
	switch n, err := io.Copy(io.Discard, c); {
	case c.err != nil:
		return c.err
	case err != nil:
		return err
	case n > 0:
		return &contentError{fmt.Errorf("the blob has more than %d bytes", b.size)}
	}
	if got := (v1.Hash{Algorithm: b.digest.Algorithm, Hex: fmt.Sprintf("%x", c.hash.Sum(nil))}); got != b.digest {
		return &contentError{fmt.Errorf("the blob's content is %s", got)}
	}
	return nil
}

// chunk is the body of one request: the next bytes of a content.
type chunk struct {
	start, end int64 // offsets in the blob

	mu   sync.Mutex
	from *content
	left int64
	over bool
}

// errOver is returned to a transport that continues to read after the request is over.
var errOver = errors.New("the request is over")

// Read implements io.Reader.
func (c *chunk) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return 0, errOver
	}
	if c.left == 0 {
		return 0, io.EOF
	}
	n, err := c.from.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	if errors.Is(err, io.EOF) {
		if c.left > 0 {
			c.from.fail(fmt.Errorf("it ends %d bytes before byte %d", c.left, c.end))
			return n, c.from.err
		}
		err = nil // the next call returns it
	}
	return n, err
}

// Close implements io.Closer. The content stays open for the next chunk.
func (c *chunk) Close() error { return nil }

// stop prevents the transport, which may still be reading if the registry has answered early, from
// using the content. It returns how many bytes were not read.
func (c *chunk) stop() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	return c.left
}
