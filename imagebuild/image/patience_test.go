package image_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"mlenv/imagebuild/image"
)

// TestRetryAfter reads from a registry that answers the first requests with one status and one
// Retry-After, and looks at how long it was waited.
func TestRetryAfter(t *testing.T) {
	date := time.Date(2020, 2, 2, 2, 2, 2, 0, time.UTC) // the registry's clock is wrong
	tests := []struct {
		name   string
		status int
		after  string
		times  int
		want   string // the waits
		err    string
	}{
		{"seconds", 429, "30", 1, "[30s]", ""},
		{"again and again", 429, "60", 3, "[1m0s 1m0s 1m0s]", ""},
		{"a date", 429, date.Add(90 * time.Second).Format(http.TimeFormat), 1, "[1m30s]", ""},
		{"a date that has passed", 429, date.Add(-time.Hour).Format(http.TimeFormat), 1, "[1s]", ""},
		{"nothing", 429, "0", 2, "[1s 1s]", ""},
		{"it is down for a while", 503, "20", 1, "[20s]", ""},
		{"not said how long", 429, "", 1, "[]", ""},
		{"not to be understood", 429, "soon", 1, "[]", ""},
		{"below zero", 429, "-5", 1, "[]", ""},
		{"another status", 500, "30", 1, "[]", ""},
		{"longer than anybody waits", 429, "3600", 1000, "[]", "429"},
		{"too often", 429, "120", 1000, "[2m0s 2m0s]", "429"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			left := tt.times
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Date", date.Format(http.TimeFormat))
				switch {
				case r.URL.Path == "/v2/":
				case left > 0:
					left--
					if tt.after != "" {
						w.Header().Set("Retry-After", tt.after)
					}
					w.WriteHeader(tt.status)
				default:
					w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
					w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("a", 64))
					_, _ = io.WriteString(w, "{}")
				}
			}))
			defer s.Close()
			waits, told := []time.Duration{}, 0
			host := strings.TrimPrefix(s.URL, "http://")
			r := image.Remote{
				Backoff: remote.Backoff{Duration: time.Microsecond, Steps: 3},
				Sleep:   func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil },
				OnWait: func(h string, d time.Duration) {
					if h == host && d > 0 {
						told++
					}
				},
			}
			_, err := r.Digest(t.Context(), host+"/m:1")
			if fmt.Sprint(waits) != tt.want || told != len(waits) {
				t.Errorf("it was waited %v, want %s; %d waits were told of", waits, tt.want, told)
			}
			if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %v, want something of %q", err, tt.err)
			}
		})
	}
}

// TestRetryAfterEnds interrupts a wait.
func TestRetryAfterEnds(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "200")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	r := image.Remote{OnWait: func(string, time.Duration) { cancel() }}
	if _, err := r.Digest(ctx, strings.TrimPrefix(s.URL, "http://")+"/m:1"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
