package index

import (
	"bytes"
	"cmp"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// page is what one index says of one project. Its files are kept in the cache's form and made
// when somebody asks for those of a version: of the thousands of a large project a run looks at a
// few.
type page struct {
	URL      string // after redirects, without credentials
	ETag     string
	Modified string        // Last-Modified
	Fetched  time.Time     // or last confirmed
	Fresh    time.Duration // how long from Fetched it may be used unasked
	Missing  bool          // the index does not have the project

	body     []byte           // the files, encoded
	versions []pep440.Version // ascending, distinct
	groups   []group          // the files of each version

	mu      sync.Mutex
	decoder *decoder // of body
	name    pep508.Name
	index   string
}

// group is the files of one version, in the order of their names.
type group struct {
	files []dist.File // nil until decoded
	code  []byte      // of count files
	count int
}

// setFiles gives the page its files, in any order.
func (p *page) setFiles(files []dist.File) {
	files = sorted(files)
	p.versions, p.groups = nil, nil
	for from := 0; from < len(files); {
		to := from + 1
		for to < len(files) && files[to].Version.Compare(files[from].Version) == 0 {
			to++
		}
		p.versions = append(p.versions, files[from].Version)
		p.groups = append(p.groups, group{files: files[from:to:to], count: to - from})
		from = to
	}
}

// files gives the files of the version with that number.
func (p *page) files(i int) ([]dist.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := &p.groups[i]
	if g.files == nil && g.count > 0 {
		if err := p.decoder.budget.spend(g.count*fileCost + len(g.code)); err != nil {
			return nil, &FormatError{URL: p.URL, Err: err}
		}
		files := make([]dist.File, g.count)
		if err := p.decoder.files(files, g.code, p.name, p.index); err != nil {
			return nil, &FormatError{URL: p.URL, Err: err}
		}
		g.files = files
	}
	return g.files, nil
}

// all gives all files, sorted by version and name.
func (p *page) all() ([]dist.File, error) {
	n := 0
	for i := range p.groups {
		n += p.groups[i].count
	}
	all := make([]dist.File, 0, n)
	for i := range p.groups {
		files, err := p.files(i)
		if err != nil {
			return nil, err
		}
		all = append(all, files...)
	}
	return all, nil
}

// link is one file as a page lists it, before its name is understood.
type link struct {
	filename       string
	url            string // absolute, without credentials and fragment, and without query if that is a secret
	query          string // a secret, see queries
	hashes         map[string]string
	requiresPython string
	size           int64
	uploaded       time.Time
	yanked         bool
	reason         string
	hasMetadata    bool
	metadataHashes map[string]string
}

const (
	maxFilename = 255 // what file systems take
	maxTags     = 512 // of one wheel, expanded; real ones have a dozen
)

// fewTags reports whether the tags of a file name expand to a reasonable number. A name of 255 bytes can
// stand for tens of thousands.
func fewTags(tags string) bool {
	n := 1
	for part := range strings.SplitSeq(tags, "-") {
		n *= 1 + strings.Count(part, ".")
	}
	return n <= maxTags
}

// sorted orders files by version, then file name; where both are equal the order stays.
func sorted(files []dist.File) []dist.File {
	order := make([]int32, len(files))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(i, j int32) int {
		a, b := &files[i], &files[j]
		if a.Version.Text() != b.Version.Text() {
			if c := a.Version.Compare(b.Version); c != 0 {
				return c
			}
		}
		return cmp.Or(strings.Compare(a.Filename, b.Filename), cmp.Compare(i, j))
	})
	out := make([]dist.File, len(files))
	for to, from := range order {
		out[to] = files[from]
	}
	return out
}

// A linker makes absolute URLs of the references of one page.
type linker struct {
	base *url.URL
}

// A reference is what a page writes to name a file.
type reference struct {
	url      string // absolute, without credentials, fragment and a query that is a secret
	query    string // if it is a secret
	fragment string
	filename string // the last part of the path
}

// resolve understands a reference. It reports false for one that is no URL or that this page may not
// make: only a local page may point at local files.
func (r linker) resolve(ref string) (reference, bool) {
	if plainURL([]byte(ref)) {
		return reference{url: ref, filename: ref[strings.LastIndexByte(ref, '/')+1:]}, true
	}
	u, err := url.Parse(strings.TrimSpace(ref))
	if err != nil {
		return reference{}, false
	}
	u = r.base.ResolveReference(u)
	switch u.Scheme {
	case "http", "https":
		if u.Host == "" {
			return reference{}, false
		}
	case "file":
		if r.base.Scheme != "file" {
			return reference{}, false
		}
	default:
		return reference{}, false
	}
	query := takeQuery(u)
	return reference{url: withoutUser(u), query: query, fragment: u.Fragment, filename: u.Path[strings.LastIndexByte(u.Path, '/')+1:]}, true
}

// plainURL reports whether a reference can be taken as it stands: an absolute http URL of which no
// part is escaped, secret or a fragment. Nearly all references of the large indexes are.
func plainURL(s []byte) bool {
	rest, ok := bytes.CutPrefix(s, []byte("https://"))
	slash := bytes.IndexByte(rest, '/')
	if !ok || slash <= 0 {
		return false
	}
	last := byte(0)
	for _, c := range rest {
		if !plainByte[c] || c == '.' && last == '/' {
			return false
		}
		last = c
	}
	return true
}

// plainByte are the bytes that stand for themselves in a URL.
var plainByte = func() (plain [256]bool) {
	for c := ' ' + 1; c < 0x7f; c++ {
		plain[c] = !strings.ContainsRune("@%?#\"<>\\^`{|}[]", c)
	}
	return plain
}()

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
