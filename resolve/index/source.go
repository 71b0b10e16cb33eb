package index

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"mlenv/resolve/cache"
)

// guard says what stands between us and somebody on the way to a server.
type guard string

const (
	checked   guard = "checked"   // TLS, and a certificate for the host
	unchecked guard = "unchecked" // TLS to a host that is trusted without a certificate
	open      guard = "open"      // no TLS
	local     guard = "local"     // not the network
)

// guard tells how a URL is reached to which an index has led, "" if none did.
func (t *transport) guard(u *url.URL, index string) guard {
	switch {
	case u.Scheme == "https" && t.trusts(u, index):
		return unchecked
	case u.Scheme == "https":
		return checked
	case u.Scheme == "http":
		return open
	}
	return local
}

// source names, in the cache, what a server says at a URL: by the URL, by what guarded the way to it,
// and by who asked. Whatever was not compared with a hash that we computed ourselves is kept under its
// source, so that it decides nothing for those who would ask elsewhere, check what others do not, or
// have another password. For a file, index is the one that listed it. what tells apart several things
// of one URL.
func (c *Client) source(u *url.URL, index string, what ...string) string {
	h := sha256.New()
	for _, s := range append([]string{withoutUser(u), string(c.t.guard(u, index)), c.identity(u, index)}, what...) {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// identity stands for the credentials that go with a request to a URL, "" for none. It is made with a
// secret of the cache's own, so that nobody who sees the names of its files can try passwords on them.
func (c *Client) identity(u *url.URL, index string) string {
	k, ok := c.t.keys.find(u, index, c.s.Model.names(index))
	token := c.queries.tokens[index]
	if !ok && token == "" {
		return ""
	}
	mac := hmac.New(sha256.New, c.salt.of(c.store))
	fmt.Fprintf(mac, "%d:%s%s", len(k.User), k.User, k.Password)
	if token != "" {
		fmt.Fprintf(mac, "\n%s", token)
	}
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// salt is the secret of identities.
type salt struct {
	once  sync.Once
	bytes []byte
}

// of gives the cache's own or, where there is none, one of this client.
func (s *salt) of(store *cache.Store) []byte {
	s.once.Do(func() {
		var err error
		if store != nil {
			s.bytes, err = store.Salt()
		}
		if s.bytes == nil || err != nil {
			// Nothing that needs credentials is then found by the next run.
			s.bytes = make([]byte, sha256.Size)
			rand.Read(s.bytes) // never fails
		}
	})
	return s.bytes
}

// sameSource reports whether all hops of an answer were guarded as well as the first, and none took
// credentials that the first did not have. Only such an answer is kept under the first's source.
func (c *Client) sameSource(r *http.Response) bool {
	index := listingOf(r.Request.Context())
	var hops []*url.URL // the first is last
	for r != nil && r.Request != nil {
		hops = append(hops, r.Request.URL)
		r = r.Request.Response // the redirect that led here
	}
	first := hops[len(hops)-1]
	for _, u := range hops {
		if g := c.t.guard(u, index); g != checked && g != c.t.guard(first, index) {
			return false
		}
		if id := c.identity(u, index); id != "" && id != c.identity(first, index) {
			return false
		}
	}
	return true
}
