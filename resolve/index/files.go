package index

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// Files lists the files of a project that the find-links locations and the indexes have, sorted by
// version and then file name; of files of one name only the first is listed, find-links before
// indexes. What is no wheel or source distribution with a valid version is left out. The slice and
// what is in it are shared: they must not be changed.
//
// A name that is nowhere is a *NotFoundError. A server that could not be asked is a *NetworkError,
// a page that is none a *FormatError, and a page that is not in the cache, when Offline is set, an
// *OfflineError: none of them means that the name does not exist.
func (c *Client) Files(ctx context.Context, name pep508.Name) ([]dist.File, error) {
	return c.lists.get(ctx, name, func(ctx context.Context) ([]dist.File, error) {
		p, err := c.project(ctx, name)
		if err != nil {
			return nil, err
		}
		return p.all()
	})
}

// Versions lists the versions, ascending, that have any file of those that Files lists. With
// VersionFiles it is the cheap way through a large project: only the versions that are looked at
// cost anything. Errors are those of Files. The slice is shared.
func (c *Client) Versions(ctx context.Context, name pep508.Name) ([]pep440.Version, error) {
	p, err := c.project(ctx, name)
	if err != nil {
		return nil, err
	}
	return p.versions, nil
}

// VersionFiles lists those of Files that are of a version; none if there is no such version.
func (c *Client) VersionFiles(ctx context.Context, name pep508.Name, v pep440.Version) ([]dist.File, error) {
	p, err := c.project(ctx, name)
	if err != nil {
		return nil, err
	}
	return p.of(v)
}

// project gives what all locations that count say of a project.
func (c *Client) project(ctx context.Context, name pep508.Name) (*page, error) {
	if !pep508.ValidName(string(name)) || pep508.NormalizeName(string(name)) != name {
		return nil, fmt.Errorf("finding %q: no normalized project name", name)
	}
	return c.projects.get(ctx, name, func(ctx context.Context) (*page, error) {
		p, err := c.find(ctx, name)
		if err == nil {
			c.s.Progress(Event{Kind: PageRead, Name: string(name)})
		}
		return p, err
	})
}

func (c *Client) find(ctx context.Context, name pep508.Name) (*page, error) {
	if own, ok := c.assigned[name]; ok {
		p, err := c.page(ctx, own.index, name)
		switch {
		case err != nil:
			return nil, err
		case !p.Missing:
			return p, nil
		case !own.fallback:
			return nil, &NotFoundError{Name: name, Where: []string{redact(own.index)}, Own: true}
		}
	}
	linked, err := c.findLinks(ctx, name)
	if err != nil {
		return nil, err
	}
	pages, err := c.ask(ctx, name)
	switch {
	case err != nil:
		return nil, err
	case len(pages) == 0 && len(linked) == 0:
		return nil, c.notFound(name)
	case len(pages) == 1 && len(linked) == 0:
		return pages[0], nil
	}
	return merge(linked, pages)
}

// ask gives the pages of the indexes that count under the strategy.
func (c *Client) ask(ctx context.Context, name pep508.Name) ([]*page, error) {
	if c.s.Strategy == UnsafeBestMatch {
		return c.askAll(ctx, name)
	}
	for _, index := range c.indexes {
		p, err := c.page(ctx, index, name)
		if err != nil {
			return nil, err
		}
		if !p.Missing {
			return []*page{p}, nil
		}
	}
	return nil, nil
}

// askAll asks all indexes at once.
func (c *Client) askAll(ctx context.Context, name pep508.Name) ([]*page, error) {
	pages := make([]*page, len(c.indexes))
	errs := make([]error, len(c.indexes))
	done := make(chan struct{})
	for i, index := range c.indexes {
		go func(index *url.URL) {
			pages[i], errs[i] = c.page(ctx, index, name)
			done <- struct{}{}
		}(index)
	}
	for range c.indexes {
		<-done
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(pages, func(p *page) bool { return p.Missing }), nil
}

func (c *Client) notFound(name pep508.Name) error {
	return &NotFoundError{Name: name, Where: c.Locations()}
}

// Locations lists where the client looks, in the order of trial, without credentials: its indexes,
// then folders and pages of links.
func (c *Client) Locations() []string {
	var out []string
	for _, u := range c.indexes {
		out = append(out, redact(u))
	}
	for _, l := range c.s.FindLinks {
		out = append(out, Redact(l))
	}
	return out
}

// merge joins the files of several locations; the first of the files of one name stays.
func merge(linked []dist.File, pages []*page) (*page, error) {
	seen := map[string]bool{}
	var all []dist.File
	add := func(files []dist.File) {
		for _, f := range files {
			if !seen[f.Filename] {
				seen[f.Filename] = true
				all = append(all, f)
			}
		}
	}
	add(linked)
	for _, p := range pages {
		files, err := p.all()
		if err != nil {
			return nil, err
		}
		add(files)
	}
	p := &page{}
	p.setFiles(all)
	return p, nil
}

// Listing is what one index has of a project.
type Listing struct {
	Index    string           // URL, without credentials
	Versions []pep440.Version // ascending
}

// Elsewhere lists what the indexes have of a project that the strategy passes over: those after the
// first one that has it.
func (c *Client) Elsewhere(ctx context.Context, name pep508.Name) ([]Listing, error) {
	if _, ok := c.assigned[name]; ok || c.s.Strategy != FirstIndex {
		return nil, nil
	}
	var out []Listing
	first := true
	for _, index := range c.indexes {
		p, err := c.page(ctx, index, name)
		if err != nil {
			return nil, err
		}
		if p.Missing {
			continue
		}
		if !first {
			out = append(out, Listing{Index: redact(index), Versions: p.versions})
		}
		first = false
	}
	return out, nil
}
