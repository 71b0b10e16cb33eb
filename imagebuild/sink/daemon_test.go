package sink_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"mlenv/imagebuild/sink"
)

// engineAPI answers as an engine does.
func engineAPI(t *testing.T) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/_ping":
		case "/images/load":
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				t.Error(err)
			}
		default:
			http.NotFound(w, r)
		}
	})
}

// TestDaemonTCP speaks to engines over TCP, with and without TLS.
func TestDaemonTCP(t *testing.T) {
	clients := newAuthority(t)
	plain := httptest.NewServer(engineAPI(t))
	t.Cleanup(plain.Close)
	secure := serveTLS(t, engineAPI(t), clients)
	certs, half := t.TempDir(), t.TempDir()
	for _, dir := range []string{certs, half} {
		writeAll(t, filepath.Join(dir, "ca.pem"), serverCert(secure))
	}
	clients.client(t, filepath.Join(certs, "cert.pem"), filepath.Join(certs, "key.pem"))
	tcp := func(s *httptest.Server) string { return "tcp://" + s.Listener.Addr().String() }
	nobody := httptest.NewServer(http.NotFoundHandler())
	nobody.Close()
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(elsewhere.Close)
	tests := map[string]struct {
		d    sink.Daemon
		want string
	}{
		"plain":                           {sink.Daemon{Host: tcp(plain)}, ""},
		"TLS":                             {sink.Daemon{Host: tcp(secure), CertDir: certs}, ""},
		"TLS without a certificate":       {sink.Daemon{Host: tcp(secure), CertDir: half}, "certificate required"},
		"TLS with an unknown authority":   {sink.Daemon{Host: strings.Replace(tcp(secure), "tcp", "https", 1)}, "certificate"},
		"certificates that are not there": {sink.Daemon{Host: tcp(secure), CertDir: t.TempDir()}, "ca.pem"},
		"nobody listens":                  {sink.Daemon{Host: tcp(nobody)}, "refused"},
		"no engine listens":               {sink.Daemon{Host: tcp(elsewhere)}, "404"},
		"no socket":                       {sink.Daemon{Host: "unix:///nonexistent/s"}, "no such file"},
		"ssh":                             {sink.Daemon{Host: "ssh://someone:hunter2@host"}, "must be unix:// or tcp://, not ssh://host"},
		"no URL":                          {sink.Daemon{Host: "tcp://someone:hunter2@host:port"}, "must be a URL"},
	}
	img := testImage(t, testLayer(t, "a", "1"))
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			_, loadErr := tt.d.Load("churn:1").Send(context.Background(), sink.Artifact{Image: img})
			pingErr := tt.d.Ping(context.Background())
			for _, err := range []error{pingErr, loadErr} {
				if (err != nil) != (tt.want != "") || err != nil && strings.Contains(err.Error(), "hunter2") {
					t.Errorf("got %v, want something of %q", err, tt.want)
				}
			}
			// Loading may be cut off before the reason for it can be read.
			if pingErr != nil && !strings.Contains(pingErr.Error(), tt.want) {
				t.Errorf("got %v, want something of %q", pingErr, tt.want)
			}
		})
	}
}
