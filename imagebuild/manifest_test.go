package imagebuild_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"mlenv/imagebuild"
	"mlenv/imagebuild/layer"
	"mlenv/imagebuild/sink"
)

// TestDockerManifest holds that both forms of manifest name the same blobs, and that the one of
// Docker says nothing that its form has no place for.
func TestDockerManifest(t *testing.T) {
	r := makeRecipe(t, model())
	memo := memoIn(t.TempDir())
	oci := build(t, &imagebuild.Builder{Memo: memo}, r)
	r.Manifest = imagebuild.Docker
	docker := build(t, &imagebuild.Builder{Memo: memo}, r) // of layers that are remembered
	if err := validate.Image(docker); err != nil {
		t.Error(err)
	}
	if again := build(t, &imagebuild.Builder{}, r); digest(t, again) != digest(t, docker) || digest(t, oci) == digest(t, docker) {
		t.Errorf("digests: OCI %s, Docker %s, again %s", digest(t, oci), digest(t, docker), digest(t, again))
	}
	if !maps.Equal(extract(t, oci), extract(t, docker)) {
		t.Error("the files differ")
	}
	was, is := manifest(t, oci), manifest(t, docker)
	if is.MediaType != types.DockerManifestSchema2 || is.Config.MediaType != types.DockerConfigJSON || is.Config.Digest != was.Config.Digest || len(is.Annotations) > 0 {
		t.Errorf("the manifest is %+v", is)
	}
	if len(was.Layers) != len(is.Layers) {
		t.Fatalf("%d layers, as OCI %d", len(is.Layers), len(was.Layers))
	}
	for i, l := range is.Layers {
		if l.MediaType != types.DockerLayer || l.Digest != was.Layers[i].Digest || l.Size != was.Layers[i].Size || len(l.Annotations) > 0 {
			t.Errorf("layer %d: %+v, as OCI %+v", i, l, was.Layers[i])
		}
	}
	layers, err := docker.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range layers {
		if typ, err := l.MediaType(); err != nil || typ != types.DockerLayer {
			t.Errorf("layer %d says that it is of type %s (%v)", i, typ, err)
		}
	}
}

func manifest(t *testing.T, img v1.Image) *v1.Manifest {
	t.Helper()
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestDockerManifestList gives several platforms the list of Docker's form.
func TestDockerManifestList(t *testing.T) {
	r := makeRecipe(t, model())
	r.Manifest = imagebuild.Docker
	r.Annotations = map[string]string{"a": "b"}
	other := r
	other.Labels = map[string]string{"other": "image"}
	p, err := imagebuild.Publish(context.Background(), &imagebuild.Builder{}, []imagebuild.Recipe{r, other}, []sink.Sink{}...)
	if err != nil {
		t.Fatal(err)
	}
	list, err := p.Artifact.Index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	kinds := []types.MediaType{list.MediaType}
	for _, d := range list.Manifests {
		kinds = append(kinds, d.MediaType)
	}
	if want := []types.MediaType{types.DockerManifestList, types.DockerManifestSchema2, types.DockerManifestSchema2}; !slices.Equal(kinds, want) || len(list.Annotations) > 0 {
		t.Errorf("types %s, annotations %v", kinds, list.Annotations)
	}
}

// TestDockerManifestRefuses names the layer that such a manifest cannot name.
func TestDockerManifestRefuses(t *testing.T) {
	r := makeRecipe(t, model())
	r.Manifest, r.Compression = imagebuild.Docker, layer.Zstd
	_, err := (&imagebuild.Builder{}).Build(context.Background(), r)
	var refused *imagebuild.ManifestError
	if !errors.As(err, &refused) || refused.Layer != types.OCILayerZStd || refused.Holds != "virtual environment" {
		t.Errorf("got %v", err)
	}
}
