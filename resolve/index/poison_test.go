package index_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"mlenv/resolve/dist"
	"mlenv/resolve/index"
	"mlenv/resolve/index/indextest"
)

// forged is a wheel of the same name with a requirement that the true one does not have.
func forged(d indextest.Dist) indextest.Dist {
	d.Requires = append(d.Requires, "toml")
	return d
}

// liar is an index whose page of six has the true wheel's hash, and whose answers are those of
// another wheel. fields are further keys of the file on its page.
func liar(t *testing.T, d indextest.Dist, fields map[string]any) *indextest.Index {
	t.Helper()
	x := indextest.New(t, forged(d))
	file := map[string]any{"filename": d.Filename(), "url": x.FileURL(d), "hashes": map[string]string{"sha256": d.SHA256()}}
	for k, v := range fields {
		file[k] = v
	}
	page, err := json.Marshal(map[string]any{"meta": map[string]string{"api-version": "1.1"}, "name": d.Name, "files": []any{file}})
	if err != nil {
		t.Fatal(err)
	}
	x.On("/simple/"+d.Name+"/", -1, indextest.Body("application/vnd.pypi.simple.v1+json", string(page)))
	return x
}

func hexOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

var six = indextest.Dist{Name: "six", Version: "1.16.0"}

// poisons are the ways in which one run may leave behind, in a shared cache, what an index only claims.
var poisons = map[string]func(t *testing.T, dir string, honest *indextest.Index){
	"metadata beside the file": func(t *testing.T, dir string, _ *indextest.Index) {
		x := liar(t, six, map[string]any{"core-metadata": map[string]string{"sha256": hexOf(forged(six).METADATA())}})
		readAll(t, dir, nil, x)
	},
	"metadata beside the file, without a hash": func(t *testing.T, dir string, _ *indextest.Index) {
		readAll(t, dir, nil, liar(t, six, map[string]any{"core-metadata": true}))
	},
	"a part of another wheel": func(t *testing.T, dir string, _ *indextest.Index) {
		readAll(t, dir, nil, liar(t, six, nil))
	},
	"metadata that nobody can use": func(t *testing.T, dir string, _ *indextest.Index) {
		x := liar(t, six, map[string]any{"core-metadata": true})
		x.On("/files/six/*.metadata", -1, indextest.Body("text/plain", "Metadata-Version: 2.1\nName: six\nVersion: 1.16.0\nRequires-Dist: !\n"))
		readAll(t, dir, nil, x)
	},
	"a direct reference with a hash": func(t *testing.T, dir string, _ *indextest.Index) {
		x := liar(t, six, nil)
		f, err := dist.NewFile("six", six.Filename(), x.FileURL(six))
		if err != nil {
			t.Fatal(err)
		}
		f.Hashes = map[string]string{"sha256": six.SHA256()}
		readFile(t, dir, nil, f)
	},
	"a direct reference without a hash": func(t *testing.T, dir string, _ *indextest.Index) {
		x := liar(t, six, nil)
		f, err := dist.NewFile("six", six.Filename(), x.FileURL(six))
		if err != nil {
			t.Fatal(err)
		}
		readFile(t, dir, nil, f)
	},
	"a page of links": func(t *testing.T, dir string, _ *indextest.Index) {
		x := liar(t, six, nil)
		x.On("/links", -1, indextest.Body("text/html", fmt.Sprintf(`<a href="%s#sha256=%s">six</a>`, x.FileURL(six), six.SHA256())))
		readAll(t, dir, func(s *index.Settings) { s.FindLinks, s.NoIndex = []string{x.Host + "/links"}, true })
	},
	"a page of links beside an index": func(t *testing.T, dir string, honest *indextest.Index) {
		x := liar(t, six, nil)
		x.On("/links", -1, indextest.Body("text/html", fmt.Sprintf(`<a href="%s#sha256=%s">six</a>`, x.FileURL(six), six.SHA256())))
		readAll(t, dir, func(s *index.Settings) { s.FindLinks = []string{x.Host + "/links"} }, honest)
	},
	"an index that names the files of the true one": func(t *testing.T, dir string, honest *indextest.Index) {
		x := liar(t, six, map[string]any{"url": honest.FileURL(six), "core-metadata": map[string]string{"sha256": hexOf(forged(six).METADATA())}})
		readAll(t, dir, nil, x)
	},
}

// readAll reads the metadata of every file of six, whatever comes of it.
func readAll(t *testing.T, dir string, change func(*index.Settings), indexes ...*indextest.Index) {
	t.Helper()
	c := client(t, func(s *index.Settings) {
		s.CacheDir = dir
		if change != nil {
			change(s)
		}
	}, indexes...)
	for _, f := range files(t, c, "six") {
		_, merr := c.Metadata(ctx, f)
		_, ferr := c.Fetch(ctx, f)
		t.Log(merr, ferr)
	}
}

func readFile(t *testing.T, dir string, change func(*index.Settings), f dist.File) {
	t.Helper()
	c := client(t, func(s *index.Settings) {
		s.CacheDir, s.NoIndex = dir, true
		if change != nil {
			change(s)
		}
	})
	_, merr := c.Metadata(ctx, f)
	_, ferr := c.Fetch(ctx, f)
	t.Log(merr, ferr)
}

// TestPoison holds that no way in leads to any way out: what another run was told by an index, or by
// whoever sat on the way to it, decides nothing about a file of the same hash that comes from elsewhere.
func TestPoison(t *testing.T) {
	outs := map[string]func(t *testing.T, dir string, honest *indextest.Index) (dist.File, *index.Client){
		"an index": func(t *testing.T, dir string, honest *indextest.Index) (dist.File, *index.Client) {
			c := client(t, func(s *index.Settings) { s.CacheDir = dir }, honest)
			return files(t, c, "six")[0], c
		},
		"a direct reference": func(t *testing.T, dir string, honest *indextest.Index) (dist.File, *index.Client) {
			f, err := dist.NewFile("six", six.Filename(), honest.FileURL(six))
			if err != nil {
				t.Fatal(err)
			}
			f.Hashes = map[string]string{"sha256": six.SHA256()}
			return f, client(t, func(s *index.Settings) { s.CacheDir, s.NoIndex = dir, true })
		},
	}
	for in, poison := range poisons {
		for out, read := range outs {
			t.Run(in+"/"+out, func(t *testing.T) {
				honest, dir := indextest.New(t, six), t.TempDir()
				poison(t, dir, honest)
				f, c := read(t, dir, honest)
				for _, what := range []string{"before", "after"} {
					m, err := c.Metadata(ctx, f)
					if err != nil || len(m.RequiresDist)+len(m.Invalid) != 0 {
						t.Errorf("%s the file was fetched: %+v, %v", what, m, err)
					}
					if _, err := c.Fetch(ctx, f); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

// TestWheelDecides holds that a wheel's own METADATA counts more than what an index says of it: where
// the wheel is at hand, in whatever order, a difference is an error.
func TestWheelDecides(t *testing.T) {
	for name, lie := range map[string]string{
		"left out":           "Metadata-Version: 2.2\nName: six\nVersion: 1.16.0\n",
		"added":              "Metadata-Version: 2.2\nName: six\nVersion: 1.16.0\nRequires-Dist: attrs\nRequires-Dist: toml\n",
		"another Python":     "Metadata-Version: 2.2\nName: six\nVersion: 1.16.0\nRequires-Dist: attrs\nRequires-Python: >=3.8\n",
		"another extra":      "Metadata-Version: 2.2\nName: six\nVersion: 1.16.0\nRequires-Dist: attrs\nProvides-Extra: x\n",
		"not a requirement":  "Metadata-Version: 2.2\nName: six\nVersion: 1.16.0\nRequires-Dist: attrs\nRequires-Dist: !\n",
		"the same, reworded": "Metadata-Version: 2.1\nName: Six\nVersion: 1.16\nRequires-Dist:   attrs\nSummary: x\n",
	} {
		t.Run(name, func(t *testing.T) {
			d := indextest.Dist{Name: "six", Version: "1.16.0", Requires: []string{"attrs"}}
			x := indextest.New(t, d)
			x.On("/files/six/*.metadata", -1, indextest.Body("text/plain", lie))
			page := liar(t, d, map[string]any{"url": x.FileURL(d), "core-metadata": map[string]string{"sha256": hexOf(lie)}})
			dir := t.TempDir()
			c := client(t, func(s *index.Settings) { s.CacheDir = dir }, page)
			f := files(t, c, "six")[0]
			if _, err := c.Metadata(ctx, f); err != nil {
				t.Fatal(err)
			}
			_, err := c.Fetch(ctx, f)
			var wrong *index.MetadataError
			if differs := name != "the same, reworded"; errors.As(err, &wrong) != differs {
				t.Errorf("fetching: %v", err)
			}
			// The next run has the wheel, and so the truth, from the beginning.
			m, err := client(t, func(s *index.Settings) { s.CacheDir = dir }, page).Metadata(ctx, f)
			if err != nil || len(m.RequiresDist) != 1 || m.RequiresDist[0].String() != "attrs" || len(m.Invalid) != 0 {
				t.Errorf("in the next run: %+v, %v", m, err)
			}
		})
	}
}

// TestInterceptedPage holds that what came over a connection that was not checked is believed by
// nobody who checks, and not for long by anybody else.
func TestInterceptedPage(t *testing.T) {
	x, evil := indextest.NewTLS(t, six), indextest.New(t, forged(six), indextest.Dist{Name: "six", Version: "9.9"})
	evil.CacheControl = "max-age=2000000000"
	dir := t.TempDir()
	now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	run := func(change func(*index.Settings)) (files int) {
		t.Helper()
		c := client(t, func(s *index.Settings) {
			s.CacheDir, s.Now = dir, func() time.Time { return now }
			change(s)
		}, x)
		all, err := c.Files(ctx, "six")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	trusting := func(s *index.Settings) { s.TrustedHosts = []string{strings.TrimPrefix(x.Host, "https://")} }
	x.On("/simple/six/", 1, http.HandlerFunc(evil.Serve)) // as somebody on the way answers
	if n := run(trusting); n != 2 {
		t.Fatalf("the page was not intercepted: %d files", n)
	}
	if n := run(func(*index.Settings) {}); n != 1 {
		t.Errorf("who checks certificates sees %d files", n)
	}
	if n := run(trusting); n != 2 {
		t.Errorf("who checks nothing sees %d files at once, want those of its own kind of connection", n)
	}
	now = now.Add(61 * time.Minute)
	x.Forget()
	if n := run(trusting); n != 1 {
		t.Errorf("who checks nothing sees %d files an hour later", n)
	}
	for i, h := range x.Headers() {
		if h.Get("If-None-Match")+h.Get("If-Modified-Since") != "" {
			t.Errorf("%s asks to have confirmed what was never checked", x.Requests()[i])
		}
	}
}

// TestRedirectIsNotKept holds that an answer that came by way of a worse connection than the first, or
// with the credentials of another host, is used but not kept.
func TestRedirectIsNotKept(t *testing.T) {
	to := indextest.NewTLS(t, six)
	from := indextest.NewTLS(t)
	from.On("/simple/six/", -1, indextest.Redirect(to.URL+"six/"))
	for name, tt := range map[string]struct {
		change func(*index.Settings)
		want   int // requests of the second run
	}{
		"checked both":    {func(*index.Settings) {}, 0},
		"unchecked there": {func(s *index.Settings) { s.TrustedHosts = []string{strings.TrimPrefix(to.Host, "https://")} }, 1},
		"unchecked here":  {func(s *index.Settings) { s.TrustedHosts = []string{strings.TrimPrefix(from.Host, "https://")} }, 0},
		"credentials there": {func(s *index.Settings) {
			s.Credentials = []index.Credential{{Scheme: "https", Host: strings.TrimPrefix(to.Host, "https://"), Path: "/", User: "me", Password: "x"}}
		}, 1},
	} {
		dir := t.TempDir()
		for i := range 2 {
			from.Forget()
			c := client(t, func(s *index.Settings) { s.CacheDir = dir; tt.change(s) }, from)
			if all := files(t, c, "six"); len(all) != 1 {
				t.Errorf("%s: %d files", name, len(all))
			}
			if got := len(from.Requests()); i == 1 && got != tt.want {
				t.Errorf("%s: %q, want %d", name, from.Requests(), tt.want)
			}
		}
	}
}

// TestFreshnessIsCapped holds that no page is used unasked for more than an hour, whatever is said of it.
func TestFreshnessIsCapped(t *testing.T) {
	x := indextest.New(t, six)
	x.CacheControl = "max-age=2000000000"
	dir := t.TempDir()
	now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		after time.Duration
		want  int // requests
	}{{0, 1}, {time.Hour - time.Second, 0}, {2 * time.Second, 1}} {
		now = now.Add(step.after)
		x.Forget()
		c := client(t, func(s *index.Settings) { s.CacheDir, s.Now = dir, func() time.Time { return now } }, x)
		files(t, c, "six")
		if got := len(x.Requests()); got != step.want {
			t.Errorf("%s later: %q", step.after, x.Requests())
		}
	}
}

// TestCredentialsKeepPagesApart holds that a page that was got with one password is nobody else's.
func TestCredentialsKeepPagesApart(t *testing.T) {
	x := indextest.New(t, six)
	u, err := url.Parse(x.URL)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, step := range []struct {
		user *url.Userinfo
		want int // requests
	}{
		{url.UserPassword("me", "one"), 1}, {url.UserPassword("me", "one"), 0},
		{url.UserPassword("me", "two"), 1}, {nil, 1}, {url.UserPassword("me", "one"), 0},
	} {
		u.User = step.user
		x.Forget()
		c := client(t, func(s *index.Settings) { s.CacheDir, s.Indexes = dir, []string{u.String()} })
		files(t, c, "six")
		if got := len(x.Requests()); got != step.want {
			t.Errorf("%s: %q", step.user.Username(), x.Requests())
		}
	}
}
