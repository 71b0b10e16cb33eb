// Package dist deals with distributions: their file names, compatibility tags and core metadata,
// and the Target that they must fit. It accepts what Python's packaging library does and orders
// tags the same way. Published files often break the standards; dist repairs what pip and uv
// tolerate.
package dist

import (
	"fmt"
	"strings"
	"time"

	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// File is one distribution file, as listed by an index, a find-links page or a folder.
type File struct {
	Name     pep508.Name
	Version  pep440.Version
	Filename string
	URL      string            // without credentials; "file:///…" for a local file
	Index    string            // the index that listed it, without credentials; "" for find-links and direct URLs
	Size     int64             // in bytes; 0 if unknown
	Hashes   map[string]string // algorithm to lower-case hex
	Wheel    bool
	Build    string // wheel's build tag
	Tags     []Tag  // of a wheel, expanded
	Listing
}

// Listing is what an index says of a file beside its name, address, size and hashes (PEP 503, 592, 658,
// 691, 700, 714).
type Listing struct {
	RequiresPython string    // as listed; see ParseRequiresPython
	UploadTime     time.Time // zero if unknown
	Yanked         bool
	YankedReason   string
	HasMetadata    bool // URL + ".metadata" exists
	MetadataHashes map[string]string
	Signed         bool // the listed address has a query that gives access, which the File's URL lacks
}

// NewFile returns a File with what its file name says: whether it is a wheel or a source
// distribution, its name, version and tags. If project is "", the name is taken from the file. The
// error says why this is not the file name of a distribution of the project. Listings contain other
// files, so callers that read one skip files with an error.
func NewFile(project pep508.Name, filename, url string) (File, error) {
	f := File{Name: project, Filename: filename, URL: url}
	if !strings.HasSuffix(filename, wheelSuffix) {
		name, version, err := parseSdist(filename, project)
		f.Name, f.Version = name, version
		return f, err
	}
	w, err := ParseWheelName(filename)
	if err != nil {
		return f, err
	}
	if project != "" && w.Name != project {
		return f, fmt.Errorf("file name %q: not of the project %s", filename, project)
	}
	f.Name, f.Version, f.Build, f.Tags, f.Wheel = w.Name, w.Version, w.Build, w.Tags, true
	return f, nil
}

// SHA256 returns the file's SHA-256 in lower-case hex, or "" if it is not known.
func (f File) SHA256() string { return f.Hashes["sha256"] }
