package index

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A Credential is a user name and password for one origin.
type Credential struct {
	Scheme         string // "https", "http", or "" for both (a netrc entry)
	Host           string // with its port, if that is not the scheme's own; without any for a netrc entry
	Path           string // the path below which it holds, "/" or "" for all of the host
	User, Password string

	// Model says that it was written in a model. It serves what the model names alone: a model must not
	// put its own credentials in the place of the user's.
	Model bool
}

// String hides the password, so that no message shows it by accident.
func (c Credential) String() string { return c.Scheme + "://" + c.Host + c.Path }

// GoString is as String.
func (c Credential) GoString() string { return c.String() }

// credentialOf splits the credentials off a URL.
func credentialOf(u *url.URL) (Credential, bool) {
	if u.User == nil || u.Host == "" {
		return Credential{}, false
	}
	password, _ := u.User.Password()
	return Credential{
		Scheme: u.Scheme, Host: canonicalHost(u), Path: u.Path,
		User: u.User.Username(), Password: password,
	}, true
}

// canonicalHost is the host in lower case, with the port unless it is the scheme's own.
func canonicalHost(u *url.URL) string {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port == "" || u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		return host
	}
	return host + ":" + port
}

// keyring chooses the credentials of a request. They are set on each request by its own URL alone,
// redirects included, so none can reach an origin that it was not given for.
type keyring []Credential

// find returns the credential for a URL that the page of an index led to, "" if none did. Of those for
// its scheme, host and port it is the one with the longest path above the URL's. Files often lie beside
// their index, not below it: then it is the one whose path has the most parts in common with the
// URL's, as in pip, and of several the one that the index itself is asked with, else the first. Where
// there is none for the origin, it is the netrc entry for the host.
//
// model says that the URL is named by a model, see Model.
func (k keyring) find(u *url.URL, index string, model bool) (Credential, bool) {
	best, ok := k.best(u, Credential{}, model)
	if index == "" || ok && below(u.Path, best.Path) && best.Scheme != "" {
		return best, ok
	}
	at, err := url.Parse(index)
	if err != nil || at.Scheme != u.Scheme || canonicalHost(at) != canonicalHost(u) {
		return best, ok
	}
	own, _ := k.best(at, Credential{}, model)
	return k.best(u, own, model)
}

// best is find for those who know which credential the index is asked with.
func (k keyring) best(u *url.URL, own Credential, model bool) (Credential, bool) {
	host, name := canonicalHost(u), strings.ToLower(u.Hostname())
	var best Credential
	found, top := false, [3]int{-1}
	for _, c := range k {
		if !c.serves(u, model) {
			continue
		}
		score := [3]int{-1} // how well it fits, by how much, and whether the index is asked with it
		if c == own {
			score[2] = 1
		}
		switch {
		case c.Scheme == u.Scheme && strings.EqualFold(c.Host, host):
			score[0], score[1] = 2, common(u.Path, c.Path)
			if below(u.Path, c.Path) {
				score[0], score[1] = 3, len(c.Path)
			}
		case c.Scheme == "" && strings.EqualFold(c.Host, name):
			score[0] = 1
		}
		if slices.Compare(score[:], top[:]) > 0 && score[0] >= 0 {
			best, found, top = c, true, score
		}
	}
	return best, found
}

// serves reports whether a credential may go to a URL that a model names, or that the user does.
func (c Credential) serves(u *url.URL, model bool) bool {
	switch {
	case c.Model || !model:
		return c.Model == model
	case c.Scheme == "": // netrc
		return u.Scheme == "https"
	}
	return below(u.Path, c.Path)
}

// common counts the parts that two paths begin with alike.
func common(a, b string) int {
	as, bs := strings.Split(a, "/"), strings.Split(b, "/")
	n := 0
	for n < min(len(as), len(bs)) && as[n] == bs[n] {
		n++
	}
	return n
}

// below reports whether path is dir or lies in it.
func below(path, dir string) bool {
	dir = strings.TrimSuffix(dir, "/")
	return path == dir || strings.HasPrefix(path, dir+"/")
}

type listingKey struct{}

// listedBy notes for the requests of a context which index has listed the file that they are about.
func listedBy(ctx context.Context, index string) context.Context {
	return context.WithValue(ctx, listingKey{}, index)
}

func listingOf(ctx context.Context) string {
	index, _ := ctx.Value(listingKey{}).(string)
	return index
}

// queryKey is an address without its user, query and fragment.
func queryKey(u *url.URL) string { return u.Scheme + "://" + canonicalHost(u) + u.EscapedPath() }

// authorize sets the Authorization of a request that is about to leave.
func (k keyring) authorize(r *http.Request, model bool) {
	r.Header.Del("Authorization")
	if c, ok := k.find(r.URL, listingOf(r.Context()), model); ok {
		r.SetBasicAuth(c.User, c.Password)
	}
}
