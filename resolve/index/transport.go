package index

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http/httpproxy"
	"golang.org/x/sync/semaphore"
)

const maxRedirects = 10

// transport sends requests: credentials by origin, redirects by rule, at most so many at once.
type transport struct {
	client   *http.Client
	slots    *semaphore.Weighted
	settings *Settings
	keys     keyring
	gates    sync.Map // origin to *connectGate
}

func newTransport(s *Settings, keys keyring) (*transport, error) {
	roots, err := rootCAs(s.CertFile, s.CertDir)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if s.ClientCert != "" {
		pair, err := tls.LoadX509KeyPair(s.ClientCert, s.ClientCert)
		if err != nil {
			return nil, fmt.Errorf("reading the client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	t := &transport{settings: s, keys: keys, slots: semaphore.NewWeighted(int64(s.Concurrency))}
	insecure := config.Clone()
	insecure.InsecureSkipVerify = true // for the hosts that the user calls trusted, and no others
	t.client = &http.Client{
		Transport:     &roundTripper{t: t, strict: s.roundTripper(config), lax: s.roundTripper(insecure)},
		CheckRedirect: t.checkRedirect,
	}
	return t, nil
}

func (s *Settings) roundTripper(config *tls.Config) *http.Transport {
	proxy := (&httpproxy.Config{HTTPProxy: s.HTTPProxy, HTTPSProxy: s.HTTPSProxy, NoProxy: s.NoProxy}).ProxyFunc()
	return &http.Transport{
		Proxy:               func(r *http.Request) (*url.URL, error) { return proxy(r.URL) },
		DialContext:         (&net.Dialer{Timeout: s.Timeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:     config,
		TLSHandshakeTimeout: s.Timeout,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: s.Concurrency,
		IdleConnTimeout:     90 * time.Second,
		// Pages and metadata ask for gzip themselves; a distribution must come as it is.
		DisableCompression: true,
	}
}

// rootCAs gives the certificates to trust; nil stands for the system's.
func rootCAs(file, dir string) (*x509.CertPool, error) {
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		file, dir = "", file // pip takes either for --cert
	}
	if file == "" && dir == "" {
		return nil, nil
	}
	pool := x509.NewCertPool()
	found := false
	if file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading the certificate bundle: %w", err)
		}
		if found = pool.AppendCertsFromPEM(pem); !found {
			return nil, fmt.Errorf("reading the certificate bundle: %s holds no certificate", file)
		}
	}
	for _, d := range filepath.SplitList(dir) {
		entries, _ := os.ReadDir(d)
		for _, e := range entries {
			if pem, err := os.ReadFile(filepath.Join(d, e.Name())); err == nil {
				found = pool.AppendCertsFromPEM(pem) || found
			}
		}
	}
	if !found {
		return nil, nil
	}
	return pool, nil
}

// redirectError is a redirect that is not followed, whatever the server says.
type redirectError struct{ msg string }

func (e *redirectError) Error() string { return e.msg }

func (t *transport) checkRedirect(r *http.Request, via []*http.Request) error {
	from := via[len(via)-1].URL
	to := redact(r.URL)
	switch {
	case r.URL.Scheme != "http" && r.URL.Scheme != "https":
		return &redirectError{fmt.Sprintf("refusing a redirect from %s to %s: not http", redact(from), to)}
	case from.Scheme == "https" && r.URL.Scheme == "http" && !t.trusts(r.URL, listingOf(r.Context())):
		return &redirectError{fmt.Sprintf("refusing a redirect from %s to unencrypted %s", redact(from), to)}
	case len(via) >= maxRedirects:
		return &redirectError{fmt.Sprintf("more than %d redirects, the last to %s", maxRedirects, to)}
	}
	r.URL.User = nil // a server does not choose our credentials
	r.Header.Del("Referer")
	return nil
}

// trusts reports whether a host needs no valid certificate: because the user has said so or, where an
// index of the model's has led there, the model.
func (t *transport) trusts(u *url.URL, index string) bool {
	of := func(host string) bool { return isHost(host, u) }
	return slices.ContainsFunc(t.settings.TrustedHosts, of) ||
		t.settings.Model.names(index) && slices.ContainsFunc(t.settings.Model.TrustedHosts, of)
}

// roundTripper sends one hop: it sets the hop's own credentials and picks the certificate check.
type roundTripper struct {
	t           *transport
	strict, lax *http.Transport
}

func (rt *roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.User = nil
	if r.URL.RawQuery == "" && r.Response == nil { // where a redirect leads, the server decides
		r.URL.RawQuery = rt.t.settings.Queries[queryKey(r.URL)]
	}
	index := listingOf(r.Context())
	rt.t.keys.authorize(r, rt.t.settings.Model.names(index))
	r.Header.Del("Referer")
	next := rt.strict
	if rt.t.trusts(r.URL, index) {
		next = rt.lax
	}
	ctx, leave, err := rt.t.enter(r.Context(), r.URL)
	if err != nil {
		return nil, err
	}
	defer leave()
	return next.RoundTrip(r.WithContext(ctx))
}

// A connectGate lets one request at a time through to an origin until there is a connection to it.
// Without it, fifty requests at the start would open fifty connections, although HTTP/2 needs only
// the first.
type connectGate struct {
	open chan struct{} // closed after the first connection
	turn chan struct{} // holds one token; whoever takes it may connect
	once sync.Once
}

// enter waits at the gate of the URL's origin. leave must be called after the round trip.
func (t *transport) enter(ctx context.Context, u *url.URL) (_ context.Context, leave func(), err error) {
	v, ok := t.gates.Load(u.Scheme + u.Host)
	if !ok {
		g := &connectGate{open: make(chan struct{}), turn: make(chan struct{}, 1)}
		g.turn <- struct{}{}
		v, _ = t.gates.LoadOrStore(u.Scheme+u.Host, g)
	}
	g := v.(*connectGate)
	select {
	case <-g.open:
		return ctx, func() {}, nil
	default:
	}
	select {
	case <-g.open:
		return ctx, func() {}, nil
	case <-ctx.Done():
		return ctx, nil, ctx.Err()
	case <-g.turn:
	}
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { g.once.Do(func() { close(g.open) }) }}
	return httptrace.WithClientTrace(ctx, trace), func() { g.turn <- struct{}{} }, nil
}

// errorOf strips what net/http puts around an error: a URL with whatever secrets are in its query.
func errorOf(err error) error {
	var u *url.Error
	for errors.As(err, &u) {
		err = u.Err
	}
	return err
}
