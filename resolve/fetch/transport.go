package fetch

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// Auth is how a client shows an MLflow server who it is: by a user and a password where both are set,
// else by a token, as MLflow has it.
type Auth struct {
	User, Password, Token string
}

// TLS is how servers are trusted.
type TLS struct {
	Insecure   bool   // take any certificate
	CAFile     string // PEM file of the certificates to trust instead of the system's
	ClientCert string // PEM file with the client's own certificate and key
}

// Proxy names the proxies, as the environment variables of these names in lower and upper case do.
type Proxy struct {
	HTTP, HTTPS, No string
}

// transport sends requests. It alone knows the credentials, and puts them into what goes to the origins
// that they are for: not into a redirect's or a signed URL's, whoever asks for these.
type transport struct {
	next      *http.Transport
	auth      map[string]string // by origin: the Authorization
	workspace string            // for the same origins
}

// newTransport makes one whose credentials are for the servers of these URLs.
func newTransport(o *Options, servers ...*url.URL) (*transport, error) {
	next, err := newHTTPTransport(o)
	if err != nil {
		return nil, err
	}
	t := &transport{auth: map[string]string{}, workspace: o.Workspace, next: next}
	for _, u := range servers {
		if u != nil {
			t.auth[origin(u)] = o.Auth.header(u.User)
		}
	}
	return t, nil
}

// newHTTPTransport makes one that trusts certificates and uses proxies as the options say.
func newHTTPTransport(o *Options) (*http.Transport, error) {
	config, err := o.TLS.config()
	if err != nil {
		return nil, err
	}
	proxy := (&httpproxy.Config{HTTPProxy: o.Proxy.HTTP, HTTPSProxy: o.Proxy.HTTPS, NoProxy: o.Proxy.No}).ProxyFunc()
	return &http.Transport{
		Proxy:               func(r *http.Request) (*url.URL, error) { return proxy(r.URL) },
		DialContext:         (&net.Dialer{Timeout: o.Timeout}).DialContext,
		TLSClientConfig:     config,
		TLSHandshakeTimeout: o.Timeout,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 8,
		// A file must come as it is, and its length with it.
		DisableCompression: true,
	}, nil
}

// header is the value of Authorization, "" for none. What a URL holds is stronger, as in Python's requests.
func (a Auth) header(inURL *url.Userinfo) string {
	r := http.Request{Header: http.Header{}}
	password, _ := inURL.Password()
	switch {
	case inURL != nil && inURL.Username() != "":
		r.SetBasicAuth(inURL.Username(), password)
	case a.User != "" && a.Password != "":
		r.SetBasicAuth(a.User, a.Password)
	case a.Token != "":
		return "Bearer " + a.Token
	}
	return r.Header.Get("Authorization")
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.User = nil
	r.Header.Del("Authorization")
	r.Header.Del("Referer")
	if auth, ours := t.auth[origin(r.URL)]; ours {
		if auth != "" {
			r.Header.Set("Authorization", auth)
		}
		if t.workspace != "" {
			r.Header.Set("X-MLFLOW-WORKSPACE", t.workspace)
		}
	}
	return t.next.RoundTrip(r)
}

// origin is a URL's scheme, host and port.
func origin(u *url.URL) string {
	scheme, port := strings.ToLower(u.Scheme), u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	return scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

const maxRedirects = 10

// checkRedirect refuses to leave an encrypted connection for one that is not.
func checkRedirect(r *http.Request, via []*http.Request) error {
	switch {
	case r.URL.Scheme != "http" && r.URL.Scheme != "https":
		return &redirectError{"redirects to an address that is not of the web"}
	case via[len(via)-1].URL.Scheme == "https" && r.URL.Scheme == "http":
		return &redirectError{"redirects to " + r.URL.Host + " without encryption"}
	case len(via) >= maxRedirects:
		return &redirectError{fmt.Sprintf("redirects more than %d times", maxRedirects)}
	}
	return nil
}

// redirectError is a redirect that is not followed.
type redirectError struct{ msg string }

func (e *redirectError) Error() string { return e.msg }

func (t TLS) config() (*tls.Config, error) {
	bad := func(msg string, err error) error { return &Error{Kind: BadSettings, Msg: msg, Err: withoutURL(err)} }
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: t.Insecure}
	if t.Insecure && t.CAFile != "" {
		return nil, bad("MLFLOW_TRACKING_INSECURE_TLS and MLFLOW_TRACKING_SERVER_CERT_PATH are both set, and contradict each other", nil)
	}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, bad("reading the certificates to trust", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, bad(t.CAFile+" holds no certificate to trust", nil)
		}
	}
	if t.ClientCert != "" {
		pair, err := tls.LoadX509KeyPair(t.ClientCert, t.ClientCert)
		if err != nil {
			return nil, bad("reading the client certificate "+t.ClientCert, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
