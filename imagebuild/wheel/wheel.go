// Package wheel turns one wheel into the entries of a layer, as the binary distribution format specification
// ("Installing a wheel") wants it, without running Python and without unpacking anything.
//
// The result is what pip install --no-compile makes in a virtual environment, byte for byte, with these differences:
// INSTALLER names another installer and so RECORD has another row for it; RECORD lists REQUESTED only where Options say
// so, which imagebuild never does: it puts that file into another layer, so that a wheel's layer is the same for everybody,
// and so a pip uninstall within a container leaves the empty file behind; RECORD has no rows for the script wrappers
// of setuptools that pip does not install either; every file of .data/scripts is executable; an INSTALLER, REQUESTED
// or direct_url.json that came inside the wheel is left out, since these are for installers to write;
// and hashes that do not fit RECORD are an error, as the specification says and pip does not. What RECORD leaves out, or
// has no usable hash of, is installed as pip does, and noted.
package wheel

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"mlenv/imagebuild/layer"
	"mlenv/resolve/finding"
	"mlenv/resolve/pattern"
	"mlenv/resolve/pep440"
)

// A Wheel is an open wheel file whose structure was checked. Close it when the last layer made of it was read.
type Wheel struct {
	// Name and Version are as in the name of the .dist-info directory: not normalized.
	Name, Version string
	// Tags are the Tag lines of the WHEEL file: "py3-none-any".
	Tags []string
	// Unpacked is the number of bytes of all the files together.
	Unpacked int64
	// Notes are what is odd about the wheel, though no reason to refuse it, in the order of the paths.
	Notes []Note

	file     io.ReaderAt
	close    func() error
	base     string // of the file's name
	distInfo string // with ".dist-info"
	members  []*member
	byName   map[string]*member
	record   []row
	scripts  []entryPoint
}

// A Note is something odd about one file of a wheel.
type Note struct {
	Rule       finding.ID
	Path, Text string
}

// Bounds on the small files that are read into memory.
const (
	maxRecord   = 256 << 20
	maxMetadata = 16 << 20
	maxScript   = 16 << 20
)

// Open reads a wheel's directory and its metadata, and checks them: one .dist-info, a Wheel-Version that we know,
// a RECORD whose hashes fit, paths that stay inside, sizes that are possible. What is wrong with the wheel is
// an *Error. The contents are checked against RECORD's hashes later, while the layer is measured.
// Where the file's name is that of a wheel it must agree with the .dist-info directory.
func Open(path string) (*Wheel, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	w, err := read(f, fi.Size(), filepath.Base(path))
	if err != nil {
		f.Close()
		return nil, err
	}
	w.close = f.Close
	return w, nil
}

// read reads what Open reads. Base is the base name of the file.
func read(r io.ReaderAt, size int64, base string) (*Wheel, error) {
	w := &Wheel{file: r, base: base}
	for _, step := range []func() error{
		func() error { return w.readArchive(size) },
		w.findDistInfo, w.readRecord, w.readWheel, w.readEntryPoints,
	} {
		if err := step(); err != nil {
			var e *Error
			if errors.As(err, &e) {
				return nil, err
			}
			return nil, w.fail("", err)
		}
	}
	if w.byName[w.distInfo+"/METADATA"] == nil {
		return nil, w.fail(w.distInfo+"/METADATA", errMissing)
	}
	return w, nil
}

var errMissing = errors.New("the wheel lacks this file")

func (w *Wheel) fail(path string, err error) error {
	return &Error{Wheel: w.base, Path: path, Err: err}
}

// Close closes the file. Entries made of the wheel can then no longer be read.
func (w *Wheel) Close() error { return w.close() }

// DistInfo returns the name of the .dist-info directory: "flask-3.0.0.dist-info".
func (w *Wheel) DistInfo() string { return w.distInfo }

// Metadata returns the METADATA file.
func (w *Wheel) Metadata() ([]byte, error) { return w.small(w.distInfo+"/METADATA", maxMetadata) }

// File opens one file of the wheel by its path in it. Its checksum is not checked. fs.ErrNotExist says that there is none.
func (w *Wheel) File(name string) (io.ReadCloser, error) {
	m := w.byName[name]
	if m == nil {
		return nil, w.fail(name, fs.ErrNotExist)
	}
	return m.open(w.file)
}

// small reads a file into memory and checks it.
func (w *Wheel) small(name string, max int64) ([]byte, error) {
	m := w.byName[name]
	if m == nil {
		return nil, w.fail(name, errMissing)
	}
	b, err := m.read(w.file, max)
	if err != nil {
		return nil, w.fail(name, err)
	}
	return b, nil
}

// findDistInfo finds the one directory NAME-VERSION.dist-info.
func (w *Wheel) findDistInfo() error {
	for _, m := range w.members {
		dir, _, ok := strings.Cut(m.name, "/")
		if !ok || !strings.HasSuffix(dir, ".dist-info") || dir == w.distInfo {
			continue
		}
		if w.distInfo != "" {
			return fmt.Errorf("there are several .dist-info directories: %s and %s", w.distInfo, dir)
		}
		w.distInfo = dir
	}
	stem := strings.TrimSuffix(w.distInfo, ".dist-info")
	i := strings.LastIndexByte(stem, '-')
	if i <= 0 || i == len(stem)-1 {
		return errors.New("there is no directory NAME-VERSION.dist-info")
	}
	w.Name, w.Version = stem[:i], stem[i+1:]
	stem, ok := strings.CutSuffix(w.base, ".whl")
	parts := strings.Split(stem, "-")
	if !ok || len(parts) < 5 {
		return nil
	}
	if canonical(parts[0]) != canonical(w.Name) {
		return fmt.Errorf("the file name is that of %s, but %s belongs to %s", parts[0], w.distInfo, w.Name)
	}
	if !sameVersion(parts[1], w.Version) {
		return fmt.Errorf("the file name is that of version %s, but %s belongs to version %s", parts[1], w.distInfo, w.Version)
	}
	return nil
}

// sameVersion compares versions as they stand in file names, where "_" is "-".
func sameVersion(a, b string) bool {
	a, b = strings.ReplaceAll(a, "_", "-"), strings.ReplaceAll(b, "_", "-")
	v, err := pep440.Parse(a)
	w, other := pep440.Parse(b)
	if err != nil || other != nil {
		return a == b
	}
	return v.Compare(w) == 0
}

var separators = pattern.New(`[-_.]+`)

// canonical is the normalized form of a project's name (PEP 503, "Normalized Names").
func canonical(name string) string {
	return strings.ToLower(separators.ReplaceAllString(name, "-"))
}

// readWheel reads the WHEEL file.
func (w *Wheel) readWheel() error {
	name := w.distInfo + "/WHEEL"
	b, err := w.small(name, maxMetadata)
	if err != nil {
		return err
	}
	version := ""
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(line, ":")
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "wheel-version":
			version = strings.TrimSpace(value)
		case "tag":
			w.Tags = append(w.Tags, strings.TrimSpace(value))
		}
	}
	major, minor, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	if err != nil || n < 0 {
		return w.fail(name, fmt.Errorf("%q is not a Wheel-Version", version))
	}
	if n > 1 {
		return w.fail(name, fmt.Errorf("Wheel-Version %s is newer than 1.0, the newest one known here", version))
	}
	if n == 1 && strings.Trim(minor, "0.") != "" {
		w.note(finding.WheelVersion, name, "Wheel-Version "+version+" is newer than 1.0")
	}
	return nil
}

func (w *Wheel) note(rule finding.ID, path, text string) {
	w.Notes = append(w.Notes, Note{rule, path, text})
}

// Layer returns the installed wheel as a layer, with directories from the scheme's prefix on.
func (w *Wheel) Layer(s Scheme, o Options, lo layer.Options) (*layer.Layer, error) {
	entries, err := w.Install(s, o)
	if err != nil {
		return nil, err
	}
	l, err := layer.New(layer.WithParents(entries, strings.TrimPrefix(s.Prefix, "/")), lo)
	if err != nil {
		return nil, w.fail("", err)
	}
	return l, nil
}

// An Error says what is wrong with a wheel.
type Error struct {
	Wheel string // the base name of the file
	Path  string // the path in the wheel, where there is one
	Err   error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Path == "" {
		return e.Wheel + ": " + e.Err.Error()
	}
	return e.Wheel + ": " + e.Path + ": " + e.Err.Error()
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }
