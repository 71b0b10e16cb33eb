package memo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/imagebuild"
	"mlenv/imagebuild/image"
	"mlenv/resolve/cache"
)

// Request says which images are asked for notes.
type Request struct {
	// Targets are the references that are pushed to. Each is asked for what it holds now, and its
	// repository for the tag "latest". That there is no such image, or that it may not be read, is
	// nothing to speak of.
	Targets   []string
	Others    []string // references of more images whose notes are trusted; they must be there
	Platforms []v1.Platform
	Timeout   time.Duration // how long all of them may take; 0: answerTime
}

// answerTime is how long registries may take to tell their notes. A build without them takes longer
// than that, but not for ever.
const answerTime = 10 * time.Second

// Images are the notes that images carry. Nothing is remembered in them.
type Images struct {
	notes map[string]carried  // by the key's hash
	blobs map[v1.Hash]*source // the layers of all the images

	mu   sync.Mutex
	told map[v1.Hash]bool // layers in the notes that were given
}

type carried struct {
	imagebuild.Carried
	from *source
}

// ReadImages reads the notes of images, with two requests for each. It always gives what could be read;
// the errors say which images could not be, and cost time alone.
func ReadImages(ctx context.Context, r image.Remote, q Request) (*Images, []error) {
	limit := q.Timeout
	if limit <= 0 {
		limit = answerTime
	}
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	type reading struct {
		ref      string
		optional bool
		notes    []imagebuild.Carried
		err      error
	}
	var all []*reading
	for _, ref := range targets(q.Targets) {
		all = append(all, &reading{ref: ref, optional: true})
	}
	for _, ref := range q.Others {
		all = append(all, &reading{ref: ref})
	}
	var group sync.WaitGroup
	for _, one := range all {
		group.Go(func() { one.notes, one.err = readImage(within, r, one.ref, q.Platforms) })
	}
	group.Wait()
	out := &Images{notes: map[string]carried{}, blobs: map[v1.Hash]*source{}, told: map[v1.Hash]bool{}}
	var errs []error
	for _, one := range all {
		if one.err != nil && !(one.optional && isAbsent(one.err)) && ctx.Err() == nil {
			errs = append(errs, fmt.Errorf("reading the notes of %s: %w", one.ref, one.err))
		}
		if len(one.notes) == 0 {
			continue
		}
		ref, err := image.ParseReference(one.ref)
		if err != nil {
			continue
		}
		out.add(one.notes, newSource(ctx, ref.Context(), r))
	}
	return out, errs
}

// add takes in the notes of an image. The first note of a key counts.
func (i *Images) add(notes []imagebuild.Carried, from *source) {
	for _, n := range notes {
		if _, ok := i.notes[n.Hash]; !ok {
			i.notes[n.Hash] = carried{n, from}
		}
		for _, l := range n.Layers {
			if i.blobs[l] == nil {
				i.blobs[l] = from
			}
		}
	}
}

// targets are the references themselves and the tags "latest" beside them, each once.
func targets(refs []string) (out []string) {
	for _, text := range refs {
		ref, err := image.ParseReference(text)
		if err != nil {
			continue
		}
		for _, one := range []string{text, ref.Context().Tag("latest").Name()} {
			if !slices.Contains(out, one) {
				out = append(out, one)
			}
		}
	}
	return out
}

// readImage reads the notes of an image, of all platforms.
func readImage(ctx context.Context, r image.Remote, ref string, platforms []v1.Platform) ([]imagebuild.Carried, error) {
	var out []imagebuild.Carried
	for _, p := range platforms {
		img, err := image.Open(ctx, ref, &p, r)
		if err != nil {
			return out, err
		}
		m, err := img.Manifest()
		if err != nil {
			return out, err
		}
		if !imagebuild.Carries(m) {
			continue // and so the configuration is not asked for
		}
		config, err := img.ConfigFile()
		if err != nil {
			return out, err
		}
		out = append(out, imagebuild.CarriedBy(m, config)...)
	}
	return out, nil
}

// isAbsent reports whether a registry says that it has no such image. To those who may not read, many
// say that of images that are there, and the other way round.
func isAbsent(err error) bool {
	var denied *image.DeniedError
	var platform *image.NoPlatformError
	return image.IsNotFound(err) || errors.As(err, &denied) || errors.As(err, &platform)
}

// Get implements imagebuild.Memo. It also says where the images' layers can be mounted from.
func (i *Images) Get(_ context.Context, key cache.Key) (cache.Note, bool, error) {
	if n, ok := i.mount(key); ok {
		return n, true, nil
	}
	c, ok := i.notes[key.Hash()]
	if !ok || c.Kind != key.Kind {
		return cache.Note{}, false, nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, l := range c.Layers {
		i.told[l] = true
	}
	return c.Note, true, nil
}

func (i *Images) mount(key cache.Key) (cache.Note, bool) {
	registry, digest, ok := mountOf(key)
	if !ok || i.blobs[digest] == nil {
		return cache.Note{}, false
	}
	return i.blobs[digest].mount(registry)
}

// Put implements imagebuild.Memo. It does nothing: an image carries its notes by being pushed.
func (i *Images) Put(context.Context, cache.Key, cache.Note) error { return nil }

// Open implements imagebuild.Blobs, for the layers of those notes that were given.
func (i *Images) Open(digest v1.Hash) (io.ReadCloser, error) {
	i.mu.Lock()
	told := i.told[digest]
	i.mu.Unlock()
	if from := i.blobs[digest]; told && from != nil {
		return from.open(digest)
	}
	return nil, errUnknown
}
