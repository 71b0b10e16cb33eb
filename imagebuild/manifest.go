package imagebuild

import (
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Manifest is the form of an image's manifest. The blobs that it names are the same in both.
type Manifest string

// The forms of a manifest.
const (
	OCI Manifest = "" // OCI Image Format Specification, 1.1
	// Docker is "Image Manifest Version 2, Schema 2", which some platforms take alone. It has no
	// annotations and no layers that are packed by zstd.
	Docker Manifest = "docker"
)

// ManifestError says that a layer has no place in the form of manifest that was asked for.
type ManifestError struct {
	Layer types.MediaType
	Holds string // what the layer holds
}

func (e *ManifestError) Error() string {
	return fmt.Sprintf("a Docker manifest cannot name the layer of %s, which is of type %s", e.Holds, e.Layer)
}

// formOf are the two names of one kind of layer.
var formOf = []struct{ oci, docker types.MediaType }{
	{types.OCILayer, types.DockerLayer},
	{types.OCIUncompressedLayer, types.DockerUncompressedLayer},
	{types.OCIRestrictedLayer, types.DockerForeignLayer},
}

// layer gives the type of a layer in this form of manifest: the bytes are of the same kind.
func (m Manifest) layer(t types.MediaType, holds string) (types.MediaType, error) {
	for _, f := range formOf {
		switch {
		case t != f.oci && t != f.docker:
		case m == Docker:
			return f.docker, nil
		default:
			return f.oci, nil
		}
	}
	if m == Docker {
		return t, &ManifestError{Layer: t, Holds: holds}
	}
	return t, nil
}

// manifest is an empty manifest of this form.
func (m Manifest) manifest() *v1.Manifest {
	if m == Docker {
		return &v1.Manifest{SchemaVersion: 2, MediaType: types.DockerManifestSchema2, Config: v1.Descriptor{MediaType: types.DockerConfigJSON}}
	}
	return &v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: v1.Descriptor{MediaType: types.OCIConfigJSON}}
}

// index is the type of an index of several images.
func (m Manifest) index() types.MediaType {
	if m == Docker {
		return types.DockerManifestList
	}
	return types.OCIImageIndex
}
