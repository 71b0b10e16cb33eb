package index

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep440"
	"mlenv/resolve/secret"
)

// Some indexes list their files by addresses with a query that gives access to them: a signature of an
// object store, which expires within minutes or hours, or somebody's token. Such a query is a secret, and
// of no use later. So a dist.File has the URL without it, and with that so have the cache, locks, images
// and messages; only the Client remembers queries, for as long as it lives. Whoever has a file without
// its query, from the cache or from a lock, finds it again on the page that lists it, by name and hash:
// the page has a valid query each time that it is read. (poetry does the same; pip and uv write the query
// into their locks, which then stop working when it expires.)

// queries are the queries that give access to files, by the index that listed the file and by its URL.
// By the index, too, so that no index decides how a file is asked for that another one lists.
type queries struct {
	mu     sync.Mutex
	of     map[fileAddress]string
	tokens map[string]string // of indexes, which give access to their pages, by the index
}

type fileAddress struct{ index, url string }

// queryCost is what remembering a query takes, in bytes, beside its text and the URL.
const queryCost = 128

// addToken adds the query of an index that gives access to its pages to the URL of one.
func (q *queries) addToken(u, index *url.URL) {
	if token := q.tokens[index.String()]; token != "" {
		u.RawQuery = token
	}
}

func (q *queries) set(at fileAddress, query string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.of == nil {
		q.of = map[fileAddress]string{}
	}
	q.of[at] = query
}

func (q *queries) get(at fileAddress) (query string, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	query, ok = q.of[at]
	return query, ok
}

// takeQuery takes the query off a URL if it gives access.
func takeQuery(u *url.URL) (query string) {
	if !secret.QueryIsSecret(u.RawQuery) {
		return ""
	}
	query, u.RawQuery = u.RawQuery, ""
	return query
}

// unsigned gives a file by its URL without a query that gives access, as locks of other tools have it.
// The query is remembered, but for one that a page has given meanwhile: that one is newer.
func (c *Client) unsigned(f dist.File) dist.File {
	u, err := url.Parse(f.URL)
	if err != nil {
		return f
	}
	query := takeQuery(u)
	if query == "" {
		return f
	}
	f.URL, f.Signed = withoutUser(u), true
	if _, ok := c.queries.get(fileAddress{f.Index, f.URL}); !ok {
		c.queries.set(fileAddress{f.Index, f.URL}, query)
	}
	return f
}

// address gives the URL at which a file can be had, with the query that gives access to it. It reports
// false if the file needs one that this client has not seen.
func (c *Client) address(f dist.File) (*url.URL, bool) {
	u, err := url.Parse(f.URL)
	if err != nil {
		return nil, false
	}
	query, ok := c.queries.get(fileAddress{f.Index, f.URL})
	if ok {
		u.RawQuery = query
	}
	return u, ok || !f.Signed
}

// reach calls use with the address of a file. If the address is refused, as one whose signature has
// expired is, or a lock's that never had any, it looks for another one and calls use once more.
func (c *Client) reach(ctx context.Context, f dist.File, use func(at *url.URL) error) error {
	at, err := c.complete(ctx, f)
	if err != nil {
		return err
	}
	if err = use(at); !refused(err) || c.s.Offline {
		return err
	}
	again, lookErr := c.findAgain(ctx, f, at)
	if lookErr != nil || again == nil {
		return err // the first error says what was wanted
	}
	return use(again)
}

// complete gives the address of a file, after reading the page that lists it if need be.
func (c *Client) complete(ctx context.Context, f dist.File) (*url.URL, error) {
	at, ok := c.address(f)
	if ok || c.s.Offline {
		return at, nil
	}
	again, err := c.findAgain(ctx, f, at)
	if err != nil || again == nil {
		return at, err
	}
	return again, nil
}

// refused reports whether an error may be due to the address: the server would not give the file, has
// none there, or gave something else, such as a page to log in.
func refused(err error) bool {
	var hash *HashError
	var missing *NotFoundError
	return denied(err) || errors.As(err, &hash) || errors.As(err, &missing) && missing.File != ""
}

// denied reports whether a server has understood what it was asked for and does not give it. What says
// "later" (408, 429) was tried again already.
func denied(err error) bool {
	var status *NetworkError
	return errors.As(err, &status) && status.Status >= 400 && status.Status < 500 &&
		status.Status != http.StatusRequestTimeout && status.Status != http.StatusTooManyRequests
}

// findAgain looks for another address of a file than the one that was tried, where it is listed: first
// in what this run has read of the index, then, if its addresses are signed, on the page as it is now. It
// gives nil where there is none.
func (c *Client) findAgain(ctx context.Context, f dist.File, tried *url.URL) (*url.URL, error) {
	named, err := dist.NewFile(f.Name, f.Filename, f.URL)
	if err != nil {
		return nil, nil // a name under which no page lists anything
	}
	f.Name, f.Version = named.Name, named.Version
	for _, list := range []func(context.Context, dist.File) ([]dist.File, error){c.listed, c.listedNow} {
		files, err := list(ctx, f)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(files, func(g dist.File) bool { return g.Filename == f.Filename && sameHash(f, g) })
		if i < 0 {
			return nil, nil
		}
		if at, ok := c.address(files[i]); ok && at.String() != tried.String() {
			return at, nil
		}
		if !files[i].Signed {
			return nil, nil // its address does not change
		}
	}
	return nil, nil
}

// sameHash reports whether what is known of two files does not rule out that they are the same. Their
// bytes are compared with f's hashes once they are here.
func sameHash(f, g dist.File) bool {
	for name, want := range f.Hashes {
		if got := g.Hashes[name]; got != "" && !strings.EqualFold(got, want) {
			return false
		}
	}
	return true
}

// listed gives the files of a version where one of its files was listed, as far as this run knows, or
// the cache.
func (c *Client) listed(ctx context.Context, f dist.File) ([]dist.File, error) {
	if f.Index == "" {
		return c.findLinks(ctx, f.Name)
	}
	index, err := url.Parse(f.Index)
	if err != nil || c.s.NoIndex {
		return nil, nil
	}
	p, err := c.page(ctx, index, f.Name)
	if err != nil {
		return nil, err
	}
	return p.of(f.Version)
}

// listedNow is listed from the page of an index as it is now.
func (c *Client) listedNow(ctx context.Context, f dist.File) ([]dist.File, error) {
	index, err := url.Parse(f.Index)
	if err != nil || f.Index == "" || c.s.NoIndex {
		return nil, nil
	}
	p, err := c.fetchPage(ctx, index, f.Name, nil)
	if err != nil {
		return nil, err
	}
	return p.of(f.Version)
}

// of gives the files of a version; none if the page has no such version.
func (p *page) of(v pep440.Version) ([]dist.File, error) {
	i, ok := slices.BinarySearchFunc(p.versions, v, pep440.Version.Compare)
	if !ok {
		return nil, nil
	}
	return p.files(i)
}
