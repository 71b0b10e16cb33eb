package imagebuild

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"mlenv/imagebuild/base"
	"mlenv/imagebuild/layer"
	"mlenv/resolve/dist"
	"mlenv/resolve/pylock"
	"mlenv/resolve/secret"
	"mlenv/resolve/serving"
)

// Files is where the files of a lock come from.
type Files interface {
	// Fetch gives the path of a file, whose hash was checked. It may download it first.
	Fetch(ctx context.Context, f dist.File) (path string, err error)
}

// Locked is a lock with what its files are found by.
type Locked struct {
	Lock *pylock.Lock
	Text []byte // as it is kept in the image; nil: what pylock.Portable leaves of the lock
	Dir  string // which the paths in the lock start from
	// ModelDir is where a file of the model is looked for that is not where the lock says; "": nowhere else.
	ModelDir string
	Files    Files
}

// Model is what of a model goes into an image.
type Model struct {
	FS    fs.FS    // of which all files count, see model.Files; nil: none
	Code  []string // directories of code in FS, slash-separated
	Extra []Tree   // code that is not the model's own, to lie in serving.CodePath

	// Sums, where not nil, are the SHA-256 in hex that all files of FS had when somebody approved of
	// them. A file that has another, or is not among them, is a *ChangedError.
	Sums map[string]string
}

// Inputs are what the images of all platforms have in common.
type Inputs struct {
	Locked
	Model       Model
	Contract    *serving.Contract
	Needs       []string          // see Recipe.Needs
	Labels      map[string]string // over those that the contract gives
	Annotations map[string]string
	Manifest    Manifest
	Compression layer.Compression
	MaxLayer    int64 // see Recipe.MaxLayer
	Compiled    bool  // the recipes get a Compiler
}

// Recipe is the step from a lock and a base to what an image is made of: for every package of the
// lock the wheel that the base's Python installs, and the labels that name the lock and the base.
// The error is that of pylock's Select, or a *base.MisfitError.
func (in Inputs) Recipe(b *base.Found) (Recipe, error) {
	if in.Text == nil {
		// Where this machine keeps other files than the model's is none of the image's business.
		in.Text = pylock.Format(pylock.Portable(in.Lock))
	}
	if text, found := secret.Scrub(string(in.Text)); found {
		in.Text = []byte(text) // pip and uv write the addresses of signed pages as they are
	}
	wheels, err := in.wheels(b)
	if err != nil {
		return Recipe{}, err
	}
	labels := map[string]string{}
	for _, v := range serving.Labels(in.facts(b)) {
		labels[v.Name] = v.Value
	}
	r := Recipe{
		Base: b, Wheels: wheels, Lock: in.Text, Model: in.Model,
		Runtime: in.Contract.Runtime, Created: in.Contract.Created,
		Labels: maps.Clone(labels), Annotations: labels,
		Needs:    slices.Sorted(slices.Values(in.Needs)),
		Manifest: in.Manifest, Compression: in.Compression, MaxLayer: in.MaxLayer,
	}
	if r.Labels[SettingsLabel], err = in.Settings().label(); err != nil {
		return Recipe{}, err
	}
	maps.Copy(r.Labels, in.Labels)
	maps.Copy(r.Annotations, in.Annotations)
	return r, nil
}

func (in Inputs) facts(b *base.Found) serving.Facts {
	f := in.Contract.Facts
	sum := sha256.Sum256(in.Text)
	f.LockDigest = "sha256:" + hex.EncodeToString(sum[:])
	f.BaseName, f.BaseDigest = b.Name, b.Digest
	return f
}

// wheels gives the wheels of one platform.
func (in Inputs) wheels(b *base.Found) ([]Wheel, error) {
	if targets := in.Lock.Tool.Targets; len(targets) == 1 {
		if err := b.Fit(targets[0]); err != nil {
			return nil, err
		}
	}
	picks, err := in.Lock.Select(b.Target())
	if err != nil {
		return nil, err
	}
	var needs *pylock.Needs
	if in.Lock.Tool.SpecDigest != "" { // our own
		needs = pylock.NeedsOf(picks, b.Target())
	}
	var out []Wheel
	for _, p := range picks {
		out = append(out, Wheel{
			Filename: p.File.Name, Name: string(p.Name), Size: p.File.Size, SHA256: strings.ToLower(p.File.Hashes["sha256"]),
			Requested: slices.Contains(in.Lock.Tool.Requested, p.Name), DirectURL: p.DirectURL,
			Path: in.path(p), Needs: needs,
		})
	}
	return out, nil
}

// path gives what finds the file of a pick, when its bytes are wanted.
func (in Inputs) path(p pylock.Pick) func(context.Context) (string, error) {
	file := dist.File{Name: p.Name, Filename: p.File.Name, URL: p.File.Address(), Size: p.File.Size, Hashes: p.File.Hashes, Wheel: true, Index: p.Index}
	return func(ctx context.Context) (string, error) {
		if p.File.Path != "" {
			at := pylock.Locate(p.File.Path, in.Dir, in.ModelDir)
			file.URL = (&url.URL{Scheme: "file", Path: filepath.ToSlash(at)}).String()
		}
		return in.Files.Fetch(ctx, file)
	}
}
