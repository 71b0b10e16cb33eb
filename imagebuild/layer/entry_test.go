package layer

import (
	"bytes"
	"io/fs"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// TestSame holds that how a file is packed, and whether it may be executed, does not make it another file.
func TestSame(t *testing.T) {
	text := bytes.Repeat([]byte("abc"), 1000)
	packed := deflated(text)
	loose := packed
	loose.Sum = v1.Hash{}
	sum := packed
	sum.Sum = v1.Hash{Algorithm: "sha512", Hex: strings.Repeat("0", 128)}
	// Four bytes of a file make its checksum what one likes.
	forged := deflated(append(bytes.Repeat([]byte("abc"), 999), "abd"...))
	forged.CRC, forged.Sum = packed.CRC, v1.Hash{Algorithm: "sha384", Hex: strings.Repeat("0", 96)}
	other := packed
	other.Sum.Hex = strings.Repeat("0", 64)
	for what, tt := range map[string]struct {
		c    Content
		mode fs.FileMode
		same bool
	}{
		"the same": {packed, 0o644, true}, "stored": {Bytes(text), 0, true}, "without a digest": {loose, 0, true},
		"a digest of another kind": {sum, 0, true}, "executable": {packed, 0o755, true},
		"a forged checksum": {forged, 0, false},
		"another digest":    {other, 0, false}, "another size": {deflated(text[1:]), 0, false},
		"neither digest nor checksum": {Content{Size: packed.Size}, 0, false},
	} {
		a, b := Entry{Path: "f", Content: packed}, Entry{Path: "f", Content: tt.c, Mode: tt.mode}
		if a.Same(b) != tt.same || b.Same(a) != tt.same {
			t.Errorf("%s: %v, want %v", what, a.Same(b), tt.same)
		}
		if x, y := Either(a, b), Either(b, a); x.mode() != b.mode() || y.mode() != b.mode() {
			t.Errorf("%s: modes %v and %v, want %v", what, x.mode(), y.mode(), b.mode())
		}
	}
}
