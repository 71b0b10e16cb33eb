package dist

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"path"
	"strings"
)

// A wheel whose platform tag begins with "manylinux" was checked for the symbols that it needs of the
// C library (PEP 600); one tagged "linux_x86_64" is whatever came out of a build on some machine.
// Where that machine's C library is newer than the target's, the wheel fails when it is imported
// ("version `GLIBC_2.38' not found"), which only reading it tells before.

// largestLibrary is the size in bytes up to which a shared library is read, for it is held in memory.
const largestLibrary = 128 << 20

// Unchecked reports whether nobody has checked which C library a wheel needs: whether all of its
// platform tags are for Linux as such.
func Unchecked(tags []Tag) bool {
	for _, t := range tags {
		if !strings.HasPrefix(t.Platform, "linux_") {
			return false
		}
	}
	return len(tags) > 0
}

// SymbolsError says that a wheel needs a newer C library than a target has.
type SymbolsError struct {
	Wheel string // file name
	File  string // a shared library in it
	Needs Libc
	Have  Libc
}

func (e *SymbolsError) Error() string {
	return fmt.Sprintf("%s cannot be loaded: its %s needs %s, but the target has %s", e.Wheel, e.File, e.Needs, e.Have)
}

// CheckSymbols makes sure that the shared libraries in a wheel, which lies at a path, need no newer glibc than there is; the
// error is a *SymbolsError. Libraries of more than 128 MiB are not read. Of musl, whose symbols have no
// versions, nothing can be told.
func CheckSymbols(filename, at string, have Libc) error {
	archive, err := zip.OpenReader(at)
	if err != nil {
		return fmt.Errorf("reading %s: %w", filename, err)
	}
	defer archive.Close()
	for _, f := range archive.File {
		base := path.Base(f.Name)
		if !strings.HasSuffix(base, ".so") && !strings.Contains(base, ".so.") || f.UncompressedSize64 > largestLibrary {
			continue
		}
		needs, err := glibcOf(f)
		if err != nil {
			return fmt.Errorf("reading %s of %s: %w", f.Name, filename, err)
		}
		if needs.Kind != "" && (have.Kind == "musl" || have.Older(needs)) {
			return &SymbolsError{Wheel: filename, File: f.Name, Needs: needs, Have: have}
		}
	}
	return nil
}

// glibcOf is the newest glibc that a shared library needs symbols of, zero where it needs none or is
// no ELF file.
func glibcOf(f *zip.File) (Libc, error) {
	var newest Libc
	r, err := f.Open()
	if err != nil {
		return newest, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, largestLibrary))
	if err != nil {
		return newest, err
	}
	object, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return newest, nil // a linker script, or something else of that name
	}
	needs, err := object.DynamicVersionNeeds()
	if err != nil {
		return newest, nil // without versions, none can be wanting
	}
	for _, library := range needs {
		for _, dep := range library.Needs {
			version, ok := strings.CutPrefix(dep.Dep, "GLIBC_")
			libc, err := ParseLibc("glibc:" + version)
			if !ok || err != nil || dep.Flags&elf.VER_FLG_WEAK != 0 {
				continue // GLIBC_PRIVATE, another library's, or one that may be missing
			}
			if newest.Kind == "" || newest.Older(libc) {
				newest = libc
			}
		}
	}
	return newest, nil
}
