package compile

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Bounds on what is taken out of a base.
const (
	maxFile   = 128 << 20 // an interpreter with its debugging symbols has 30 MB
	maxTotal  = 1 << 30
	maxFiles  = 100_000
	maxSource = 16 << 20
)

// library names what CPython, its loader and libpython are linked to in any build that is known: the C library in
// its parts, what a static build takes in addition, and musl. Others would be named when the interpreter is started.
var library = regexp.MustCompile(`^(ld-.*|ld64.*|lib(python3.*|c|c-2.*|c\.musl-.*|m|m-2.*|mvec.*|dl|dl-2.*|pthread|pthread-2.*|rt|rt-2.*|util|util-2.*|crypt|z|expat|gcc_s|intl|ssl|crypto|bz2|lzma|ffi|uuid|nsl|anl|resolv))(\.so.*)?$`)

// extension names the compiled modules of the standard library that a source may need to be compiled: for the names of
// characters, as in "\N{BULLET}", and for its encoding.
var extension = regexp.MustCompile(`^lib-dynload/(unicodedata|_codecs_[a-z0-9]+|_multibytecodec)\.[^/]*so$`)

// collected is what was found in a base so far: the files that may be needed, as files of the machine, and all
// symbolic links, by the absolute paths that they have in the base.
type collected struct {
	dir    string // of the machine
	files  map[string]string
	links  map[string]string
	total  int64
	count  int
	placed map[string]bool // names of libraries that have their place
}

// Unpack takes CPython 3.minor, whose interpreter has the absolute path python in the image, out of it into the
// directory dir, which must be empty and belong to the user alone. It fails if the image has no such interpreter, or
// none whose shared libraries are all known.
func Unpack(ctx context.Context, img v1.Image, python string, minor int, dir string) (*Interpreter, error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading the base: %w", err)
	}
	c := &collected{dir: dir, files: map[string]string{}, links: map[string]string{}, placed: map[string]bool{}}
	for _, sub := range []string{"blobs", libDir, homeDir} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, err
		}
	}
	want := wanted(python, minor)
	for n, l := range layers {
		if err := c.layer(ctx, l, want); err != nil {
			return nil, fmt.Errorf("reading layer %d of the base: %w", n+1, err)
		}
	}
	i, err := c.seal(python, minor)
	if err != nil {
		return nil, err
	}
	return i, os.RemoveAll(filepath.Join(dir, "blobs"))
}

// wanted tells which files of the base may be needed.
func wanted(python string, minor int) func(name string) bool {
	stdlib := path.Join(path.Dir(path.Dir(python)), "lib", fmt.Sprintf("python3.%d", minor)) + "/"
	return func(name string) bool {
		if rest, ok := strings.CutPrefix(name, stdlib); ok {
			return extension.MatchString(rest) || (strings.HasSuffix(rest, ".py") || strings.HasSuffix(rest, ".pyc")) && !skipped(rest)
		}
		return name == python || library.MatchString(path.Base(name)) && strings.Contains(path.Dir(name), "/lib")
	}
}

// skipped are directories of the standard library whose modules no server imports.
func skipped(rest string) bool {
	for _, dir := range []string{"site-packages/", "dist-packages/", "test/", "idlelib/", "lib2to3/", "tkinter/", "turtledemo/", "ensurepip/"} {
		if strings.HasPrefix(rest, dir) {
			return true
		}
	}
	return strings.Contains(rest, "/test/") || strings.Contains(rest, "/tests/")
}

// layer adds what is in a layer, or hides by it (OCI image-spec, "Whiteouts").
func (c *collected) layer(ctx context.Context, l v1.Layer, want func(string) bool) error {
	stream, err := l.Uncompressed()
	if err != nil {
		return err
	}
	defer stream.Close()
	mine := map[string]bool{}
	archive := tar.NewReader(stream)
	for {
		h, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF):
			_, err = io.Copy(io.Discard, stream) // to the end, where the layer's digest is checked
			return err
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		name := path.Clean("/" + h.Name)
		dir, base := path.Split(name)
		if hidden, ok := strings.CutPrefix(base, ".wh."); ok {
			c.hide(path.Clean(dir), hidden, mine)
			continue
		}
		mine[name] = true
		if err := c.entry(name, h, archive, want); err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
	}
}

// hide forgets what a whiteout of lower layers names.
func (c *collected) hide(dir, hidden string, mine map[string]bool) {
	gone := path.Join(dir, hidden)
	if hidden == ".wh..opq" {
		gone = dir
	}
	for _, all := range []map[string]string{c.files, c.links} {
		for name := range all {
			if (name == gone && hidden != ".wh..opq" || strings.HasPrefix(name, strings.TrimSuffix(gone, "/")+"/")) && !mine[name] {
				delete(all, name)
			}
		}
	}
}

func (c *collected) entry(name string, h *tar.Header, content io.Reader, want func(string) bool) error {
	delete(c.files, name)
	delete(c.links, name)
	switch h.Typeflag {
	case tar.TypeSymlink:
		c.links[name] = h.Linkname
	case tar.TypeLink:
		if file, ok := c.files[path.Clean("/"+h.Linkname)]; ok {
			c.files[name] = file
		}
	case tar.TypeReg:
		if !want(name) {
			return nil
		}
		if c.total += h.Size; h.Size > maxFile || c.total > maxTotal {
			return errors.New("the base's Python is too large")
		}
		return c.store(name, content)
	}
	if c.count++; c.count > maxFiles {
		return fmt.Errorf("the base has more than %d symbolic links and files of Python", maxFiles)
	}
	return nil
}

// store keeps a file's content. Of compiled modules it is enough to know that they are there.
func (c *collected) store(name string, content io.Reader) error {
	c.count++
	if c.files[name] = ""; strings.HasSuffix(name, ".pyc") {
		return nil
	}
	file := filepath.Join(c.dir, "blobs", fmt.Sprint(c.count))
	out, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, content)
	c.files[name] = file
	return errors.Join(err, out.Close())
}

// resolve follows symbolic links in all parts of an absolute path, within the base. What does not exist is "".
func (c *collected) resolve(name string) string {
	for range 40 {
		at, followed := "", false
		parts := strings.Split(strings.Trim(path.Clean(name), "/"), "/")
		for i, part := range parts {
			at = at + "/" + part
			target, ok := c.links[at]
			if !ok {
				continue
			}
			if !path.IsAbs(target) {
				target = path.Join(path.Dir(at), target)
			}
			name, followed = path.Join(append([]string{"/", target}, parts[i+1:]...)...), true
			break
		}
		if !followed {
			return name
		}
	}
	return ""
}

// move gives a file of the base its place.
func (c *collected) move(from, to string) error {
	file := c.files[from]
	if file == "" {
		return fmt.Errorf("the base lacks %s", from)
	}
	out := filepath.Join(c.dir, to)
	// Hard links in the base may be one file here, so nothing is renamed.
	if err := os.Link(file, out); err != nil {
		return err
	}
	return os.Chmod(out, 0o500)
}

// libraries gives the named shared libraries, and all that they need, their places.
func (c *collected) libraries(names []string, prefix string) error {
	var dirs []string
	for file := range c.files {
		if d := path.Dir(file); library.MatchString(path.Base(file)) && !slices.Contains(dirs, d) {
			dirs = append(dirs, d)
		}
	}
	for link := range c.links {
		if d := path.Dir(link); library.MatchString(path.Base(link)) && !slices.Contains(dirs, d) {
			dirs = append(dirs, d)
		}
	}
	// The interpreter's own first, as its build wants it; then shorter paths: the system's before any program's.
	own := path.Join(prefix, "lib")
	sort.Slice(dirs, func(i, j int) bool {
		a, b := dirs[i], dirs[j]
		if (a == own) != (b == own) {
			return a == own
		}
		return len(a) < len(b) || len(a) == len(b) && a < b
	})
	for len(names) > 0 {
		name := names[0]
		names = names[1:]
		if c.placed[name] {
			continue
		}
		if strings.Contains(name, "/") {
			return fmt.Errorf("the base's Python needs the shared library %q by its path", name)
		}
		needed, err := c.place(name, dirs)
		if err != nil {
			return err
		}
		names = append(names, needed...)
	}
	return nil
}

func (c *collected) place(name string, dirs []string) (needed []string, err error) {
	for _, dir := range dirs {
		real := c.resolve(path.Join(dir, name))
		if c.files[real] == "" {
			continue
		}
		o, err := c.object(real)
		if err != nil {
			continue // a linker script, or one of another kind of machine
		}
		c.placed[name] = true
		return o.needed, c.move(real, filepath.Join(libDir, name))
	}
	return nil, fmt.Errorf("the base's Python needs the shared library %s, which was not found in the base", name)
}

// library gives the standard library's sources their places, and returns those that have no compiled file.
func (c *collected) library(stdlib string, minor int) (missing []Module, err error) {
	home := filepath.Join(c.dir, homeDir, "lib", path.Base(stdlib))
	for name := range c.files {
		rest, ok := strings.CutPrefix(name, stdlib+"/")
		if !ok || strings.HasSuffix(rest, ".pyc") {
			continue
		}
		file := filepath.Join(home, filepath.FromSlash(rest))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return nil, err
		}
		if err := os.Link(c.files[name], file); err != nil {
			return nil, err
		}
		if _, ok := c.files[Cached(name, minor)]; !ok && strings.HasSuffix(name, ".py") {
			missing = append(missing, Module{Path: name, File: file})
		}
	}
	if len(missing) == 0 && c.files[stdlib+"/abc.py"] == "" {
		return nil, fmt.Errorf("the base has no sources of the standard library in %s", stdlib)
	}
	slices.SortFunc(missing, func(a, b Module) int { return strings.Compare(a.Path, b.Path) })
	return missing, nil
}

// Cached returns the path of the compiled file of a source, as importlib.util.cache_from_source has it (PEP 3147).
func Cached(source string, minor int) string {
	dir, file := path.Split(source)
	return fmt.Sprintf("%s__pycache__/%s.cpython-3%d.pyc", dir, strings.TrimSuffix(file, ".py"), minor)
}
