package fetch_test

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"mlenv/resolve/fetch"
	"mlenv/resolve/fetch/fetchtest"
)

// TestPresigned fetches large files from the bucket behind a server, where that gives addresses there: with a tag, so that
// the next run need not, and without the server's credentials. Where there are no addresses, or they are of no use here, the
// files come by way of the server.
func TestPresigned(t *testing.T) {
	const size = 16 << 20
	on := func(where string, f http.HandlerFunc) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasPrefix(r.URL.Path, where) {
				return false
			}
			f(w, r)
			return true
		}
	}
	const presign = "/api/2.0/mlflow-artifacts/presigned/"
	says := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
	}
	for name, tt := range map[string]struct {
		set    func(*fetchtest.Server)
		bucket int  // requests of the bucket
		again  bool // the weights are not fetched a second time
	}{
		"bucket":      {func(*fetchtest.Server) {}, 1, true},
		"none":        {func(s *fetchtest.Server) { s.Presigned = false }, 0, false},
		"old server":  {func(s *fetchtest.Server) { s.Answer = on(presign, http.NotFound) }, 0, false},
		"no address":  {func(s *fetchtest.Server) { s.Answer = on(presign, says(`{}`)) }, 0, false},
		"odd address": {func(s *fetchtest.Server) { s.Answer = on(presign, says(`{"url":"file:///etc/passwd"}`)) }, 0, false},
		"unreachable": {func(s *fetchtest.Server) { s.Answer = on(presign, says(`{"url":"http://127.0.0.1:1/x"}`)) }, 0, false},
		"refused":     {func(s *fetchtest.Server) { s.Answer = on("/bucket/", page(403)) }, 2, false},
		"not there":   {func(s *fetchtest.Server) { s.Answer = on("/bucket/", page(404)) }, 1, false},
		"ended once": {func(s *fetchtest.Server) {
			var n atomic.Int64
			s.Answer = func(w http.ResponseWriter, r *http.Request) bool {
				if strings.HasPrefix(r.URL.Path, "/bucket/") && n.Add(1) == 1 {
					w.WriteHeader(403)
					return true
				}
				return false
			}
		}, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := fetchtest.New(t)
			s.Churn("mlflow-artifacts:/0", size)
			s.Chunked, s.Presigned, s.Auth = true, true, "Bearer hunter2"
			tt.set(s)
			dir := t.TempDir()
			open := func() {
				o := remembering(t, s, dir)
				o.Auth.Token = "hunter2"
				if got := weightsOf(t, "models:/churn/1", o); got != string(s.Files[weights]) {
					t.Errorf("%d other bytes", len(got))
				}
			}
			open()
			asked := 0
			for i, r := range s.Requests() {
				if strings.HasPrefix(r, "GET /bucket/") {
					asked++
					if s.Headers()[i].Get("Authorization") != "" {
						t.Error("the bucket was sent the token")
					}
				}
			}
			if asked != tt.bucket {
				t.Errorf("%d requests of the bucket, want %d", asked, tt.bucket)
			}
			before := s.Sent()
			open()
			if tt.again { // another model with the same weights
				if got := weightsOf(t, "models:/churn/2", func() fetch.Options { o := remembering(t, s, dir); o.Auth.Token = "hunter2"; return o }()); got != string(s.Files[weights]) {
					t.Errorf("the retrain: %d other bytes", len(got))
				}
				if n := s.Sent() - before; n > size {
					t.Errorf("the retrain: fetched %d bytes", n)
				}
				before = s.Sent()
				open()
			}
			if n := s.Sent() - before; (n < 10_000) != tt.again {
				t.Errorf("again: fetched %d bytes", n)
			}
		})
	}
}

// TestPresignedGoesOn cuts an answer of the bucket off, and has the file replaced then: the rest is asked for on condition that it
// is the rest of the same file, and of another all is fetched.
func TestPresignedGoesOn(t *testing.T) {
	const size = 17 << 20
	for _, replaced := range []bool{false, true} {
		s := fetchtest.New(t)
		s.Churn("mlflow-artifacts:/0", size)
		s.Chunked, s.Presigned = true, true
		var n atomic.Int64
		s.Answer = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasPrefix(r.URL.Path, "/bucket/") || n.Add(1) > 1 {
				return false
			}
			w.Header().Set("Content-Length", fmt.Sprint(size))
			w.Header().Set("ETag", `"old"`)
			if !replaced {
				w.Header().Set("ETag", etagOf(s.Files[weights]))
			}
			_, _ = w.Write(s.Files[weights][:size/2])
			panic(http.ErrAbortHandler) // which ends the connection
		}
		if got := weightsOf(t, "models:/churn/1", options(t, s)); got != string(s.Files[weights]) {
			t.Errorf("replaced %v: %d other bytes", replaced, len(got))
		}
		if sent := s.Sent(); !replaced && sent > size/2+10_000 || replaced && sent < size {
			t.Errorf("replaced %v: fetched %d bytes after the first half", replaced, sent)
		}
	}
}

func etagOf(data []byte) string {
	sum := md5.Sum(data)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}
