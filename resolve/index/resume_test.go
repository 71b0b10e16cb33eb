//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package index_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mlenv/resolve/cache"
	"mlenv/resolve/dist"
	"mlenv/resolve/index"
	"mlenv/resolve/index/indextest"
)

const cutAt = 9_000_000 // bytes that the first run receives

// temporary lists the temporary files of a cache.
func temporary(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, cache.IndexFormat, "tmp", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// fileHash gives the SHA-256 of a file's content.
func fileHash(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// padded is a wheel of a little more than so many bytes, built once.
func padded(n int) indextest.Dist {
	d := indextest.Dist{Name: "a", Version: "1.0", Pad: n}
	d.Content = d.Bytes()
	return d
}

// TestResumeLater breaks off the download of a large file, and fetches it in another run.
func TestResumeLater(t *testing.T) {
	large, small := padded(17_000_000), padded(11_000_000)
	unknown := func(d indextest.Dist) indextest.Dist {
		d.NoSize = true
		return d
	}
	change := func(what func([]byte) []byte, suffix string) func(*testing.T, *indextest.Index, string) {
		return func(t *testing.T, _ *indextest.Index, dir string) {
			for _, name := range temporary(t, dir) {
				if strings.HasSuffix(name, ".note") != (suffix == ".note") {
					continue
				}
				data, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, what(data), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	const rest = "bytes=9000000-"
	tests := map[string]struct {
		dist   indextest.Dist
		change func(t *testing.T, x *indextest.Index, cache string) // between the runs
		asked  []string                                             // the ranges that the second run asks for
		left   int                                                  // files that the first run leaves
	}{
		"the rest":                {large, nil, []string{rest}, 2},
		"a size that is unknown":  {unknown(large), nil, []string{rest}, 2},
		"a small file":            {small, nil, []string{""}, 0},
		"a small file, unknown":   {unknown(small), nil, []string{""}, 0},
		"damaged":                 {large, change(func(b []byte) []byte { b[5000] ^= 1; return b }, ""), []string{rest, ""}, 2},
		"cut shorter":             {large, change(func(b []byte) []byte { return b[:1000] }, ""), []string{"bytes=1000-"}, 2},
		"emptied":                 {large, change(func([]byte) []byte { return nil }, ""), []string{""}, 2},
		"too long":                {large, change(func(b []byte) []byte { return append(b, make([]byte, 9_000_000)...) }, ""), []string{""}, 2},
		"as long, but with zeros": {large, change(func([]byte) []byte { return make([]byte, len(large.Bytes())) }, ""), []string{"bytes=17", ""}, 2},
		"complete":                {large, change(func([]byte) []byte { return large.Bytes() }, ""), nil, 2},
		"a damaged note":          {large, change(func(b []byte) []byte { return b[:7] }, ".note"), []string{""}, 2},
		"a server without ranges": {large, func(_ *testing.T, x *indextest.Index, _ string) { x.NoRanges = true }, []string{rest}, 2},
		"nonsense for the rest": {large, func(_ *testing.T, x *indextest.Index, _ string) {
			x.On("/files/a/*.whl", 1, indextest.Status(206, "Content-Range", "bytes 5-9/10"))
		}, []string{rest, ""}, 2},
		"other bytes for the rest": {large, func(_ *testing.T, x *indextest.Index, _ string) {
			x.On("/files/a/*.whl", 1, x.Corrupt())
		}, []string{rest, ""}, 2},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			x := indextest.New(t, tt.dist)
			dir := t.TempDir()
			run := func() (*index.Client, dist.File) {
				c := client(t, func(s *index.Settings) { s.CacheDir, s.Retries = dir, -1 }, x)
				return c, files(t, c, "a")[0]
			}
			c, f := run()
			x.On("/files/a/*.whl", 1, x.Truncate(cutAt))
			if _, err := c.Fetch(ctx, f); err == nil {
				t.Fatal("the first run succeeded")
			}
			if left := temporary(t, dir); len(left) != tt.left {
				t.Errorf("the first run left %q", left)
			}
			if tt.change != nil {
				tt.change(t, x, dir)
			}
			x.Forget()
			c = client(t, func(s *index.Settings) { s.CacheDir = dir }, x)
			path, err := c.Fetch(ctx, f)
			if err != nil {
				t.Fatal(err)
			}
			if got := fileHash(t, path); got != f.Hashes["sha256"] {
				t.Errorf("the file has SHA-256 %s", got)
			}
			requests, headers := x.Requests(), x.Headers()
			if len(requests) != len(tt.asked) {
				t.Fatalf("requests: %q, want ranges %q", requests, tt.asked)
			}
			for i, want := range tt.asked {
				if got := headers[i].Get("Range"); !strings.HasPrefix(got, want) || (got == "") != (want == "") {
					t.Errorf("asked for %q, want %q", got, want)
				} else if got != "" && headers[i].Get("If-Range") == "" {
					t.Error("a range was asked for without If-Range")
				}
			}
			if left := temporary(t, dir); len(left) != 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// TestResumeElsewhere does not take up what another server has begun: its ETags are its own.
func TestResumeElsewhere(t *testing.T) {
	d := padded(17_000_000)
	dir := t.TempDir()
	for _, x := range []*indextest.Index{indextest.New(t, d), indextest.New(t, d)} {
		c := client(t, func(s *index.Settings) { s.CacheDir, s.Retries = dir, -1 }, x)
		x.On("/files/a/*.whl", 1, x.Truncate(cutAt))
		if _, err := c.Fetch(ctx, files(t, c, "a")[0]); err == nil {
			t.Fatal("it succeeded")
		}
		for _, request := range x.Requests() {
			if strings.Contains(request, "bytes=") {
				t.Errorf("it asked for %q", request)
			}
		}
	}
	if left := temporary(t, dir); len(left) != 4 {
		t.Errorf("left for the next run: %q", left)
	}
}

// TestTwoResume has a second process fetch a file while the first is in the middle of it, and the
// first one go on afterwards.
func TestTwoResume(t *testing.T) {
	x := indextest.New(t, padded(17_000_000))
	dir := t.TempDir()
	begun, done := make(chan bool), make(chan bool)
	x.On("/files/a/*.whl", 1, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x.Serve(&halting{ResponseWriter: w, halt: func() { begun <- true; <-done }}, r)
	}))
	var wg sync.WaitGroup
	var paths [2]string
	fetch := func(i int) {
		c := client(t, func(s *index.Settings) { s.CacheDir = dir }, x)
		var err error
		if paths[i], err = c.Fetch(context.Background(), files(t, c, "a")[0]); err != nil {
			t.Error(err)
		}
	}
	wg.Go(func() { fetch(0) })
	<-begun
	fetch(1)
	want := fileHash(t, paths[1])
	close(done)
	wg.Wait()
	if paths[0] != paths[1] || fileHash(t, paths[0]) != want {
		t.Errorf("%q, SHA-256 %s, want %s", paths, fileHash(t, paths[0]), want)
	}
	if left := temporary(t, dir); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// halting calls halt after the first bytes of a body.
type halting struct {
	http.ResponseWriter
	halt func()
}

func (h *halting) Write(p []byte) (int, error) {
	n, err := h.ResponseWriter.Write(p)
	if h.halt != nil && err == nil {
		err = http.NewResponseController(h.ResponseWriter).Flush()
		h.halt()
		h.halt = nil
	}
	return n, err
}
