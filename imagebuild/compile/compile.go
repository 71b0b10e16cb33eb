// Package compile compiles modules of Python with the CPython of a base image, on the machine that builds.
//
// It takes out of the base what that needs: the interpreter, its loader, the shared libraries that it names and the
// sources of the standard library. They are started as a plain process, by the base's own loader, so that no
// container engine and no Python of the machine is wanted. The process compiles and imports nothing but what
// CPython itself imports at its start. Sources go to it through a pipe, and code objects come back through
// another; package pyc then makes them the same whatever the process did.
//
// # What it trusts
//
// The base's interpreter runs as the user who builds, who may hold a registry's password. So a [Pool] runs it
// by way of a program that confines itself first, with [Confine]: it can read only what was taken out of the base,
// write nothing, open no socket and start no other program. A kernel that cannot do this is an error, unless the
// caller says that it shall run unconfined. What the process answers is not trusted: it is bounded,
// and parsed anew by pyc. A hostile base can still say what it likes in the code itself, but it also runs that code
// later.
//
// # What the bytes depend on
//
// The same sources give the same bytes with the same interpreter, libpython, libm, loader, names of characters and
// codecs: [Interpreter.Key] is a digest of these. libm is among them since constants are folded with its pow.
package compile

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"mlenv/imagebuild/pyc"
)

// An Interpreter is the CPython of a base, taken out of it. Its files lie in a directory that belongs to it.
type Interpreter struct {
	// Minor is the feature release: 11 for CPython 3.11.
	Minor int
	// Key is a digest, in lower-case hex, of all that the compiled bytes depend on, but for the sources.
	Key string
	// Missing are the modules of the base's standard library that it has no compiled files of, sorted by path.
	Missing []Module

	root string // the directory
}

// A Module is one source of the standard library.
type Module struct {
	Path string // in the image, absolute: "/usr/local/lib/python3.11/abc.py"
	File string // that holds the source, of this machine
}

// The places of things below root. None is a symbolic link, so that nothing leads out of it.
const (
	pythonFile = "python"
	loaderFile = "loader"
	libDir     = "lib"
	homeDir    = "home"
)

// command is the command line that starts the interpreter. The environment must hold [Interpreter.environ] alone.
// With -I it would ignore PYTHONHASHSEED, so -s and -S and an empty environment stand for it; a run path that was
// compiled in may name a directory of this machine, so none is followed.
func (i *Interpreter) command() []string {
	in := func(name string) string { return filepath.Join(i.root, name) }
	args := []string{in(loaderFile)}
	if !i.musl() {
		args = append(args, "--inhibit-rpath", "")
	}
	return append(args, "--library-path", in(libDir), in(pythonFile), "-S", "-s", "-B", "-W", "ignore", "-c", worker)
}

// environ is the whole environment: without a locale, the files of which would be this machine's.
func (i *Interpreter) environ() []string {
	return []string{"PYTHONHOME=" + filepath.Join(i.root, homeDir), "PYTHONHASHSEED=0", "PYTHONUTF8=1", "PYTHONCOERCECLOCALE=0"}
}

// musl says whether the loader is musl's, which knows no --inhibit-rpath, and follows no run path of the program
// it was told to start before the library path.
func (i *Interpreter) musl() bool {
	_, err := os.Stat(filepath.Join(i.root, libDir, "libc.so.6"))
	return errors.Is(err, os.ErrNotExist)
}

// seal moves what was collected to its place, and finds the key.
func (c *collected) seal(python string, minor int) (*Interpreter, error) {
	if !pyc.Supported(minor) {
		return nil, fmt.Errorf("compiled modules of Python 3.%d are not supported", minor)
	}
	i := &Interpreter{Minor: minor, root: c.dir}
	real := c.resolve(python)
	program, err := c.object(real)
	if err != nil {
		return nil, fmt.Errorf("reading the base's %s: %w", python, err)
	}
	if program.interp == "" {
		return nil, fmt.Errorf("the base's %s names no loader: it is linked statically, or no program", python)
	}
	loader := c.resolve(program.interp)
	if err := errors.Join(c.move(real, pythonFile), c.move(loader, loaderFile)); err != nil {
		return nil, err
	}
	parts := map[string]string{"python": pythonFile, "loader": loaderFile}
	stdlib := path.Join(path.Dir(path.Dir(python)), "lib", fmt.Sprintf("python3.%d", minor))
	needed := program.needed
	for name := range c.files {
		rest, ok := strings.CutPrefix(name, stdlib+"/")
		if !ok || !extension.MatchString(rest) {
			continue
		}
		o, err := c.object(name)
		if err != nil {
			return nil, fmt.Errorf("reading the base's %s: %w", name, err)
		}
		needed = append(needed, o.needed...)
		parts[rest] = filepath.Join(homeDir, "lib", path.Base(stdlib), filepath.FromSlash(rest))
	}
	slices.Sort(needed)
	if err := c.libraries(needed, path.Dir(path.Dir(python))); err != nil {
		return nil, err
	}
	for name := range c.placed {
		if strings.HasPrefix(name, "libpython") || strings.HasPrefix(name, "libm.so") || strings.HasPrefix(name, "libc.musl") {
			parts[name] = filepath.Join(libDir, name)
		}
	}
	if i.Missing, err = c.library(stdlib, minor); err != nil {
		return nil, err
	}
	i.Key, err = digest(c.dir, parts)
	return i, err
}

// digest is one hash of the contents of files, by their roles.
func digest(dir string, parts map[string]string) (string, error) {
	h := sha256.New()
	var roles []string
	for role := range parts {
		roles = append(roles, role)
	}
	slices.Sort(roles)
	for _, role := range roles {
		data, err := os.ReadFile(filepath.Join(dir, parts[role]))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %x\n", role, sha256.Sum256(data))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// object is what an ELF file says of what it needs.
type object struct {
	interp string
	needed []string
}

// object reads an ELF file of the base.
func (c *collected) object(name string) (o object, err error) {
	data, err := os.ReadFile(c.files[name])
	if err != nil {
		return o, errors.New("it is not there")
	}
	file, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return o, err
	}
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP && p.Filesz < 4096 {
			text, err := io.ReadAll(p.Open())
			if err != nil {
				return o, err
			}
			o.interp = strings.TrimRight(string(text), "\x00")
		}
	}
	o.needed, err = file.ImportedLibraries()
	return o, err
}
