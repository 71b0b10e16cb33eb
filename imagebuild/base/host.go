package base

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"mlenv/imagebuild/layer"
	"mlenv/resolve/cache"
	"mlenv/resolve/pattern"
	"mlenv/resolve/pep440"
)

// Host packs a CPython of this machine into a base image: the interpreter and its standard library,
// which move to /usr/local, the shared libraries that it and compiled wheels need, and the few
// files in /etc that programs expect. It leaves out installed packages and everything that
// identifies the machine.
//
// python is the path of the interpreter, as returned by FindHost. Nothing is executed. If dir is
// not nil, the sums of the layers are cached there, keyed by the state of the files they are made
// of.
func Host(ctx context.Context, python string, dir *cache.Dir) (v1.Image, error) {
	h, err := readHost(python)
	if err != nil {
		return nil, err
	}
	system, err := h.systemEntries()
	if err != nil {
		return nil, err
	}
	std, err := h.pythonEntries()
	if err != nil {
		return nil, err
	}
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	for _, part := range []struct {
		what    string
		entries []layer.Entry
	}{
		{"the C library, shared libraries and /etc", system},
		{"CPython " + h.version.String(), std},
	} {
		l, err := hostLayer(ctx, part.entries, dir)
		if err != nil {
			return nil, err
		}
		img, err = mutate.Append(img, mutate.Addendum{Layer: l, MediaType: types.OCILayer, History: v1.History{
			Created: v1.Time{Time: layer.Epoch}, CreatedBy: "mlenv", Comment: part.what,
		}})
		if err != nil {
			return nil, err
		}
	}
	config, err := h.config(img)
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(img, config)
}

// hostLayer makes a layer of files on this machine. It uses a cached sum unless the size, inode,
// modification time or change time of a file has changed. The bytes are checked against the sum
// when they are sent.
func hostLayer(ctx context.Context, entries []layer.Entry, dir *cache.Dir) (v1.Layer, error) {
	state, ok := stateOf(entries)
	if ok = ok && dir != nil; ok {
		var known layer.Sum
		found, err := recall(ctx, dir.Memos(), hostMemo, state, &known)
		if err != nil {
			return nil, err
		}
		if found {
			return layer.Known(known, func() (v1.Layer, error) { return layer.New(entries, layer.Options{}) }), nil
		}
	}
	l, err := layer.New(entries, layer.Options{})
	if err != nil {
		return nil, err
	}
	measured, err := l.Measure(ctx, nil)
	if err != nil || !ok {
		return l, err
	}
	return l, remember(ctx, dir.Memos(), hostMemo, state, measured)
}

type host struct {
	python  string // real path of the interpreter
	stdlib  string // directory of os.py
	minor   string
	version pep440.Version
	arch    string
	exe     *object
	libs    *libraries
}

var hostPythonName = pattern.New(`^python(3\.\d+)$`)

func readHost(python string) (*host, error) {
	real, err := filepath.EvalSymlinks(python)
	if err != nil {
		return nil, fmt.Errorf("finding the machine's Python: %w", err)
	}
	h := &host{python: real}
	if h.exe, err = openObject(real); err != nil {
		return nil, err
	}
	m := hostPythonName.FindStringSubmatch(filepath.Base(real))
	if h.exe == nil || h.exe.interp == "" || m == nil {
		return nil, &Error{real + " is not a CPython interpreter of this machine's kind"}
	}
	h.minor = m[1]
	if h.arch = machines[h.exe.machine]; h.arch == "" {
		return nil, &Error{real + " is for an unknown architecture"}
	}
	prefix := filepath.Dir(filepath.Dir(real))
	for _, dir := range []string{"lib", "lib64"} {
		at := filepath.Join(prefix, dir, "python"+h.minor)
		if _, err := os.Stat(filepath.Join(at, "os.py")); err == nil {
			h.stdlib = at
			break
		}
	}
	if h.stdlib == "" {
		return nil, &Error{"the standard library of " + real + " is not below " + prefix}
	}
	h.libs = newLibraries("", h.exe)
	if err := h.libs.add(h.exe); err != nil {
		return nil, err
	}
	return h, h.findVersion()
}

// findVersion finds the version that is compiled into the interpreter or its shared library, or the
// one in its C headers.
func (h *host) findVersion() error {
	headers := filepath.Join(filepath.Dir(filepath.Dir(h.python)), "include", "python"+h.minor, "patchlevel.h")
	if data, err := os.ReadFile(headers); err == nil {
		if m := patchlevel.Regexp().FindSubmatch(data); m != nil && exactVersion(string(m[1])).Minor() == h.minor {
			h.version = exactVersion(string(m[1]))
			return nil
		}
	}
	files := []string{h.python}
	for name, lib := range h.libs.found {
		if libpythonName.MatchString(name) {
			files = append(files, lib.file)
		}
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		f, err := binaryFacts(bytes.NewReader(data), int64(len(data)), pythonVersion)
		if err != nil {
			return err
		}
		for _, v := range f.versions {
			if python := pythonOf(v); python.Minor() == h.minor {
				h.version = python
				return nil
			}
		}
	}
	return &Error{"the exact version of " + h.python + " cannot be determined"}
}

// FindHost returns the path of a CPython in one of the directories: the first with exactly the
// given version (3.11.7), else the first with the same minor version. If there is none, the error
// is an *Error.
func FindHost(version pep440.Version, dirs []string) (string, error) {
	minor, found := cmp.Or(version.Minor(), version.String()), ""
	for _, dir := range dirs {
		name := filepath.Join(dir, "python"+minor)
		h, err := readHost(name)
		switch {
		case err == nil && h.version.Equal(version):
			return name, nil
		case err == nil && found == "":
			found = name
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			if _, ok := IsError(err); !ok {
				return "", err
			}
		}
	}
	if found == "" {
		return "", &Error{"this machine has no CPython " + minor + " that could be packed"}
	}
	return found, nil
}

// leftOut are the parts of the standard library that no service needs, and those that belong to the
// machine.
var leftOut = map[string]bool{
	"site-packages": true, "dist-packages": true, "__pycache__": true, "test": true, "tests": true,
	"idlelib": true, "turtledemo": true, "tkinter": true, "EXTERNALLY-MANAGED": true,
	"sitecustomize.py": true, "usercustomize.py": true, "turtle.py": true,
}

func stdlibFile(name string) bool {
	switch ext := path.Ext(name); {
	case leftOut[name], ext == ".a", ext == ".o", ext == ".pyc":
		return false
	}
	return !strings.HasPrefix(name, "_tkinter.") && !strings.HasPrefix(name, "libpython")
}

// pythonEntries returns the interpreter and its standard library.
func (h *host) pythonEntries() ([]layer.Entry, error) {
	at := "usr/local/" + filepath.Base(filepath.Dir(h.stdlib)) + "/python" + h.minor
	var entries []layer.Entry
	err := h.walkStdlib(func(rel, real string, mode fs.FileMode) error {
		c, err := layer.FromFile(real)
		if err != nil {
			return err
		}
		entries = append(entries, layer.Entry{Path: path.Join(at, rel), Mode: mode, Content: c, Source: real})
		return nil
	})
	if err != nil {
		return nil, err
	}
	c, err := layer.FromFile(h.python)
	if err != nil {
		return nil, err
	}
	exe := "python" + h.minor
	entries = append(entries,
		layer.Entry{Path: "usr/local/bin/" + exe, Mode: 0o755, Content: c, Source: h.python},
		layer.Entry{Path: "usr/local/bin/python3", Kind: layer.Symlink, Link: exe},
		layer.Entry{Path: "usr/local/bin/python", Kind: layer.Symlink, Link: "python3"},
		layer.Entry{Path: at + "/site-packages", Kind: layer.Dir},
	)
	return layer.WithParents(entries, "usr/local"), nil
}

// walkStdlib visits the files of the standard library in order. It follows links: Debian links some
// modules to /etc or /usr/share, and the image gets the file instead.
func (h *host) walkStdlib(visit func(rel, real string, mode fs.FileMode) error) error {
	return filepath.WalkDir(h.stdlib, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name != h.stdlib && !stdlibFile(d.Name()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
			return nil // a dangling link, or one to a directory
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(h.stdlib, name)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if info.Mode()&0o111 != 0 {
			mode = 0o755
		}
		return visit(filepath.ToSlash(rel), name, mode)
	})
}

// systemEntries returns the loader, the shared libraries and the files of /etc. Libraries go to the
// directory of the C library, where the loader looks by default.
func (h *host) systemEntries() ([]layer.Entry, error) {
	err := h.walkStdlib(func(rel, real string, _ fs.FileMode) error {
		if !strings.HasSuffix(rel, ".so") {
			return nil
		}
		o, err := openObject(real)
		if err != nil || o == nil {
			return err
		}
		return h.libs.add(o)
	})
	if err != nil {
		return nil, err
	}
	for _, name := range wanted {
		if err := h.libs.addNamed(name, nil); err != nil {
			return nil, err
		}
	}
	dir := "usr/lib"
	if libc := h.libs.found["libc.so.6"]; libc != nil {
		dir = strings.TrimPrefix(filepath.Dir(libc.file), "/")
		if !strings.HasPrefix(dir, "usr/") {
			dir = "usr/" + dir
		}
	}
	var entries []layer.Entry
	for name, lib := range h.libs.found {
		if name == path.Base(h.exe.interp) {
			continue
		}
		c, err := layer.FromFile(lib.file)
		if err != nil {
			return nil, err
		}
		entries = append(entries, layer.Entry{Path: dir + "/" + name, Mode: 0o755, Content: c, Source: lib.file})
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Path < entries[j].Path })
	loader, err := layer.FromFile(h.exe.interp)
	if err != nil {
		return nil, err
	}
	entries = append(entries, layer.Entry{Path: "usr" + h.exe.interp, Mode: 0o755, Content: loader, Source: h.exe.interp})
	more, err := etcEntries(h.exe.interp)
	if err != nil {
		return nil, err
	}
	return layer.WithParents(append(entries, more...), "usr", "etc", "var", "root"), nil
}

// etcEntries returns the links of a merged /usr, the users, and the files that name lookups and TLS
// need. All of them except the CA certificates are the same on every machine.
func etcEntries(interp string) ([]layer.Entry, error) {
	text := func(name, content string) layer.Entry {
		return layer.Entry{Path: name, Content: layer.Bytes([]byte(content))}
	}
	dir := func(name string, mode fs.FileMode) layer.Entry {
		return layer.Entry{Path: name, Kind: layer.Dir, Mode: mode}
	}
	entries := []layer.Entry{
		text("etc/passwd", "root:x:0:0:root:/root:/sbin/nologin\nmodel:x:1000:0:model:/tmp:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"),
		text("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
		text("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n"),
		dir("tmp", 0o777|fs.ModeSticky), dir("var/tmp", 0o777|fs.ModeSticky), dir("root", 0o700),
		dir("dev", 0o755), dir("proc", 0o555), dir("sys", 0o555), dir("run", 0o755), dir("opt", 0o755),
		{Path: "bin", Kind: layer.Symlink, Link: "usr/bin"},
		{Path: "lib", Kind: layer.Symlink, Link: "usr/lib"},
		dir("usr/bin", 0o755), dir("usr/lib", 0o755),
	}
	if strings.HasPrefix(interp, "/lib64/") {
		entries = append(entries, layer.Entry{Path: "lib64", Kind: layer.Symlink, Link: "usr/lib64"})
	}
	for _, name := range bundles {
		c, err := layer.FromFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return append(entries, layer.Entry{Path: "etc/ssl/certs/ca-certificates.crt", Content: c, Source: name}), nil
	}
	return entries, nil
}

func (h *host) config(img v1.Image) (*v1.ConfigFile, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", h.arch
	config.Created = v1.Time{Time: layer.Epoch}
	config.Config = v1.Config{Env: []string{
		"PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
		"LANG=C.UTF-8", "PYTHON_VERSION=" + h.version.String(),
	}, Cmd: []string{"python3"}}
	return config, nil
}
