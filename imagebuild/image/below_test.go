package image_test

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"mlenv/imagebuild/image"
)

// TestBelow tells the base's layers from mlenv's, with every history that a base may have.
func TestBelow(t *testing.T) {
	ours := v1.History{CreatedBy: image.CreatedBy}
	for what, tt := range map[string]struct {
		history []v1.History
		below   int
		ours    int
	}{
		"of all layers":     {[]v1.History{{CreatedBy: "a"}, {CreatedBy: "b"}, {EmptyLayer: true}, ours, ours}, 2, 2},
		"none of the base":  {[]v1.History{ours, ours}, 2, 2},
		"of one layer more": {[]v1.History{{CreatedBy: "a"}, {CreatedBy: "b"}, ours, {CreatedBy: "later"}}, 2, 2},
		"mlenv's alone":     {[]v1.History{ours, ours, ours, ours}, 0, 4},
		"more than layers":  {[]v1.History{ours, ours, ours, ours, ours}, 0, 4},
		"none at all":       {nil, 4, 4},
		"not mlenv's":       {[]v1.History{{CreatedBy: "a"}}, 4, 4},
	} {
		img, err := random.Image(10, 4)
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config = config.DeepCopy()
		config.History = tt.history
		if img, err = mutate.ConfigFile(img, config); err != nil {
			t.Fatal(err)
		}
		opened := &image.Image{Image: img}
		below, err := image.Below(opened)
		if err != nil {
			t.Fatal(err)
		}
		layers, err := below.Layers()
		if err != nil || len(layers) != tt.below {
			t.Errorf("%s: %d layers below, want %d (%v)", what, len(layers), tt.below, err)
		}
		if layers, err = image.Ours(opened); err != nil || len(layers) != tt.ours {
			t.Errorf("%s: %d layers of mlenv's, want %d (%v)", what, len(layers), tt.ours, err)
		}
	}
}
