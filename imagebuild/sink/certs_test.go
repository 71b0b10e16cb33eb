package sink_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"mlenv/imagebuild/image"
	"mlenv/imagebuild/sink"
)

// authority signs certificates of its own.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.cert, a.key, a.pem = a.sign(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign signs a certificate, its own the first time.
func (a *authority) sign(t *testing.T, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(1), pkix.Name{CommonName: "mlenv test"}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// client writes a client's certificate and key.
func (a *authority) client(t *testing.T, certFile, keyFile string) {
	t.Helper()
	_, key, cert := a.sign(t, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writeAll(t, certFile, cert)
	writeAll(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func writeAll(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// serveTLS serves behind a certificate that nobody trusts, for clients whose certificate the
// authority signed, if there is one.
func serveTLS(t *testing.T, h http.Handler, clients *authority) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if clients != nil {
		pool := x509.NewCertPool()
		pool.AddCert(clients.cert)
		s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func serverCert(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

// TestCerts pushes to registries whose certificates only a certs.d directory knows.
func TestCerts(t *testing.T) {
	clients, others := newAuthority(t), newAuthority(t)
	tests := map[string]struct {
		clients *authority
		lay     func(t *testing.T, dir string, s *httptest.Server)
		want    string // of the error, "" for none
	}{
		"nothing": {nil, func(*testing.T, string, *httptest.Server) {}, "certificate"},
		"the server's authority": {nil, func(t *testing.T, dir string, s *httptest.Server) {
			writeAll(t, filepath.Join(dir, "ca.crt"), serverCert(s))
		}, ""},
		"one of another server": {nil, func(t *testing.T, dir string, s *httptest.Server) {
			writeAll(t, filepath.Join(dir, "ca.crt"), others.pem)
		}, "certificate"},
		"one for another port": {nil, func(t *testing.T, dir string, s *httptest.Server) {
			writeAll(t, filepath.Join(filepath.Dir(dir), "127.0.0.1", "ca.crt"), serverCert(s))
		}, "certificate"},
		"no certificate at all": {nil, func(t *testing.T, dir string, s *httptest.Server) {
			writeAll(t, filepath.Join(dir, "ca.crt"), []byte("nonsense"))
		}, "ca.crt contains no certificate"},
		"a client's certificate": {clients, func(t *testing.T, dir string, s *httptest.Server) {
			writeAll(t, filepath.Join(dir, "ca.crt"), serverCert(s))
			clients.client(t, filepath.Join(dir, "client.cert"), filepath.Join(dir, "client.key"))
		}, ""},
		"no client's certificate where one is wanted": {clients, func(t *testing.T, dir string, s *httptest.Server) {
			writeAll(t, filepath.Join(dir, "ca.crt"), serverCert(s))
		}, "certificate required"},
		"a client's certificate of another authority": {clients, func(t *testing.T, dir string, s *httptest.Server) {
			writeAll(t, filepath.Join(dir, "ca.crt"), serverCert(s))
			others.client(t, filepath.Join(dir, "client.cert"), filepath.Join(dir, "client.key"))
		}, "certificate"},
		"a client's certificate without its key": {clients, func(t *testing.T, dir string, s *httptest.Server) {
			writeAll(t, filepath.Join(dir, "ca.crt"), serverCert(s))
			clients.client(t, filepath.Join(dir, "client.cert"), filepath.Join(dir, "else.key"))
		}, "reading the client certificate for 127.0.0.1"},
	}
	img := testImage(t, testLayer(t, "a", "1"))
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			s := serveTLS(t, registry.New(registry.Logger(log.New(io.Discard, "", 0))), tt.clients)
			host := strings.TrimPrefix(s.URL, "https://")
			empty, certs := t.TempDir(), t.TempDir()
			tt.lay(t, filepath.Join(certs, host), s)
			o := sink.RegistryOptions{Remote: image.Remote{Backoff: remote.Backoff{Steps: 1},
				Transport: &image.CertTransport{Dirs: []string{empty, certs}, Next: http.DefaultTransport.(*http.Transport).Clone()}}}
			_, err := sink.Registry(host+"/churn:1", o).Send(context.Background(), sink.Artifact{Image: img})
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want something of %q", err, tt.want)
			}
		})
	}
}
