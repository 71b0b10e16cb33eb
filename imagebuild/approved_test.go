package imagebuild_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"
	"testing/fstest"

	"mlenv/imagebuild"
)

// TestApprovedFiles builds a model of which somebody has approved, as it was then and as it is not.
func TestApprovedFiles(t *testing.T) {
	files := func() fstest.MapFS {
		return fstest.MapFS{"MLmodel": {Data: []byte("flavors:\n")}, "code/a.py": {Data: []byte("x = 1\n")}, "weights.bin": {Data: make([]byte, 1<<20)}}
	}
	sums := map[string]string{}
	for name, f := range files() {
		sum := sha256.Sum256(f.Data)
		sums[name] = hex.EncodeToString(sum[:])
	}
	for what, tt := range map[string]struct {
		change func(f fstest.MapFS)
		path   string // of the file that is not approved, "" if all are
	}{
		"as it was":        {func(fstest.MapFS) {}, ""},
		"a file less":      {func(f fstest.MapFS) { delete(f, "weights.bin") }, "weights.bin"},
		"another small":    {func(f fstest.MapFS) { f["MLmodel"].Data = []byte("flavors: {}\n") }, "MLmodel"},
		"other weights":    {func(f fstest.MapFS) { f["weights.bin"].Data = make([]byte, 1<<20+1) }, "weights.bin"},
		"other code":       {func(f fstest.MapFS) { f["code/a.py"].Data = []byte("x = 2\n") }, "code/a.py"},
		"one that is more": {func(f fstest.MapFS) { f["code/b.py"] = &fstest.MapFile{} }, "code/b.py"},
	} {
		f := files()
		tt.change(f)
		r := makeRecipe(t, f)
		r.Model.Sums = sums
		img, err := (&imagebuild.Builder{}).Build(context.Background(), r)
		var changed *imagebuild.ChangedError
		switch {
		case tt.path == "" && err != nil:
			t.Errorf("%s: %v", what, err)
		case tt.path != "" && (!errors.As(err, &changed) || changed.Path != tt.path):
			t.Errorf("%s: %v, want that %s was changed", what, err, tt.path)
		}
		if err == nil {
			img.Close()
		}
	}
}
