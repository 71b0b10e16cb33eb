package check

import (
	"path"
	"slices"
	"strings"

	"mlenv/resolve/finding"
	"mlenv/resolve/pep508"
)

// Libraries are the shared libraries in a base image and in the wheels that are installed on it.
type Libraries struct {
	Base   string   // the base's reference
	Bring  []string // file names of the shared libraries in the base, such as libc.so.6
	Wheels []WheelLibraries
}

// WheelLibraries lists the ELF files in one wheel.
type WheelLibraries struct {
	Name  pep508.Name
	Files []ELFFile
}

// ELFFile is a shared library or an executable.
type ELFFile struct {
	Path   string   // in the wheel
	Soname string   // DT_SONAME, "" if there is none
	Needed []string // DT_NEEDED
}

// isLoader reports whether a library is the dynamic loader, which every image that runs Python has.
func isLoader(name string) bool {
	return strings.HasPrefix(name, "ld-linux") || strings.HasPrefix(name, "ld-musl")
}

// libraries reports libraries that a wheel needs but that neither the base nor any wheel provides.
// It does not check whether the loader would find them in their directory: wheels locate each
// other's libraries in many ways, and what goes wrong in practice is a library that is missing
// altogether.
func (c *checker) libraries() {
	l := c.in.Libraries
	if l == nil {
		return
	}
	have := map[string]bool{}
	for _, name := range l.Bring {
		have[name] = true
	}
	for _, w := range l.Wheels {
		for _, f := range w.Files {
			have[path.Base(f.Path)] = true
			have[f.Soname] = true
		}
	}
	for _, w := range l.Wheels {
		needs := map[string]string{} // library to the first file that needs it
		for _, f := range w.Files {
			for _, name := range f.Needed {
				if _, ok := needs[name]; !ok && !have[name] && !have[path.Base(name)] && !isLoader(name) {
					needs[name] = f.Path
				}
			}
		}
		names := make([]string, 0, len(needs))
		for name := range needs {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			c.find(finding.NativeLibraryMissing, string(w.Name), []finding.Origin{c.lockOrigin(w.Name)},
				"%s of %s needs %s, which neither %s nor a wheel provides", path.Base(needs[name]), w.Name, name, l.Base)
		}
	}
}
