package image

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
)

// CertTransport is a transport that trusts additional certificates for a host, which it finds in
// directories with the structure of Docker's and podman's certs.d: DIR/HOST[:PORT]/*.crt, and
// client certificates in *.cert with *.key.
type CertTransport struct {
	Dirs []string
	Next http.RoundTripper // for hosts without certificates of their own; others get a modified copy

	mu    sync.Mutex
	hosts map[string]http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (c *CertTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	next, err := c.forHost(r.URL.Host)
	if err != nil {
		return nil, err
	}
	return next.RoundTrip(r)
}

func (c *CertTransport) forHost(host string) (http.RoundTripper, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t, ok := c.hosts[host]; ok {
		return t, nil
	}
	t, err := c.build(host)
	if err != nil {
		return nil, err
	}
	if c.hosts == nil {
		c.hosts = map[string]http.RoundTripper{}
	}
	c.hosts[host] = t
	return t, nil
}

func (c *CertTransport) build(host string) (http.RoundTripper, error) {
	standard, ok := c.Next.(*http.Transport)
	if !ok || host == "" || host != filepath.Base(host) {
		return c.Next, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	found := false
	for _, dir := range c.Dirs {
		authorities, err := filepath.Glob(filepath.Join(dir, host, "*.crt"))
		if err != nil {
			return nil, err
		}
		for _, name := range authorities {
			if err := TrustFile(config, name); err != nil {
				return nil, err
			}
			found = true
		}
		certs, err := filepath.Glob(filepath.Join(dir, host, "*.cert"))
		if err != nil {
			return nil, err
		}
		for _, name := range certs {
			pair, err := tls.LoadX509KeyPair(name, name[:len(name)-len(".cert")]+".key")
			if err != nil {
				return nil, fmt.Errorf("reading the client certificate for %s: %w", host, err)
			}
			config.Certificates = append(config.Certificates, pair)
			found = true
		}
	}
	if !found {
		return c.Next, nil
	}
	own := standard.Clone()
	own.TLSClientConfig = config
	return own, nil
}

// TrustFile makes a configuration trust the certificates in a PEM file, in addition to those of the
// system.
func TrustFile(config *tls.Config, name string) error {
	if config.RootCAs == nil {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool() // a machine without system certificates
		}
		config.RootCAs = pool
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if !config.RootCAs.AppendCertsFromPEM(data) {
		return fmt.Errorf("%s contains no certificate in PEM", name)
	}
	return nil
}
