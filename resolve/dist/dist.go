// Package dist knows distributions: their file names, compatibility tags and core metadata, and
// the Target that they must fit. What it accepts and how it orders tags is what the packaging
// library does; where published files break the standards it mends what pip and uv let pass.
package dist

import (
	"fmt"
	"strings"
	"time"

	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// File is one distribution file as an index, a find-links page or a folder lists it.
type File struct {
	Name           pep508.Name
	Version        pep440.Version
	Filename       string
	URL            string            // without credentials; "file:///…" for a local file
	Index          string            // the index that listed it, without credentials; "" for find-links and direct URLs
	Size           int64             // bytes; 0 where unknown
	Hashes         map[string]string // algorithm to lower-case hex
	RequiresPython string            // as listed; see ParseRequiresPython
	UploadTime     time.Time         // zero where unknown
	Yanked         bool
	YankedReason   string
	Wheel          bool
	Build          string // wheel's build tag
	Tags           []Tag  // of a wheel, expanded
	HasMetadata    bool   // PEP 658/714: URL + ".metadata" exists
	MetadataHashes map[string]string
}

// NewFile makes a File of a file name: whether it is a wheel or a source distribution, its name,
// version and tags. With project "" the name is taken from the file. The error says why the name
// is none of a distribution of the project; a list of files passes over such a file.
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

// SHA256 is the file's SHA-256 in lower-case hex, "" where it is not known.
func (f File) SHA256() string { return f.Hashes["sha256"] }
