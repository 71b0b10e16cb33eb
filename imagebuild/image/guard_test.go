package image_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"mlenv/imagebuild/image"
)

// impatient is a Remote that gives up soon, and tries nothing twice.
func impatient(s *httptest.Server) image.Remote {
	return image.Remote{Transport: s.Client().Transport, Timeout: 30 * time.Millisecond, Backoff: remote.Backoff{Duration: time.Millisecond, Steps: 1}}
}

// serve starts a server whose handler can block until its client has gone, or the server ends.
func serve(t *testing.T, handler func(block func(*http.Request)) http.Handler) *httptest.Server {
	t.Helper()
	over := make(chan struct{})
	s := httptest.NewServer(handler(func(r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-over:
		}
	}))
	t.Cleanup(func() {
		close(over)
		s.Close()
	})
	return s
}

// A registry that does not answer, stops in the middle or drips is given up, whatever it was asked.
func TestStalledRegistry(t *testing.T) {
	drip := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		ticks := time.NewTicker(time.Millisecond)
		defer ticks.Stop()
		for {
			select {
			case <-r.Context().Done():
				return
			case <-ticks.C:
				if _, err := w.Write([]byte(" ")); err != nil {
					return
				}
				w.(http.Flusher).Flush()
			}
		}
	}
	for name, handler := range map[string]func(http.ResponseWriter, *http.Request, func(*http.Request)){
		"says nothing": func(_ http.ResponseWriter, r *http.Request, block func(*http.Request)) { block(r) },
		"stops": func(w http.ResponseWriter, r *http.Request, block func(*http.Request)) {
			w.Header().Set("Content-Length", "1000000")
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			block(r)
		},
		"drips": func(w http.ResponseWriter, r *http.Request, _ func(*http.Request)) { drip(w, r) },
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(block func(*http.Request)) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != "/v2/" {
						handler(w, r, block)
					}
				})
			})
			_, err := image.Open(t.Context(), strings.TrimPrefix(s.URL, "http://")+"/churn:1", nil, impatient(s))
			var stall *image.StallError
			if !errors.As(err, &stall) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// A registry that takes a push but never answers is given up, too: with the manifest, and with a blob.
func TestStalledPush(t *testing.T) {
	for _, part := range []string{"/manifests/", "/blobs/uploads/"} {
		inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
		s := serve(t, func(block func(*http.Request)) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet && r.Method != http.MethodHead && strings.Contains(r.URL.Path, part) {
					block(r)
					return
				}
				inner.ServeHTTP(w, r)
			})
		})
		ref, err := name.ParseReference(strings.TrimPrefix(s.URL, "http://") + "/churn:1")
		if err != nil {
			t.Fatal(err)
		}
		session := impatient(s).Session(ref.Context(), transport.PushScope)
		err = remote.Write(ref, empty.Image, session.Options(t.Context())...)
		var stall *image.StallError
		if !errors.As(err, &stall) {
			t.Errorf("%s: the error is %v", part, err)
		}
	}
}

// A registry that sends us in circles is asked a few times, not a hundred thousand.
func TestRedirectLoop(t *testing.T) {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		asked.Add(1)
		http.Redirect(w, r, r.URL.Path+"?token=hunter2", http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	_, err := image.Open(t.Context(), strings.TrimPrefix(s.URL, "http://")+"/churn:1", nil, impatient(s))
	var refused *image.RedirectError
	if !errors.As(err, &refused) || strings.Contains(refused.Error(), "hunter2") || asked.Load() > 50 {
		t.Errorf("asked %d times, the error is %v", asked.Load(), err)
	}
}

// Where a registry speaks TLS, nothing goes to an address without: no layer, and no token is asked for.
func TestNoDowngrade(t *testing.T) {
	var inClear atomic.Int64
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inClear.Add(1)
		w.WriteHeader(http.StatusCreated)
	}))
	defer plain.Close()
	img, err := random.Image(1000, 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, handler := range map[string]func(w http.ResponseWriter, r *http.Request) bool{
		"an upload's location": func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost {
				return false
			}
			w.Header().Set("Location", plain.URL+"/upload")
			w.WriteHeader(http.StatusAccepted)
			return true
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, plain.URL+r.URL.Path, http.StatusTemporaryRedirect)
			return true
		},
		"the server of tokens": func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+plain.URL+`/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
			s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v2/" && handler(w, r) {
					return
				}
				inner.ServeHTTP(w, r)
			}))
			defer s.Close()
			inClear.Store(0)
			if err := push(t.Context(), s, img); err == nil || inClear.Load() > 0 {
				t.Errorf("%d requests in clear, the error is %v", inClear.Load(), err)
			}
		})
	}
}

func push(ctx context.Context, s *httptest.Server, img v1.Image) error {
	ref, err := name.ParseReference(strings.TrimPrefix(s.URL, "https://") + "/churn:1")
	if err != nil {
		return err
	}
	r := image.Remote{Transport: s.Client().Transport, Backoff: remote.Backoff{Duration: time.Millisecond, Steps: 1}}
	return remote.Write(ref, img, r.Session(ref.Context(), transport.PushScope).Options(ctx)...)
}
