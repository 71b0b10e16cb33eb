package attach

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"mlenv/imagebuild/image"
)

// artifact is a manifest about another one, with one document as its only layer.
type artifact struct {
	kind        string // media type of the document, and of the whole
	content     []byte
	subject     v1.Descriptor
	annotations map[string]string
}

// emptyConfig is the configuration of a manifest that needs none (OCI image-spec 1.1, "Guidance for
// an Empty Descriptor").
var emptyConfig = []byte("{}")

const emptyType = "application/vnd.oci.empty.v1+json"

// artifactManifest is v1.Manifest with artifactType, which go-containerregistry's lacks.
type artifactManifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     types.MediaType   `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        v1.Descriptor     `json:"config"`
	Layers        []v1.Descriptor   `json:"layers"`
	Subject       *v1.Descriptor    `json:"subject,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// image makes it something that go-containerregistry pushes, which keeps the list of referrers under
// a tag where the registry does not keep one.
func (a *artifact) image() (v1.Image, error) {
	layer := static.NewLayer(a.content, types.MediaType(a.kind))
	digest, err := layer.Digest()
	if err != nil {
		return nil, err
	}
	configDigest, _, err := v1.SHA256(newReader(emptyConfig))
	if err != nil {
		return nil, err
	}
	subject := v1.Descriptor{MediaType: a.subject.MediaType, Digest: a.subject.Digest, Size: a.subject.Size}
	raw, err := json.Marshal(artifactManifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: a.kind,
		Config:  v1.Descriptor{MediaType: emptyType, Digest: configDigest, Size: int64(len(emptyConfig))},
		Layers:  []v1.Descriptor{{MediaType: types.MediaType(a.kind), Digest: digest, Size: int64(len(a.content))}},
		Subject: &subject, Annotations: a.annotations,
	})
	if err != nil {
		return nil, err
	}
	return partial.CompressedToImage(&raws{raw, layer})
}

// raws is what partial.CompressedToImage makes an image of.
type raws struct {
	manifest []byte
	layer    v1.Layer
}

func (r *raws) RawManifest() ([]byte, error)                           { return r.manifest, nil }
func (r *raws) RawConfigFile() ([]byte, error)                         { return emptyConfig, nil }
func (r *raws) MediaType() (types.MediaType, error)                    { return types.OCIManifestSchema1, nil }
func (r *raws) LayerByDigest(v1.Hash) (partial.CompressedLayer, error) { return r.layer, nil }

// document is one layer of an image under one of cosign's earlier tags.
type document struct {
	kind        types.MediaType
	content     []byte
	annotations map[string]string
}

// addLayer returns the image under a tag, or an empty one, with one more document.
func addLayer(ctx context.Context, r *Repository, tag name.Tag, d document) (v1.Image, error) {
	img, err := remote.Image(tag, r.session.Options(ctx)...)
	if image.IsNotFound(err) {
		img, err = mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", tag, err)
	}
	return mutate.Append(img, mutate.Addendum{Layer: static.NewLayer(d.content, d.kind), MediaType: d.kind, Annotations: d.annotations})
}
