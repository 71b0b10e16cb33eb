// Package pylock reads and writes lock files in the standard format of PEP 751 (pylock.toml).
//
// A Lock holds what mlenv works with. Keys that it has no use for (attestation-identities, other
// tools' tables) are read over, as the standard allows, so a lock from pip or uv is as good an
// input as one of mlenv's own.
package pylock

import (
	"path/filepath"
	"strings"
	"time"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// ValidFileName reports whether a path ends in a name that the standard has for lock files, and
// installers ask for: pylock.toml, or pylock.NAME.toml.
func ValidFileName(file string) bool {
	name, ok := strings.CutPrefix(filepath.Base(file), "pylock.")
	if name == "toml" {
		return ok
	}
	name, suffix := strings.CutSuffix(name, ".toml")
	return ok && suffix && name != "" && !strings.Contains(name, ".")
}

// Version is the version of the format that Format writes.
const Version = "1.0"

// Lock is one lock file.
type Lock struct {
	LockVersion      string          // "1.0"
	Environments     []pep508.Marker // where the lock may be used; none: everywhere
	RequiresPython   pep440.Specifiers
	Extras           []pep508.Name
	DependencyGroups []string
	DefaultGroups    []string
	CreatedBy        string // "mlenv"
	Packages         []Package
	Tool             Tool // [tool.mlenv]
}

// Package is one entry of packages. It has either files (Sdist, Wheels) or one of VCS, Directory
// and Archive.
type Package struct {
	Name           pep508.Name
	Version        pep440.Version // zero for a source tree
	Marker         pep508.Marker
	RequiresPython pep440.Specifiers
	Dependencies   []Dependency
	Index          string // URL of the index that it was found on
	VCS            *VCS
	Directory      *Directory
	Archive        *Archive
	Sdist          *File
	Wheels         []File
}

// Dependency points at another package of the lock (PEP 751, packages.dependencies).
type Dependency struct {
	Name    pep508.Name
	Version pep440.Version // zero where the name is enough
}

// File is a wheel or an sdist. It has a URL, a Path or both.
type File struct {
	Name       string // file name
	URL        string
	Path       string            // relative to the lock, slash-separated
	Size       int64             // bytes; 0 where unknown
	UploadTime time.Time         // UTC; zero where unknown
	Hashes     map[string]string // algorithm to lower-case hex
}

// Archive is packages.archive.
type Archive struct {
	URL, Path    string
	Size         int64 // bytes; 0 where unknown
	UploadTime   time.Time
	Subdirectory string
	Hashes       map[string]string
}

// VCS is packages.vcs.
type VCS struct {
	Type, URL, Path, RequestedRevision, CommitID, Subdirectory string
}

// Directory is packages.directory.
type Directory struct {
	Path, Subdirectory string
	Editable           bool
}

// Tool is mlenv's own table, [tool.mlenv].
type Tool struct {
	SpecDigest string         // resolve.Spec's digest
	Python     pep440.Version // exact or minor version locked for; zero in locks of others
	Targets    []dist.Target  // sorted by their text; each has the Python above, which the file holds once
	BaseName   string         // image reference, "" if none was given
	BaseDigest string         // "sha256:…"
	Serve      string         // mlflow, mlserver or none
	Requested  []pep508.Name  // root requirements, sorted

	// ExcludeNewer is the time before which every file of an index was uploaded that the lock's
	// versions were chosen from. It is a promise of the lock: whoever renews it without naming
	// another time holds to it. Zero: there was no limit.
	ExcludeNewer time.Time

	Yanked []Yanked // the packages whose version was yanked when the lock was made, in its order
}

// Yanked is a version that its project has withdrawn (PEP 592).
type Yanked struct {
	Name    pep508.Name
	Version pep440.Version
	Reason  string // "" where none was given
}
