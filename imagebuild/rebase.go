package imagebuild

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/imagebuild/base"
	"mlenv/imagebuild/image"
	"mlenv/imagebuild/sink"
	"mlenv/resolve/cache"
	"mlenv/resolve/pylock"
	"mlenv/resolve/serving"
)

// recipeNote is what an image says of how it was made, beside its notes, its lock and its configuration:
// what Rebase needs to make it again on another base.
type recipeNote struct {
	Format   int              `json:"format"`            // recipeFormat
	Runtime  *serving.Runtime `json:"runtime,omitempty"` // with the names of the variables alone, and without the launcher
	Labels   []string         `json:"labels"`            // names of the labels that are not the base's
	Needs    []string         `json:"needs,omitempty"`   // Debian packages that the model needs of a base
	Venv     string           `json:"venv"`              // where things lie, with the base's links followed
	Model    string           `json:"model"`
	Code     string           `json:"code"`
	Compiled bool             `json:"compiled,omitempty"` // there are compiled files, which depend on the base's own Python
	Packing  partKey          `json:"packing"`            // of the layers; without a part
}

const recipeFormat = 1

// recipeNote says how the image is made.
func (w *work) recipeNote() recipeNote {
	n := recipeNote{
		Format: recipeFormat, Labels: slices.Sorted(maps.Keys(w.recipe.Labels)), Needs: w.recipe.Needs,
		Venv: w.paths.venv, Model: w.paths.model, Code: w.paths.code, Compiled: w.recipe.Compiler != nil, Packing: w.packing(),
	}
	if w.recipe.Runtime != nil {
		r := *w.recipe.Runtime
		r.Launcher, r.Env = nil, slices.Clone(r.Env)
		for i := range r.Env {
			r.Env[i].Value = "" // the configuration has it, and may be the only place for it
		}
		n.Runtime = &r
	}
	return n
}

// runtime is the runtime contract again, with the values that a configuration has.
func (n recipeNote) runtime(c v1.Config) *serving.Runtime {
	if n.Runtime == nil {
		return nil
	}
	r := *n.Runtime
	r.Env = slices.Clone(r.Env)
	have := environ{c.Env}
	for i := range r.Env {
		r.Env[i].Value = have.get(r.Env[i].Name)
	}
	return &r
}

// NeedsIn gives the Debian packages that an image says its model needs of a base.
func NeedsIn(m *v1.Manifest) []string {
	var n recipeNote
	if json.Unmarshal([]byte(m.Annotations[image.Recipe]), &n) != nil {
		return nil
	}
	return n.Needs
}

// UnfitError says that an image cannot be put on a base as it is.
type UnfitError struct{ Reasons []string }

func (e *UnfitError) Error() string {
	return "the image does not fit the base: " + strings.Join(e.Reasons, "; ")
}

func unfit(format string, args ...any) error {
	return &UnfitError{[]string{fmt.Sprintf(format, args...)}}
}

// Rebased is an image on another base.
type Rebased struct {
	*Image
	Annotations map[string]string // of the manifest, as Recipe has them
}

// Rebase gives the image that Build gives on another base with the lock that the image holds, made of the
// image itself: of its layers only those are read and written again that tell of the base. Neither the
// model nor a wheel is needed. Where the image would have other wheels, other layers, or lack what it
// found in its base, the error is an *UnfitError.
//
// The bytes of the layers are those of the old image, and read from where it lies.
func Rebase(ctx context.Context, old *image.Image, to *base.Found) (*Rebased, error) {
	r, err := newRebase(ctx, old, to)
	if err != nil {
		return nil, err
	}
	var reasons []string
	for _, check := range []func(context.Context) error{r.fitsPlaces, r.fitsWheels, r.fitsNeeds} {
		err := check(ctx)
		if why, ok := err.(*UnfitError); ok {
			reasons = append(reasons, why.Reasons...)
		} else if err != nil {
			return nil, err
		}
	}
	if len(reasons) > 0 {
		return nil, &UnfitError{reasons}
	}
	return r.assemble(ctx)
}

// JoinRebased makes one artifact of the images of all platforms, in the order of the index that they
// came from: what Publish makes of the images of several recipes.
func JoinRebased(all []*Rebased) (sink.Artifact, error) {
	var images []*Image
	for _, r := range all {
		images = append(images, r.Image)
	}
	return join(images, OCI, all[0].Annotations)
}

// rebase is one run of Rebase.
type rebase struct {
	*work
	manifest *v1.Manifest
	config   *v1.ConfigFile
	layers   []v1.Layer
	first    int // index of the first layer that is not the base's
	note     recipeNote
	notes    map[string]Carried // by kind and hash
	locked   Locked
}

func newRebase(ctx context.Context, old *image.Image, to *base.Found) (*rebase, error) {
	r := &rebase{notes: map[string]Carried{}}
	var err error
	if r.manifest, err = old.Manifest(); err != nil {
		return nil, fmt.Errorf("reading the image's manifest: %w", err)
	}
	if json.Unmarshal([]byte(r.manifest.Annotations[image.Recipe]), &r.note) != nil || r.note.Format != recipeFormat {
		return nil, unfit("the image does not say how it was made; mlenv says so since it writes notes into images, and a Docker manifest has no place for it")
	}
	if r.config, err = old.ConfigFile(); err != nil {
		return nil, fmt.Errorf("reading the image's configuration: %w", err)
	}
	if r.layers, err = old.Layers(); err != nil {
		return nil, err
	}
	r.first = image.FirstOurs(r.config, len(r.layers))
	if len(r.layers) != len(r.manifest.Layers) || len(r.layers) != len(r.config.RootFS.DiffIDs) || r.first >= len(r.layers) {
		return nil, unfit("the image's manifest and configuration do not say the same of its layers")
	}
	for _, c := range CarriedBy(r.manifest, r.config) {
		r.notes[c.Kind+" "+c.Hash] = c
	}
	if r.locked.Text, err = image.ReadLock(old); err != nil {
		return nil, err
	}
	if r.locked.Text == nil {
		return nil, unfit("the image has no lock")
	}
	if r.locked.Lock, err = pylock.Parse("the image's pylock.toml", r.locked.Text); err != nil {
		return nil, err
	}
	p := r.note.Packing
	r.work = &work{Builder: &Builder{Memo: noted(r.notes)}, paths: newPaths(to.Base), cpu: make(chan struct{}, 1), recipe: Recipe{
		Base: to, Runtime: r.note.runtime(r.config.Config), Created: r.config.Created.Time, Needs: r.note.Needs,
		Lock: r.locked.Text, Compression: p.Compression, MaxLayer: p.given(),
	}}
	return r, r.describe(to)
}

// noted is the memo of what an image carries.
type noted map[string]Carried

func (n noted) Get(_ context.Context, k cache.Key) (cache.Note, bool, error) {
	c, ok := n[k.Kind+" "+k.Hash()]
	return c.Note, ok, nil
}

func (n noted) Put(context.Context, cache.Key, cache.Note) error { return nil }

// describe takes over the labels and annotations, and lets them name the new base.
func (r *rebase) describe(to *base.Found) error {
	was := r.manifest.Annotations
	labels, annotations := map[string]string{}, maps.Clone(was)
	for _, name := range []string{image.Notes, image.Recipe} {
		delete(annotations, name)
	}
	for _, name := range r.note.Labels {
		labels[name] = r.config.Config.Labels[name]
	}
	for name, value := range map[string]string{image.BaseName: to.Name, image.BaseDigest: to.Digest} {
		for _, m := range []map[string]string{labels, annotations} {
			switch {
			case m[name] != was[name] || m[name] != r.config.Config.Labels[name]: // whoever built it said something else
			case value == "":
				delete(m, name)
			default:
				m[name] = value
			}
		}
	}
	r.recipe.Labels, r.recipe.Annotations = labels, annotations
	return r.recipe.check()
}

// fitsPlaces makes sure that things would lie where they lie.
func (r *rebase) fitsPlaces(context.Context) error {
	if r.note.Compiled {
		return unfit("the image has compiled modules, which only the base's own Python makes: build it again")
	}
	if r.paths.venv != r.note.Venv || r.paths.model != r.note.Model || r.paths.code != r.note.Code {
		return unfit("the base has links in the places of the environment or the model that the other base has not")
	}
	was, err := newBudget(r.first, r.recipe.aside())
	if err != nil {
		return err
	}
	now, err := newBudget(r.recipe.Base.Layers, r.recipe.aside())
	if err != nil {
		return unfit("%v", err)
	}
	if was != now || r.note.Packing != r.packing() {
		return unfit("the layers would be divided otherwise")
	}
	return nil
}

// fitsWheels makes sure that the base's Python installs the very wheels that the image holds, in the
// layers that it has. Their keys prove it: they depend on all that decides about the bytes.
func (r *rebase) fitsWheels(ctx context.Context) error {
	wheels, err := Inputs{Locked: r.locked}.wheels(r.recipe.Base)
	if err != nil {
		return unfit("%v", err)
	}
	r.recipe.Wheels = wheels
	for i, one := range wheels {
		if one.Size == 0 {
			var size int64
			if _, ok, err := r.recall(ctx, SizesMemo, wheelID{SHA256: one.SHA256}, &size); err != nil || !ok {
				return unfit("the size of %s is not known", one.Filename)
			}
			r.recipe.Wheels[i].Size = size
		}
	}
	bud, err := newBudget(r.recipe.Base.Layers, r.recipe.aside())
	if err != nil {
		return unfit("%v", err)
	}
	have := r.keys()
	for _, group := range planWheels(r.recipe.Wheels, bud) {
		p := r.packing()
		p.Part = r.wheelsKey(group)
		c, err := carry(LayersMemo, p, remembered{})
		if err != nil {
			return err
		}
		if !slices.Contains(have, c.Hash) {
			return unfit("the base's Python %s (%s) takes other wheels than those of the image: the layer of %s would be another",
				r.recipe.Base.Version, r.recipe.Base.Libc, r.wheelPart(group).holds)
		}
	}
	if len(wheels) == 0 {
		return nil
	}
	union, err := carry(UnionsMemo, unionKey{unionFormat, r.wheelsKey(r.recipe.Wheels)}, unionNote{})
	if err != nil {
		return err
	}
	if _, ok := r.notes[UnionsMemo+" "+union.Hash]; !ok {
		return unfit("the base's Python %s (%s) takes other wheels than those of the image", r.recipe.Base.Version, r.recipe.Base.Libc)
	}
	return nil
}

// keys are the keys of the image's layers.
func (r *rebase) keys() (out []string) {
	for _, c := range r.notes {
		if c.Kind == LayersMemo {
			out = append(out, c.Hash)
		}
	}
	return out
}

// fitsNeeds makes sure that the new base has what the image found in the old one.
func (r *rebase) fitsNeeds(ctx context.Context) error {
	var reasons []string
	for _, name := range r.note.Needs {
		if !r.recipe.Base.Provides(name) {
			reasons = append(reasons, "the base lacks "+name+", which the model needs")
		}
	}
	var old base.Base
	for _, c := range r.notes {
		if c.Kind == base.Memos && c.Note.Decode(&old) {
			if lost := r.recipe.Base.Lost(&old); len(lost) > 0 {
				reasons = append(reasons, "the base lacks libraries that compiled wheels rely on: "+strings.Join(lost, ", "))
			}
		}
	}
	if len(reasons) > 0 {
		return &UnfitError{reasons}
	}
	return nil
}

// assemble writes the layer that tells of the base, and puts the others on it.
func (r *rebase) assemble(ctx context.Context) (*Rebased, error) {
	skeleton, err := r.makePart(ctx, r.skeletonPart())
	if err != nil {
		return nil, err
	}
	r.wheels = newOpenWheels(r.paths.scheme, 1)
	img, out, err := r.begin()
	if err != nil {
		return nil, err
	}
	created := v1.Time{Time: r.recipe.Created}
	img.add(skeleton.layers[0], skeleton.sums[0], r.skeletonPart(), created)
	holds := r.holds()
	for i := r.first + 1; i < len(r.layers); i++ {
		img.layers = append(img.layers, r.layers[i])
		img.manifest.Layers = append(img.manifest.Layers, r.manifest.Layers[i])
		img.config.RootFS.DiffIDs = append(img.config.RootFS.DiffIDs, r.config.RootFS.DiffIDs[i])
		img.config.History = append(img.config.History, v1.History{Created: created, CreatedBy: image.CreatedBy, Comment: holds[i-r.first]})
		out.Contents = append(out.Contents, Layer{Holds: holds[i-r.first], Digest: r.manifest.Layers[i].Digest, DiffID: r.config.RootFS.DiffIDs[i], Size: r.manifest.Layers[i].Size, Reused: true})
	}
	for _, c := range r.notes {
		if c.Kind != LayersMemo && c.Kind != base.Memos {
			r.carried = append(r.carried, c)
		}
	}
	if err := r.carryBase(); err != nil {
		return nil, err
	}
	if err := img.annotate(nil, 0, r.sortedCarried()); err != nil {
		return nil, err
	}
	if err := img.annotateRecipe(r.recipeNote()); err != nil {
		return nil, err
	}
	return &Rebased{Image: out, Annotations: r.recipe.Annotations}, img.seal()
}

// holds says of each of our layers what it holds, as the history has it.
func (r *rebase) holds() []string {
	out := make([]string, len(r.layers))
	at := 0
	for _, h := range r.config.History {
		if h.CreatedBy == image.CreatedBy && at < len(out) {
			out[at] = h.Comment
			at++
		}
	}
	return out
}
