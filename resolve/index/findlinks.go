package index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep508"
)

// findLinks gives the files of a project in the find-links locations, in the locations' order
// where names and versions are equal.
func (c *Client) findLinks(ctx context.Context, name pep508.Name) ([]dist.File, error) {
	var all []dist.File
	for _, location := range c.s.FindLinks {
		links, err := c.links.get(ctx, location, func(ctx context.Context) (*linkSet, error) {
			links, err := c.readLocation(ctx, location)
			return newLinkSet(links), err
		})
		if err != nil {
			return nil, err
		}
		files, err := c.projectFiles(links.of(name), name, "")
		if err != nil {
			return nil, err
		}
		all = append(all, files...)
	}
	return all, nil
}

// A linkSet is the links of one location, sorted so that those of a project lie together: a page may
// have hundreds of thousands, and a model hundreds of projects.
type linkSet struct {
	keys  []string // the normalized file names
	links []link
}

func newLinkSet(links []link) *linkSet {
	type keyed struct {
		key string
		at  int
	}
	order := make([]keyed, len(links))
	for i := range links {
		order[i] = keyed{string(pep508.NormalizeName(links[i].filename)), i}
	}
	slices.SortFunc(order, func(a, b keyed) int { return cmp.Or(strings.Compare(a.key, b.key), cmp.Compare(a.at, b.at)) })
	s := &linkSet{keys: make([]string, len(links)), links: make([]link, len(links))}
	for to, from := range order {
		s.keys[to], s.links[to] = from.key, links[from.at]
	}
	return s
}

// of gives the links whose names begin with that of a project. The project a has those of a-b among
// them, which whoever reads the names leaves out.
func (s *linkSet) of(name pep508.Name) []link {
	prefix := string(name) + "-"
	from, _ := slices.BinarySearch(s.keys, prefix)
	to := from
	for to < len(s.keys) && strings.HasPrefix(s.keys[to], prefix) {
		to++
	}
	return s.links[from:to]
}

// collect gives what appends links to a list, and takes what they need of the budget.
func collect(links *[]link, a *account) func(*link) error {
	return func(l *link) error {
		if err := a.spend(l.cost()); err != nil {
			return err
		}
		*links = append(*links, *l)
		return nil
	}
}

// readLocation lists one find-links location: a directory, a page, or one file. A local one that
// does not exist is worth a warning and no more, as pip has it.
func (c *Client) readLocation(ctx context.Context, location string) ([]link, error) {
	given := location
	if u, err := url.Parse(location); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		return c.remoteLinks(ctx, u)
	} else if err == nil && u.Scheme == "file" {
		location = filePath(u)
	}
	path, err := filepath.Abs(location)
	if err != nil {
		return nil, fmt.Errorf("reading find-links location %s: %w", location, err)
	}
	info, err := os.Stat(path)
	switch {
	case isMissing(err):
		c.s.Warn(fmt.Sprintf("find-links location %s does not exist", location))
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading find-links location: %w", err)
	case info.IsDir():
		return directoryLinks(path)
	case !info.Mode().IsRegular(): // to open a named pipe is to wait for somebody who writes
		return nil, fmt.Errorf("reading find-links location %s: it is neither a directory nor a regular file", location)
	case strings.HasSuffix(path, ".html"), strings.HasSuffix(path, ".htm"):
		links, err := c.localHTML(fileURL(path))
		if slices.Contains(c.s.Model.Local, given) {
			links = slices.DeleteFunc(links, func(l link) bool { return leaves(l.url, path) })
		}
		return links, err
	}
	return []link{fileLink(path, info.Size())}, nil
}

// leaves reports whether a link of a page on this machine leads out of the page's directory. A page in a
// model must not: the model's files are all of this machine that a model may have in an image.
func leaves(link, page string) bool {
	u, err := url.Parse(link)
	if err != nil {
		return true
	}
	rel, err := filepath.Rel(filepath.Dir(page), filePath(u))
	return u.Scheme == "file" && (err != nil || !filepath.IsLocal(rel))
}

// remoteLinks reads a page of links, once a run. It is not kept on disk, so Offline has none of it:
// such pages are few, and what they name is often replaced in place.
func (c *Client) remoteLinks(ctx context.Context, u *url.URL) ([]link, error) {
	if isDistribution(u.Path) {
		if at, ok := (linker{base: u}).resolve(u.String()); ok {
			return []link{{filename: at.filename, url: at.url, query: at.query, hashes: fragmentHash(at.fragment)}}, nil
		}
	}
	if c.s.Offline {
		return nil, &OfflineError{What: "the find-links page " + redact(u)}
	}
	var links []link
	err := c.t.do(ctx, request{url: u, gzip: true, use: func(r *http.Response) error {
		if r.StatusCode == http.StatusNotFound || r.StatusCode == http.StatusGone {
			return &NotFoundError{File: redact(u)}
		}
		if r.StatusCode != http.StatusOK {
			return &statusError{code: r.StatusCode, after: -1}
		}
		links = nil
		account := account{budget: &c.budget}
		in, add := &bounded{r: r.Body, left: maxPage}, collect(&links, &account)
		err := parsePage(answer{in, nil, r.Header.Get("Content-Type"), r.Request.URL}, func(e *entry) error { return add(e.link()) })
		if err != nil {
			account.close(0)
			return &FormatError{URL: redact(r.Request.URL), Err: err}
		}
		return nil
	}})
	if err != nil {
		return nil, fmt.Errorf("reading find-links page: %w", err)
	}
	return links, nil
}

func (c *Client) localHTML(u *url.URL) ([]link, error) {
	f, err := os.Open(filePath(u))
	if err != nil {
		return nil, fmt.Errorf("reading page: %w", err)
	}
	defer f.Close()
	var links []link
	account := account{budget: &c.budget}
	err = parseHTML(&bounded{r: f, left: maxPage}, u, collect(&links, &account))
	if err != nil {
		account.close(0)
		return nil, &FormatError{URL: u.String(), Err: err}
	}
	return links, nil
}

func directoryLinks(dir string) ([]link, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading find-links location: %w", err)
	}
	var links []link
	for _, e := range entries {
		if !isDistribution(e.Name()) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			links = append(links, fileLink(path, info.Size()))
		}
	}
	return links, nil
}

func fileLink(path string, size int64) link {
	return link{filename: filepath.Base(path), url: fileURL(path).String(), size: size}
}

// isDistribution reports whether a path has the ending of a wheel or source distribution.
func isDistribution(path string) bool {
	return slices.ContainsFunc([]string{".whl", ".tar.gz", ".zip", ".tgz", ".tar.bz2", ".tar.xz"},
		func(ext string) bool { return strings.HasSuffix(path, ext) })
}

// fileURL gives the file: URL of an absolute path.
func fileURL(path string) *url.URL {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/…
	}
	return &url.URL{Scheme: "file", Path: path}
}

// filePath gives the path of a file: URL.
func filePath(u *url.URL) string {
	p := u.Path
	if runtime.GOOS == "windows" {
		p = strings.TrimPrefix(p, "/")
	}
	return filepath.FromSlash(p)
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
