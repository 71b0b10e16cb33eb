package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
)

// Blobs are the blobs of a cache directory, such as the layers of base images, by their SHA-256 in
// hexadecimal.
type Blobs struct {
	dir  *Dir
	root string
}

func (b *Blobs) file(sha string) string { return filepath.Join(b.root, "sha256", sha) }

// Open opens a blob of that size at its beginning, and tells whether there is one. It is read whole
// and compared each time: whoever reads it cannot give back what turns out to be wrong.
func (b *Blobs) Open(sha string, size int64) (*os.File, bool) {
	if b == nil || !hexDigest.MatchString(sha) {
		return nil, false
	}
	name := b.file(sha)
	if info, err := os.Stat(name); err != nil || info.Size() != size {
		return nil, false
	}
	f, err := b.dir.openWhole(name, sha)
	return f, err == nil
}

// Keep gives a reader of the same bytes that keeps the blob once it was read to its end and closed.
// Bytes that are not the blob's are an error at the end. That the blob cannot be kept is none.
func (b *Blobs) Keep(sha string, r io.ReadCloser) io.ReadCloser {
	k := &keeper{r: r, hash: sha256.New(), want: sha}
	if b != nil && hexDigest.MatchString(sha) {
		k.name = b.file(sha)
		k.temp, _ = b.dir.create(k.name)
	}
	return k
}

// keeper copies what is read to a file.
type keeper struct {
	r    io.ReadCloser
	temp *temp // nil: what is read is checked only
	name string
	hash hash.Hash
	want string
	good bool // it was read to the end, and is what was wanted
}

func (k *keeper) Read(p []byte) (int, error) {
	n, err := k.r.Read(p)
	k.hash.Write(p[:n]) // never fails
	if k.temp != nil {
		if _, werr := k.temp.Write(p[:n]); werr != nil {
			k.drop()
		}
	}
	if errors.Is(err, io.EOF) {
		got := hex.EncodeToString(k.hash.Sum(nil))
		if k.good = got == k.want; !k.good {
			return n, fmt.Errorf("the blob sha256:%s was sent as sha256:%s", k.want, got)
		}
	}
	return n, err
}

func (k *keeper) Close() error {
	if k.temp != nil && k.good {
		_ = k.temp.commit(k.name)
	}
	k.drop()
	return k.r.Close()
}

// drop gives up keeping the blob, unless it is kept already.
func (k *keeper) drop() {
	if k.temp != nil {
		k.temp.discard()
		k.temp = nil
	}
}
