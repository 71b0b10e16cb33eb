package base

import (
	"archive/tar"
	"io"
	"path"
	"strings"

	"mlenv/resolve/pattern"
	"mlenv/resolve/pep508"
)

// System is the distribution that a base is made of.
type System struct {
	ID      string `json:"id,omitempty"`      // of os-release(5): "debian", "alpine"
	Version string `json:"version,omitempty"` // VERSION_ID of os-release: "12"; "" if there is none, as in testing releases

	Database Database          `json:"database,omitempty"`
	Arches   map[string]string `json:"arches,omitempty"` // of each package as its database calls it: "amd64", "all"
	// Dists are the Python distributions that lie beside the base's own interpreter, by normalized
	// name, with their versions. The environment of an image does not see them; scanners do.
	Dists map[string]string `json:"dists,omitempty"`
}

// Database is the kind of database that a distribution keeps its packages in.
type Database string

// The kinds of databases.
const (
	Dpkg Database = "dpkg" // also that of distroless images, one file for each package
	Apk  Database = "apk"
	RPM  Database = "rpm" // is recognized but not read: it is a binary format in three variants
)

// releaseFacts reads os-release(5): lines of KEY=value, where the value may be quoted as in a shell.
func releaseFacts(content io.Reader) (*facts, error) {
	const most = 64 << 10 // Debian's has 300 bytes
	data, err := io.ReadAll(io.LimitReader(content, most))
	if err != nil {
		return nil, err
	}
	f := &facts{release: map[string]string{}}
	for _, line := range strings.Split(string(data), "\n") {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && len(value) < maxField {
			f.release[key] = strings.Trim(value, `"'`)
		}
	}
	return f, nil
}

// distInfo matches the directory that an installed distribution has (PEP 376, PEP 427).
var distInfo = pattern.New(`^([A-Za-z0-9._]+)-([A-Za-z0-9._+!]+)\.dist-info$`)

// findSystem looks for the distribution and for the Python distributions of the interpreter, whose
// path is known.
func (b *Base) findSystem(t *tree) {
	s := System{}
	if n, _ := t.file("/etc/os-release"); n != nil {
		s.ID, s.Version = n.release["ID"], n.release["VERSION_ID"]
	}
	for name, n := range t.nodes {
		for p, arch := range n.arches {
			put(&s.Arches, p, arch)
		}
		dir, file := path.Split(name)
		switch {
		case strings.HasPrefix(name, "/var/lib/dpkg/status"):
			s.Database = Dpkg
		case s.Database != Dpkg && strings.HasSuffix(name, "/apk/db/installed"):
			s.Database = Apk
		case s.Database == "" && n.typ == tar.TypeReg && isRPM(dir, file):
			s.Database = RPM
		}
	}
	prefix := path.Dir(path.Dir(b.Python))
	for _, packages := range []string{"/lib/python" + b.Minor() + "/site-packages", "/lib/python3/dist-packages"} {
		for at := range t.children[t.resolve(prefix+packages)] {
			if m := distInfo.FindStringSubmatch(path.Base(at)); m != nil {
				put(&s.Dists, string(pep508.NormalizeName(m[1])), m[2])
			}
		}
	}
	b.System = s
}

// put adds to a map that is made with its first entry.
func put(to *map[string]string, key, value string) {
	if *to == nil {
		*to = map[string]string{}
	}
	(*to)[key] = value
}

// isRPM reports whether a file is a database of RPM, in one of the places and forms that there are.
func isRPM(dir, file string) bool {
	if dir != "/var/lib/rpm/" && dir != "/usr/lib/sysimage/rpm/" {
		return false
	}
	return file == "rpmdb.sqlite" || file == "Packages.db" || file == "Packages"
}
