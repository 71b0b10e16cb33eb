// Package source reads a model's files for the packages that parse them. It limits their size, does
// not leave the file system it is given, and its errors name the file and line.
package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"unicode/utf8"

	"mlenv/resolve/secret"
)

// MaxBytes is the size of the largest file that is read.
const MaxBytes = 10 << 20

// ErrorKind classifies Errors, so that code need not look at their text.
type ErrorKind int

// The kinds.
const (
	Malformed  ErrorKind = iota // it is not valid in its format
	NotText                     // it is not UTF-8
	Unreadable                  // it is missing, unreadable, too large, or not a regular file
	NotThere                    // it refers to a file that the model does not have
	Outside                     // it refers to a path outside the model
)

// Error is one problem in a file. Neither Msg nor Hint contains credentials.
type Error struct {
	File string // slash-separated, relative to the model; "command line" for a flag
	Line int    // from 1; 0 for the file as a whole
	Kind ErrorKind
	Msg  string
	Hint string // what to do about it, "" if there is nothing to say
	// Cause is set if the error is about a line that includes a file which exists but cannot be
	// read: it is the error of that file. Fixing the file fixes the line.
	Cause *Error
}

// Same reports whether two errors have the same cause: the same position and message, or the same
// unreadable file.
func (e *Error) Same(other *Error) bool {
	if e.Cause != nil {
		e = e.Cause
	}
	if other.Cause != nil {
		other = other.Cause
	}
	return e.File == other.File && e.Line == other.Line && e.Msg == other.Msg
}

// Error returns "file:line: message", without the hint. What the message quotes of the file may
// hold a secret that no parser saw, so it is redacted here, whoever made it.
func (e *Error) Error() string {
	msg := secret.Redact(e.Msg)
	if e.Line == 0 {
		return e.File + ": " + msg
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, msg)
}

// Clean converts a path in a file of the model, which is relative to the file's directory dir, to a
// path of fs.FS. It returns false if the path is empty, absolute, or leaves the model.
func Clean(dir, name string) (string, bool) {
	if name == "" || strings.ContainsRune(name, 0) || IsAbs(name) {
		return "", false
	}
	p := path.Join(dir, name)
	if p == ".." || strings.HasPrefix(p, "../") {
		return "", false
	}
	return p, fs.ValidPath(p)
}

// IsAbs reports whether name is an absolute path on Unix or on Windows. It does not depend on the
// system that mlenv runs on, unlike filepath.IsAbs.
func IsAbs(name string) bool {
	if strings.HasPrefix(name, "/") || strings.HasPrefix(name, `\`) {
		return true
	}
	return len(name) > 2 && name[1] == ':' && (name[2] == '\\' || name[2] == '/')
}

// ReadFile reads a regular file of at most MaxBytes. Its error is an *Error.
func ReadFile(fsys fs.FS, name string) ([]byte, error) {
	// Check the type before opening: opening a named pipe would wait for a writer.
	if info, err := fs.Stat(fsys, name); err == nil && !info.IsDir() && !info.Mode().IsRegular() {
		return nil, &Error{File: name, Kind: Unreadable, Msg: "is not a regular file"}
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, ReadError(name, err)
	}
	return ReadAll(f, name)
}

// ReadAll reads f as ReadFile does, and closes it.
func ReadAll(f fs.File, name string) ([]byte, error) {
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, ReadError(name, err)
	}
	if info.IsDir() {
		return nil, &Error{File: name, Kind: Unreadable, Msg: "is a directory, not a file"}
	}
	if !info.Mode().IsRegular() {
		return nil, &Error{File: name, Kind: Unreadable, Msg: "is not a regular file"}
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err != nil {
		return nil, ReadError(name, err)
	}
	if len(data) > MaxBytes {
		return nil, &Error{File: name, Kind: Unreadable, Msg: fmt.Sprintf("is larger than %d MiB, which no environment file is", MaxBytes>>20)}
	}
	return data, nil
}

// ReadError returns an Error for a file that could not be opened or read. It leaves out the path of
// the model's directory, which differs between machines.
func ReadError(name string, err error) *Error {
	e := &Error{File: name, Kind: Unreadable}
	var p *fs.PathError
	var link interface{ LeadsTo() string }
	switch {
	case errors.As(err, &link):
		e.Msg = "is a link to " + link.LeadsTo()
		e.Hint = "put the file itself into the model"
	case errors.Is(err, fs.ErrNotExist):
		e.Msg = "there is no such file"
	case errors.Is(err, fs.ErrPermission):
		e.Msg = "cannot be read: permission denied"
	case errors.Is(err, fs.ErrInvalid):
		e.Msg = "is not a valid file path"
	case errors.As(err, &p) && strings.Contains(p.Err.Error(), "escapes"):
		e.Msg = "is a symbolic link, or behind one, that leads out of the model"
		e.Hint = "put the file itself into the model"
	case errors.As(err, &p):
		e.Msg = "could not be read: " + p.Err.Error()
	default:
		e.Msg = "could not be read: " + err.Error()
	}
	return e
}

// CheckUTF8 returns an *Error with the line of the first byte that is not UTF-8, or nil.
func CheckUTF8(name string, data []byte) *Error {
	if utf8.Valid(data) {
		return nil
	}
	i := 0
	for i < len(data) {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		i += n
	}
	return &Error{
		File: name,
		Line: 1 + bytes.Count(data[:i], []byte("\n")),
		Kind: NotText,
		Msg:  fmt.Sprintf("byte 0x%02x is not UTF-8", data[i]),
		Hint: "save the file as UTF-8",
	}
}
