package index

import (
	"net/url"
	"slices"
	"strings"
)

// Model is what only a model names, and the user does not. It is for the model's own packages alone:
//
//   - A host that the model calls trusted needs no certificate if the model names an index, a page or a
//     package there, the user names nothing there, and no index of the user's has led to it.
//   - Credentials in a model go to what the model names, never along with a request for what an index of
//     the user's lists. The user's go to what a model names only below the path that the user gave them
//     for; those of a netrc file, which are for a host, go there unless it is by plain http. (pip and curl
//     send them over http too; who names the URL there is the user.)
type Model struct {
	Indexes      []string // base URLs, without credentials
	Local        []string // its locations of links on this machine
	Links        bool     // it names pages of links, or packages by their URLs
	TrustedHosts []string // hosts, with or without port, whose certificates are not checked
}

// names reports whether a request is made on a model's word: whether the index that led to it is the
// model's. Of a URL that no index has led to, nobody knows whether the user has named it too.
func (m *Model) names(index string) bool {
	if index == "" {
		return m.Links
	}
	return slices.Contains(m.Indexes, index)
}

// indexName is the form in which indexes are compared: without credentials and fragment, with a slash at
// the end.
func indexName(raw string) string {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil {
		return raw
	}
	return baseOf(u).String()
}

// baseOf gives the URL of an index, which others are made of.
func baseOf(u *url.URL) *url.URL {
	base := *u
	base.User, base.Fragment, base.RawFragment = nil, "", ""
	if !strings.HasSuffix(base.Path, "/") {
		return base.JoinPath("/")
	}
	return &base
}

// modelNames tells what the model names and the user does not.
func (c *configuring) modelNames(user []Options) (m Model) {
	var hosts []string // that the user names
	indexes := map[string]bool{}
	links := map[string]bool{}
	for _, o := range user {
		for _, raw := range o.urls() {
			hosts = append(hosts, hostOf(raw))
			indexes[indexName(raw)] = true
		}
		for _, raw := range o.FindLinks {
			hosts = append(hosts, hostOf(raw))
			links[indexName(raw)] = true
		}
	}
	for _, k := range c.set.Credentials {
		host, _, _ := strings.Cut(k.Host, ":")
		hosts = append(hosts, strings.ToLower(host))
	}
	var named []*url.URL // by the model
	note := func(raw string) bool {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" {
			return false
		}
		named = append(named, u)
		return true
	}
	for _, raw := range c.src.Model.urls() {
		if note(raw) && !indexes[indexName(raw)] {
			m.Indexes = appendNew(m.Indexes, indexName(raw))
		}
	}
	for _, raw := range c.src.Model.FindLinks {
		switch remote := note(raw); {
		case links[indexName(raw)]:
		case remote:
			m.Links = true
		default:
			m.Local = append(m.Local, raw)
		}
	}
	for _, raw := range c.src.Direct {
		m.Links = note(raw) || m.Links
	}
	// Some of these may be the command line's, and are then sent as those of a model.
	m.Links = m.Links || len(c.src.Secrets) > 0
	for _, host := range c.src.Model.TrustedHosts {
		of := func(u *url.URL) bool {
			return isHost(host, u) && !slices.Contains(hosts, strings.ToLower(u.Hostname()))
		}
		if slices.ContainsFunc(named, of) {
			m.TrustedHosts = appendNew(m.TrustedHosts, host)
		}
	}
	return m
}

// urls are the indexes of options.
func (o *Options) urls() []string {
	if o.IndexURL == "" {
		return o.ExtraIndexURLs
	}
	return append([]string{o.IndexURL}, o.ExtraIndexURLs...)
}

// hostOf gives the host of a URL without its port, "" if it has none.
func hostOf(raw string) string {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// isHost reports whether a host, with or without a port, is that of a URL.
func isHost(host string, u *url.URL) bool {
	return strings.EqualFold(host, u.Hostname()) || strings.EqualFold(host, u.Host) || strings.EqualFold(host, canonicalHost(u))
}
