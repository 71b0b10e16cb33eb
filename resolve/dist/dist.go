// Package dist knows distributions: their file names, compatibility tags and core metadata, and
// the Target that they must fit.
package dist

import (
	"time"

	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// Libc is a C library and its version.
type Libc struct {
	Kind         string // "glibc" or "musl"
	Major, Minor int
}

// ParseLibc reads "glibc:2.36" or "musl:1.2".
func ParseLibc(s string) (Libc, error) { panic("unwritten") }

func (l Libc) String() string { panic("unwritten") }

// Target is the one environment that a lock or an image is made for: a CPython on a platform.
type Target struct {
	Python pep440.Version // major.minor or exact
	OS     string         // Go's and OCI's term: "linux"
	Arch   string         // Go's and OCI's term: "amd64", "arm64"
	Libc   Libc
}

// Platform is OCI's form, "linux/amd64".
func (t Target) Platform() string { return t.OS + "/" + t.Arch }

// Environment gives the values of the marker variables on the target.
func (t Target) Environment() pep508.Environment { panic("unwritten") }

// Tag is one compatibility tag (PEP 425).
type Tag struct{ Python, ABI, Platform string }

// Tags gives the tags that fit the target, the most specific first, in packaging's order.
func (t Target) Tags() []Tag { panic("unwritten") }

// WheelName is a parsed wheel file name (PEP 427, binary distribution format).
type WheelName struct {
	Name    pep508.Name
	Version pep440.Version
	Build   string // build tag, "" if none
	Tags    []Tag  // expanded
}

// ParseWheelName reads a file name that ends in ".whl".
func ParseWheelName(filename string) (WheelName, error) { panic("unwritten") }

// ParseSdistName reads a source distribution's file name; project tells name from version.
func ParseSdistName(filename string, project pep508.Name) (pep440.Version, error) {
	panic("unwritten")
}

// File is one distribution file as an index, a find-links page or a folder lists it.
type File struct {
	Name           pep508.Name
	Version        pep440.Version
	Filename       string
	URL            string            // without credentials; "file:///…" for a local file
	Index          string            // the index that listed it, without credentials; "" for find-links and direct URLs
	Size           int64             // bytes; 0 where unknown
	Hashes         map[string]string // algorithm to lower-case hex
	RequiresPython string
	UploadTime     time.Time // zero where unknown
	Yanked         bool
	YankedReason   string
	Wheel          bool
	Build          string // wheel's build tag
	Tags           []Tag  // of a wheel, expanded
	HasMetadata    bool   // PEP 658/714: URL + ".metadata" exists
	MetadataHashes map[string]string
}

// Metadata is the part of a distribution's core metadata that resolving needs.
type Metadata struct {
	MetadataVersion string
	Name            pep508.Name
	Version         pep440.Version
	RequiresPython  pep440.Specifiers
	RequiresDist    []pep508.Requirement
	ProvidesExtra   []pep508.Name
	License         string // License-Expression, else License
	Classifiers     []string
	Dynamic         []string
	Invalid         []string // Requires-Dist lines that are not PEP 508, kept as text
}

// ParseMetadata reads a METADATA or PKG-INFO file.
func ParseMetadata(data []byte) (*Metadata, error) { panic("unwritten") }
