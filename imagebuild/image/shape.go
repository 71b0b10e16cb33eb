package image

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"mlenv/resolve/serving"
)

// Shape returns the properties of the image that matter to a platform. For an image in files it is
// not known whether it is in an index.
func (i *Image) Shape() (serving.Shape, error) {
	file, err := i.ConfigFile()
	if err != nil {
		return serving.Shape{}, fmt.Errorf("reading the image's configuration: %w", err)
	}
	form, err := i.MediaType()
	if err != nil {
		return serving.Shape{}, fmt.Errorf("reading the image's manifest: %w", err)
	}
	c := file.Config
	s := serving.Shape{
		Architectures: []string{file.Architecture}, User: c.User,
		Docker: form == types.DockerManifestSchema2,
		Index:  i.Named != "" && i.Named != i.Digest,
		// The entrypoint of an image that only contains an environment is its Python.
		Serves: len(c.Entrypoint)+len(c.Cmd) > 0 && !slices.Equal(c.Entrypoint, []string{serving.Python}),
	}
	for port := range c.ExposedPorts {
		number, _, _ := strings.Cut(port, "/")
		// Of several ports take the lowest, because the order of a map is random.
		if n, err := strconv.Atoi(number); err == nil && (s.Port == 0 || n < s.Port) {
			s.Port = n
		}
	}
	return s, nil
}
