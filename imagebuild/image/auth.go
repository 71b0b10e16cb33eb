package image

import (
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// authorizer makes requests to one repository with the credentials that its registry asks for.
// go-containerregistry has such a transport, too. That one decides by GET /v2/ alone, takes the
// first of several challenges, and asks for one token for everything, which a repository that
// layers are mounted from can spoil for the whole push. Here every answer of 401 counts, a token is
// kept for each set of scopes, and a mount that is refused becomes an upload.
type authorizer struct {
	next     http.RoundTripper // to the registry and to the server of its tokens
	repo     name.Repository
	scope    string // what is done with the repository
	keychain authn.Keychain

	mu      sync.Mutex
	auth    authn.Authenticator // nil: the keychain was not asked yet
	ways    []challenge         // in which the registry lets itself be asked; none: it takes all
	extra   []string            // scopes that it wants beyond the repository's
	headers map[string]string   // Authorization, by the scopes that it is good for
	unfit   map[string]bool     // repositories that nothing can be mounted from
}

// RoundTrip implements http.RoundTripper.
func (a *authorizer) RoundTrip(r *http.Request) (*http.Response, error) {
	switch {
	case !sameHost(r.URL, a.repo.RegistryStr()):
		return a.elsewhere(r)
	case r.Method == http.MethodGet && r.URL.Path == "/v2/":
		return a.ping(r)
	case r.Method == http.MethodPost && r.URL.Query().Get("mount") != "":
		return a.mount(r)
	}
	return a.send(r, a.scope)
}

// sameHost tells whether a URL is of a registry, with or without its scheme's port.
func sameHost(u *url.URL, registry string) bool {
	if port := map[string]string{"http": "80", "https": "443"}[u.Scheme]; u.Port() == "" && u.Host != registry {
		return net.JoinHostPort(u.Hostname(), port) == registry
	} else if u.Port() == port && u.Host != registry {
		return u.Hostname() == registry
	}
	return u.Host == registry
}

// ping asks which challenges there are, and hides them from go-containerregistry, which then leaves
// it to us to answer them.
func (a *authorizer) ping(r *http.Request) (*http.Response, error) {
	resp, err := a.next.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	a.mu.Lock()
	a.ways = parseChallenges(resp.Header)
	if resp.Header.Get("WWW-Authenticate") == "" {
		a.ways = []challenge{{scheme: "basic"}} // what clients do who were told nothing
	}
	a.mu.Unlock()
	discard(resp)
	open := *resp
	open.StatusCode, open.Status, open.Body, open.ContentLength = http.StatusOK, "200 OK", http.NoBody, 0
	open.Header = resp.Header.Clone()
	open.Header.Del("WWW-Authenticate")
	return &open, nil
}

// send makes a request with what its scopes take. Where the registry answers 401, it was not asked
// so yet, or a token has expired: the request is repeated with fresh credentials, once.
func (a *authorizer) send(r *http.Request, scopes ...string) (*http.Response, error) {
	used, err := a.header(r, scopes)
	if err != nil {
		return nil, err
	}
	resp, err := a.next.RoundTrip(authorized(r, used))
	if err != nil || resp.StatusCode != http.StatusUnauthorized || !a.learn(resp, used, scopes) {
		return resp, err
	}
	fresh, err := a.header(r, scopes)
	if err != nil {
		discard(resp)
		return nil, err
	}
	if fresh == "" || fresh == used && strings.HasPrefix(fresh, "Basic ") {
		return resp, nil // the same password would get the same answer
	}
	again, ok := rewind(r)
	if !ok {
		return resp, nil // the caller's next try has the fresh credentials
	}
	discard(resp)
	return a.next.RoundTrip(authorized(again, fresh))
}

// authorized is a request with credentials. It is a copy: http.Client takes the headers of the
// original along to wherever it is redirected.
func authorized(r *http.Request, header string) *http.Request {
	if header == "" {
		return r
	}
	out := r.Clone(r.Context())
	out.Header.Set("Authorization", header)
	return out
}

// learn takes in the challenges of a 401, and forgets the credentials that it was the answer to. It
// reports whether another try makes sense.
func (a *authorizer) learn(resp *http.Response, used string, scopes []string) bool {
	ways := parseChallenges(resp.Header)
	bearer, isBearer := find(ways, "bearer")
	if _, isBasic := find(ways, "basic"); !isBasic && !isBearer {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ways = ways
	maps.DeleteFunc(a.headers, func(_, header string) bool { return header == used })
	// A registry that names its repositories otherwise than its URLs do says so here. What it says
	// of a mount is of no use to other requests.
	wanted := bearer.params["scope"]
	if used != "" && wanted != "" && len(scopes) == 1 && !slices.Contains(a.extra, wanted) && !covers(scopes[0], wanted) {
		a.extra = append(a.extra, wanted)
	}
	return true
}

// covers tells whether a scope allows all that another does: "repository:a:push,pull" and
// "repository:a:pull".
func covers(scope, other string) bool {
	what, may := cutActions(scope)
	otherWhat, wants := cutActions(other)
	return what == otherWhat && !slices.ContainsFunc(wants, func(one string) bool { return !slices.Contains(may, one) })
}

func cutActions(scope string) (what string, actions []string) {
	at := max(0, strings.LastIndexByte(scope, ':'))
	return scope[:at], strings.Split(strings.TrimPrefix(scope[at:], ":"), ",")
}

// header gives the Authorization for a request of some scopes, "" where there is nothing to say: the
// registry has not asked, or there are no credentials to answer it with.
func (a *authorizer) header(r *http.Request, scopes []string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.ways) == 0 {
		return "", nil
	}
	scopes = slices.Concat(a.extra, scopes) // first: some servers look at one alone
	key := strings.Join(scopes, " ")
	if header, ok := a.headers[key]; ok {
		return header, nil
	}
	header, err := a.answer(r, scopes)
	if err != nil {
		return "", err
	}
	if a.headers == nil {
		a.headers = map[string]string{}
	}
	a.headers[key] = header
	return header, nil
}

// answer answers the challenges. A token is asked for before a password is sent with every request;
// where none is given and the registry takes passwords too, the password has to do.
func (a *authorizer) answer(r *http.Request, scopes []string) (string, error) {
	if a.auth == nil {
		a.auth = authn.Anonymous
		if a.keychain != nil {
			found, err := authn.Resolve(r.Context(), a.keychain, a.repo)
			if err != nil {
				a.auth = nil
				return "", err
			}
			a.auth = found
		}
	}
	config, err := authn.Authorization(r.Context(), a.auth)
	if err != nil {
		return "", err
	}
	password := passwordHeader(config)
	bearer, ok := find(a.ways, "bearer")
	if !ok {
		return password, nil
	}
	if config.RegistryToken != "" {
		return "Bearer " + config.RegistryToken, nil
	}
	token, err := exchange(r, a.repo.Registry, a.auth, a.next, bearer, scopes)
	if _, basic := find(a.ways, "basic"); basic && password != "" && isRefusal(err) {
		return password, nil
	}
	if err != nil {
		return "", err
	}
	if token.RefreshToken != "" {
		a.auth = authn.FromConfig(authn.AuthConfig{IdentityToken: token.RefreshToken})
	}
	return bearerHeader(token), nil
}

func passwordHeader(c *authn.AuthConfig) string {
	switch {
	case c.RegistryToken != "":
		return "Bearer " + c.RegistryToken
	case c.Username != "" && c.Password != "":
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Password))
	case c.Auth != "":
		return "Basic " + c.Auth
	}
	return ""
}

// exchange asks the server that a challenge names for a token.
func exchange(r *http.Request, of name.Registry, auth authn.Authenticator, next http.RoundTripper, c challenge, scopes []string) (*transport.Token, error) {
	return transport.Exchange(r.Context(), of, auth, next, scopes,
		&transport.Challenge{Scheme: c.scheme, Parameters: c.params, Insecure: r.URL.Scheme == "http"})
}

// bearerHeader takes a token by either of the names that servers have for it.
func bearerHeader(t *transport.Token) string {
	if t.AccessToken != "" {
		return "Bearer " + t.AccessToken
	}
	return "Bearer " + t.Token
}

// isRefusal tells whether a server has said no, and would say it again.
func isRefusal(err error) bool {
	var answer *transport.Error
	return errors.As(err, &answer) && answer.StatusCode >= 400 && answer.StatusCode < 500 &&
		answer.StatusCode != http.StatusTooManyRequests && answer.StatusCode != http.StatusRequestTimeout
}

// mount asks for a mount, with a token of its own that covers both repositories. A registry or a
// server of tokens that refuses it has done no harm: the request is then made for an upload.
func (a *authorizer) mount(r *http.Request) (*http.Response, error) {
	from := r.URL.Query().Get("from")
	a.mu.Lock()
	unfit := a.unfit[from]
	a.mu.Unlock()
	if !unfit && from != "" {
		resp, err := a.send(r, a.scope, "repository:"+from+":"+transport.PullScope)
		if err == nil && (resp.StatusCode < 400 || resp.StatusCode >= 500) || err != nil && !isRefusal(err) {
			return resp, err
		}
		if err == nil {
			discard(resp)
		}
		a.mu.Lock()
		if a.unfit == nil {
			a.unfit = map[string]bool{}
		}
		a.unfit[from] = true
		a.mu.Unlock()
	}
	plain := r.Clone(r.Context())
	query := plain.URL.Query()
	for _, key := range []string{"mount", "from", "origin"} {
		query.Del(key)
	}
	plain.URL.RawQuery = query.Encode()
	return a.send(plain, a.scope)
}

// elsewhere makes a request to a host that the registry has sent us to. Our credentials are none of
// its business; a token that anybody gets can be asked for.
func (a *authorizer) elsewhere(r *http.Request) (*http.Response, error) {
	resp, err := a.next.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	bearer, ok := find(parseChallenges(resp.Header), "bearer")
	host, err := name.NewRegistry(r.URL.Host)
	again, whole := rewind(r)
	if !ok || err != nil || !whole {
		return resp, nil
	}
	token, err := exchange(r, host, authn.Anonymous, a.next, bearer, []string{bearer.params["scope"]})
	if err != nil {
		return resp, nil
	}
	discard(resp)
	return a.next.RoundTrip(authorized(again, bearerHeader(token)))
}

// discard reads an answer to its end, within reason, so that its connection can be used again.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 1<<16) // an error means a connection the less
	resp.Body.Close()
}
