package imagebuild

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"mlenv/imagebuild/image"
	"mlenv/imagebuild/layer"
	"mlenv/resolve/finding"
)

// begin puts the base's layers into an image. They are named, never read.
func (w *work) begin() (*assembled, *Image, error) {
	baseManifest, err := w.recipe.Base.Image.Manifest()
	if err != nil {
		return nil, nil, fmt.Errorf("reading the base's manifest: %w", err)
	}
	baseConfig, err := w.recipe.Base.Image.ConfigFile()
	if err != nil {
		return nil, nil, fmt.Errorf("reading the base's configuration: %w", err)
	}
	baseLayers, err := w.recipe.Base.Image.Layers()
	if err != nil {
		return nil, nil, err
	}
	if len(baseConfig.RootFS.DiffIDs) != len(baseManifest.Layers) || len(baseLayers) != len(baseManifest.Layers) {
		return nil, nil, fmt.Errorf("the base has %d layers and %d diffIDs", len(baseManifest.Layers), len(baseConfig.RootFS.DiffIDs))
	}
	img := &assembled{config: w.config(baseConfig)}
	img.manifest = w.recipe.Manifest.manifest()
	if w.recipe.Manifest == OCI {
		img.manifest.Annotations = maps.Clone(w.recipe.Annotations)
	}
	out := &Image{Image: img, closers: []func() error{w.wheels.close}, files: w.files, modelPath: w.paths.model}
	for i, d := range baseManifest.Layers {
		if d.MediaType, err = w.recipe.Manifest.layer(d.MediaType, "the base"); err != nil {
			return nil, nil, err
		}
		if w.recipe.Manifest == Docker {
			d.Annotations = nil
		}
		img.manifest.Layers = append(img.manifest.Layers, d)
		img.layers = append(img.layers, retype(baseLayers[i], d.MediaType))
		out.Contents = append(out.Contents, Layer{Holds: "base", Digest: d.Digest, DiffID: baseConfig.RootFS.DiffIDs[i], Size: d.Size, Reused: true, Base: true})
	}
	return img, out, nil
}

// assemble puts the layers on the base and writes configuration and manifest.
func (w *work) assemble(parts []part, done []made) (*Image, error) {
	img, out, err := w.begin()
	if err != nil {
		return nil, err
	}
	base := len(img.layers)
	if err := w.putLayers(img, out, parts, done); err != nil {
		return nil, err
	}
	if n, most := len(img.layers)-base, min(maxOurs+forOverlap+w.recipe.aside(), maxTotal-base); n > most {
		return nil, &TooManyLayersError{Need: n, Base: base, Most: most}
	}
	out.Findings = append(out.Findings, w.overlapFindings()...)
	if err := w.carryBase(); err != nil {
		return nil, err
	}
	for _, m := range done {
		if m.carried.Hash != "" {
			out.Carried = append(out.Carried, m.carried)
		}
	}
	out.Carried = append(out.Carried, w.sortedCarried()...)
	if w.recipe.Manifest == OCI {
		if err := errors.Join(img.annotate(done, base, w.carried), img.annotateRecipe(w.recipeNote())); err != nil {
			return nil, err
		}
	}
	return out, img.seal()
}

// putLayers puts what was made on top.
func (w *work) putLayers(img *assembled, out *Image, parts []part, done []made) error {
	for i, m := range done {
		out.Findings = append(out.Findings, m.findings...)
		for j, sum := range m.sums {
			out.Findings = append(out.Findings, large(parts[i].holds, sum.Size, w.recipe.maxLayer())...)
			l, made := m.layers[j], sum.MediaType
			var err error
			if sum.MediaType, err = w.recipe.Manifest.layer(made, parts[i].holds); err != nil {
				return err
			}
			if sum.MediaType != made {
				l = retype(l, sum.MediaType)
			}
			img.add(l, sum, parts[i], v1.Time{Time: w.recipe.Created})
			out.Contents = append(out.Contents, Layer{Holds: parts[i].holds, Digest: sum.Digest, DiffID: sum.DiffID, Size: sum.Size, Reused: m.reused})
		}
	}
	return nil
}

// large warns of a layer that is larger than layers should be, for the one file in it is.
func large(holds string, size, most int64) (out finding.List) {
	if size > most {
		out.Add(finding.LargeLayer, holds, nil, "the layer of %s has %.1f GB; several registries take no more than 8 or 10 GB", holds, float64(size)/1e9)
	}
	return out
}

// config is the base's configuration with ours on top.
func (w *work) config(from *v1.ConfigFile) *v1.ConfigFile {
	c := from.DeepCopy()
	c.OS, c.Architecture, c.Variant = w.recipe.Base.OS, w.recipe.Base.Arch, w.recipe.Base.Variant
	c.Created = v1.Time{Time: w.recipe.Created}
	c.Author, c.Container = "", ""
	//lint:ignore SA1019 bases that a Docker engine built carry it, and it says nothing of ours
	c.DockerVersion = ""
	w.recipe.configure(&c.Config)
	return c
}

// assembled is a v1.Image whose layers are whatever their maker gave: a registry's layers keep their
// type, by which a pusher knows that they can be mounted.
type assembled struct {
	manifest  *v1.Manifest
	config    *v1.ConfigFile
	layers    []v1.Layer
	rawConfig []byte
	raw       []byte
}

func (i *assembled) add(l v1.Layer, s layer.Sum, p part, created v1.Time) {
	i.layers = append(i.layers, l)
	d := v1.Descriptor{MediaType: s.MediaType, Size: s.Size, Digest: s.Digest}
	if p.kind != "" && i.manifest.MediaType == types.OCIManifestSchema1 {
		d.Annotations = map[string]string{image.KindAnnotation: p.kind}
	}
	i.manifest.Layers = append(i.manifest.Layers, d)
	i.config.RootFS.DiffIDs = append(i.config.RootFS.DiffIDs, s.DiffID)
	i.config.History = append(i.config.History, v1.History{Created: created, CreatedBy: image.CreatedBy, Comment: p.holds})
}

// seal writes configuration and manifest.
func (i *assembled) seal() error {
	i.config.RootFS.Type = "layers"
	var err error
	if i.rawConfig, err = json.Marshal(i.config); err != nil {
		return err
	}
	digest, size, err := v1.SHA256(bytes.NewReader(i.rawConfig))
	if err != nil {
		return err
	}
	i.manifest.Config.Size, i.manifest.Config.Digest = size, digest
	i.raw, err = json.Marshal(i.manifest)
	return err
}

func (i *assembled) Layers() ([]v1.Layer, error)         { return i.layers, nil }
func (i *assembled) MediaType() (types.MediaType, error) { return i.manifest.MediaType, nil }
func (i *assembled) Size() (int64, error)                { return int64(len(i.raw)), nil }
func (i *assembled) ConfigName() (v1.Hash, error)        { return i.manifest.Config.Digest, nil }
func (i *assembled) ConfigFile() (*v1.ConfigFile, error) { return i.config.DeepCopy(), nil }
func (i *assembled) RawConfigFile() ([]byte, error)      { return i.rawConfig, nil }
func (i *assembled) Digest() (v1.Hash, error)            { return partial.Digest(i) }
func (i *assembled) Manifest() (*v1.Manifest, error)     { return i.manifest.DeepCopy(), nil }
func (i *assembled) RawManifest() ([]byte, error)        { return i.raw, nil }
func (i *assembled) LayerByDiffID(h v1.Hash) (v1.Layer, error) {
	for at, d := range i.config.RootFS.DiffIDs {
		if d == h {
			return i.layers[at], nil
		}
	}
	return nil, fmt.Errorf("the image has no layer with diffID %s", h)
}

func (i *assembled) LayerByDigest(h v1.Hash) (v1.Layer, error) {
	if h == i.manifest.Config.Digest {
		return partial.ConfigLayer(i)
	}
	for at, d := range i.manifest.Layers {
		if d.Digest == h {
			return i.layers[at], nil
		}
	}
	return nil, fmt.Errorf("the image has no layer with digest %s", h)
}

// typed is a layer under another media type.
type typed struct {
	v1.Layer
	t types.MediaType
}

func (t typed) MediaType() (types.MediaType, error) { return t.t, nil }

func retype(l v1.Layer, t types.MediaType) v1.Layer {
	if m, ok := l.(*remote.MountableLayer); ok {
		return &remote.MountableLayer{Layer: retype(m.Layer, t), Reference: m.Reference}
	}
	return typed{l, t}
}
