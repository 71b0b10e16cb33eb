package image

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Remote is how to access registries. Everything that does, to find a base, compare an image or
// push, uses a Remote, so that credentials, certificates and retries are the same everywhere. The
// zero value is anonymous and trusts the system's certificates.
type Remote struct {
	Keychain  authn.Keychain    // nil: anonymous; it may be a Locator, too
	Transport http.RoundTripper // nil: go-containerregistry's default
	UserAgent string
	Timeout   time.Duration  // after which a request on which next to nothing moves is given up; 0: 2 min
	Backoff   remote.Backoff // between tries; zero: go-containerregistry's own

	// Sleep waits for as long as a registry asks with Retry-After, up to five minutes for one
	// request. If nil, it waits for the duration or until the context is done.
	Sleep func(context.Context, time.Duration) error
	// OnWait, if not nil, is called before each such wait. It is called from several goroutines.
	OnWait func(host string, d time.Duration)
}

// Locator is a Keychain that knows where its credentials come from.
type Locator interface {
	// Locate returns where the credentials for a repository come from, or "" if there are none, and
	// everywhere it looked for them.
	Locate(target authn.Resource) (from string, looked []string)
}

// Session is a Remote for one repository. Its requests share tokens and what was learned about how
// the registry authenticates.
type Session struct {
	remote    Remote
	repo      name.Repository
	transport http.RoundTripper
}

// Session starts a session. scope is transport.PullScope or transport.PushScope.
func (r Remote) Session(repo name.Repository, scope string) *Session {
	g := &guard{next: r.RoundTripper(), registry: repo.RegistryStr(), timeout: r.Timeout}
	p := &patient{next: g, sleep: r.Sleep, onWait: r.OnWait}
	if p.sleep == nil {
		p.sleep = sleep
	}
	return &Session{r, repo, &authorizer{
		next: transport.NewUserAgent(p, r.UserAgent), repo: repo, scope: repo.Scope(scope), keychain: r.Keychain,
	}}
}

// Options returns the options of go-containerregistry for the session, followed by more.
func (s *Session) Options(ctx context.Context, more ...remote.Option) []remote.Option {
	opts := []remote.Option{remote.WithContext(ctx), remote.WithTransport(s.transport)}
	if s.remote.Backoff.Steps > 0 {
		opts = append(opts, remote.WithRetryBackoff(s.remote.Backoff))
	}
	if s.remote.UserAgent != "" {
		opts = append(opts, remote.WithUserAgent(s.remote.UserAgent))
	}
	return append(opts, more...)
}

// RoundTripper returns the transport, or the default one.
func (r Remote) RoundTripper() http.RoundTripper {
	if r.Transport == nil {
		return remote.DefaultTransport
	}
	return r.Transport
}

// Digest asks a registry for the digest of a reference, "sha256:…", without fetching the manifest.
func (r Remote) Digest(ctx context.Context, text string) (string, error) {
	ref, err := ParseReference(text)
	if err != nil {
		return "", err
	}
	s := r.Session(ref.Context(), transport.PullScope)
	d, err := remote.Head(ref, s.Options(ctx)...)
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", ref.Name(), s.Explain(ctx, err))
	}
	return d.Digest.String(), nil
}

// Client returns an HTTP client for requests that go-containerregistry does not make. It does not
// follow redirects, and repeats only requests that the registry asks to repeat later or with
// credentials.
func (s *Session) Client(ctx context.Context) (*http.Client, error) {
	// This transport is only used to find the scheme: registries on this machine may use plain
	// HTTP.
	t, err := transport.NewWithContext(ctx, s.repo.Registry, authn.Anonymous, s.transport, nil)
	if err != nil {
		return nil, err
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &http.Client{Transport: t, CheckRedirect: stay}, nil
}

// DeniedError reports that a registry denied access, and with which credentials.
type DeniedError struct {
	Registry string
	User     string   // "" if there are no credentials, or if they are a token
	From     string   // where the credentials are from; "" if there are none or it is not known
	Looked   []string // where they were looked for
	Found    bool     // whether there are credentials
	Err      error    // the response of the registry or its token server
}

func (e *DeniedError) Error() string {
	var why strings.Builder
	switch {
	case e.Found:
		why.WriteString("the credentials")
		if e.User != "" {
			why.WriteString(" of user " + e.User)
		}
		if e.From != "" {
			why.WriteString(" from " + e.From)
		}
		why.WriteString(" were refused")
	default:
		why.WriteString("no credentials for " + e.Registry + " were found")
		if len(e.Looked) > 0 {
			why.WriteString(" in " + strings.Join(e.Looked, ", "))
		}
	}
	return fmt.Sprintf("%s: %v", why.String(), e.Err)
}

func (e *DeniedError) Unwrap() error { return e.Err }

// Explain wraps the error of a registry that denied access in a *DeniedError, and returns any other as
// it is.
func (s *Session) Explain(ctx context.Context, err error) error {
	var answer *transport.Error
	var done *DeniedError
	if !errors.As(err, &answer) || errors.As(err, &done) ||
		answer.StatusCode != http.StatusUnauthorized && answer.StatusCode != http.StatusForbidden {
		return err
	}
	out := &DeniedError{Registry: s.repo.RegistryStr(), Err: err}
	if s.remote.Keychain == nil {
		return out
	}
	if l, ok := s.remote.Keychain.(Locator); ok {
		out.From, out.Looked = l.Locate(s.repo)
	}
	auth, failed := authn.Resolve(ctx, s.remote.Keychain, s.repo)
	if failed != nil {
		return err // is a *DeniedError already
	}
	if config, failed := authn.Authorization(ctx, auth); failed == nil {
		out.Found, out.User = *config != (authn.AuthConfig{}), config.Username
	}
	return out
}

// IsNotFound reports whether a registry answered that it does not have the image.
func IsNotFound(err error) bool {
	var e *transport.Error
	return errors.As(err, &e) && e.StatusCode == http.StatusNotFound
}
