package imagebuild_test

import (
	"archive/tar"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/imagebuild/layer"
)

// extract reads an image's files by path, links as "-> target". It checks owner and time of all that
// lies in /opt.
func extract(t *testing.T, img v1.Image) map[string]string {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		archive := tar.NewReader(r)
		for {
			h, err := archive.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(archive)
			if err != nil {
				t.Fatal(err)
			}
			text := string(data)
			if h.Typeflag == tar.TypeSymlink {
				text = "-> " + h.Linkname
			}
			out[strings.TrimSuffix(h.Name, "/")] = text
			if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || !h.ModTime.Equal(layer.Epoch) || h.ModTime.Before(time.Unix(1, 0)) {
				t.Errorf("%s: owner %d:%d %q, time %v", h.Name, h.Uid, h.Gid, h.Uname, h.ModTime)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// modes reads the permissions of an image's files by path.
func modes(t *testing.T, img v1.Image) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		archive := tar.NewReader(r)
		for {
			h, err := archive.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			out[strings.TrimSuffix(h.Name, "/")] = h.Mode
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}
