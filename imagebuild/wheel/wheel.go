// Package wheel turns one wheel into the entries of a layer, as the binary distribution format specification
// ("Installing a wheel") wants it, without running Python and without unpacking anything.
package wheel

import (
	"errors"
	"io"

	"mlenv/imagebuild/layer"
)

var errUnwritten = errors.New("unwritten")

// A Wheel is an open wheel file whose structure was checked. Close it when the last layer made of it was read.
type Wheel struct {
	// Name and Version are as in the name of the .dist-info directory: not normalized.
	Name, Version string
	// Tags are the Tag lines of the WHEEL file: "py3-none-any".
	Tags []string
	// Unpacked is the number of bytes of all the files together.
	Unpacked int64
}

// Open reads a wheel's directory and its metadata, and checks them: one .dist-info, a Wheel-Version that we know,
// a RECORD that lists every file, paths that stay inside, sizes that are possible. What is wrong with the wheel is
// an *Error. The contents are checked against RECORD's hashes later, while the layer is measured.
// Where the file's name is that of a wheel it must agree with the .dist-info directory.
func Open(path string) (*Wheel, error) { return nil, errUnwritten }

// Close closes the file. Entries made of the wheel can then no longer be read.
func (w *Wheel) Close() error { return errUnwritten }

// Metadata returns the METADATA file.
func (w *Wheel) Metadata() ([]byte, error) { return nil, errUnwritten }

// File opens one file of the wheel by its path in it, as far as it exists (fs.ErrNotExist).
func (w *Wheel) File(name string) (io.ReadCloser, error) { return nil, errUnwritten }

// A Scheme says where a wheel's files go: the layout of a virtual environment on Linux.
type Scheme struct {
	// Prefix is the environment's directory, absolute in the image: "/opt/venv".
	Prefix string
	// Minor is Python's version of two numbers: "3.12".
	Minor string
	// Python is the interpreter that scripts name in their first line; Prefix + "/bin/python" where empty.
	Python string
}

// Options says what is written down about an installation.
type Options struct {
	// Requested says that the user asked for this package, not another package: a REQUESTED file is written (PEP 376).
	Requested bool
	// DirectURL is the content of direct_url.json (PEP 610); empty for a package from an index.
	DirectURL []byte
	// Installer goes into the INSTALLER file; "mlenv" where empty.
	Installer string
}

// Install returns the files of the installed wheel, sorted by path, without directories (see layer.WithParents).
// Every content's Sum is set. Nothing is read but small scripts, which are rewritten.
func (w *Wheel) Install(s Scheme, o Options) ([]layer.Entry, error) { return nil, errUnwritten }

// Layer returns the installed wheel as a layer, with directories from the scheme's prefix on.
func (w *Wheel) Layer(s Scheme, o Options, lo layer.Options) (*layer.Layer, error) {
	return nil, errUnwritten
}

// An Error says what is wrong with a wheel.
type Error struct {
	Wheel string // the base name of the file
	Path  string // the path in the wheel, where there is one
	Err   error
}

func (e *Error) Error() string {
	if e.Path == "" {
		return e.Wheel + ": " + e.Err.Error()
	}
	return e.Wheel + ": " + e.Path + ": " + e.Err.Error()
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }
