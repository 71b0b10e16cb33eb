package index_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mlenv/resolve/dist"
	"mlenv/resolve/index"
	"mlenv/resolve/index/indextest"
	"mlenv/resolve/pep508"
)

var ctx = context.Background()

// pauses notes how long a client would have slept.
type pauses struct {
	mu  sync.Mutex
	all []time.Duration
}

func (p *pauses) sleep(ctx context.Context, d time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, d)
	return ctx.Err()
}

func TestRetries(t *testing.T) {
	now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		name  string
		fault func(x *indextest.Index) http.Handler
		times int
		pause time.Duration // of the first retry; 0 for the client's own
		fails bool
	}{
		{"503", func(*indextest.Index) http.Handler { return indextest.Status(503) }, 2, 0, false},
		{"429 with seconds", func(*indextest.Index) http.Handler { return indextest.Status(429, "Retry-After", "7") }, 1, 7 * time.Second, false},
		{"429 with a date", func(*indextest.Index) http.Handler {
			return indextest.Status(429, "Retry-After", now.Add(90*time.Second).Format(http.TimeFormat))
		}, 1, 90 * time.Second, false},
		{"429 that asks for a day", func(*indextest.Index) http.Handler { return indextest.Status(429, "Retry-After", "86400") }, 1, 2 * time.Minute, false},
		{"408", func(*indextest.Index) http.Handler { return indextest.Status(408) }, 1, 0, false},
		{"500 for ever", func(*indextest.Index) http.Handler { return indextest.Status(500) }, -1, 0, true},
		{"truncated", func(x *indextest.Index) http.Handler { return x.Truncate(20) }, 3, 0, false},
		{"truncated for ever", func(x *indextest.Index) http.Handler { return x.Truncate(20) }, -1, 0, true},
		{"hanging", func(*indextest.Index) http.Handler { return indextest.Hang(false) }, 1, 0, false},
		{"hanging in the body", func(*indextest.Index) http.Handler { return indextest.Hang(true) }, 1, 0, false},
		{"401", func(*indextest.Index) http.Handler { return indextest.Status(401) }, -1, 0, true},
	}
	for _, test := range tests {
		for _, secure := range []bool{false, true} {
			x := indextest.New(t, small...)
			if secure {
				x = indextest.NewTLS(t, small...)
			}
			x.On("/simple/some-project/", test.times, test.fault(x))
			var p pauses
			c := client(t, func(s *index.Settings) {
				s.Sleep = p.sleep
				s.Now = func() time.Time { return now }
				if strings.HasPrefix(test.name, "hang") {
					s.Timeout = time.Second
				}
			}, x)
			all, err := c.Files(ctx, "some-project")
			var network *index.NetworkError
			switch {
			case test.fails && !errors.As(err, &network):
				t.Errorf("%s: %v", test.name, err)
			case !test.fails && (err != nil || len(all) != 4):
				t.Errorf("%s: %d files, %v", test.name, len(all), err)
			case !test.fails && len(x.Requests()) != test.times+1 && !strings.HasPrefix(test.name, "hang"):
				t.Errorf("%s: %q", test.name, x.Requests())
			}
			if test.pause > 0 && (len(p.all) != 1 || p.all[0] != test.pause) {
				t.Errorf("%s: slept %v, want %v", test.name, p.all, test.pause)
			}
			for i := 1; test.pause == 0 && i < len(p.all); i++ {
				if p.all[i] < p.all[i-1]*3/2 {
					t.Errorf("%s: pauses do not grow: %v", test.name, p.all)
				}
			}
		}
	}
}

func TestNotFoundIsNotBroken(t *testing.T) {
	x := indextest.New(t, small...)
	x.On("/simple/gone/", -1, indextest.Status(410))
	x.On("/simple/broken/", -1, indextest.Status(502))
	x.On("/simple/hidden/", -1, indextest.Status(403))
	c := client(t, nil, x)
	var missing *index.NotFoundError
	var network *index.NetworkError
	for _, name := range []string{"gone", "absent"} {
		if _, err := c.Files(ctx, "gone"); !errors.As(err, &missing) || errors.As(err, &network) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Files(ctx, "broken"); errors.As(err, &missing) && missing.Name != "gone" || !errors.As(err, &network) || network.Status != 502 {
		t.Errorf("broken: %v", err)
	}
	// The root answers 200: so 403 is how this server says 404.
	x.On("/simple/", -1, indextest.Body("text/html", ""))
	if _, err := c.Files(ctx, "hidden"); !errors.As(err, &missing) {
		t.Errorf("403 of an open index: %v", err)
	}
	y := indextest.New(t)
	y.On("/simple/*", -1, indextest.Status(403))
	y.On("/simple/*/", -1, indextest.Status(403))
	network = nil
	if _, err := client(t, nil, y, x).Files(ctx, "some-project"); !errors.As(err, &network) || network.Status != 403 {
		t.Errorf("403 of a closed index must not fall through to the next: %v", err)
	}
	dead := indextest.New(t)
	dead.URL = "http://127.0.0.1:1/simple/"
	network = nil
	if _, err := client(t, nil, dead).Files(ctx, "some-project"); !errors.As(err, &network) || network.Status != 0 || network.Tries != 5 {
		t.Errorf("nobody listens: %v", err)
	}
	if _, err := c.Files(ctx, "../x"); err == nil {
		t.Error("a name that is none was asked for")
	}
}

func TestMalformed(t *testing.T) {
	for _, body := range []string{"", "[]", "{", `{"files":[`, `{"files":[{"filename":"a"`, `{"files":3}`, `{"meta":{"api-version":"2.0"},"files":[]}`, `{"files":[]}x`, "<html>"} {
		x := indextest.New(t)
		x.On("/simple/a/", -1, indextest.Body("application/vnd.pypi.simple.v1+json", body))
		_, err := client(t, nil, x).Files(ctx, "a")
		var format *index.FormatError
		if !errors.As(err, &format) {
			t.Errorf("%q: %v", body, err)
		}
	}
	for _, media := range []string{"application/vnd.pypi.simple.v2+json", "image/png"} {
		x := indextest.New(t)
		x.On("/simple/a/", -1, indextest.Body(media, `{"files":[]}`))
		if _, err := client(t, nil, x).Files(ctx, "a"); err == nil {
			t.Errorf("media type %s was accepted", media)
		}
	}
	x := indextest.New(t, indextest.Dist{Name: "a", Version: "1.0", Metadata: "nonsense"},
		indextest.Dist{Name: "a", Version: "2.0", Metadata: "Metadata-Version: 2.1\nName: b\nVersion: 2.0\n"},
		indextest.Dist{Name: "a", Version: "3.0", Metadata: "Metadata-Version: 2.1\nName: a\nVersion: 3.1\n"},
		indextest.Dist{Name: "a", Version: "4.0", Content: []byte("no zip at all"), Listed: indextest.Listed{NoMetadata: true}})
	c := client(t, nil, x)
	for _, f := range files(t, c, "a") {
		_, err := c.Metadata(ctx, f)
		var format *index.FormatError
		if !errors.As(err, &format) {
			t.Errorf("metadata of %s: %v", f.Filename, err)
		}
	}
}

// What comes with the status 200 from a network's portal is not the news that a project has no
// files; an index's page without files is.
func TestLoginPageIsNoIndex(t *testing.T) {
	tests := map[string]struct {
		body string
		ok   bool
	}{
		"portal":      {"<!DOCTYPE html><html><body>Welcome! <a href=/login?to=/simple/a/>Log in</a></body></html>", false},
		"empty page":  {"<html><head><title>Links for a</title></head><body><h1>Links for a</h1></body></html>", true},
		"PEP 629":     {`<html><head><meta name="pypi:repository-version" content="1.0"></head></html>`, true},
		"listing":     {"<html><h1>Index of /simple/</h1><a href=../>../</a></html>", true},
		"nothing":     {"", true},
		"odd names":   {"<!DOCTYPE html><html><body><a href=a_latest.whl>a</a><a href=a-final.tar.gz>a</a></body></html>", true},
		"other links": {"<html><a href=a-1.0-py3-none-any.whl>a</a></html>", true},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			x := indextest.New(t)
			x.On("/simple/a/", -1, indextest.Body("text/html", tt.body))
			_, err := client(t, nil, x).Files(ctx, "a")
			var format *index.FormatError
			if got := errors.As(err, &format); got == tt.ok {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestHugePageIsRefused(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 256 MB")
	}
	x := indextest.New(t)
	x.On("/simple/a/", -1, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
		io.WriteString(w, `{"files":[`)
		chunk := []byte(strings.Repeat(" ", 1<<20))
		for range 300 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	_, err := client(t, nil, x).Files(ctx, "a")
	var format *index.FormatError
	if !errors.As(err, &format) || len(x.Requests()) != 1 {
		t.Errorf("a page of 300 MB: %v after %q", err, x.Requests())
	}
}

func TestSlowServerAndContext(t *testing.T) {
	x := indextest.New(t)
	started := make(chan struct{})
	x.On("/simple/a/", -1, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(started)
		<-r.Context().Done()
	}))
	c := client(t, nil, x)
	limited, cancel := context.WithCancelCause(ctx)
	because := errors.New("the user has had enough")
	go func() { <-started; cancel(because) }()
	if _, err := c.Files(limited, "a"); !errors.Is(err, because) {
		t.Errorf("canceled: %v", err)
	}
}

// TestOneCallerLeaves holds that a caller that gives up does not spoil it for another that waits
// for the same page.
func TestOneCallerLeaves(t *testing.T) {
	x := indextest.New(t, small...)
	arrived, release := make(chan struct{}), make(chan struct{})
	x.On("/simple/some-project/", 1, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-release
		x.Serve(w, r)
	}))
	c := client(t, nil, x)
	limited, cancel := context.WithCancel(ctx)
	left := make(chan error)
	go func() { _, err := c.Files(limited, "some-project"); left <- err }()
	<-arrived
	stayed := make(chan error)
	go func() { _, err := c.Files(ctx, "some-project"); stayed <- err }()
	for !c.Waiting("some-project", 2) {
		runtime.Gosched()
	}
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the one who left: %v", err)
	}
	close(release)
	if err := <-stayed; err != nil {
		t.Errorf("the one who stayed: %v", err)
	}
	equal(t, "requests", x.Requests(), []string{"GET /simple/some-project/"})
}

func TestHashes(t *testing.T) {
	big := indextest.Dist{Name: "a", Version: "1.0", Pad: 200_000}
	var hash *index.HashError
	x := indextest.New(t, big)
	x.On("/files/a/*.whl", -1, x.Corrupt())
	x.On("/files/a/*.metadata", -1, x.Corrupt())
	dir := t.TempDir()
	c := client(t, func(s *index.Settings) { s.CacheDir = dir }, x)
	f := files(t, c, "a")[0]
	if _, err := c.Fetch(ctx, f); !errors.As(err, &hash) || hash.Algorithm != "sha256" || hash.Want != big.SHA256() {
		t.Errorf("corrupt file: %v", err)
	}
	if _, err := c.Metadata(ctx, f); !errors.As(err, &hash) {
		t.Errorf("corrupt metadata: %v", err)
	}
	f.Size++
	if _, err := client(t, nil, indextest.New(t, big)).Fetch(ctx, f); err == nil {
		t.Errorf("wrong size: %v", err)
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		if err == nil && !d.IsDir() && rel != "CACHEDIR.TAG" && !strings.Contains(rel, "pages") {
			t.Errorf("what failed is in the cache: %s", rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for alg, want := range map[string]bool{"md5": false, "sha512": false, "made-up": true} {
		f := dist.File{Name: "a", Filename: big.Filename(), URL: indextest.New(t, big).FileURL(big), Hashes: map[string]string{alg: "00"}}
		if _, err := client(t, nil).Fetch(ctx, f); (err == nil) != want {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

func TestResume(t *testing.T) {
	d := indextest.Dist{Name: "a", Version: "1.0", Pad: 1_000_000}
	size := len(d.Bytes())
	for _, secure := range []bool{false, true} {
		x := indextest.New(t, d)
		if secure {
			x = indextest.NewTLS(t, d)
		}
		x.On("/files/a/*.whl", 1, x.Truncate(600_000))
		x.On("/files/a/*.whl", 1, x.Truncate(300_000))
		var events atomic.Int64
		c := client(t, func(s *index.Settings) {
			s.Progress = func(e index.Event) {
				if e.Kind == index.FileDone {
					events.Add(1)
				}
			}
		}, x)
		f := files(t, c, "a")[0]
		x.Forget()
		path, err := c.Fetch(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Size() != int64(size) || events.Load() != 1 {
			t.Errorf("%v, %v, %d events", info, err, events.Load())
		}
		got := x.Requests()
		if len(got) != 3 || !strings.Contains(got[1], " bytes=") || !strings.Contains(got[2], " bytes=") || got[1] == got[2] {
			t.Errorf("requests: %q", got)
		}
	}
	// A file that changed in between comes whole again, and the hash says whether it is right.
	x := indextest.New(t, d)
	x.On("/files/a/*.whl", 1, x.Truncate(600_000))
	x.On("/files/a/*.whl", 1, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-Range") == "" {
			t.Error("a range was asked for without If-Range")
		}
		r.Header.Del("Range")
		x.Serve(w, r)
	}))
	c := client(t, nil, x)
	if _, err := c.Fetch(ctx, files(t, c, "a")[0]); err != nil {
		t.Errorf("a server that starts over: %v", err)
	}
	// A server that answers the rest with nonsense.
	for _, h := range []http.Handler{indextest.Status(416), indextest.Status(206, "Content-Range", "bytes 5-9/10"), indextest.Status(206)} {
		x := indextest.New(t, d)
		x.On("/files/a/*.whl", 1, x.Truncate(600_000))
		x.On("/files/a/*.whl", 1, h)
		c := client(t, nil, x)
		if _, err := c.Fetch(ctx, files(t, c, "a")[0]); err != nil {
			t.Errorf("a wrong answer to a range: %v", err)
		}
	}
}

func TestHostileRedirects(t *testing.T) {
	const user, password = "tenant", "s3cr3t-p4ss"
	good := indextest.NewTLS(t, small...)
	good.User, good.Password = user, password
	other := indextest.New(t, small...) // another origin; notes what it is sent
	good.On("/simple/elsewhere/", -1, indextest.Redirect(other.URL+"some-project/"))
	good.On("/simple/local/", -1, indextest.Redirect("file:///etc/passwd"))
	good.On("/simple/circle/", -1, indextest.Redirect(good.URL+"circle/"))
	good.On("/simple/chosen/", -1, indextest.Redirect("http://evil:evil@"+strings.TrimPrefix(other.Host, "http://")+"/simple/some-project/"))
	c := client(t, func(s *index.Settings) {
		s.Indexes = []string{strings.Replace(good.URL, "://", "://"+user+":"+password+"@", 1)}
		s.TrustedHosts = []string{"127.0.0.1"} // else a redirect to plain http is refused anyway
	}, good)
	all := files(t, c, "some-project")
	for _, f := range all {
		if text := fmt.Sprintf("%+v", f); strings.Contains(text, password) || strings.Contains(text, user) {
			t.Errorf("credentials in %s", text)
		}
	}
	if _, err := c.Fetch(ctx, all[0]); err != nil {
		t.Errorf("the file beside the index needs its credentials: %v", err)
	}
	for _, name := range []string{"elsewhere", "local", "circle", "chosen", "absent"} {
		_, err := c.Files(ctx, pep508.Name(name))
		if (name == "local" || name == "circle" || name == "absent") == (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && (strings.Contains(err.Error(), password) || strings.Contains(err.Error(), user)) {
			t.Errorf("%s: credentials in the error: %v", name, err)
		}
	}
	if len(other.Headers()) != 2 {
		t.Errorf("the other host was asked %d times", len(other.Headers()))
	}
	for _, h := range other.Headers() {
		if h.Get("Authorization") != "" || h.Get("Referer") != "" || h.Get("Cookie") != "" {
			t.Errorf("the other host was sent %v", h)
		}
	}
	// Without trust, not even an unencrypted hop.
	strict := client(t, func(s *index.Settings) {
		s.Indexes = []string{strings.Replace(good.URL, "://", "://"+user+":"+password+"@", 1)}
	}, good)
	if _, err := strict.Files(ctx, "elsewhere"); err == nil || !strings.Contains(err.Error(), "unencrypted") {
		t.Errorf("a redirect from https to http: %v", err)
	}
}

func TestRemotePageCannotPointAtLocalFiles(t *testing.T) {
	x := indextest.New(t, indextest.Dist{Name: "a", Version: "1.0", Listed: indextest.Listed{URL: "file:///etc/a-1.0-py3-none-any.whl"}},
		indextest.Dist{Name: "a", Version: "2.0"})
	for _, x.HTML = range []bool{false, true} {
		equal(t, "files", filenames(files(t, client(t, nil, x), "a")), []string{"a-2.0-py3-none-any.whl"})
	}
}
