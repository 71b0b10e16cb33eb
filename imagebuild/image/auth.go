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
// go-containerregistry has such a transport too, but it looks only at the response to GET /v2/,
// uses only the first of several challenges, and gets one token for everything, so that a
// repository to mount layers from can make the whole push fail. This one handles every response
// with status 401, keeps a token for each set of scopes, and turns a mount that is denied into an
// upload.
type authorizer struct {
	next     http.RoundTripper // for the registry and its token server
	repo     name.Repository
	scope    string // access to the repository, such as transport.PushScope
	keychain authn.Keychain

	mu          sync.Mutex
	auth        authn.Authenticator // nil if the keychain was not asked yet
	challenges  []challenge         // of the registry; empty: it requires no credentials
	extra       []string            // scopes that the registry requires in addition
	headers     map[string]string   // Authorization headers by scopes
	unmountable map[string]bool     // repositories from which nothing can be mounted
}

// RoundTrip implements http.RoundTripper.
func (a *authorizer) RoundTrip(r *http.Request) (*http.Response, error) {
	switch {
	case !sameHost(r.URL, a.repo.RegistryStr()):
		return a.otherHost(r)
	case r.Method == http.MethodGet && r.URL.Path == "/v2/":
		return a.ping(r)
	case r.Method == http.MethodPost && r.URL.Query().Get("mount") != "":
		return a.mount(r)
	}
	return a.send(r, a.scope)
}

// sameHost reports whether a URL is on a registry's host, with or without the default port of its
// scheme.
func sameHost(u *url.URL, registry string) bool {
	if port := map[string]string{"http": "80", "https": "443"}[u.Scheme]; u.Port() == "" && u.Host != registry {
		return net.JoinHostPort(u.Hostname(), port) == registry
	} else if u.Port() == port && u.Host != registry {
		return u.Hostname() == registry
	}
	return u.Host == registry
}

// ping reads the registry's challenges and hides them from go-containerregistry, which would
// otherwise answer them itself.
func (a *authorizer) ping(r *http.Request) (*http.Response, error) {
	resp, err := a.next.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	a.mu.Lock()
	a.challenges = parseChallenges(resp.Header)
	if resp.Header.Get("WWW-Authenticate") == "" {
		a.challenges = []challenge{{scheme: "basic"}} // what clients do if there is no challenge
	}
	a.mu.Unlock()
	discard(resp)
	open := *resp
	open.StatusCode, open.Status, open.Body, open.ContentLength = http.StatusOK, "200 OK", http.NoBody, 0
	open.Header = resp.Header.Clone()
	open.Header.Del("WWW-Authenticate")
	return &open, nil
}

// send makes a request with credentials for its scopes. If the registry answers 401, there were no
// credentials for them yet or a token has expired: the request is repeated once with fresh
// credentials.
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
		return resp, nil // the same password would get the same response
	}
	again, ok := rewind(r)
	if !ok {
		return resp, nil // the caller's next try will use the fresh credentials
	}
	discard(resp)
	return a.next.RoundTrip(authorized(again, fresh))
}

// authorized returns a copy of a request with credentials. The original must not have them:
// http.Client copies its headers to redirects, which may lead to other hosts.
func authorized(r *http.Request, header string) *http.Request {
	if header == "" {
		return r
	}
	out := r.Clone(r.Context())
	out.Header.Set("Authorization", header)
	return out
}

// learn remembers the challenges of a 401 response and forgets the rejected credentials. It reports
// whether another try makes sense.
func (a *authorizer) learn(resp *http.Response, used string, scopes []string) bool {
	challenges := parseChallenges(resp.Header)
	bearer, isBearer := find(challenges, "bearer")
	if _, isBasic := find(challenges, "basic"); !isBasic && !isBearer {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.challenges = challenges
	maps.DeleteFunc(a.headers, func(_, header string) bool { return header == used })
	// Some registries name repositories differently in scopes than in URLs, and say so here. The
	// scope of a mount is of no use to other requests.
	wanted := bearer.params["scope"]
	if used != "" && wanted != "" && len(scopes) == 1 && !slices.Contains(a.extra, wanted) && !covers(scopes[0], wanted) {
		a.extra = append(a.extra, wanted)
	}
	return true
}

// covers reports whether a scope includes another, as "repository:a:push,pull" includes
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

// header returns the Authorization header for a request with some scopes. It returns "" if the
// registry has not asked for credentials, or if there are none.
func (a *authorizer) header(r *http.Request, scopes []string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.challenges) == 0 {
		return "", nil
	}
	scopes = slices.Concat(a.extra, scopes) // extra first, because some servers only use the first scope
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

// answer returns the Authorization header that answers the challenges. A token is better than
// sending the password with every request. The password is only used if there is no token and the
// registry accepts passwords too.
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
	bearer, ok := find(a.challenges, "bearer")
	if !ok {
		return password, nil
	}
	if config.RegistryToken != "" {
		return "Bearer " + config.RegistryToken, nil
	}
	token, err := exchange(r, a.repo.Registry, a.auth, a.next, bearer, scopes)
	if _, basic := find(a.challenges, "basic"); basic && password != "" && isRefusal(err) {
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

// exchange asks the token server named in a challenge for a token.
func exchange(r *http.Request, of name.Registry, auth authn.Authenticator, next http.RoundTripper, c challenge, scopes []string) (*transport.Token, error) {
	return transport.Exchange(r.Context(), of, auth, next, scopes,
		&transport.Challenge{Scheme: c.scheme, Parameters: c.params, Insecure: r.URL.Scheme == "http"})
}

// bearerHeader returns the header for a token. Servers return the token under one of two names.
func bearerHeader(t *transport.Token) string {
	if t.AccessToken != "" {
		return "Bearer " + t.AccessToken
	}
	return "Bearer " + t.Token
}

// isRefusal reports whether a server has denied a request permanently.
func isRefusal(err error) bool {
	var answer *transport.Error
	return errors.As(err, &answer) && answer.StatusCode >= 400 && answer.StatusCode < 500 &&
		answer.StatusCode != http.StatusTooManyRequests && answer.StatusCode != http.StatusRequestTimeout
}

// mount asks for a mount, with a token of its own for both repositories. If the registry or the
// token server denies it, the request is repeated as one for an upload.
func (a *authorizer) mount(r *http.Request) (*http.Response, error) {
	from := r.URL.Query().Get("from")
	a.mu.Lock()
	unmountable := a.unmountable[from]
	a.mu.Unlock()
	if !unmountable && from != "" {
		resp, err := a.send(r, a.scope, "repository:"+from+":"+transport.PullScope)
		if err == nil && (resp.StatusCode < 400 || resp.StatusCode >= 500) || err != nil && !isRefusal(err) {
			return resp, err
		}
		if err == nil {
			discard(resp)
		}
		a.mu.Lock()
		if a.unmountable == nil {
			a.unmountable = map[string]bool{}
		}
		a.unmountable[from] = true
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

// otherHost makes a request to another host that the registry redirects to. It must not get our
// credentials, but we may ask it for an anonymous token.
func (a *authorizer) otherHost(r *http.Request) (*http.Response, error) {
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

// discard reads the rest of a response, up to a limit, so that its connection can be reused.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 1<<16) // after an error the connection is just not reused
	resp.Body.Close()
}
