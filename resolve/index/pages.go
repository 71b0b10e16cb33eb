package index

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mlenv/resolve/cache"
	"mlenv/resolve/dist"
	"mlenv/resolve/pep508"
)

// maxPage bounds a page, inflated. The largest of the Python Package Index are below 50 MB.
const maxPage = 256 << 20

const accept = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"

// maxEntries bounds how many files or links a page may list, of whatever project. The largest pages of
// indexes have tens of thousands.
const maxEntries = 1 << 20

// maxFreshness is how long a page may be used unasked, whatever the server says: long enough for a row
// of builds, and not so long that a page which should never have been believed does lasting harm.
const maxFreshness = time.Hour

// heuristicFreshness is for servers that say nothing at all of how long a page may be used and
// give nothing by which it could be confirmed (RFC 9111, section 4.2.2).
const heuristicFreshness = time.Minute

// page gives what one index says of a project, from memory, the cache or the index.
func (c *Client) page(ctx context.Context, index *url.URL, name pep508.Name) (*page, error) {
	key := pageKey{index.String(), name}
	return c.pages.get(ctx, key, func(ctx context.Context) (*page, error) {
		if index.Scheme == "file" {
			return c.localPage(index, name)
		}
		old := c.cachedPage(c.pageRecord(index, name), key)
		switch {
		case old != nil && (c.s.Offline || !c.s.Refresh && c.fresh(old)):
			return old, nil
		case c.s.Offline:
			return nil, &OfflineError{What: fmt.Sprintf("the page of %s from %s", name, redact(index))}
		}
		p, err := c.fetchPage(ctx, index, name, old)
		if err != nil {
			return nil, fmt.Errorf("finding %s: %w", name, err)
		}
		return p, nil
	})
}

// remember keeps the queries of a page's files. It gives what they take of the budget.
func (c *Client) remember(b *builder, index string) (cost int) {
	for url, query := range b.queries {
		c.queries.set(fileAddress{index, url}, query)
		cost += queryCost + len(url) + len(query)
	}
	return cost
}

// pageRecord names the record of a page, by its source.
func (c *Client) pageRecord(index *url.URL, name pep508.Name) string {
	return cache.PagesDir + "/" + c.source(index, index.String()) + "/" + string(name)
}

func (c *Client) cachedPage(record string, key pageKey) *page {
	if c.store == nil {
		return nil
	}
	data, err := c.store.Read(record)
	if err != nil {
		return nil
	}
	p, err := decodePage(data, key, &c.budget)
	if err != nil || c.budget.spend(p.cost()) != nil {
		return nil
	}
	return p
}

// fresh reports whether a page may be used unasked. A page from the future may not.
func (c *Client) fresh(p *page) bool {
	age := c.s.Now().Sub(p.Fetched)
	return age >= 0 && age < min(p.Fresh, maxFreshness)
}

// fetchPage asks the index, with what is needed to have an old page confirmed.
func (c *Client) fetchPage(ctx context.Context, index *url.URL, name pep508.Name, old *page) (*page, error) {
	u := index.JoinPath(string(name) + "/")
	c.queries.addToken(u, index)
	ctx = listedBy(ctx, index.String())
	if c.t.guard(u, index.String()) == unchecked {
		old = nil // whoever sent it chose its ETag too
	}
	var p *page
	keep := false
	err := c.t.do(ctx, request{
		url: u, gzip: true,
		prepare: func(h http.Header) {
			h.Set("Accept", accept)
			if old != nil && old.ETag != "" {
				h.Set("If-None-Match", old.ETag)
			} else if old != nil && old.Modified != "" {
				h.Set("If-Modified-Since", old.Modified)
			}
		},
		use: func(r *http.Response) (err error) {
			p, err = c.readPage(r, index, name, old)
			if err == nil {
				keep = c.stamp(p, r.Header) && c.sameSource(r)
			}
			return err
		},
	})
	var status *NetworkError
	if errors.As(err, &status) && status.Status == http.StatusForbidden && c.readable(ctx, index) {
		return &page{URL: redact(u), Missing: true}, nil
	}
	if err != nil {
		return nil, err
	}
	if keep && c.store != nil {
		if err := c.store.Write(c.pageRecord(index, name), p.encode(), p.body); err != nil {
			c.s.Warn(err.Error())
		}
	}
	return p, nil
}

// readable reports whether the root of an index can be read. Indexes that are plain files in an
// object store answer 403, not 404, for what they do not have; where the root can be read, that is
// what 403 means.
func (c *Client) readable(ctx context.Context, index *url.URL) bool {
	ok, err := c.roots.get(ctx, index.String(), func(ctx context.Context) (bool, error) {
		ok := false
		root := *index
		c.queries.addToken(&root, index)
		err := c.t.do(ctx, request{url: &root, method: http.MethodHead, use: func(r *http.Response) error {
			ok = r.StatusCode == http.StatusOK
			return nil
		}})
		return ok, err
	})
	return ok && err == nil
}

// readPage reads an answer to a request for a page.
func (c *Client) readPage(r *http.Response, index *url.URL, name pep508.Name, old *page) (*page, error) {
	switch r.StatusCode {
	case http.StatusOK:
	case http.StatusNotModified:
		if old == nil {
			return nil, &statusError{code: r.StatusCode, after: -1}
		}
		return old, nil
	case http.StatusNotFound, http.StatusGone:
		return &page{URL: redact(r.Request.URL), Missing: true}, nil
	default:
		return nil, &statusError{code: r.StatusCode, after: -1}
	}
	p := &page{URL: redact(r.Request.URL)}
	account := account{budget: &c.budget}
	kept := 0
	defer func() { account.close(kept) }()
	files := newBuilder(name, &c.memory, &account)
	defer files.release()
	buf, done := c.memory.scan()
	defer done()
	start := &beginning{r: &bounded{r: r.Body, left: maxPage}}
	err := parsePage(answer{start, buf[:], r.Header.Get("Content-Type"), r.Request.URL}, files.add)
	if err == nil && len(files.rows) == 0 && !files.passed && !start.ofIndex() {
		err = errNoIndex
	}
	if err == nil {
		err = files.finish(p, pageKey{index.String(), name})
	}
	if err == nil {
		kept = min(p.cost()+c.remember(files, index.String()), account.spent)
	}
	if err != nil {
		return nil, &FormatError{URL: redact(r.Request.URL), Err: err}
	}
	return p, nil
}

// stamp notes in a page until when the server lets it be used. It reports whether it may be kept.
func (c *Client) stamp(p *page, h http.Header) bool {
	p.Fetched = c.s.Now()
	if v := h.Get("ETag"); v != "" {
		p.ETag = v
	}
	if v := h.Get("Last-Modified"); v != "" {
		p.Modified = v
	}
	p.Fresh = 0
	control, age := h.Get("Cache-Control"), time.Duration(-1)
	for d := range strings.SplitSeq(control, ",") {
		key, val, _ := strings.Cut(strings.ToLower(strings.TrimSpace(d)), "=")
		switch key {
		case "no-store":
			return false
		case "no-cache":
			age = 0
		case "max-age":
			if n, err := strconv.ParseInt(strings.Trim(val, `"`), 10, 32); err == nil && age != 0 {
				age = time.Duration(n) * time.Second
			}
		}
	}
	switch {
	case age > 0:
		held, _ := strconv.ParseInt(h.Get("Age"), 10, 32) // by caches on the way
		p.Fresh = max(age-time.Duration(max(held, 0))*time.Second, 0)
	case age < 0 && control == "" && p.ETag == "" && p.Modified == "" && h.Get("Expires") == "" && h.Get("Pragma") == "" && !p.Missing:
		p.Fresh = heuristicFreshness
	}
	return !p.Missing || p.Fresh > 0
}

// answer is a page that is to be read.
type answer struct {
	r           io.Reader
	buf         []byte // to read into; nil for one of its own
	contentType string
	base        *url.URL // that its references are relative to
}

// parsePage reads a page in the form that its media type names. The entry is emit's only until it returns.
func parsePage(p answer, emit func(*entry) error) error {
	media, _, _ := mime.ParseMediaType(p.contentType)
	if v, ok := strings.CutPrefix(media, "application/vnd.pypi.simple."); ok && !strings.HasPrefix(v, "v1+") && !strings.HasPrefix(v, "latest+") {
		return fmt.Errorf("media type %s is of another version of the repository API", media)
	}
	switch {
	case strings.HasSuffix(media, "json"):
		return parseJSON(p, emit)
	case strings.HasSuffix(media, "html"), media == "":
		return parseHTML(p.r, p.base, func(l *link) error { return emit(l.entry()) })
	}
	return fmt.Errorf("media type %s is neither JSON nor HTML", media)
}

// bounded is a reader that fails where io.LimitedReader would pretend the end.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// beginning is a reader that remembers the first bytes.
type beginning struct {
	r    io.Reader
	head []byte
}

func (b *beginning) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.head = append(b.head, p[:min(n, 4096-len(b.head))]...)
	return n, err
}

// ofIndex reports whether a page without files is that of an index at all. The portal of a network
// or a server's login page, which come as HTML with the status 200, would else be taken for the
// news that a project has no files. Indexes, even those that are a web server's listings, say what
// they are; JSON does by its media type.
func (b *beginning) ofIndex() bool {
	head := strings.ToLower(string(b.head))
	for _, sign := range []string{"repository-version", "links for", "simple index", "index of"} {
		if strings.Contains(head, sign) {
			return true
		}
	}
	return !strings.HasPrefix(strings.TrimSpace(head), "<")
}

var errNoIndex = errors.New("it lists no files and is no page of a package index; does the network or the server ask for a login?")

var errTooLarge = errors.New("larger than anything that it should be")

// localPage reads the page of a project from an index that is a directory (file: URL).
func (c *Client) localPage(index *url.URL, name pep508.Name) (*page, error) {
	u := index.JoinPath(string(name), "index.html")
	links, err := c.localHTML(u)
	if isMissing(err) {
		return &page{URL: u.String(), Missing: true}, nil
	}
	if err != nil {
		return nil, err
	}
	p := &page{URL: u.String()}
	return p, c.setLinks(p, links, pageKey{index.String(), name})
}

// projectFiles picks the files of one project from links.
func (c *Client) projectFiles(links []link, name pep508.Name, index string) ([]dist.File, error) {
	p := &page{}
	if err := c.setLinks(p, links, pageKey{index, name}); err != nil {
		return nil, err
	}
	return p.all()
}

// setLinks gives a page those of the links that are files of its project.
func (c *Client) setLinks(p *page, links []link, key pageKey) error {
	b := newBuilder(key.name, &c.memory, &account{budget: &c.budget})
	defer b.release()
	for i := range links {
		if err := b.add(links[i].entry()); err != nil {
			return err
		}
	}
	c.remember(b, key.index)
	return b.finish(p, key)
}
