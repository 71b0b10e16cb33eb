package index

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep508"
)

// page is what one index says of one project, in the form that the cache keeps.
type page struct {
	URL      string // after redirects, without credentials
	ETag     string
	Modified string        // Last-Modified
	Fetched  time.Time     // or last confirmed
	Fresh    time.Duration // how long from Fetched it may be used unasked
	Missing  bool          // the index does not have the project
	Files    []dist.File   // sorted by version, then file name
}

// link is one file as a page lists it, before its name is understood.
type link struct {
	filename       string
	url            string // absolute, without credentials and fragment
	hashes         map[string]string
	requiresPython string
	size           int64
	uploaded       time.Time
	yanked         bool
	reason         string
	hasMetadata    bool
	metadataHashes map[string]string
}

// file understands the link as a distribution of the project. It reports false for what is none:
// eggs, installers, signatures, names and versions outside of the standards, other projects.
func (l *link) file(project pep508.Name, index string) (dist.File, bool) {
	f, err := dist.NewFile(project, l.filename, l.url)
	if err != nil {
		return f, false
	}
	f.Index, f.Size, f.Hashes = index, l.size, l.hashes
	f.RequiresPython, f.UploadTime = l.requiresPython, l.uploaded
	f.Yanked, f.YankedReason = l.yanked, l.reason
	f.HasMetadata, f.MetadataHashes = l.hasMetadata, l.metadataHashes
	return f, true
}

// sortFiles orders by version, then file name; where both are equal the order stays.
func sortFiles(files []dist.File) {
	slices.SortStableFunc(files, func(a, b dist.File) int {
		if a.Version.Text() != b.Version.Text() {
			if c := a.Version.Compare(b.Version); c != 0 {
				return c
			}
		}
		return strings.Compare(a.Filename, b.Filename)
	})
}

// A linker makes absolute URLs of the references of one page.
type linker struct {
	base *url.URL
}

// resolve gives the absolute URL of a reference, the hash in its fragment, and its last path
// segment. It reports false for a reference that is no URL or that this page may not make: only a
// local page may point at local files.
func (r linker) resolve(ref string) (abs, fragment, filename string, ok bool) {
	if plainURL(ref) {
		return ref, "", ref[strings.LastIndexByte(ref, '/')+1:], true
	}
	u, err := url.Parse(strings.TrimSpace(ref))
	if err != nil {
		return "", "", "", false
	}
	u = r.base.ResolveReference(u)
	switch u.Scheme {
	case "http", "https":
		if u.Host == "" {
			return "", "", "", false
		}
	case "file":
		if r.base.Scheme != "file" {
			return "", "", "", false
		}
	default:
		return "", "", "", false
	}
	return withoutUser(u), u.Fragment, u.Path[strings.LastIndexByte(u.Path, '/')+1:], true
}

// plainURL reports whether a reference can be taken as it stands: an absolute http URL of which no
// part is escaped, secret or a fragment. Nearly all references of the large indexes are.
func plainURL(s string) bool {
	rest, ok := strings.CutPrefix(s, "https://")
	if !ok {
		return false
	}
	host, path, ok := strings.Cut(rest, "/")
	if !ok || host == "" || strings.Contains(path, "/.") {
		return false
	}
	for i := 0; i < len(rest); i++ {
		c := rest[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte("@%?#\"<>\\^`{|}[]", c) >= 0 {
			return false
		}
	}
	return true
}

// fragmentHash reads "sha256=0123…" as URL fragments and HTML attributes give hashes (PEP 503).
func fragmentHash(s string) map[string]string {
	for _, part := range strings.Split(s, "&") {
		alg, hex, ok := strings.Cut(part, "=")
		if ok && knownHash(alg) && hex != "" {
			return map[string]string{strings.ToLower(alg): strings.ToLower(hex)}
		}
	}
	return nil
}
