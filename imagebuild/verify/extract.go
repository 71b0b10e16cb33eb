package verify

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/imagebuild/image"
)

// extract writes the files below some paths of an image, as in tar headers, to directories, and
// reports whether there were any. An image may come from anybody: nothing is written outside of the
// directories, and links are left out, which mlenv makes none of below these paths.
func extract(img *image.Image, config *v1.ConfigFile, to map[string]string) (any bool, err error) {
	layers, err := image.Ours(img)
	if err != nil {
		return false, err
	}
	// A model may lack code and code a model: both directories are there for whoever reads them.
	for _, dir := range to {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return false, err
		}
	}
	for i, l := range layers {
		n, err := extractLayer(l, to)
		if err != nil {
			return false, fmt.Errorf("reading layer %d of mlenv's: %w", i+1, err)
		}
		any = any || n
	}
	return any, nil
}

// extractLayer writes the files of one layer. A later layer replaces the files of an earlier one.
func extractLayer(l v1.Layer, to map[string]string) (any bool, err error) {
	stream, err := l.Uncompressed()
	if err != nil {
		return false, err
	}
	defer stream.Close()
	for archive := tar.NewReader(stream); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, stream) // so that the layer checks its digest
			return any, err
		}
		if err != nil {
			return false, err
		}
		name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		for at, dir := range to {
			rel, ok := strings.CutPrefix(name, at+"/")
			if !ok || h.Typeflag != tar.TypeReg || !filepath.IsLocal(filepath.FromSlash(rel)) {
				continue
			}
			if err := write(dir, rel, fs.FileMode(h.Mode).Perm(), archive); err != nil {
				return false, fmt.Errorf("writing /%s: %w", name, err)
			}
			any = true
		}
	}
}

// write writes a file below a directory. An os.Root keeps it there whatever links there are.
func write(dir, rel string, mode fs.FileMode, content io.Reader) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if err := root.MkdirAll(path.Dir(rel), 0o755); err != nil {
		return err
	}
	// Of the mode only whether it can be executed reaches an image, and it must stay readable here.
	f, err := root.OpenFile(rel, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode|0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}
