package image

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Remote is how registries are spoken to. Whatever asks one, to find a base, to compare an image or
// to push, does it by a Remote, so that credentials, certificates and retries are the same
// everywhere. The zero value is anonymous, and trusts the system's certificates.
type Remote struct {
	Keychain  authn.Keychain    // nil: anonymous
	Transport http.RoundTripper // nil: go-containerregistry's default
	UserAgent string
	Backoff   remote.Backoff // between tries; zero: go-containerregistry's own
}

// Options are the settings in the form that go-containerregistry takes, followed by more.
func (r Remote) Options(ctx context.Context, more ...remote.Option) []remote.Option {
	opts := []remote.Option{remote.WithContext(ctx), remote.WithTransport(r.RoundTripper())}
	if r.Keychain != nil {
		opts = append(opts, remote.WithAuthFromKeychain(r.Keychain))
	}
	if r.Backoff.Steps > 0 {
		opts = append(opts, remote.WithRetryBackoff(r.Backoff))
	}
	if r.UserAgent != "" {
		opts = append(opts, remote.WithUserAgent(r.UserAgent))
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

// Digest asks a registry what a reference names, without fetching it: "sha256:…".
func (r Remote) Digest(ctx context.Context, text string) (string, error) {
	ref, err := ParseReference(text)
	if err != nil {
		return "", err
	}
	d, err := remote.Head(ref, r.Options(ctx)...)
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", ref.Name(), err)
	}
	return d.Digest.String(), nil
}

// Client returns an HTTP client with the credentials of a repository, for requests that
// go-containerregistry does not make. It follows no redirection, and repeats no request.
func (r Remote) Client(ctx context.Context, repo name.Repository, scopes []string) (*http.Client, error) {
	auth := authn.Anonymous
	if r.Keychain != nil {
		var err error
		if auth, err = authn.Resolve(ctx, r.Keychain, repo); err != nil {
			return nil, err
		}
	}
	t := r.RoundTripper()
	if r.UserAgent != "" {
		t = transport.NewUserAgent(t, r.UserAgent)
	}
	t, err := transport.NewWithContext(ctx, repo.Registry, auth, t, scopes)
	if err != nil {
		return nil, err
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &http.Client{Transport: t, CheckRedirect: stay}, nil
}

// IsNotFound reports whether a registry answered that it does not have the image.
func IsNotFound(err error) bool {
	var e *transport.Error
	return errors.As(err, &e) && e.StatusCode == http.StatusNotFound
}
