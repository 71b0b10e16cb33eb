// Package pylock reads and writes lock files in the standard format of PEP 751 (pylock.toml).
//
// A Lock holds what mlenv uses. Other keys (attestation-identities, tables of other tools) are
// ignored, as the standard allows, so locks from pip or uv can be used like those from mlenv.
//
// What a lock of mlenv says beyond the standard is in [tool.mlenv]: what it was made for and from, so that it
// can be told whether it still fits, and so that the next lock of the same model keeps to it.
//
// Locks are kept in version control and in images, so that no URL in one may have what gives access to it.
// Parse takes credentials off the URLs of locks that other tools have written; see File.Address.
package pylock

import (
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/secret"
)

// ValidFileName reports whether the last part of a path is a name that the standard allows for lock
// files, and installers require: pylock.toml or pylock.NAME.toml. By it they tell a lock from a requirements
// file.
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
	Environments     []pep508.Marker // where the lock may be used; empty: everywhere
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
	Index          string // URL of the index it was found on
	VCS            *VCS
	Directory      *Directory
	Archive        *Archive
	Sdist          *File
	Wheels         []File
}

// Dependency refers to another package in the lock (PEP 751, packages.dependencies). It is there for people
// and for audits: installers must not go by it, since the lock says of each package itself where it is for.
type Dependency struct {
	Name    pep508.Name
	Version pep440.Version // zero if the name is enough
}

// File is a wheel or an sdist. It has a URL, a Path or both.
type File struct {
	Name       string            // file name
	URL        string            // without credentials
	Query      string            `json:"-"` // that gives access to the URL, which has none then; see Address
	Path       string            // relative to the lock, slash-separated
	Size       int64             // bytes; 0 where unknown
	UploadTime time.Time         // UTC; zero if unknown
	Hashes     map[string]string // algorithm to lower-case hex
}

// Address returns the URL with the query that gives access to the file, as a lock of another tool had
// it. Such a query is a secret, and mostly one that has expired: it is for whoever fetches the file, and
// nothing that is written or printed may have it.
func (f File) Address() string { return withQuery(f.URL, f.Query) }

// Address is as that of a File.
func (a *Archive) Address() string { return withQuery(a.URL, a.Query) }

// Signed reports whether some files cannot be had by their URLs alone: the index that lists them gives
// access by queries, which the lock leaves out and an installer that knows only URLs does not find.
func (l *Lock) Signed() bool {
	return l.Tool.SignedURLs || slices.ContainsFunc(l.Packages, func(p Package) bool {
		return p.Archive == nil && slices.ContainsFunc(p.Wheels, func(f File) bool { return f.Query != "" })
	})
}

func withQuery(url, query string) string {
	if query == "" {
		return url
	}
	url, fragment, ok := strings.Cut(url, "#")
	if ok {
		fragment = "#" + fragment
	}
	return url + "?" + query + fragment
}

// takeSecrets takes the credentials off the URL of a lock: a user and password, which locks should not
// have and mlenv does not use, and a query that gives access. It reports false for what is no URL.
func takeSecrets(raw string) (clean, query string, ok bool) {
	u, err := url.Parse(raw)
	if err != nil {
		return secret.URL(raw), "", false
	}
	if secret.QueryIsSecret(u.RawQuery) {
		query, u.RawQuery = u.RawQuery, ""
	}
	if query == "" && u.User == nil {
		return raw, "", true
	}
	u.User = nil
	return u.String(), query, true
}

// Archive is packages.archive.
type Archive struct {
	URL, Path    string
	Query        string `json:"-"` // as that of a File
	Size         int64  // bytes; 0 where unknown
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
	Python     pep440.Version // exact or minor version locked for; zero in locks of other tools
	Targets    []dist.Target  // sorted by their text; all have the Python above, which the file holds once
	BaseName   string         // image reference, "" if none was given
	BaseDigest string         // "sha256:…"
	Serve      string         // mlflow, mlserver or none
	Requested  []pep508.Name  // root requirements, sorted

	// ExcludeNewer is a limit on the files of indexes that the lock's versions were chosen from:
	// all were uploaded before this time. It also applies when the lock is updated without giving
	// another time. Zero means no limit.
	ExcludeNewer time.Time

	Yanked []Yanked // the packages whose version was yanked when the lock was made, in its order

	// TorchBackend is what PyTorch's packages are built for, "cpu" or "cu128", where they were taken
	// from PyTorch's index of such builds; "" where they come from where all others do. It is a promise
	// as ExcludeNewer is.
	TorchBackend string

	SignedURLs bool    // see Lock.Signed
	Indexes    []Index // that some packages come from alone, in the order in which they were given
}

// Index is an index that has some packages, and no others.
type Index struct {
	Name     string // as it was called
	URL      string // without credentials
	Packages []pep508.Name
}

// Yanked is a version that its project has yanked (PEP 592).
type Yanked struct {
	Name    pep508.Name
	Version pep440.Version
	Reason  string // "" if none was given
}
