// Package base finds out what a base image contains without running it. It can also make a base of
// the machine's own Python, for machines that cannot pull one from a registry.
//
// Everything is read from the image's configuration and the headers of its layers, plus the few
// files that contain versions: the interpreter, the C library and the package databases. The result
// is a plain value that can be cached by the image's digest.
package base

import (
	"fmt"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/resolve/dist"
	"mlenv/resolve/pattern"
	"mlenv/resolve/pep440"
	"mlenv/resolve/serving"
)

// Base is what a base image contains.
type Base struct {
	Digest   string            `json:"digest"`            // of the platform's manifest, "sha256:…"
	Python   string            `json:"python"`            // the interpreter's path, no symbolic link: "/usr/local/bin/python3.11"
	Version  pep440.Version    `json:"version"`           // "3.11.9", or "3.11" if the patch release is not known
	Libc     dist.Libc         `json:"libc"`              // "glibc:2.36", "musl:1.2"
	OS       string            `json:"os"`                // "linux"
	Arch     string            `json:"arch"`              // "amd64", OCI's term, read from the interpreter itself
	Variant  string            `json:"variant,omitempty"` // "v8"
	Env      []string          `json:"env"`               // of the image's configuration
	Packages map[string]string `json:"packages"`          // dpkg's or apk's packages with their versions
	Sonames  []string          `json:"sonames"`           // file names of the shared libraries on the default path, sorted
	CABundle string            `json:"caBundle"`          // path of a bundle of CA certificates if OpenSSL does not find it by itself, else ""
	Java     string            `json:"java,omitempty"`    // path of the java that JAVA_HOME or PATH leads to, "" if there is none
	Layers   int               `json:"layers"`            // number of layers
	System   System            `json:"system"`            // the distribution, and where Packages is from
	Places
}

// Places are what a base has where images have their environment, model and code: mlenv's paths.
type Places struct {
	Links  map[string]string `json:"links"`  // symbolic links among the parents of mlenv's paths: "/opt" to "/var/opt"
	Dirs   []string          `json:"dirs"`   // parents of mlenv's paths that exist: "/opt", sorted
	Inside map[string]string `json:"inside"` // one file in each of mlenv's paths that has any: "/opt/venv" to "/opt/venv/bin/python"
}

// Target returns the target that locks and wheels must fit.
func (b *Base) Target() dist.Target {
	return dist.Target{Python: b.Version, OS: b.OS, Arch: b.Arch, Libc: b.Libc}
}

// Platform returns the platform of the base in OCI's form.
func (b *Base) Platform() v1.Platform {
	return v1.Platform{OS: b.OS, Architecture: b.Arch, Variant: b.Variant}
}

// IsFor returns a *WrongPlatformError if the base is not for the wanted platform. The variant
// matters only if one is wanted.
func (b *Base) IsFor(want v1.Platform) error {
	have := b.Platform()
	if have.OS == "" {
		have.OS = "linux"
	}
	variant := want.Variant == "" || variantOf(have) == variantOf(want)
	if have.OS == want.OS && have.Architecture == want.Architecture && variant {
		return nil
	}
	return &WrongPlatformError{Have: have, Want: want}
}

// variantOf returns a platform's variant, or the default variant of its architecture (OCI
// image-spec, "Image Index", platform variants, as containerd interprets them).
func variantOf(p v1.Platform) string {
	implied := map[string]string{"arm64": "v8", "arm": "v7", "amd64": "v1"}
	if p.Variant == "" {
		return implied[p.Architecture]
	}
	return p.Variant
}

// WrongPlatformError reports that a base is for another platform than the wanted one.
type WrongPlatformError struct{ Have, Want v1.Platform }

func (w *WrongPlatformError) Error() string {
	return fmt.Sprintf("the base is for %s, not for %s", w.Have, w.Want)
}

// IsFree returns an *OccupiedError if the base has files where images have their environment, model
// and code, because they would be mixed with the image's own.
func (b *Base) IsFree() error {
	for _, at := range serving.Paths() {
		if file, ok := b.Inside[at]; ok {
			return &OccupiedError{Path: at, File: file}
		}
	}
	return nil
}

// OccupiedError reports that a base has files where mlenv puts its own.
type OccupiedError struct {
	Path string // of serving.Paths
	File string // a file of the base in Path
}

func (o *OccupiedError) Error() string {
	return fmt.Sprintf("the base already has files in %s, such as %s; they would be mixed with the image's own", o.Path, o.File)
}

// Minor returns the feature release, "3.11".
func (b *Base) Minor() string { return b.Version.Minor() }

// Getenv returns a variable of the image's configuration, or "".
func (b *Base) Getenv(name string) string {
	for _, entry := range b.Env {
		if key, value, ok := strings.Cut(entry, "="); ok && key == name {
			return value
		}
	}
	return ""
}

// Resolve returns the absolute path name with the symbolic links among its parents in the base
// followed, so that adding a file never replaces a link of the base.
func (b *Base) Resolve(name string) string {
	for range 40 {
		next := b.resolveOnce(name)
		if next == name {
			break
		}
		name = next
	}
	return name
}

func (b *Base) resolveOnce(name string) string {
	parts := strings.Split(strings.Trim(path.Clean(name), "/"), "/")
	for i := range parts {
		prefix := "/" + strings.Join(parts[:i+1], "/")
		if target, ok := b.Links[prefix]; ok {
			if !path.IsAbs(target) {
				target = path.Join(path.Dir(prefix), target)
			}
			return path.Join(append([]string{target}, parts[i+1:]...)...)
		}
	}
	return path.Clean(name)
}

// Parents returns the directories above a path that the base does not have, topmost first. An image
// must contain them: engines create missing ones with permissions for root only.
func (b *Base) Parents(name string) []string {
	var out []string
	for at := path.Dir(path.Clean(name)); at != "/" && !slices.Contains(b.Dirs, at); at = path.Dir(at) {
		out = append(out, at)
	}
	slices.Reverse(out)
	return out
}

// debLibrary matches the names of Debian's library packages: "libgomp1" contains libgomp.so.1. The
// number at the end is what follows ".so."; "libglib2.0-0" has a version before it too.
var debLibrary = pattern.New(`^lib(.+?)(?:-?(\d[\d.]*)|(\d[\d.]*)-(\d+))(t64)?$`)

// javaPackage matches the names of Java runtimes in distributions.
var javaPackage = pattern.New(`^(default-j(re|dk)|openjdk-?\d+-j(re|dk)|temurin-\d+-j(re|dk)|java-.+-openjdk)`)

// Provides reports whether the base has the contents of a Debian package. To work with other
// distributions too, it accepts the shared library that a library package is named after, and any
// Java runtime for a package of one.
func (b *Base) Provides(debian string) bool {
	for _, name := range []string{debian, debian + "t64"} { // t64: renamed for the transition to a 64-bit time_t
		if _, ok := b.Packages[name]; ok {
			return true
		}
	}
	if NeedsJava(debian) {
		return b.hasJava()
	}
	return slices.ContainsFunc(sonamesOf(debian), func(soname string) bool {
		// Debian's names are in lower case: libgl1 contains libGL.so.1.
		return slices.ContainsFunc(b.Sonames, func(have string) bool { return strings.EqualFold(have, soname) })
	})
}

// NeedsJava reports whether a Debian package is a Java runtime.
func NeedsJava(debian string) bool { return javaPackage.MatchString(debian) }

func (b *Base) hasJava() bool {
	if b.Java != "" {
		return true
	}
	for name := range b.Packages {
		if javaPackage.MatchString(name) {
			return true
		}
	}
	return false
}

// sonamesOf returns the possible file names of the library in a Debian package.
func sonamesOf(debian string) []string {
	m := debLibrary.FindStringSubmatch(debian)
	switch {
	case m == nil:
		return nil
	case m[2] != "":
		return []string{"lib" + m[1] + ".so." + m[2]}
	}
	return []string{"lib" + m[1] + "-" + m[3] + ".so." + m[4], "lib" + m[1] + m[3] + ".so." + m[4]}
}

// Lost returns the libraries that compiled wheels rely on and that another base has, but this one has
// not.
func (b *Base) Lost(old *Base) (out []string) {
	for _, name := range wanted {
		if slices.Contains(old.Sonames, name) && !slices.Contains(b.Sonames, name) {
			out = append(out, name)
		}
	}
	return out
}

// Fit returns a *MisfitError if a lock made for the target does not run on the base.
func (b *Base) Fit(t dist.Target) error {
	have := b.Target()
	switch {
	case t.OS != "" && t.OS != have.OS, t.Arch != "" && t.Arch != have.Arch:
		return &MisfitError{What: "platform", Base: have.Platform(), Want: t.Platform()}
	case !t.Python.IsZero() && t.Python.Minor() != b.Minor():
		return &MisfitError{What: "Python", Base: b.Version.String(), Want: t.Python.String()}
	case t.Libc.Kind != "" && t.Libc.Kind != have.Libc.Kind:
		return &MisfitError{What: "C library", Base: b.Libc.String(), Want: t.Libc.String()}
	case t.Libc.Kind != "" && have.Libc.Older(t.Libc):
		return &MisfitError{What: "C library", Base: b.Libc.String(), Want: t.Libc.String()}
	}
	return nil
}

// MisfitError reports that a lock was made for something that the base does not have.
type MisfitError struct {
	What string // "Python", "C library", "platform"
	Base string // what the base has
	Want string // what the lock was made for
}

func (m *MisfitError) Error() string {
	return fmt.Sprintf("the lock was made for %s %s, but the base has %s", m.What, m.Want, m.Base)
}
