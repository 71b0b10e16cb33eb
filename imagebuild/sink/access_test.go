package sink_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"mlenv/imagebuild/image"
	"mlenv/imagebuild/sink"
)

// guarded is a registry that wants a token, which says in plain text what it is good for, with every
// request. Its repositories do not share their blobs.
type guarded struct {
	*apart
	open       bool                                                        // GET /v2/ needs no token
	challenges func(scope string) []string                                 // WWW-Authenticate; nil: Bearer
	grant      func(scopes []string) (granted []string, status int)        // nil: all
	intercept  func(w http.ResponseWriter, r *http.Request, t string) bool // answers before the registry does; nil: never
	tokens     int                                                         // given
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{apart: newApart(t)}
	g.answer(g.guard)
	return g
}

func (g *guarded) guard(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path == "/token" {
		g.token(w, r)
		return true
	}
	repo, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/blobs/")
	repo, _, _ = strings.Cut(repo, "/manifests/")
	scope := "repository:" + repo + ":pull"
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		scope += ",push"
	}
	_, password, _ := r.BasicAuth()
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case r.URL.Path == "/v2/" && g.open, password == "basic":
	case r.URL.Path == "/v2/" && token == "", r.URL.Path != "/v2/" && !allows(token, repo, strings.HasSuffix(scope, "push")):
		list := []string{`Bearer realm="http://` + g.host + `/token",service="test",scope="` + scope + `"`}
		if g.challenges != nil {
			list = g.challenges(scope)
		}
		for _, c := range list {
			w.Header().Add("WWW-Authenticate", c)
		}
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	return g.intercept != nil && g.intercept(w, r, token) || g.refuseUnknown(w, r)
}

// allows reports whether a token is good for a repository.
func allows(token, repo string, push bool) bool {
	return slices.ContainsFunc(strings.Fields(token), func(scope string) bool {
		part := strings.Split(scope, ":")
		return len(part) == 3 && part[1] == repo && (!push || strings.Contains(part[2], "push"))
	})
}

func (g *guarded) token(w http.ResponseWriter, r *http.Request) {
	scopes := r.URL.Query()["scope"]
	if g.grant != nil {
		var status int
		if scopes, status = g.grant(scopes); status != 0 {
			w.WriteHeader(status)
			return
		}
	}
	g.mu.Lock()
	g.tokens++
	g.mu.Unlock()
	_ = json.NewEncoder(w).Encode(map[string]string{"token": strings.Join(scopes, " ") + " "})
}

// one lets a server of tokens answer requests for several scopes with a status.
func oneScope(status int) func([]string) ([]string, int) {
	return func(scopes []string) ([]string, int) {
		if len(scopes) > 1 {
			return nil, status
		}
		return scopes, 0
	}
}

// TestRefusedMount pushes to a repository after another of the registry got the same layer. Whatever
// the registry has against the mount, the layer is uploaded.
func TestRefusedMount(t *testing.T) {
	refuse := func(status int) func(*guarded) {
		return func(g *guarded) {
			g.intercept = func(w http.ResponseWriter, r *http.Request, _ string) bool {
				if r.URL.Query().Get("mount") == "" {
					return false
				}
				w.WriteHeader(status)
				return true
			}
		}
	}
	tests := map[string]struct {
		set     func(*guarded)
		mounted bool
	}{
		"allowed":                     {func(*guarded) {}, true},
		"two scopes give 400":         {func(g *guarded) { g.grant = oneScope(400) }, false},
		"two scopes give 401":         {func(g *guarded) { g.grant = oneScope(401) }, false},
		"two scopes give 403":         {func(g *guarded) { g.grant = oneScope(403) }, false},
		"a token for the first scope": {func(g *guarded) { g.grant = func(s []string) ([]string, int) { return s[:1], 0 }; g.wantsSource() }, false},
		"a token for the last scope": {func(g *guarded) {
			g.grant = func(s []string) ([]string, int) { return s[len(s)-1:], 0 }
			g.wantsSource()
		}, false},
		"no token for the source": {func(g *guarded) {
			g.grant = func(s []string) ([]string, int) {
				return slices.DeleteFunc(s, func(one string) bool { return strings.Contains(one, ":one:") && len(s) > 1 }), 0
			}
			g.wantsSource()
		}, false},
		"mount gives 400": {refuse(400), false},
		"mount gives 401": {refuse(401), false},
		"mount gives 403": {refuse(403), false},
		"mount gives 405": {refuse(405), false},
	}
	for what, tt := range tests {
		for how, large := range map[string]int64{"in one piece": 0, "in chunks": 1} {
			t.Run(what+"/"+how, func(t *testing.T) {
				g := newGuarded(t)
				tt.set(g)
				o := sink.RegistryOptions{Mounts: mountsIn(t.TempDir()), Large: large, Remote: image.Remote{Backoff: remote.Backoff{Steps: 1}}}
				a := sink.Artifact{Image: testImage(t, testLayer(t, "a", strings.Repeat("a", 9000)), testLayer(t, "b", strings.Repeat("b", 9000)))}
				send(t, sink.Registry(g.host+"/one:1", o), a)
				send(t, sink.Registry(g.host+"/two:1", o), a)
				want := 3
				if tt.mounted {
					want = 1
				}
				if n := g.count("PUT /v2/two/blobs/"); n != want {
					t.Errorf("%d uploads to the second repository, want %d:\n%s", n, want, strings.Join(g.log, "\n"))
				}
			})
		}
	}
}

// wantsSource lets the registry mount only what the token may pull, too.
func (g *guarded) wantsSource() {
	g.intercept = func(w http.ResponseWriter, r *http.Request, token string) bool {
		from := r.URL.Query().Get("from")
		if from == "" || allows(token, from, false) {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+g.host+`/token",service="test",scope="repository:`+from+`:pull"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
}

// TestChallenges pushes to, and reads from, registries that say in various ways what they want.
func TestChallenges(t *testing.T) {
	bearer := func(g *guarded) string { return `Bearer realm="http://` + g.host + `/token",service="test"` }
	tests := map[string]struct {
		set  func(*guarded)
		keys authn.Keychain
	}{
		"Bearer": {set: func(*guarded) {}},
		"Basic first, in headers of their own": {set: func(g *guarded) {
			g.challenges = func(string) []string { return []string{`Basic realm="test"`, bearer(g)} }
		}},
		"Basic first, in one header": {set: func(g *guarded) {
			g.challenges = func(string) []string { return []string{`Basic realm="a, b", ` + bearer(g)} }
		}},
		"something unknown first": {set: func(g *guarded) {
			g.challenges = func(string) []string { return []string{`Negotiate YWJj==, ` + bearer(g)} }
		}},
		"a password where no token is given": {set: func(g *guarded) {
			g.grant = func([]string) ([]string, int) { return nil, 401 }
			g.challenges = func(string) []string { return []string{bearer(g), `Basic realm="test"`} }
		}, keys: keychain{"u", "basic"}},
		"/v2/ is open, and the rest wants a token": {set: func(g *guarded) { g.open = true }},
		"/v2/ is open, and the rest wants a password": {set: func(g *guarded) {
			g.open = true
			g.challenges = func(string) []string { return []string{`Basic realm="x"`} }
		}, keys: keychain{"u", "basic"}},
		"its scopes have names of their own": {set: func(g *guarded) {
			g.challenges = func(scope string) []string {
				return []string{bearer(g) + `,scope="` + strings.Replace(scope, ":m:", ":tenant/m:", 1) + `"`}
			}
			g.grant = func(s []string) (out []string, _ int) {
				for _, one := range s {
					if strings.Contains(one, ":tenant/m:") {
						out = append(out, strings.Replace(one, ":tenant/m:", ":m:", 1))
					}
				}
				return out, 0
			}
		}},
	}
	for what, tt := range tests {
		for how, large := range map[string]int64{"in one piece": 0, "in chunks": 1} {
			t.Run(what+"/"+how, func(t *testing.T) {
				g := newGuarded(t)
				tt.set(g)
				r := image.Remote{Backoff: remote.Backoff{Steps: 1}, Keychain: tt.keys}
				s := sink.Registry(g.host+"/m:1", sink.RegistryOptions{Large: large, Remote: r})
				if err := s.Check(t.Context()); err != nil {
					t.Error(err)
				}
				img := testImage(t, testLayer(t, "a", "1"))
				send(t, s, sink.Artifact{Image: img})
				want, err := img.Digest()
				if err != nil {
					t.Fatal(err)
				}
				if got, err := r.Digest(t.Context(), g.host+"/m:1"); err != nil || got != want.String() {
					t.Errorf("it has %s, %v, want %s", got, err, want)
				}
			})
		}
	}
}

// TestTokenExpires has tokens that are good for three requests.
func TestTokenExpires(t *testing.T) {
	g := newGuarded(t)
	uses := 0
	g.intercept = func(w http.ResponseWriter, r *http.Request, _ string) bool {
		if r.URL.Path == "/v2/" || r.ContentLength != 0 {
			return false
		}
		if uses++; uses%3 != 0 {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+g.host+`/token",service="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	o := sink.RegistryOptions{Jobs: 1, Remote: image.Remote{Backoff: remote.Backoff{Steps: 1}}}
	send(t, sink.Registry(g.host+"/m:1", o), sink.Artifact{Image: testImage(t, testLayer(t, "a", "1"), testLayer(t, "b", "2"))})
	if g.tokens < 2 {
		t.Errorf("%d tokens", g.tokens)
	}
}

// TestCheck asks registries that cannot be pushed to, and one that can.
func TestCheck(t *testing.T) {
	stuck := make(chan struct{})
	defer close(stuck)
	tests := map[string]struct {
		refuse func(w http.ResponseWriter, r *http.Request) bool
		want   string // in the error; "": none
	}{
		"good":                {func(http.ResponseWriter, *http.Request) bool { return false }, ""},
		"it is busy at first": {failures(1, 503), ""},
		"never answers": {func(_ http.ResponseWriter, r *http.Request) bool {
			select {
			case <-stuck:
			case <-r.Context().Done():
			}
			return true
		}, "has not answered within 50ms"},
		"is for reading": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPost {
				w.WriteHeader(http.StatusMethodNotAllowed)
			}
			return r.Method == http.MethodPost
		}, "405"},
		"denies it": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPost {
				w.WriteHeader(http.StatusForbidden)
			}
			return r.Method == http.MethodPost
		}, "403"},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			reg := newRegistry(t)
			reg.answer(tt.refuse)
			o := sink.RegistryOptions{Answer: 50 * time.Millisecond, Remote: image.Remote{Backoff: remote.Backoff{Duration: time.Microsecond, Steps: 3}}}
			if tt.want == "" {
				o.Answer = 0
			}
			s := sink.Registry(reg.host+"/m:1", o)
			err := s.Check(t.Context())
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want something of %q", err, tt.want)
				}
				return
			}
			if err != nil || s.Check(t.Context()) != nil {
				t.Errorf("got %v", err)
			}
			if posts, deletes := reg.count("POST "), reg.count("DELETE /v2/m/blobs/uploads/"); deletes != 1 || posts < 1 || posts > 2 {
				t.Errorf("it was asked\n%s", strings.Join(reg.log, "\n"))
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sink.Registry(newRegistry(t).host+"/m:1", sink.RegistryOptions{}).Check(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

// failures answers the first requests but those to /v2/ with a status.
func failures(n, status int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v2/" || n == 0 {
			return false
		}
		n--
		w.WriteHeader(status)
		return true
	}
}

// located has credentials from a place.
type located struct {
	keychain
	from   string
	looked []string
}

func (l located) Resolve(target authn.Resource) (authn.Authenticator, error) {
	if l.from == "" {
		return authn.Anonymous, nil
	}
	return l.keychain.Resolve(target)
}

func (l located) Locate(authn.Resource) (string, []string) { return l.from, l.looked }

// TestDenied says whose credentials were refused, or where there might have been some.
func TestDenied(t *testing.T) {
	for what, tt := range map[string]struct {
		keys  located
		basic bool
		want  string
	}{
		"nobody":           {located{looked: []string{"a.json", "b.json"}}, true, "no credentials for HOST were found in a.json, b.json: "},
		"nobody's token":   {located{looked: []string{"a.json"}}, false, "no credentials for HOST were found in a.json: "},
		"somebody":         {located{keychain{"ann", "secret"}, "b.json", nil}, true, "the credentials of user ann from b.json were refused: "},
		"somebody's token": {located{keychain{"ann", "secret"}, "b.json", nil}, false, "the credentials of user ann from b.json were refused: "},
	} {
		t.Run(what, func(t *testing.T) {
			g := newGuarded(t)
			g.grant = func([]string) ([]string, int) { return nil, http.StatusUnauthorized }
			if tt.basic {
				g.challenges = func(string) []string { return []string{`Basic realm="test"`} }
			}
			r := image.Remote{Backoff: remote.Backoff{Steps: 1}, Keychain: tt.keys}
			s := sink.Registry(g.host+"/m:1", sink.RegistryOptions{Remote: r})
			_, sendErr := s.Send(t.Context(), sink.Artifact{Image: testImage(t, testLayer(t, "a", "1"))})
			_, readErr := r.Digest(t.Context(), g.host+"/m:1")
			for _, err := range []error{s.Check(t.Context()), sendErr, readErr} {
				var denied *image.DeniedError
				want := strings.Replace(tt.want, "HOST", g.host, 1)
				if !errors.As(err, &denied) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
					t.Errorf("got %v, want something of %q", err, want)
				}
			}
		})
	}
}

// TestPushWaits pushes to a registry that has enough of requests now and then.
func TestPushWaits(t *testing.T) {
	for how, large := range map[string]int64{"in one piece": 0, "in chunks": 1} {
		t.Run(how, func(t *testing.T) {
			reg := newRegistry(t)
			seen := map[string]bool{}
			reg.answer(func(w http.ResponseWriter, r *http.Request) bool {
				reg.mu.Lock()
				defer reg.mu.Unlock()
				what := r.Method + " " + fmt.Sprint(r.ContentLength > 0) // each kind of request once
				if seen[what] {
					return false
				}
				seen[what] = true
				w.Header().Set("Retry-After", "17")
				w.WriteHeader(http.StatusTooManyRequests)
				return true
			})
			var slept []time.Duration
			r := image.Remote{Backoff: remote.Backoff{Duration: time.Microsecond, Steps: 2}, Sleep: func(_ context.Context, d time.Duration) error {
				slept = append(slept, d)
				return nil
			}}
			o := sink.RegistryOptions{Jobs: 1, Large: large, Remote: r}
			img := testImage(t, testLayer(t, "a", strings.Repeat("a", 1000)))
			g := &gauge{}
			send(t, sink.Registry(reg.host+"/m:1", o), sink.Artifact{Image: img, Progress: g.step})
			if len(slept) != len(seen) || len(seen) < 5 || slept[0] != 17*time.Second {
				t.Errorf("%d kinds of requests were refused, the waits were %v", len(seen), slept)
			}
			if want := contentSize(t, img); g.toSend != want || g.sent != want {
				t.Errorf("progress: %d of %d bytes sent, want %d", g.sent, g.toSend, want)
			}
		})
	}
}
