package memo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"mlenv/imagebuild"
	"mlenv/imagebuild/base"
	"mlenv/imagebuild/image"
	"mlenv/resolve/cache"
)

// Repository is a repository of a registry that holds notes and the layers that they are about. A note
// is an image manifest under a tag that is made of its key: the configuration is the note, and the
// layers are those that it names, so that the registry keeps them and other repositories can mount
// them. The same note is the same manifest whoever writes it, so writers need not know of each other.
//
// It costs time alone if the registry does not answer: after the first failure it is not asked again.
type Repository struct {
	from    *source
	remote  image.Remote
	options RepositoryOptions

	mu   sync.Mutex
	off  bool                       // it has failed
	has  map[string]json.RawMessage // the notes that it gave, by the hashes of their keys
	told map[v1.Hash]bool
}

// RepositoryOptions is how a Repository is used. The zero value is useful.
type RepositoryOptions struct {
	ReadOnly bool
	Timeout  time.Duration // of one question; 0: memoTime
	Jobs     int           // notes written at once; 0: 8
	// Warn, if not nil, is told once that the repository could not be read, and once that it could not
	// be written to. It may be called from any goroutine.
	Warn func(error)
}

// memoTime is how long a repository may take to answer. A base, layers and a set of wheels are asked
// for one after the other, and all layers at once.
const memoTime = 5 * time.Second

// Media types of a note's manifest.
const (
	noteArtifact = "application/vnd.mlenv.note.v1"
	noteConfig   = "application/vnd.mlenv.note.v1+json"
)

// kinds are the kinds of notes that are true for other machines, too. Outlines are not among them: a
// question for each wheel would take longer than they save.
var kinds = []string{imagebuild.LayersMemo, imagebuild.UnionsMemo, imagebuild.SizesMemo, imagebuild.InterpretersMemo, base.Memos}

// note is the configuration of a note's manifest.
type note struct {
	Kind  string          `json:"kind"`
	Hash  string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

// tag is the tag of a note.
func tag(kind, hash string) string { return kind + "-" + hash }

// maxNote is how large a note may be, in bytes. The largest ones, of bases, have some 10 kB.
const maxNote = 4 << 20

// NewRepository gives the memo in a repository, "registry.example.com/mlenv-notes". The context is
// that of everything that is read of it.
func NewRepository(ctx context.Context, text string, r image.Remote, o RepositoryOptions) (*Repository, error) {
	if clean := image.Redact(text); clean != text {
		return nil, fmt.Errorf("%q is not a repository: it must not contain a user and password", clean)
	}
	repo, err := name.NewRepository(text)
	if err == nil && strings.Contains(text, "://") {
		err = errors.New("it must have no scheme")
	}
	if err != nil {
		return nil, fmt.Errorf("%q is not a repository such as registry.example.com/mlenv-notes: %w", text, err)
	}
	if o.Timeout <= 0 {
		o.Timeout = memoTime
	}
	return &Repository{from: newSource(ctx, repo, r), remote: r, options: o, has: map[string]json.RawMessage{}, told: map[v1.Hash]bool{}}, nil
}

// Get implements imagebuild.Memo. It also says where the layers of notes that it gave can be mounted
// from.
func (r *Repository) Get(ctx context.Context, key cache.Key) (cache.Note, bool, error) {
	if registry, digest, ok := mountOf(key); ok {
		if !r.hasTold(digest) {
			return cache.Note{}, false, nil
		}
		n, ok := r.from.mount(registry)
		return n, ok, nil
	}
	if !slices.Contains(kinds, key.Kind) || r.isOff() {
		return cache.Note{}, false, nil
	}
	within, cancel := context.WithTimeout(ctx, r.options.Timeout)
	defer cancel()
	n, layers, err := r.read(within, key)
	switch {
	case err == nil:
	case ctx.Err() != nil, image.IsNotFound(err):
		return cache.Note{}, false, nil
	default:
		r.fail(fmt.Errorf("reading notes in %s: %w", r.from.repo, r.from.session.Explain(ctx, err)))
		return cache.Note{}, false, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.has[key.Hash()] = n.Value
	for _, l := range layers {
		r.told[l] = true
	}
	return n, true, nil
}

func (r *Repository) isOff() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.off
}

func (r *Repository) hasTold(digest v1.Hash) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.told[digest]
}

// fail gives the repository up.
func (r *Repository) fail(err error) {
	r.mu.Lock()
	first := !r.off
	r.off = true
	r.mu.Unlock()
	if first && r.options.Warn != nil {
		r.options.Warn(err)
	}
}

// read reads a note, and gives the layers that it is about. A note that is not of the key, or names
// layers that its manifest does not hold, is an error.
func (r *Repository) read(ctx context.Context, key cache.Key) (cache.Note, []v1.Hash, error) {
	opts := r.from.session.Options(ctx)
	desc, err := remote.Get(r.from.repo.Tag(tag(key.Kind, key.Hash())), opts...)
	if err != nil {
		return cache.Note{}, nil, err
	}
	m, err := v1.ParseManifest(bytes.NewReader(desc.Manifest))
	if err != nil {
		return cache.Note{}, nil, fmt.Errorf("reading the manifest of a note: %w", err)
	}
	data, err := r.config(ctx, m.Config)
	if err != nil {
		return cache.Note{}, nil, err
	}
	var n note
	if err := json.Unmarshal(data, &n); err != nil || n.Kind != key.Kind || n.Hash != key.Hash() {
		return cache.Note{}, nil, fmt.Errorf("the tag %s is not a note of its key", tag(key.Kind, key.Hash()))
	}
	out := cache.Note{Value: n.Value}
	var layers []v1.Hash
	for _, sum := range imagebuild.SumsIn(key.Kind, out) {
		if !slices.ContainsFunc(m.Layers, func(d v1.Descriptor) bool { return d.Digest == sum.Digest && d.Size == sum.Size }) {
			return cache.Note{}, nil, fmt.Errorf("the note %s names the layer %s, which its manifest does not hold", tag(key.Kind, key.Hash()), sum.Digest)
		}
		layers = append(layers, sum.Digest)
	}
	return out, layers, nil
}

// config gives a note's bytes. They are in the manifest, too, which saves a request; a registry may
// have left them out.
func (r *Repository) config(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	if d.Size < 0 || d.Size > maxNote {
		return nil, fmt.Errorf("a note of %d bytes", d.Size)
	}
	data := d.Data
	if len(data) == 0 {
		l, err := remote.Layer(r.from.repo.Digest(d.Digest.String()), r.from.session.Options(ctx)...)
		if err != nil {
			return nil, err
		}
		blob, err := l.Compressed()
		if err != nil {
			return nil, err
		}
		defer blob.Close()
		if data, err = io.ReadAll(io.LimitReader(blob, d.Size+1)); err != nil {
			return nil, err
		}
	}
	got, size, err := v1.SHA256(bytes.NewReader(data))
	if err != nil || got != d.Digest || size != d.Size {
		return nil, errors.New("a note whose bytes are not those of its digest")
	}
	return data, nil
}

// Put implements imagebuild.Memo. It does nothing: a note is worth something once its layers are in the
// registry, so Save writes it.
func (r *Repository) Put(context.Context, cache.Key, cache.Note) error { return nil }

// Open implements imagebuild.Blobs, for the layers of those notes that were given.
func (r *Repository) Open(digest v1.Hash) (io.ReadCloser, error) {
	if !r.hasTold(digest) {
		return nil, errUnknown
	}
	return r.from.open(digest)
}
