// Package base finds out what a base image holds without running it, and makes a base of the
// machine's own Python where there is no registry to pull one from.
//
// Everything is read from the image's configuration and the headers of its layers, plus the few
// files that tell versions: the interpreter, the C library and the package databases. What was
// found is a plain value that can be remembered by the image's digest.
package base

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep440"
	"mlenv/resolve/serving"
)

// Base is what a base image holds.
type Base struct {
	Digest   string            `json:"digest"`            // of the platform's manifest, "sha256:…"
	Python   string            `json:"python"`            // the interpreter's path, no symbolic link: "/usr/local/bin/python3.11"
	Version  pep440.Version    `json:"version"`           // "3.11.9", or "3.11" where the patch release cannot be told
	Libc     dist.Libc         `json:"libc"`              // "glibc:2.36", "musl:1.2"
	OS       string            `json:"os"`                // "linux"
	Arch     string            `json:"arch"`              // "amd64", OCI's term, read from the interpreter itself
	Variant  string            `json:"variant,omitempty"` // "v8"
	Env      []string          `json:"env"`               // of the image's configuration
	Packages map[string]string `json:"packages"`          // dpkg's or apk's packages with their versions
	Sonames  []string          `json:"sonames"`           // file names of the shared libraries on the default path, sorted
	CABundle string            `json:"caBundle"`          // path of a bundle of CA certificates where OpenSSL does not find it by itself, "" if none is needed
	Links    map[string]string `json:"links"`             // symbolic links among the directories of our paths: "/opt" to "/var/opt"
	Dirs     []string          `json:"dirs"`              // the directories of our paths that are there already: "/opt", sorted
	Inside   map[string]string `json:"inside"`            // a file below each of our paths that has any: "/opt/venv" to "/opt/venv/bin/python"
	Java     string            `json:"java,omitempty"`    // path of the java that JAVA_HOME or PATH leads to, "" if there is none
	Layers   int               `json:"layers"`            // number of layers
}

// Target returns what locks and wheels must fit.
func (b *Base) Target() dist.Target {
	return dist.Target{Python: b.Version, OS: b.OS, Arch: b.Arch, Libc: b.Libc}
}

// Platform is OCI's form of it.
func (b *Base) Platform() v1.Platform {
	return v1.Platform{OS: b.OS, Architecture: b.Arch, Variant: b.Variant}
}

// IsFor tells whether the base is for the platform that was asked for, a variant only if one was;
// the error is a *WrongPlatformError.
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

// variantOf returns a platform's variant, or the one that is meant where none is said (OCI
// image-spec, "Image Index", platform variants, as containerd reads them).
func variantOf(p v1.Platform) string {
	implied := map[string]string{"arm64": "v8", "arm": "v7", "amd64": "v1"}
	if p.Variant == "" {
		return implied[p.Architecture]
	}
	return p.Variant
}

// WrongPlatformError says that a base is for another platform than was asked for.
type WrongPlatformError struct{ Have, Want v1.Platform }

func (w *WrongPlatformError) Error() string {
	return fmt.Sprintf("the base is for %s, not for %s", w.Have, w.Want)
}

// IsFree tells whether there is nothing yet where images have their environment, their model and its code:
// what is there would be mixed into them. The error is an *OccupiedError.
func (b *Base) IsFree() error {
	for _, at := range serving.Paths() {
		if file, ok := b.Inside[at]; ok {
			return &OccupiedError{Path: at, File: file}
		}
	}
	return nil
}

// OccupiedError says that a base has files where an image has its own.
type OccupiedError struct {
	Path string // of serving.Paths
	File string // one of the base's in it
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

// Resolve returns the place where a file of that absolute path really lies once the base's symbolic
// links among its parents are followed, so that nothing of ours replaces a link of the base.
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

// Parents returns the directories above a path that the base does not have, the uppermost first. An
// image must bring them: engines make missing ones that only root can enter.
func (b *Base) Parents(name string) []string {
	var out []string
	for at := path.Dir(path.Clean(name)); at != "/" && !slices.Contains(b.Dirs, at); at = path.Dir(at) {
		out = append(out, at)
	}
	slices.Reverse(out)
	return out
}

// debLibrary is Debian's form of a library package's name: "libgomp1" holds libgomp.so.1. The last
// part is what comes after ".so."; "libglib2.0-0" has a version before it too.
var debLibrary = regexp.MustCompile(`^lib(.+?)(?:-?(\d[\d.]*)|(\d[\d.]*)-(\d+))(t64)?$`)

// javaPackage matches the names under which distributions have a Java runtime.
var javaPackage = regexp.MustCompile(`^(default-j(re|dk)|openjdk-?\d+-j(re|dk)|temurin-\d+-j(re|dk)|java-.+-openjdk)`)

// Provides tells whether the base has what a Debian package brings: the package itself, or, so that
// it works on bases of another kind, the shared library that a library's package is named after, or
// any Java runtime for a package of one.
func (b *Base) Provides(debian string) bool {
	for _, name := range []string{debian, debian + "t64"} { // of the transition to a 64-bit time_t
		if _, ok := b.Packages[name]; ok {
			return true
		}
	}
	if NeedsJava(debian) {
		return b.hasJava()
	}
	return slices.ContainsFunc(sonamesOf(debian), func(soname string) bool {
		// Debian's names are in lower case: libgl1 holds libGL.so.1.
		return slices.ContainsFunc(b.Sonames, func(have string) bool { return strings.EqualFold(have, soname) })
	})
}

// NeedsJava tells whether a Debian package is a Java runtime.
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

// sonamesOf are the names that the library of a Debian package may have.
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

// Fit tells whether a lock made for the target runs on the base; the error says why not.
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

// MisfitError says that a lock was made for something else than the base has.
type MisfitError struct {
	What string // "Python", "C library", "platform"
	Base string // what the base has
	Want string // what the lock was made for
}

func (m *MisfitError) Error() string {
	return fmt.Sprintf("the lock was made for %s %s, but the base has %s", m.What, m.Want, m.Base)
}
