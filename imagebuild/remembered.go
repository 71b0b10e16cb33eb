package imagebuild

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"mlenv/imagebuild/layer"
	"mlenv/resolve/finding"
)

// partFormat changes when the meaning of remembered does.
const partFormat = 4

// partKey is what the layers of a part depend on.
type partKey struct {
	Version     int // partFormat
	Format      string
	Compression layer.Compression
	Max         int64
	Part        any
}

// packing is what the layers of all parts depend on.
func (w *work) packing() partKey {
	return partKey{Version: partFormat, Format: layer.Format, Compression: w.recipe.Compression, Max: w.recipe.maxLayer()}
}

// given is Recipe.MaxLayer again.
func (k partKey) given() int64 {
	if k.Max == maxLayer {
		return 0
	}
	return k.Max
}

// remembered is what a Memo holds of a part.
type remembered struct {
	Sums     []layer.Sum  `json:"sums,omitempty"`
	Wheels   []wheelFacts `json:"wheels,omitempty"` // in the order of the key, which has their SHA-256
	Findings finding.List `json:"findings,omitempty"`
}

// wheelFacts is what has to be known of a wheel whose layer is not made.
type wheelFacts struct {
	DistInfo string `json:"distInfo"`        // the name of its .dist-info directory
	Roots    []byte `json:"roots,omitempty"` // see paths.roots
}

// valid reports whether all of it can be true, as far as that can be told without the bytes.
func (r remembered) valid(c layer.Compression) bool {
	seen := map[v1.Hash]bool{}
	for _, s := range r.Sums {
		if s.Digest.Hex == "" || s.DiffID.Hex == "" || s.Size <= 0 || s.Unpacked <= 0 || s.MediaType != c.MediaType() {
			return false
		}
		if seen[s.Digest] || seen[s.DiffID] {
			return false // what a part is split into differs
		}
		seen[s.Digest], seen[s.DiffID] = true, true
	}
	return len(r.Sums) > 0
}

// isOf reports whether it names the .dist-info directories of the wheels that a part is made of.
func (r remembered) isOf(key any) bool {
	wheels, _ := key.(wheelKey)
	for _, f := range r.Wheels {
		if path.Base(f.DistInfo) != f.DistInfo || !strings.HasSuffix(f.DistInfo, ".dist-info") || len(f.Roots)%rootHash != 0 {
			return false
		}
	}
	return len(r.Wheels) == len(wheels.Wheels)
}

// same reports whether both say the same of what a part is made of.
func (r remembered) same(other remembered) bool {
	return slices.Equal(r.Sums, other.Sums) && slices.EqualFunc(r.Wheels, other.Wheels, wheelFacts.same)
}

func (f wheelFacts) same(g wheelFacts) bool {
	return f.DistInfo == g.DistInfo && slices.Equal(f.Roots, g.Roots)
}

// chosen reports whether one of the layers is among a percentage of all, which its digest decides: the
// same layers are chosen on every machine, and others when something in them changes.
func (r remembered) chosen(percent int) bool {
	return slices.ContainsFunc(r.Sums, func(s layer.Sum) bool {
		return binary.BigEndian.Uint32(hashOf(s.Digest.String(), 4))%100 < uint32(max(0, percent))
	})
}

// factsIn gives the facts of the wheels of a part's key, in its order.
func factsIn(key any, facts map[string]wheelFacts) (out []wheelFacts) {
	wheels, _ := key.(wheelKey)
	for _, one := range wheels.Wheels {
		out = append(out, facts[one.SHA256])
	}
	return out
}

// facts are those of a part's wheels by their SHA-256.
func (r remembered) facts(key any) map[string]wheelFacts {
	wheels, _ := key.(wheelKey)
	out := map[string]wheelFacts{}
	for i, one := range wheels.Wheels {
		out[one.SHA256] = r.Wheels[i]
	}
	return out
}

// WrongNoteError says that a layer is not what a note says, found by making it (see Builder.Verify).
// Whoever wrote the note was mistaken, or is not to be trusted.
type WrongNoteError struct {
	Holds string      // what the layer holds
	Noted []layer.Sum // what the note says
	Made  []layer.Sum // what it is
}

func (e *WrongNoteError) Error() string {
	for i, s := range e.Noted {
		if i >= len(e.Made) || s != e.Made[i] {
			made := "nothing"
			if i < len(e.Made) {
				made = e.Made[i].Digest.String()
			}
			return fmt.Sprintf("the note of the layer of %s is wrong: it says %s, the layer is %s", e.Holds, s.Digest, made)
		}
	}
	return fmt.Sprintf("the note of the layer of %s is wrong", e.Holds)
}

// Blobs has the bytes of layers of which a Memo has told.
type Blobs interface {
	// Open gives the bytes of a layer. What is read is compared with the digest. An error means that
	// they cannot be had, and the layer is made of what it holds.
	Open(digest v1.Hash) (io.ReadCloser, error)
}

// madeOf gives the layers of a part that was remembered. Its content is read only if somebody wants
// the bytes: as they are, where Blobs has them, else it is made again, once for all of its layers.
func (w *work) madeOf(ctx context.Context, p part, of partKey, known remembered) (made, error) {
	m := made{sums: known.Sums, facts: known.facts(p.key), findings: known.Findings, reused: true}
	var err error
	if m.carried, err = carry(LayersMemo, of, known); err != nil {
		return made{}, err
	}
	// The bytes are wanted after Build has returned, when its own context may be over.
	ctx = context.WithoutCancel(ctx)
	again := sync.OnceValues(func() ([]*layer.Layer, error) {
		c, err := p.make(ctx)
		if err != nil {
			return nil, err
		}
		layers, err := w.split(p, c.entries)
		if err == nil && (len(layers) != len(known.Sums) || !maps.EqualFunc(c.facts, m.facts, wheelFacts.same)) {
			err = fmt.Errorf("%w: what is remembered of %s is not what it is made of", layer.ErrChanged, p.holds)
		}
		return layers, err
	})
	for i, sum := range known.Sums {
		m.layers = append(m.layers, layer.Known(sum, func() (v1.Layer, error) {
			if w.Blobs != nil {
				if r, err := w.Blobs.Open(sum.Digest); err == nil {
					return partial.CompressedToLayer(&storedLayer{sum, r})
				}
			}
			layers, err := again()
			if err != nil {
				return nil, err
			}
			return layers[i], nil
		}))
	}
	return m, nil
}

// storedLayer is a layer whose bytes Blobs has, for one reader.
type storedLayer struct {
	sum  layer.Sum
	blob io.ReadCloser
}

func (s *storedLayer) Digest() (v1.Hash, error)            { return s.sum.Digest, nil }
func (s *storedLayer) DiffID() (v1.Hash, error)            { return s.sum.DiffID, nil }
func (s *storedLayer) Size() (int64, error)                { return s.sum.Size, nil }
func (s *storedLayer) MediaType() (types.MediaType, error) { return s.sum.MediaType, nil }
func (s *storedLayer) Compressed() (io.ReadCloser, error)  { return s.blob, nil }
