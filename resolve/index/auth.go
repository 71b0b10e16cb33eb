package index

import (
	"net/http"
	"net/url"
	"strings"
)

// A Credential is a user name and password for one origin.
type Credential struct {
	Scheme         string // "https", "http", or "" for both (a netrc entry)
	Host           string // with its port, if that is not the scheme's own; without any for a netrc entry
	Path           string // the path below which it holds, "/" or "" for all of the host
	User, Password string

	// Model says that it was written in a model. It serves the URLs below Path, and the rest of the
	// origin only where the user has nothing for it: a model must not put its own credentials in the
	// place of the user's.
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

// find gives the credential for a URL: of those for its scheme, host and port, the one with the
// longest path above the URL's, else the first of that origin (files often lie beside the index,
// not below it); else the netrc entry for its host; else what the model has for that origin.
func (k keyring) find(u *url.URL) (Credential, bool) {
	host, name := canonicalHost(u), strings.ToLower(u.Hostname())
	var best Credential
	found, score := false, -1
	for _, c := range k {
		s := -1
		switch {
		case c.Scheme == u.Scheme && strings.EqualFold(c.Host, host):
			switch {
			case below(u.Path, c.Path):
				s = 3 + len(c.Path)
			case c.Model:
				s = 0
			default:
				s = 2
			}
		case c.Scheme == "" && strings.EqualFold(c.Host, name):
			s = 1
		}
		if s > score {
			best, found, score = c, true, s
		}
	}
	return best, found
}

// below reports whether path is dir or lies in it.
func below(path, dir string) bool {
	dir = strings.TrimSuffix(dir, "/")
	return path == dir || strings.HasPrefix(path, dir+"/")
}

// authorize sets the Authorization of a request that is about to leave.
func (k keyring) authorize(r *http.Request) {
	r.Header.Del("Authorization")
	if c, ok := k.find(r.URL); ok {
		r.SetBasicAuth(c.User, c.Password)
	}
}
