package memo_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/imagebuild/memo"
)

// TestImages builds on machines that know nothing but what the registry has.
func TestImages(t *testing.T) {
	s := newServer(t)
	packages := []string{"mlflow 3.1.0: churn", "churn 1.0: deep", "deep 0.1", "wide 1.0"}
	first := newMachine(t, s, packages...)
	want, sent := first.mustBuild(images(t, memo.Request{Targets: []string{ref(s, "churn:1")}}), ref(s, "churn:1"))
	if sent.Bytes < 20000 || first.fetched.Load() == 0 {
		t.Fatalf("the first build fetched %d wheels and sent %d bytes", first.fetched.Load(), sent.Bytes)
	}
	tests := []struct {
		name    string
		request memo.Request
		push    string
		mounts  bool
		fetched bool  // wheels
		most    int64 // bytes that are sent
	}{
		{"the same tag", memo.Request{Targets: []string{ref(s, "churn:1")}}, "churn:1", true, false, 0},
		{"another tag", memo.Request{Targets: []string{ref(s, "churn:2")}}, "churn:2", true, true, 4000},
		{"another tag, of the first", memo.Request{Targets: []string{ref(s, "churn:3")}, Others: []string{ref(s, "churn:1")}}, "churn:3", true, false, 4000},
		{"another repository", memo.Request{Targets: []string{ref(s, "risk:1")}, Others: []string{ref(s, "churn:1")}}, "risk:1", true, false, 7000},
		{"another repository, of strangers", memo.Request{Targets: []string{ref(s, "fraud:1")}}, "fraud:1", true, true, 1 << 20},
		{"one that does not mount", memo.Request{Targets: []string{ref(s, "price:1")}, Others: []string{ref(s, "churn:1")}}, "price:1", false, false, 1 << 20},
		{"latest", memo.Request{Targets: []string{ref(s, "churn:latest")}}, "churn:latest", true, true, 4000},
		{"another tag beside latest", memo.Request{Targets: []string{ref(s, "churn:4")}}, "churn:4", true, false, 4000},
		{"by digest", memo.Request{Targets: []string{ref(s, "churn@%s", want)}}, "churn@" + want, true, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.mounts = tt.mounts
			m := newMachine(t, s, packages...)
			s.forget()
			c := images(t, tt.request)
			if n := s.count("GET /v2/churn/manifests") + s.count("GET /v2/churn/blobs"); n > 4 {
				t.Errorf("%d requests for the notes:\n%s", n, strings.Join(s.log, "\n"))
			}
			got, sent := m.mustBuild(c, ref(s, "%s", tt.push))
			if got != want {
				t.Errorf("the image is %s, want %s", got, want)
			}
			if n := m.fetched.Load(); (n > 0) != tt.fetched {
				t.Errorf("%d wheels were fetched", n)
			}
			if sent.Bytes > tt.most || (sent.Unmounted > 0) == tt.mounts {
				t.Errorf("%d bytes were sent, %d of them for not being mounted", sent.Bytes, sent.Unmounted)
			}
		})
	}
}

// TestImagesBase holds that the base is not looked into where a note tells of it.
func TestImagesBase(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s, "mlflow 3.1.0")
	m.mustBuild(&memo.Chain{}, ref(s, "churn:1"))
	c := images(t, memo.Request{Targets: []string{ref(s, "churn:1")}})
	s.forget()
	m.open(ref(s, "python:3.11.9-slim"), c)
	if n := s.count("GET /v2/python/blobs/"); n != 1 {
		t.Errorf("%d blobs of the base were fetched, want the configuration alone:\n%s", n, strings.Join(s.log, "\n"))
	}
}

// TestImagesCollected builds after the registry has dropped a layer of the image that has the notes.
func TestImagesCollected(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s, "mlflow 3.1.0: churn", "churn 1.0: deep", "deep 0.1", "wide 1.0")
	want, _ := m.mustBuild(&memo.Chain{}, ref(s, "churn:1"))
	for digest := range s.has["churn"] {
		s.has["other"] = map[string]bool{}
		s.collect("churn", digest)
		c := &memo.Chain{}
		known, _ := memo.ReadImages(t.Context(), remotes, memo.Request{Targets: []string{ref(s, "churn:1")}, Platforms: []v1.Platform{platform}})
		c.Add(known)
		for _, push := range []string{"churn:2", "other:1"} {
			if got, _ := m.mustBuild(c, ref(s, "%s", push)); got != want {
				t.Errorf("without %s: the image at %s is %s, want %s", digest, push, got, want)
			}
		}
	}
}

// TestImagesUnread asks registries that do not tell. What is no image, or not for us, is no error of a
// target; nothing takes longer than the time that was given.
func TestImagesUnread(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s, "mlflow 3.1.0")
	m.mustBuild(&memo.Chain{}, ref(s, "churn:1"))
	status := func(code int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(code); return true }
	}
	blobs := func(code int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/blobs/") {
				w.WriteHeader(code)
				return true
			}
			return false
		}
	}
	over := make(chan struct{})
	defer close(over)
	tests := map[string]struct {
		fail   func(http.ResponseWriter, *http.Request) bool
		target bool // an error of a target, too
	}{
		"not found":     {status(http.StatusNotFound), false},
		"unauthorized":  {status(http.StatusUnauthorized), false},
		"denied":        {status(http.StatusForbidden), false},
		"broken":        {status(http.StatusInternalServerError), true},
		"half an image": {blobs(http.StatusInternalServerError), true},
		"a portal": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "text/html")
			w.Write([]byte("<html>Welcome!</html>"))
			return true
		}, true},
		"silent": {func(http.ResponseWriter, *http.Request) bool { <-over; return true }, true},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			s.mu.Lock()
			s.fail = tt.fail
			s.mu.Unlock()
			for _, target := range []bool{true, false} {
				q := memo.Request{Platforms: []v1.Platform{platform}, Timeout: time.Minute}
				if what == "silent" {
					q.Timeout = 100 * time.Millisecond
				}
				if q.Others = []string{ref(s, "churn:1")}; target {
					q.Targets, q.Others = q.Others, nil
				}
				known, errs := memo.ReadImages(t.Context(), remotes, q)
				if known == nil || (len(errs) > 0) != (!target || tt.target) {
					t.Errorf("target %t: errors %v", target, errs)
				}
			}
		})
	}
}
