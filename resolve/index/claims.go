package index

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"mlenv/resolve/dist"
)

// claims are what this client was told of files, and what it has found in them. Both may be learnt in
// any order, by several goroutines; whoever comes second compares.
type claims struct {
	mu    sync.Mutex
	told  map[string][]*dist.Metadata
	found map[string]*dist.Metadata
}

// tell notes what was said of a file. The error is a *MetadataError.
func (c *claims) tell(key string, m *dist.Metadata, f dist.File) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if found := c.found[key]; found != nil {
		return difference(found, m, f)
	}
	if c.told == nil {
		c.told = map[string][]*dist.Metadata{}
	}
	c.told[key] = append(c.told[key], m)
	return nil
}

// find notes what a file holds. m is nil if it has no metadata that can be read, err says why. That is an
// error only where something was said of the file: of what else is wrong with it others speak better.
func (c *claims) find(key string, m *dist.Metadata, err error, f dist.File) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m == nil {
		if len(c.told[key]) > 0 {
			return err
		}
		return nil
	}
	if c.found == nil {
		c.found = map[string]*dist.Metadata{}
	}
	c.found[key] = m
	for _, told := range c.told[key] {
		if err := difference(m, told, f); err != nil {
			return err
		}
	}
	return nil
}

// compare reads the metadata of a wheel whose bytes were checked, and keeps it as the truth.
func (c *Client) compare(path string, f dist.File) error {
	if !f.Wheel {
		return nil
	}
	data, err := wheelFileMetadata(path, f.Name)
	var m *dist.Metadata
	if err == nil {
		m, err = parseMetadata(data, f)
	}
	if err != nil && !errors.As(err, new(*FormatError)) {
		err = &FormatError{URL: Redact(f.URL), Err: err}
	}
	// Of a local file perhaps another hash was checked.
	u, uerr := url.Parse(f.URL)
	if sha := sha256Of(f); m != nil && c.store != nil && sha != "" && uerr == nil && u.Scheme != "file" {
		if err := c.store.Write(trueRecord(sha), data); err != nil {
			c.s.Warn(err.Error())
		}
	}
	return c.claims.find(fileKey(f), m, err, f)
}

// trueRecord names the record of what a file of that SHA-256 holds. Only who has hashed the file writes it.
func trueRecord(sha string) string { return "metadata/true/" + sha[:2] + "/" + sha[2:] }

// MetadataError reports that what an index says of a wheel is not what the wheel says of itself. What
// was decided by it, such as which other packages are needed, is wrong.
type MetadataError struct {
	URL     string // of the wheel, without credentials and query
	Field   string // "Requires-Dist"
	Claimed string // what only the index says; "" if that is nothing
	Found   string // what only the wheel says; "" if that is nothing
}

func (e *MetadataError) Error() string {
	what := "the index leaves out " + e.Found
	switch {
	case e.Claimed != "" && e.Found != "":
		what = fmt.Sprintf("the index says %s, the wheel %s", e.Claimed, e.Found)
	case e.Claimed != "":
		what = "only the index says " + e.Claimed
	}
	return fmt.Sprintf("the metadata that was given beside %s is not the wheel's own: of %s, %s", e.URL, e.Field, what)
}

// difference compares what decides about an environment; that name and version are the file's was
// checked when each was read. The error is a *MetadataError.
func difference(found, claimed *dist.Metadata, f dist.File) error {
	for _, field := range []struct {
		name string
		of   func(m *dist.Metadata) []string
	}{
		{"Requires-Python", func(m *dist.Metadata) []string { return []string{m.RequiresPython.String() + m.InvalidPython} }},
		{"Requires-Dist", func(m *dist.Metadata) []string {
			all := slices.Clone(m.Invalid)
			for i := range m.RequiresDist {
				all = append(all, m.RequiresDist[i].String())
			}
			return all
		}},
		{"Provides-Extra", func(m *dist.Metadata) []string {
			var all []string
			for _, extra := range m.ProvidesExtra {
				all = append(all, string(extra))
			}
			return all
		}},
	} {
		a, b := field.of(found), field.of(claimed)
		slices.Sort(a)
		slices.Sort(b)
		if a, b = slices.Compact(a), slices.Compact(b); slices.Equal(a, b) {
			continue
		}
		return &MetadataError{URL: Redact(f.URL), Field: field.name, Claimed: onlyIn(b, a), Found: onlyIn(a, b)}
	}
	return nil
}

// onlyIn gives the first few of the sorted texts a that are not in b.
func onlyIn(a, b []string) string {
	const most = 3
	var out []string
	for _, s := range a {
		if _, ok := slices.BinarySearch(b, s); ok {
			continue
		}
		if len(out) == most {
			out = append(out, "…")
			break
		}
		out = append(out, fmt.Sprintf("%.100q", s))
	}
	return strings.Join(out, ", ")
}
