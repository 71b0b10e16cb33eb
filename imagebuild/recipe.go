// Package imagebuild assembles an image that serves a model: a base, a virtual environment made of
// locked wheels, code and the model. It runs nothing, and the image's bytes depend on what goes in
// alone: not on the machine, the time, or what was remembered of an earlier build.
//
// # Layers
//
// What seldom changes comes first. The environment's skeleton is a layer; each of the largest wheels
// is one; the others share a few, each wheel's by the hash of its name, so that changing one package
// changes one of them; then the model's code, each of its large files as long as there are layers
// for them, those of a medium size by the hash of their path, and last whatever is small and
// differs at every logging (MLmodel, the environment files), together with the lock. An image of a
// model that was logged again with the same weights so differs in its last layer alone.
//
// A wheel's layer depends on the wheel, the environment's path and Python's minor version, and on
// nothing else: the empty REQUESTED files, by which installers mark what the user asked for, are in
// the last layer, as they differ between models that share a wheel. So a wheel's RECORD does not list
// its REQUESTED, as pip's does: the layer of a wheel that is remembered, and so need not be there, would
// have to be made anew for it.
package imagebuild

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/imagebuild/base"
	"mlenv/imagebuild/compile"
	"mlenv/imagebuild/layer"
	"mlenv/resolve/finding"
	"mlenv/resolve/pattern"
	"mlenv/resolve/pylock"
	"mlenv/resolve/serving"
)

// Recipe is all that an image is made of.
type Recipe struct {
	Base *base.Found

	Wheels []Wheel
	Lock   []byte // pylock.toml, kept in the environment; nil: none

	Model Model
	// Compiler, where not nil, makes compiled files of all modules. They are in layers of their own, and
	// the others stay what they are without.
	Compiler *compile.Compiler

	Needs       []string          // Debian packages that the model needs of its base, sorted
	Runtime     *serving.Runtime  // nil: as the base has it
	Labels      map[string]string // of the configuration
	Annotations map[string]string // of the manifest, where its form has any; labels are not repeated in them
	Created     time.Time

	Manifest    Manifest
	Compression layer.Compression
	// MaxLayer is the most bytes of a layer: what does not go into one is refused. 0 splits at 8 GiB
	// and lets a file that is larger by itself have a larger layer, with a note.
	MaxLayer int64
}

// Tree is a directory or file of code, of which all files count, see model.Files.
type Tree struct {
	FS   fs.FS
	Root string // its path in FS, slash-separated; its last element is its name in the image
}

// Wheel is one wheel that the environment holds.
type Wheel struct {
	Filename  string
	SHA256    string // lower-case hex; what is remembered of the wheel is found by it
	Size      int64  // bytes, as the lock says; 0 where unknown: then the file is asked for, and its own size counts
	Name      string // of the distribution, normalized
	Requested bool   // the user asked for it
	DirectURL []byte // direct_url.json (PEP 610), nil if it came from an index
	// Path gives the place of the wheel's file, whose hash was checked; it may download it first. It
	// is called when the wheel's bytes are needed, at times never, and perhaps more than once.
	Path func(ctx context.Context) (string, error)
	// Needs is what the other wheels bring. A wheel whose own METADATA asks for more, when it is opened,
	// is an *UnmetError; nil: the lock was made by others, who may leave out what they mean to.
	Needs *pylock.Needs
}

var hexSHA256 = pattern.New(`^[0-9a-f]{64}$`)

func (r *Recipe) check() error {
	if r.Base == nil || r.Base.Base == nil || r.Base.Image == nil {
		return fmt.Errorf("the recipe has no base")
	}
	if err := r.Base.IsFree(); err != nil {
		return err
	}
	seen := map[string]string{}
	for _, w := range r.Wheels {
		if !hexSHA256.MatchString(w.SHA256) {
			return fmt.Errorf("%s has no SHA-256 in the lock", w.Filename)
		}
		if other, ok := seen[w.Name]; ok {
			return fmt.Errorf("%s and %s are wheels of the same project", other, w.Filename)
		}
		seen[w.Name] = w.Filename
	}
	return nil
}

// maxLayer is where a layer is split unless the recipe says otherwise. Registries refuse layers of
// about 10 GB.
const maxLayer = 8 << 30

func (r *Recipe) maxLayer() int64 {
	if r.MaxLayer > 0 {
		return r.MaxLayer
	}
	return maxLayer
}

// Layer tells what a layer of the image is.
type Layer struct {
	Holds  string  `json:"holds"` // "torch-2.4.0-….whl", "23 wheels", "model files"
	Digest v1.Hash `json:"digest"`
	DiffID v1.Hash `json:"diffID"`
	Size   int64   `json:"size"`   // bytes of the blob
	Reused bool    `json:"reused"` // nothing of it was read: it was remembered, or is the base's
	Base   bool    `json:"base"`
}

// Image is an image that was built.
type Image struct {
	v1.Image
	Contents  []Layer      // of the image's layers, in order
	Findings  finding.List // what is odd about the wheels or the layers, though no reason to refuse them
	Carried   []Carried    // what the next build can know of it, with or without this machine
	files     []source     // which can change while the image is sent
	modelPath string       // of the model, as in tar headers
	closers   []func() error
}

// Close closes the wheels that are open. The image's bytes cannot be read afterwards.
func (i *Image) Close() error {
	var first error
	for _, c := range i.closers {
		if err := c(); err != nil && first == nil {
			first = err
		}
	}
	i.closers = nil
	return first
}

// CollisionError says that two wheels cannot be installed beside each other, or one not into the
// environment: one holds a file where the other has a directory, or what an installer writes.
type CollisionError struct {
	Path   string // in the image
	Wheels [2]string
}

func (c *CollisionError) Error() string {
	return fmt.Sprintf("%s and %s cannot both have /%s", c.Wheels[0], c.Wheels[1], c.Path)
}
