package main

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

// registryThat is a registry that refuses what it is told to refuse, with a status above 0.
func registryThat(t *testing.T, refuse func(r *http.Request) int) (host string) {
	t.Helper()
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := refuse(r)
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "30")
		}
		if status > 0 {
			w.WriteHeader(status)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// TestImageAsksRegistriesFirst pushes to registries that cannot be pushed to: no package index is
// asked and nothing is kept before that is said.
func TestImageAsksRegistriesFirst(t *testing.T) {
	for what, tt := range map[string]struct {
		status int
		want   string
	}{
		"it is for reading":   {http.StatusMethodNotAllowed, "405"},
		"it denies it":        {http.StatusForbidden, "no credentials for "},
		"it has enough of us": {http.StatusTooManyRequests, "hint: try again later"},
	} {
		t.Run(what, func(t *testing.T) {
			w := newImageWorld(t)
			host := registryThat(t, func(r *http.Request) int {
				if r.Method == http.MethodPost {
					return tt.status
				}
				return 0
			})
			out, errs, code := commandWith(t, nil, w.env, w.args("--push", host+"/churn:1", "--push", w.registry+"/churn:1")...)
			if code != exitFailure || out != "" || !strings.Contains(errs, "asking whether "+host+"/churn:1 can be pushed to") || !strings.Contains(errs, tt.want) {
				t.Errorf("exit code %d, stdout %q, stderr\n%s", code, out, errs)
			}
			if n := len(w.index.Requests()); n != 0 {
				t.Errorf("the index was asked %d times", n)
			}
			if kept, err := os.ReadDir(w.env["MLENV_CACHE_DIR"]); err != nil || len(kept) > 0 {
				t.Errorf("kept %v, %v", kept, err)
			}
		})
	}
}

// TestImageSaysThatItWaits pushes to a registry that asks for pauses.
func TestImageSaysThatItWaits(t *testing.T) {
	w := newImageWorld(t)
	var refused atomic.Int32
	host := registryThat(t, func(r *http.Request) int {
		if r.Method == http.MethodPut && refused.Add(1) <= 2 {
			return http.StatusTooManyRequests
		}
		return 0
	})
	_, errs, code := commandWith(t, nil, w.env, w.args("--push", host+"/churn:1")...)
	if code != 0 || strings.Count(errs, "waiting 30s, as "+host+" asks\n") != 2 {
		t.Errorf("exit code %d, stderr\n%s", code, errs)
	}
}

// TestImageTooLarge pushes to a registry behind a proxy that takes small requests alone.
func TestImageTooLarge(t *testing.T) {
	w := newImageWorld(t)
	host := registryThat(t, func(r *http.Request) int {
		if r.ContentLength > 1000 {
			return http.StatusRequestEntityTooLarge
		}
		return 0
	})
	_, errs, code := commandWith(t, nil, w.env, w.args("--push", host+"/churn:1")...)
	if code != exitFailure || !strings.Contains(errs, "413") || !strings.Contains(errs, "hint: the registry, or a proxy in front of it, takes no layers of that size: give a smaller --max-layer-size") {
		t.Errorf("exit code %d, stderr\n%s", code, errs)
	}
}
