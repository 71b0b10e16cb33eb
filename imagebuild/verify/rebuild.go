package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"mlenv/imagebuild"
	"mlenv/imagebuild/base"
	"mlenv/imagebuild/compile"
	"mlenv/imagebuild/image"
	"mlenv/resolve"
	"mlenv/resolve/dist"
	"mlenv/resolve/model"
	"mlenv/resolve/pylock"
	"mlenv/resolve/serving"
)

// Options say how an image is made again.
type Options struct {
	Base  string       // where the base is; "": where the image says
	Bases base.Options // how it is opened
	// Files gives what fetches the wheels of the lock. It is called once.
	Files func(*pylock.Lock) (imagebuild.Files, error)
	// Compiler gives what compiles modules, which runs the base's Python; nil: images that have
	// compiled modules are not made again. It is called once, if at all, and closed.
	Compiler func(*base.Found) (*compile.Compiler, error)
	Dir      string                 // an empty directory for the model's files
	Jobs     int                    // as in imagebuild.Builder
	Progress func(imagebuild.Event) // as in imagebuild.Builder
}

// UntriedError says why an image cannot be made again here. It says nothing against the image.
type UntriedError struct {
	Why string
	Err error // may be nil
}

func (e *UntriedError) Error() string {
	if e.Err != nil {
		return e.Why + ": " + e.Err.Error()
	}
	return e.Why
}

func (e *UntriedError) Unwrap() error { return e.Err }

// Difference is where an image is not what making it again gives.
type Difference struct {
	Layer int    `json:"layer,omitempty"` // from 1; 0 for what is no layer
	Holds string `json:"holds,omitempty"` // what the layer should hold
	Path  string `json:"path,omitempty"`  // of the first file that differs: "/opt/ml/model/MLmodel"
	Field string `json:"field,omitempty"` // of the configuration or the manifest: "config.Labels.team"
	Byte  int64  `json:"byte"`            // of the first byte of the file that differs, from 0; -1 for what is not in its content
	Why   string `json:"why"`
}

func (d Difference) String() string {
	switch {
	case d.Layer == 0:
		return d.Field + " " + d.Why
	case d.Path == "":
		return fmt.Sprintf("layer %d (%s) %s", d.Layer, d.Holds, d.Why)
	case d.Byte >= 0:
		return fmt.Sprintf("layer %d (%s): %s differs from byte %d on", d.Layer, d.Holds, d.Path, d.Byte)
	}
	return fmt.Sprintf("layer %d (%s): %s %s", d.Layer, d.Holds, d.Path, d.Why)
}

// Rebuild makes an image again, and returns where it differs from what came out: no differences mean
// that both have the same digest. The error is an *UntriedError if it cannot be made again.
func Rebuild(ctx context.Context, img *image.Image, o Options) (_ []Difference, err error) {
	in, err := image.Read(img)
	if err != nil {
		return nil, err
	}
	r := &rebuilder{img: img, config: in.Config, options: o, lockText: in.Lock}
	if err := r.readSettings(); err != nil {
		return nil, err
	}
	found, err := r.findBase(ctx)
	if err != nil {
		return nil, err
	}
	recipe, err := r.recipe(found)
	if err != nil {
		if damaged := Damaged(img); len(damaged) > 0 {
			return damaged, nil // which is why it could not be read
		}
		return nil, err
	}
	if r.settings.Compiled {
		if recipe.Compiler, err = r.compiler(found); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, recipe.Compiler.Close()) }()
	}
	// Nothing that is remembered counts: it would be believing somebody.
	builder := &imagebuild.Builder{Jobs: o.Jobs, Progress: o.Progress}
	made, err := builder.Build(ctx, recipe)
	if err != nil {
		return nil, &UntriedError{"making the image again failed", err}
	}
	defer func() { err = errors.Join(err, made.Close()) }()
	return compare(img, made)
}

// rebuilder is one run of Rebuild.
type rebuilder struct {
	img      *image.Image
	config   *v1.ConfigFile
	options  Options
	lockText []byte
	settings imagebuild.Settings
	lock     *pylock.Lock
}

// readSettings reads what the image says of how it was made. What it was made with must be what this
// program has.
func (r *rebuilder) readSettings() (err error) {
	label, ok := r.config.Config.Labels[imagebuild.SettingsLabel]
	if !ok {
		return &UntriedError{Why: "the image does not say how it was made: it is not mlenv's, or by an early version"}
	}
	if r.settings, err = imagebuild.ParseSettings(label); err != nil {
		return &UntriedError{Why: "the image does not say how it was made", Err: err}
	}
	if ours := imagebuild.Formats(); r.settings.Formats != ours {
		return &UntriedError{Why: fmt.Sprintf("the image was made by a version of mlenv with other formats (%s) than this one (%s), which makes other bytes of the same files; use that version", r.settings.Formats, ours)}
	}
	if r.lockText == nil {
		return &UntriedError{Why: "the image holds no lock"}
	}
	if r.lock, err = pylock.Parse("the image's lock", r.lockText); err != nil {
		return &UntriedError{Why: "the image's lock cannot be read", Err: err}
	}
	return nil
}

// findBase opens the base that the image names.
func (r *rebuilder) findBase(ctx context.Context) (*base.Found, error) {
	labels := r.config.Config.Labels
	name, digest := labels["org.opencontainers.image.base.name"], labels[image.BaseDigest]
	ref := r.options.Base
	if ref == "" {
		if name == "" || digest == "" {
			return nil, &UntriedError{Why: "the image does not name a base that others can pull; say where it is"}
		}
		parsed, err := image.ParseReference(name)
		if err != nil {
			return nil, &UntriedError{Why: "the image's base has no usable name", Err: err}
		}
		ref = parsed.Context().Digest(digest).Name()
	}
	platform := v1.Platform{OS: r.config.OS, Architecture: r.config.Architecture, Variant: r.config.Variant}
	found, _, err := base.Find(ctx, base.Request{Ref: ref, Platforms: []v1.Platform{platform}}, r.options.Bases)
	if err != nil {
		return nil, &UntriedError{"the base cannot be had", err}
	}
	found[0].Name = name
	return found[0], nil
}

// ErrCompiled reports that an image has compiled modules, and that nothing may be run to make them.
var ErrCompiled = errors.New("the image has compiled modules, and making them again runs its base's Python")

func (r *rebuilder) compiler(found *base.Found) (*compile.Compiler, error) {
	if r.options.Compiler == nil {
		return nil, &UntriedError{Why: "it was not allowed", Err: ErrCompiled}
	}
	c, err := r.options.Compiler(found)
	if err != nil {
		return nil, &UntriedError{"the base's Python cannot be run", err}
	}
	return c, nil
}

// recipe puts together what the image says that it was made of.
func (r *rebuilder) recipe(found *base.Found) (out imagebuild.Recipe, err error) {
	files, err := extract(r.img, r.config, map[string]string{
		strings.TrimPrefix(found.Resolve(serving.ModelPath), "/"): filepath.Join(r.options.Dir, "model"),
		strings.TrimPrefix(found.Resolve(serving.CodePath), "/"):  filepath.Join(r.options.Dir, "code"),
	})
	if err != nil {
		return out, err
	}
	if !files {
		return out, &UntriedError{Why: "the image holds no model"}
	}
	m, err := model.Read(os.DirFS(filepath.Join(r.options.Dir, "model")))
	if err != nil {
		return out, &UntriedError{"the model in the image cannot be read", err}
	}
	spec, err := resolve.Model(m, resolve.Options{})
	if err != nil {
		return out, &UntriedError{"the model in the image cannot be read", err}
	}
	contract, err := serving.ForModel(m, spec, r.lock, r.choices())
	if err != nil {
		return out, &UntriedError{"the image's settings cannot be used", err}
	}
	// The Spec was merged with flags that are not recorded; the lock was made for it and names it.
	contract.Facts.SpecDigest = r.config.Config.Labels["io.mlenv.spec.digest"]
	in := imagebuild.Inputs{
		Locked:   imagebuild.Locked{Lock: r.lock, Text: r.lockText, Dir: filepath.Join(r.options.Dir, "model")},
		Model:    imagebuild.Model{FS: m.FS, Code: m.CodeDirs()},
		Contract: contract, Labels: pick(r.config.Config.Labels, r.settings.Labels), MaxLayer: r.settings.MaxLayer,
	}
	for _, name := range r.settings.Code {
		in.Model.Extra = append(in.Model.Extra, imagebuild.Tree{FS: model.Files(os.DirFS(filepath.Join(r.options.Dir, "code"))), Root: name})
	}
	if err := r.form(&in); err != nil {
		return out, err
	}
	fetched, err := r.options.Files(r.lock)
	if err != nil {
		return out, err
	}
	in.Files = &modelWheels{next: fetched, fsys: m.FS, dir: in.Dir}
	if out, err = in.Recipe(found); err != nil {
		return out, &UntriedError{"the lock in the image cannot be installed on its base", err}
	}
	return out, nil
}

// modelWheels takes the wheels that a model brings out of the model: the lock names them by a path of
// the machine on which it was made.
type modelWheels struct {
	next imagebuild.Files
	fsys fs.FS
	dir  string // of the model
}

// Fetch implements imagebuild.Files.
func (w *modelWheels) Fetch(ctx context.Context, f dist.File) (string, error) {
	found := ""
	if strings.HasPrefix(f.URL, "file:") {
		err := fs.WalkDir(w.fsys, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || path.Base(name) != f.Filename {
				return err
			}
			data, err := fs.ReadFile(w.fsys, name)
			if sum := sha256.Sum256(data); err == nil && hex.EncodeToString(sum[:]) == f.Hashes["sha256"] {
				found = filepath.Join(w.dir, filepath.FromSlash(name))
				err = fs.SkipAll
			}
			return err
		})
		if err != nil || found != "" {
			return found, err
		}
	}
	return w.next.Fetch(ctx, f)
}

// form sets how manifest and layers are written.
func (r *rebuilder) form(in *imagebuild.Inputs) (err error) {
	if in.Compression, err = r.settings.LayerCompression(); err != nil {
		return &UntriedError{Why: err.Error()}
	}
	m, err := r.img.Manifest()
	if err != nil {
		return fmt.Errorf("reading the image's manifest: %w", err)
	}
	if m.MediaType == types.DockerManifestSchema2 {
		in.Manifest = imagebuild.Docker
	}
	in.Annotations, in.Needs, in.Compiled = pick(m.Annotations, r.settings.Annotations), imagebuild.NeedsIn(m), r.settings.Compiled
	in.Needs = imagebuild.NeedsIn(m)
	return nil
}

// choices are the user's, as far as they are recorded; values of variables are in the configuration.
func (r *rebuilder) choices() serving.Choices {
	s := r.settings
	env := map[string]string{}
	for _, entry := range r.config.Config.Env {
		if name, value, ok := strings.Cut(entry, "="); ok {
			env[name] = value
		}
	}
	return serving.Choices{
		Kind: s.Serve, Port: s.Port, Workers: s.Workers, User: s.User, Entrypoint: s.Entrypoint,
		Env: pick(env, s.Env), ExtraCode: len(s.Code) > 0, Created: r.config.Created.UTC(),
	}
}

// pick returns the entries with the names.
func pick(from map[string]string, names []string) map[string]string {
	out := map[string]string{}
	for _, n := range names {
		if v, ok := from[n]; ok {
			out[n] = v
		}
	}
	return out
}

// Damaged returns the layers above the base whose bytes are not what the manifest says of them, and
// which so can be neither read nor run. It is for an image that could not be read.
func Damaged(img *image.Image) []Difference {
	layers, err := img.Layers()
	if err != nil {
		return nil
	}
	var out []Difference
	for i, l := range layers {
		digest, err := l.Digest()
		if err != nil {
			continue
		}
		if got, err := digestOf(l); err == nil && got != digest.Hex {
			out = append(out, Difference{Layer: i + 1, Holds: "unknown", Byte: -1, Why: "has other bytes than its digest says"})
		}
	}
	return out
}

// digestOf returns the SHA-256 of what a layer's bytes are in truth. That the reader finds them wrong
// at their end is no error here.
func digestOf(l v1.Layer) (string, error) {
	r, err := l.Compressed()
	if err != nil {
		return "", err
	}
	defer r.Close()
	h := sha256.New()
	n, err := io.Copy(h, r)
	if err != nil && n == 0 {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
