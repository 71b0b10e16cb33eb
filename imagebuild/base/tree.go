package base

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// node is one file of the squashed file system.
type node struct {
	typ  byte   // tar.TypeReg, TypeDir, TypeSymlink …
	link string // of a symbolic link, as written
	mode int64
	facts
}

// tree is the squashed file system of an image, by clean absolute path: headers, and what the few
// files that matter say.
type tree struct {
	nodes    map[string]*node
	children map[string]map[string]bool // a directory's paths, for whiteouts
}

const whiteout = ".wh."

// readTree streams the layers from the lowest up; memory is proportional to the number of files.
func readTree(layers []v1.Layer) (*tree, error) {
	t := &tree{nodes: map[string]*node{}, children: map[string]map[string]bool{}}
	for i, layer := range layers {
		if err := t.addLayer(layer); err != nil {
			return nil, fmt.Errorf("reading layer %d of the base: %w", i+1, err)
		}
	}
	return t, nil
}

func (t *tree) addLayer(layer v1.Layer) error {
	stream, err := layer.Uncompressed()
	if err != nil {
		return err
	}
	defer stream.Close()
	mine := map[string]bool{} // paths of this layer, which an opaque mark spares
	archive := tar.NewReader(stream)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			// Reading to the end is what lets the layer check its digest.
			_, err = io.Copy(io.Discard, stream)
			return err
		}
		if err != nil {
			return err
		}
		name := path.Clean("/" + h.Name)
		dir, file := path.Split(name)
		switch {
		case file == whiteout+whiteout+".opq":
			t.clear(path.Clean(dir), mine)
		case strings.HasPrefix(file, whiteout):
			t.remove(path.Join(dir, strings.TrimPrefix(file, whiteout)), nil)
		default:
			if err := t.add(name, h, archive); err != nil {
				return fmt.Errorf("reading %s: %w", name, err)
			}
			mine[name] = true
		}
	}
}

func (t *tree) add(name string, h *tar.Header, content io.Reader) error {
	n := &node{typ: h.Typeflag, link: h.Linkname, mode: h.Mode}
	switch h.Typeflag {
	case tar.TypeLink:
		old := t.nodes[path.Clean("/"+h.Linkname)]
		if old == nil {
			return fmt.Errorf("a hard link to %s, which is not there", h.Linkname)
		}
		n = old
	case tar.TypeReg:
		f, err := readFacts(name, h.Size, content)
		if err != nil {
			return err
		}
		n.facts = f
	}
	if old := t.nodes[name]; old != nil && old.typ == tar.TypeDir && n.typ != tar.TypeDir {
		t.remove(name, nil)
	}
	t.nodes[name] = n
	for at := name; at != "/"; at = path.Dir(at) {
		dir := path.Dir(at)
		if t.children[dir] == nil {
			t.children[dir] = map[string]bool{}
		}
		t.children[dir][at] = true
	}
	return nil
}

func (t *tree) remove(name string, spare map[string]bool) {
	t.clear(name, spare)
	if spare[name] {
		return
	}
	delete(t.nodes, name)
	delete(t.children[path.Dir(name)], name)
}

func (t *tree) clear(dir string, spare map[string]bool) {
	for child := range t.children[dir] {
		t.remove(child, spare)
	}
}

// resolve follows symbolic links in all parts of a path, as the kernel does within the image's
// root. It gives "" where the path leads nowhere.
func (t *tree) resolve(name string) string {
	rest := strings.Split(strings.Trim(path.Clean(name), "/"), "/")
	at, hops := "/", 0
	for len(rest) > 0 {
		next := path.Join(at, rest[0])
		rest = rest[1:]
		n := t.nodes[next]
		if n == nil && len(t.children[next]) == 0 {
			return ""
		}
		if n == nil || n.typ != tar.TypeSymlink {
			at = next
			continue
		}
		if hops++; hops > 40 {
			return ""
		}
		target := n.link
		if !path.IsAbs(target) {
			target = path.Join(at, target)
		}
		rest = append(strings.Split(strings.Trim(path.Clean(target), "/"), "/"), rest...)
		at = "/"
		if rest[0] == "" {
			rest = rest[1:]
		}
	}
	return at
}

// file returns the regular file that a path leads to and its real path, or nil.
func (t *tree) file(name string) (*node, string) {
	real := t.resolve(name)
	n := t.nodes[real]
	if n == nil || n.typ != tar.TypeReg {
		return nil, ""
	}
	return n, real
}
