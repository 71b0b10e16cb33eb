package imagebuild

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"

	"mlenv/imagebuild/layer"
)

// outline is what of a wheel's files says whether it goes together with others, as hashes: about
// 30 bytes for each file. It is remembered by the wheel, so that an environment to which a package
// was added is checked without opening the wheels that were seen before, or even fetching them.
type outline struct {
	Files []byte `json:"files"` // of each file or link: the hash of its path, and that of what it is
	Dirs  []byte `json:"dirs"`  // of each directory above them: the hash of its path
}

const (
	pathHash = 8
	// Paths that are not the same but have the same hash cost time alone. Contents that are not the
	// same must not have, whatever somebody tries.
	contentHash = 16
	fileHash    = pathHash + contentHash
)

func outlineOf(entries []layer.Entry) outline {
	var o outline
	seen := map[string]bool{}
	for _, e := range entries {
		if e.Kind == layer.Dir {
			continue
		}
		o.Files = append(append(o.Files, hashOf(e.Path, pathHash)...), hashOf(identity(e), contentHash)...)
		for at := strings.LastIndexByte(e.Path, '/'); at > 0; at = strings.LastIndexByte(e.Path[:at], '/') {
			dir := e.Path[:at]
			if seen[dir] {
				break
			}
			seen[dir] = true
			o.Dirs = append(o.Dirs, hashOf(dir, pathHash)...)
		}
	}
	return o
}

func hashOf(text string, length int) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:length]
}

// identity is the same for two entries of a path only if Entry.Same says that they are the same. It
// may differ although they are.
func identity(e layer.Entry) string {
	c := e.Content
	known := ""
	switch {
	case c.Size == 0:
	case c.Deflated || c.HasCRC:
		known = fmt.Sprintf("%s %d", c.Sum, c.CRC)
	case c.Sum.Hex != "":
		known = c.Sum.String()
	default:
		known = e.Source // nothing is known of the content
	}
	return fmt.Sprintf("%d %q %d %q", e.Kind, e.Link, c.Size, known)
}

// valid reports whether an outline that was remembered can be one.
func (o outline) valid() bool { return len(o.Files)%fileHash == 0 && len(o.Dirs)%pathHash == 0 }

func (o outline) files(visit func(path uint64, content [contentHash]byte)) {
	for rest := o.Files; len(rest) > 0; rest = rest[fileHash:] {
		visit(binary.LittleEndian.Uint64(rest), [contentHash]byte(rest[pathHash:]))
	}
}

func (o outline) dirs(visit func(path uint64)) {
	for rest := o.Dirs; len(rest) > 0; rest = rest[pathHash:] {
		visit(binary.LittleEndian.Uint64(rest))
	}
}

// disputed gives the hashes of the paths that may be held with different contents, or by one as a
// file and by another as a directory.
func disputed(outlines []outline) map[uint64]bool {
	held := map[uint64][contentHash]byte{}
	out := map[uint64]bool{}
	for _, o := range outlines {
		o.files(func(path uint64, content [contentHash]byte) {
			if old, ok := held[path]; ok && old != content {
				out[path] = true
			}
			held[path] = content
		})
	}
	for _, o := range outlines {
		o.dirs(func(path uint64) {
			if _, ok := held[path]; ok {
				out[path] = true
			}
		})
	}
	return out
}

// holdsAny reports whether one of the paths is a file or directory of the outline.
func (o outline) holdsAny(paths map[uint64]bool) bool {
	found := false
	o.files(func(path uint64, _ [contentHash]byte) { found = found || paths[path] })
	o.dirs(func(path uint64) { found = found || paths[path] })
	return found
}

// outlineKey is what a wheel's outline depends on.
type outlineKey struct {
	Version int // unionFormat
	Format  string
	Wheel   wheelKey
}

// outline gives a wheel's outline, which means opening the wheel where it is not remembered.
func (w *work) outline(ctx context.Context, one Wheel) (outline, error) {
	key := outlineKey{unionFormat, layer.Format, w.wheelsKey([]Wheel{one})}
	var known outline
	if _, ok, err := w.recall(ctx, OutlinesMemo, key, &known); err != nil || ok && known.valid() {
		return known, err
	}
	o, err := w.wheels.take(ctx, one)
	if err != nil {
		return outline{}, err
	}
	made := outlineOf(o.claims(w.paths))
	return made, w.remember(ctx, OutlinesMemo, key, made)
}
