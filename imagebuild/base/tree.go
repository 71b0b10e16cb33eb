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

// Limits on a base, which may come from anybody. Images with a whole desktop or all of CUDA have
// half a million files.
const (
	maxLayers   = 1000      // container engines support 127
	maxFiles    = 1_000_000 // entries of all layers
	maxName     = 4096      // length of a path in bytes; the limit of Linux
	maxNames    = 128 << 20 // bytes of all paths
	maxPackages = 100_000   // of all package databases
	maxHidden   = 20 << 20  // files visited for whiteouts
)

// node is one file of the squashed file system.
type node struct {
	typ  byte   // tar.TypeReg, TypeDir, TypeSymlink …
	link string // of a symbolic link, as written
	mode int64
	*facts
}

// tree is the squashed file system of an image, by clean absolute path. It has the headers of all
// files, and facts from the few files that matter.
type tree struct {
	nodes    map[string]*node
	children map[string]map[string]bool // a directory's paths, for whiteouts

	none                               *facts // facts of files without facts
	entries, names, packageCount, seen int    // counters for the limits
}

func newTree() *tree {
	return &tree{nodes: map[string]*node{}, children: map[string]map[string]bool{}, none: &facts{}}
}

func tooMuch(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

const whiteout = ".wh."

// readTree streams the layers from the lowest to the topmost. It uses memory proportional to the
// number of files.
func readTree(layers []v1.Layer) (*tree, error) {
	if len(layers) > maxLayers {
		return nil, tooMuch("the base has more than %d layers", maxLayers)
	}
	t := newTree()
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
	mine := map[string]bool{} // paths in this layer, which its own whiteouts do not hide
	archive := tar.NewReader(stream)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			// Read to the end, so that the layer checks its digest.
			_, err = io.Copy(io.Discard, stream)
			return err
		}
		if err != nil {
			return err
		}
		if err := t.count(h); err != nil {
			return err
		}
		if err := t.entry(h, archive, mine); err != nil {
			return err
		}
	}
}

// count checks the limits for an entry before anything about it is stored.
func (t *tree) count(h *tar.Header) error {
	t.entries++
	t.names += len(h.Name) + len(h.Linkname)
	switch {
	case len(h.Name) > maxName || len(h.Linkname) > maxName:
		return tooMuch("the base has a path of %d bytes, and no system opens more than %d", max(len(h.Name), len(h.Linkname)), maxName)
	case t.entries > maxFiles:
		return tooMuch("the base has more than %d files", maxFiles)
	case t.names > maxNames:
		return tooMuch("the names of the base's files take more than %d MB", maxNames>>20)
	}
	return nil
}

// entry adds one entry of a layer. Whiteouts (OCI image-spec, "Whiteouts") hide files in lower
// layers. Engines differ in whether they also hide files in the same layer; here they do not.
func (t *tree) entry(h *tar.Header, content io.Reader, mine map[string]bool) error {
	name := path.Clean("/" + h.Name)
	dir, file := path.Split(name)
	hidden, isWhiteout := strings.CutPrefix(file, whiteout)
	switch {
	case !isWhiteout:
		if err := t.add(name, h, content); err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		mine[name] = true
		return nil
	case file == whiteout+whiteout+".opq":
		return t.clear(path.Clean(dir), mine)
	case strings.HasPrefix(hidden, whiteout):
		return nil // internal files of AUFS, which container engines ignore too
	case hidden == "" || hidden == "." || hidden == "..":
		return &Error{fmt.Sprintf("the base has the whiteout %s, which would hide a directory from within; container engines reject it", name)}
	}
	return t.remove(path.Join(dir, hidden), mine)
}

func (t *tree) add(name string, h *tar.Header, content io.Reader) error {
	n := &node{typ: h.Typeflag, link: h.Linkname, mode: h.Mode, facts: t.none}
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
		if n.facts = t.none; f != nil {
			n.facts = f
			if t.packageCount += len(f.packages); t.packageCount > maxPackages {
				return tooMuch("the base has more than %d packages", maxPackages)
			}
		}
	}
	if old := t.nodes[name]; old != nil && old.typ == tar.TypeDir && n.typ != tar.TypeDir {
		if err := t.remove(name, nil); err != nil {
			return err
		}
	}
	t.nodes[name] = n
	// If a directory is listed in its parent, so are all directories above it.
	for at := name; at != "/"; at = path.Dir(at) {
		dir := path.Dir(at)
		if t.children[dir][at] {
			break
		}
		if t.children[dir] == nil {
			t.children[dir] = map[string]bool{}
		}
		t.children[dir][at] = true
	}
	return nil
}

// remove removes a path and everything below it, except for the paths in spare and the directories
// that contain them.
func (t *tree) remove(name string, spare map[string]bool) error {
	if err := t.clear(name, spare); err != nil || spare[name] {
		return err
	}
	delete(t.nodes, name)
	if len(t.children[name]) == 0 {
		delete(t.children[path.Dir(name)], name)
		delete(t.children, name)
	}
	return nil
}

func (t *tree) clear(dir string, spare map[string]bool) error {
	for child := range t.children[dir] {
		if t.seen++; t.seen > maxHidden {
			return tooMuch("the base's whiteouts hide more than %d files", maxHidden)
		}
		if err := t.remove(child, spare); err != nil {
			return err
		}
	}
	return nil
}

// resolve follows symbolic links in all parts of a path, as the kernel does in the image's root. It
// returns "" if the path does not exist.
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

// file returns the regular file that a path leads to, or nil, and its real path.
func (t *tree) file(name string) (*node, string) {
	real := t.resolve(name)
	n := t.nodes[real]
	if n == nil || n.typ != tar.TypeReg {
		return nil, ""
	}
	return n, real
}
