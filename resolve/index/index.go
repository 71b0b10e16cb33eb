// Package index is a client of the Simple API of Python package indexes: it lists the files of a
// project (PEP 503, 592, 629, 658, 691, 700, 714), reads a file's metadata without downloading it
// where that can be done, and fetches files, all through a cache on disk.
//
// A Client is a value in the middle and knows nothing of the process: settings come from Configure,
// which is pure, and the clock, the environment and the terminal belong to the caller.
//
// # What may be believed
//
// Models come from people whom nobody vouches for, and they may name indexes of their own. So an index,
// a page, or somebody on the way to a server whose certificate is not checked may be hostile, while
// other models of the same user, with the same cache, have honest ones. What such a server says must
// decide nothing but what it is asked for in the run that asks it:
//
//   - A hash on a page is a claim. A file is believed to have a hash after its bytes were hashed here, and
//     lies in the cache under that hash, for everybody.
//   - The METADATA in such a file is the truth about it, also for everybody. What an index says of it
//     beside the file (PEP 658), or sends as a part of it, is a claim: it is kept by its source, its
//     promised hashes included, and compared as soon as the file is at hand. A difference is a
//     *MetadataError.
//   - A page is kept by its source: the URL, whether the server's certificate was checked, and the
//     credentials it was asked with. It is used unasked for as long as the server says (Cache-Control), an
//     hour at most, and after that must be confirmed by ETag or Last-Modified. A page that came over an
//     unchecked connection is never confirmed, only fetched again: whoever wrote it chose its ETag.
//   - An answer by way of a redirect to something worse than the first URL, or to a host that takes other
//     credentials, is used but not kept.
//
// Certificates, proxies and netrc are the user's own, and are no part of a source. Whoever knows the
// SHA-256 of a file that is in the cache gets the file without asking a server.
package index

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"time"

	"mlenv/resolve/cache"
	"mlenv/resolve/dist"
	"mlenv/resolve/internal/retry"
	"mlenv/resolve/pep508"
)

// Strategy says how several indexes act together.
type Strategy string

const (
	// FirstIndex takes a project from the first index that has it, whatever versions the others
	// have. So nobody can put a newer file of a private project on a public index and be chosen.
	FirstIndex Strategy = "first-index"
	// UnsafeBestMatch takes the files of all indexes together, as pip does.
	UnsafeBestMatch Strategy = "unsafe-best-match"
)

// Settings are all that a Client goes by. URLs may carry credentials; they go no further than to
// the origin that they belong to. The zero value asks the Python Package Index, without a cache.
type Settings struct {
	Indexes   []string     // base URLs in the order of trial; none stands for the default index
	Assigned  []Assignment // packages with an index of their own
	FindLinks []string     // directories, file: URLs and http URLs of pages, and single files
	NoIndex   bool         // find-links alone
	Offline   bool         // the cache and local files alone
	Refresh   bool         // confirm pages that are still fresh
	Strategy  Strategy     // FirstIndex if ""

	Credentials []Credential // besides those in URLs
	// Queries are those that give access to one address each, such as "token=…". The addresses have been
	// written without them, in Specs and locks; see queryKey.
	Queries  map[string]string
	Model    Model  // what of all this the user does not vouch for
	CacheDir string // "" for no cache on disk; files cannot be fetched then

	Network

	Now      func() time.Time                                 // time.Now if nil
	Sleep    func(ctx context.Context, d time.Duration) error // a timer if nil
	Warn     func(message string)                             // told of what is odd but no error; may be nil
	Progress func(Event)                                      // called often and by several goroutines; may be nil
}

// Network says how the indexes are reached. The zero value is what most networks need.
type Network struct {
	TrustedHosts []string // hosts, with or without port, whose certificates are not checked
	CertFile     string   // a bundle in PEM instead of the system's certificates; "" for those
	CertDir      string   // the same, as directories
	ClientCert   string   // a file in PEM with certificate and key
	HTTPProxy    string
	HTTPSProxy   string
	NoProxy      string // as the environment variable has it

	Timeout     time.Duration // without any byte arriving; 30 s if 0
	Retries     int           // after the first try; 4 if 0, none if negative
	Concurrency int           // requests in flight; 50 if 0
	MaxFile     int64         // bytes that a file may have; 16 GiB if 0
	UserAgent   string        // "mlenv" if ""
}

// Event is one step of progress.
type Event struct {
	Kind  EventKind
	Name  string        // the project of a page or metadata, the name of a file, the host that is waited for
	Bytes int64         // of a file: received so far
	Total int64         // of a file: its size, 0 where unknown
	Wait  time.Duration // how long a server is waited for
}

// EventKind tells events apart.
type EventKind int

// The kinds of events.
const (
	PageRead     EventKind = iota // a project's page is known
	MetadataRead                  // a file's metadata is known
	FileBytes                     // a part of a file has arrived
	FileDone                      // a file is complete and verified, from the cache or the network
	Waiting                       // a server has asked by Retry-After to be left alone for a while
)

// Client asks indexes. It may be used by many goroutines at once. What it has been told it
// remembers for as long as it lives, so all that one run sees is of one moment.
type Client struct {
	s        Settings
	t        *transport
	store    *cache.Store // nil if there is none
	indexes  []*url.URL   // without credentials
	assigned map[pep508.Name]assigned
	pages    memo[pageKey, *page]
	links    memo[string, *linkSet]
	metadata memo[string, *dist.Metadata]
	files    memo[string, string]
	learnt
	budget   budget // of what pages and metadata take
	roots    memo[string, bool]
	projects memo[pep508.Name, *page]
	lists    memo[pep508.Name, []dist.File]
	salt     salt
	memory   memory
}

// learnt is what a client has learnt of files beside what pages keep.
type learnt struct {
	claims  claims
	queries queries
}

type pageKey struct {
	index string
	name  pep508.Name
}

// New gives a client. It reads certificates but touches neither network nor cache.
func New(s Settings) (*Client, error) {
	s.fill()
	if s.Strategy != FirstIndex && s.Strategy != UnsafeBestMatch {
		return nil, fmt.Errorf("index strategy %q is neither %s nor %s", s.Strategy, FirstIndex, UnsafeBestMatch)
	}
	c := &Client{}
	c.queries.tokens = map[string]string{}
	keys := keyring{}
	for _, raw := range s.Indexes {
		u, key, err := c.base(raw, &s)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key...)
		if !slices.ContainsFunc(c.indexes, func(v *url.URL) bool { return v.String() == u.String() }) {
			c.indexes = append(c.indexes, u)
		}
	}
	if !s.NoIndex {
		own, err := c.assign(&s)
		if err != nil {
			return nil, err
		}
		keys = append(keys, own...)
	}
	for i, raw := range s.FindLinks {
		u, err := url.Parse(raw)
		if err != nil {
			continue // a path; what is odd with it is found when it is read
		}
		if k, ok := credentialOf(u); ok {
			keys = append(keys, k)
			s.FindLinks[i] = withoutUser(u)
		}
	}
	keys = append(keys, s.Credentials...)
	if s.NoIndex {
		c.indexes = nil
	}
	c.s = s
	c.store = cache.Open(s.CacheDir, s.Now).Index()
	var err error
	c.t, err = newTransport(&c.s, keys)
	return c, err
}

func (s *Settings) fill() {
	s.FindLinks = slices.Clone(s.FindLinks)
	if len(s.Indexes) == 0 {
		s.Indexes = []string{defaultIndex()}
	}
	if s.Strategy == "" {
		s.Strategy = FirstIndex
	}
	if s.MaxFile <= 0 {
		s.MaxFile = maxFile
	}
	if s.Timeout <= 0 {
		s.Timeout = 30 * time.Second
	}
	if s.Retries == 0 {
		s.Retries = 4
	}
	if s.Concurrency <= 0 {
		s.Concurrency = 50
	}
	if s.UserAgent == "" {
		s.UserAgent = "mlenv"
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Sleep == nil {
		s.Sleep = retry.Sleep
	}
	if s.Warn == nil {
		s.Warn = func(string) {}
	}
	if s.Progress == nil {
		s.Progress = func(Event) {}
	}
}
