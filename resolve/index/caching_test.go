package index_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mlenv/resolve/cache"
	"mlenv/resolve/dist"
	"mlenv/resolve/index"
	"mlenv/resolve/index/indextest"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// TestFreshness walks one page through its life, each step in a new client on the same cache.
func TestFreshness(t *testing.T) {
	x := indextest.New(t, small...)
	dir := t.TempDir()
	now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	run := func(what string, change func(*index.Settings), want ...string) {
		t.Helper()
		x.Forget()
		c := client(t, func(s *index.Settings) {
			s.CacheDir = dir
			s.Now = func() time.Time { return now }
			if change != nil {
				change(s)
			}
		}, x)
		all, err := c.Files(ctx, "some-project")
		if err != nil || len(all) < 4 {
			t.Errorf("%s: %d files, %v", what, len(all), err)
		}
		var got []string
		for i, r := range x.Requests() {
			if x.Headers()[i].Get("If-None-Match") != "" {
				r += " if"
			}
			got = append(got, r)
		}
		equal(t, what, got, want)
	}
	const plain, confirm = "GET /simple/some-project/", "GET /simple/some-project/ if"
	run("first", nil, plain)
	run("fresh", nil)
	run("refresh", func(s *index.Settings) { s.Refresh = true }, confirm)
	now = now.Add(599 * time.Second)
	run("just fresh", nil)
	now = now.Add(2 * time.Second)
	run("stale", nil, confirm)
	run("fresh again", nil)
	now = now.Add(time.Hour)
	run("offline", func(s *index.Settings) { s.Offline = true })
	x.Add(indextest.Dist{Name: "some-project", Version: "3.0"})
	run("changed", nil, confirm)
	now = now.Add(-24 * time.Hour)
	run("a clock that was put back", nil, confirm)
	x.CacheControl = "no-cache, max-age=600"
	run("told to ask", func(s *index.Settings) { s.Refresh = true }, confirm)
	run("asks", nil, confirm)
	pages, err := filepath.Glob(filepath.Join(dir, cache.IndexFormat, "pages", "*", "some-project"))
	if err != nil || len(pages) != 1 {
		t.Fatal(pages, err)
	}
	if err := os.Truncate(pages[0], 50); err != nil {
		t.Fatal(err)
	}
	run("damaged", nil, plain)
	if err := os.Remove(pages[0]); err != nil {
		t.Fatal(err)
	}
	x.CacheControl = "no-store"
	run("not to be kept", nil, plain)
	run("not kept", nil, plain)
}

func TestOffline(t *testing.T) {
	x := indextest.New(t, indextest.Parse("a 1.0: b", "b 1.0")...)
	dir := t.TempDir()
	online := client(t, func(s *index.Settings) { s.CacheDir = dir }, x)
	f := files(t, online, "a")[0]
	if _, err := online.Metadata(ctx, f); err != nil {
		t.Fatal(err)
	}
	x.Forget()
	offline := client(t, func(s *index.Settings) { s.CacheDir, s.Offline = dir, true }, x)
	if _, err := offline.Metadata(ctx, files(t, offline, "a")[0]); err != nil {
		t.Error(err)
	}
	var e *index.OfflineError
	if _, err := offline.Files(ctx, "b"); !errors.As(err, &e) || !strings.Contains(err.Error(), "page of b from "+x.URL) {
		t.Errorf("a page that was never seen: %v", err)
	}
	if _, err := offline.Fetch(ctx, f); !errors.As(err, &e) || !strings.Contains(err.Error(), f.Filename) {
		t.Errorf("a file that was never fetched: %v", err)
	}
	equal(t, "requests", x.Requests(), nil)
	if _, err := online.Fetch(ctx, f); err != nil {
		t.Fatal(err)
	}
	if _, err := offline.Fetch(ctx, f); err != nil {
		t.Error(err)
	}
}

// TestMetadataSources holds that metadata comes the cheapest way that the server offers.
func TestMetadataSources(t *testing.T) {
	base := indextest.Dist{Name: "a", Version: "1.0", Requires: []string{"b>=2"}}
	many := map[string]string{"a/first.py": ""}
	for i := range 3000 {
		many[fmt.Sprintf("a/%04d.py", i)] = ""
	}
	tests := []struct {
		name   string
		change func(*indextest.Dist, *indextest.Index)
		want   []string
	}{
		{"metadata file", nil, []string{".metadata"}},
		{"metadata file that is not there", func(d *indextest.Dist, x *indextest.Index) {
			x.On("/files/a/*.metadata", -1, indextest.Status(404))
		}, []string{".metadata", " bytes=-65536"}},
		{"small wheel", func(d *indextest.Dist, x *indextest.Index) { d.NoMetadata = true }, []string{" bytes=-65536"}},
		{"large wheel", func(d *indextest.Dist, x *indextest.Index) { d.NoMetadata, d.Pad = true, 3<<20 }, []string{" bytes=-65536"}},
		{"directory larger than the tail", func(d *indextest.Dist, x *indextest.Index) {
			d.NoMetadata, d.Pad, d.Files = true, 1<<20, many
		}, []string{" bytes=-65536", " bytes=N", " bytes=N"}},
		{"no ranges", func(d *indextest.Dist, x *indextest.Index) { d.NoMetadata, x.NoRanges = true, true }, []string{" bytes=-65536", ""}},
		{"ranges refused", func(d *indextest.Dist, x *indextest.Index) {
			d.NoMetadata = true
			x.On("/files/a/*.whl", 1, indextest.Status(416))
		}, []string{" bytes=-65536", ""}},
		{"source distribution", func(d *indextest.Dist, x *indextest.Index) { d.Sdist, d.NoMetadata = true, true }, []string{""}},
	}
	for _, test := range tests {
		x := indextest.New(t)
		d := base
		if test.change != nil {
			test.change(&d, x)
		}
		x.Add(d)
		dir := t.TempDir()
		c := client(t, func(s *index.Settings) { s.CacheDir = dir }, x)
		f := files(t, c, "a")[0]
		x.Forget()
		for range 2 {
			m, err := c.Metadata(ctx, f)
			if err != nil || len(m.RequiresDist) != 1 || m.RequiresDist[0].String() != "b>=2" {
				t.Fatalf("%s: %+v, %v", test.name, m, err)
			}
		}
		if _, err := client(t, func(s *index.Settings) { s.CacheDir, s.Offline = dir, true }, x).Metadata(ctx, f); err != nil {
			t.Errorf("%s: from the cache: %v", test.name, err)
		}
		var got []string
		for _, r := range x.Requests() {
			r = strings.TrimPrefix(r, "GET /files/a/"+d.Filename())
			if strings.HasPrefix(r, " bytes=") && !strings.HasPrefix(r, " bytes=-") {
				r = " bytes=N"
			}
			got = append(got, r)
		}
		equal(t, test.name, got, test.want)
	}
}

func TestSdistMetadata(t *testing.T) {
	for metadata, want := range map[string]bool{
		"Metadata-Version: 2.2\nName: a\nVersion: 1.0\n":                         true,
		"Metadata-Version: 2.4\nName: a\nVersion: 1.0\nDynamic: License\n":       true,
		"Metadata-Version: 2.1\nName: a\nVersion: 1.0\n":                         false,
		"Metadata-Version: 2.3\nName: a\nVersion: 1.0\nDynamic: Requires-Dist\n": false,
	} {
		x := indextest.New(t, indextest.Dist{Name: "a", Version: "1.0", Sdist: true, Metadata: metadata, Listed: indextest.Listed{NoMetadata: true}})
		c := client(t, nil, x)
		_, err := c.Metadata(ctx, files(t, c, "a")[0])
		if (err == nil) != want || err != nil && !errors.Is(err, index.ErrNoMetadata) {
			t.Errorf("%q: %v", metadata, err)
		}
	}
}

// TestUnhashedFile holds that a file without a hash is asked for again, and used as long as the
// server says that it is the same.
func TestUnhashedFile(t *testing.T) {
	d := indextest.Dist{Name: "a", Version: "1.0", Listed: indextest.Listed{NoHash: true, NoSize: true}}
	x := indextest.New(t, d)
	dir := t.TempDir()
	fetch := func(want indextest.Dist) {
		t.Helper()
		c := client(t, func(s *index.Settings) { s.CacheDir = dir }, x)
		path, err := c.Fetch(ctx, files(t, c, "a")[0])
		if err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != string(want.Bytes()) {
			t.Errorf("content differs: %v", err)
		}
	}
	fetch(d)
	x.Forget()
	fetch(d)
	if h := x.Headers(); len(h) != 1 || h[0].Get("If-None-Match") == "" {
		t.Errorf("second fetch: %q", x.Requests())
	}
	changed := d
	changed.Files = map[string]string{"a/new.py": ""}
	x.Add(changed)
	fetch(changed)
	path, err := client(t, func(s *index.Settings) { s.CacheDir, s.Offline = dir, true }, x).Fetch(ctx, dist.File{Filename: d.Filename(), URL: x.FileURL(d)})
	if data, rerr := os.ReadFile(path); err != nil || rerr != nil || string(data) != string(changed.Bytes()) {
		t.Errorf("offline: %v, %v", err, rerr)
	}
}

func TestSameRequestOnce(t *testing.T) {
	x := indextest.NewTLS(t, small...)
	c := client(t, nil, x)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			all, err := c.Files(ctx, "some-project")
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := c.Metadata(ctx, all[2]); err != nil {
				t.Error(err)
			}
			if _, err := c.Fetch(ctx, all[2]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := x.Requests(); len(got) != 3 {
		t.Errorf("requests: %q", got)
	}
}

// TestConcurrency holds that many projects come over few connections and within the bound.
func TestConcurrency(t *testing.T) {
	x := indextest.NewTLS(t)
	var mu sync.Mutex
	flying, most := 0, 0
	remotes := map[string]bool{}
	for i := range 200 {
		x.Add(indextest.Dist{Name: fmt.Sprint("p", i), Version: "1.0"})
	}
	x.On("/simple/*/", -1, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		flying++
		most = max(most, flying)
		remotes[r.RemoteAddr] = true
		if r.ProtoMajor != 2 {
			t.Errorf("protocol %s", r.Proto)
		}
		mu.Unlock()
		x.Serve(w, r)
		mu.Lock()
		flying--
		mu.Unlock()
	}))
	c := client(t, func(s *index.Settings) { s.Concurrency = 8 }, x)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if _, err := c.Files(ctx, pep508.Name(fmt.Sprint("p", i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most > 8 || len(remotes) != 1 {
		t.Errorf("%d at once over %d connections", most, len(remotes))
	}
}

func TestStrategies(t *testing.T) {
	private := indextest.New(t, indextest.Parse("a 1.0", "only-private 1.0")...)
	public := indextest.New(t, indextest.Parse("a 1.0", "a 9.9", "only-public 1.0")...)
	dir := indextest.Write(t, filepath.Join(t.TempDir(), "wheels"), indextest.Parse("a 0.5", "only-linked 1.0")...)
	for _, test := range []struct {
		name   string
		change func(*index.Settings)
		want   []string
	}{
		{"first index", nil, []string{"a-1.0-py3-none-any.whl private"}},
		{"best match", func(s *index.Settings) { s.Strategy = index.UnsafeBestMatch },
			[]string{"a-1.0-py3-none-any.whl private", "a-9.9-py3-none-any.whl public"}},
		{"with links", func(s *index.Settings) { s.FindLinks = []string{dir} },
			[]string{"a-0.5-py3-none-any.whl", "a-1.0-py3-none-any.whl private"}},
		{"links alone", func(s *index.Settings) { s.FindLinks, s.NoIndex = []string{dir}, true }, []string{"a-0.5-py3-none-any.whl"}},
	} {
		c := client(t, test.change, private, public)
		var got []string
		for _, f := range files(t, c, "a") {
			s := f.Filename
			switch f.Index {
			case private.URL:
				s += " private"
			case public.URL:
				s += " public"
			}
			got = append(got, s)
		}
		equal(t, test.name, got, test.want)
		if v, err := c.Versions(ctx, "a"); err != nil || len(v) != len(test.want) {
			t.Errorf("%s: versions %v, %v", test.name, v, err)
		}
	}
	c := client(t, nil, private, public)
	files(t, c, "only-public")
	public.Forget()
	files(t, c, "only-private")
	equal(t, "what the public index hears of a private name", public.Requests(), nil)
	_, err := c.Files(ctx, "nowhere")
	if want := fmt.Sprintf("finding nowhere: not in %s, %s", private.URL, public.URL); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestVersionFiles(t *testing.T) {
	x := indextest.New(t, small...)
	x.Add(indextest.Dist{Name: "some-project", Version: "1.9.0", Tags: "py2-none-any"})
	c := client(t, nil, x)
	versions, err := c.Versions(ctx, "some-project")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "versions", []string{fmt.Sprint(versions)}, []string{"[1.9 1.10 2.0rc1]"})
	var all []string
	for _, v := range versions {
		some, err := c.VersionFiles(ctx, "some-project", v)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, filenames(some)...)
	}
	equal(t, "files by version", all, filenames(files(t, c, "some-project")))
	none, err := pep440.Parse("7")
	if err != nil {
		t.Fatal(err)
	}
	if some, err := c.VersionFiles(ctx, "some-project", none); err != nil || len(some) != 0 {
		t.Errorf("a version that is not there: %v, %v", some, err)
	}
}

func TestFindLinks(t *testing.T) {
	root := t.TempDir()
	dir := indextest.Write(t, filepath.Join(root, "with space"), small...)
	page := filepath.Join(root, "links.html")
	text := `<base href="with%20space/"><a href="some_project-1.10-py3-none-any.whl#sha256=` + small[0].SHA256() + `">x</a><a href="ftp://x/some_project-7-py3-none-any.whl">y</a>`
	if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	x := indextest.New(t, small...)
	x.On("/links.html", -1, indextest.Body("text/html; charset=utf-8", `<A HREF='files/some-project/some_project-1.10-py3-none-any.whl'>a</A>`))
	all := []string{
		"some_project-1.9-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
		"some_project-1.9.tar.gz", "some_project-1.10-py3-none-any.whl", "some_project-2.0rc1-1abc-py3-none-any.whl",
	}
	one := []string{"some_project-1.10-py3-none-any.whl"}
	for location, want := range map[string][]string{
		dir: all, "file://" + strings.ReplaceAll(dir, " ", "%20"): all,
		page: one, "file://" + page: one, filepath.Join(dir, one[0]): one,
		x.Host + "/links.html": one, x.FileURL(small[0]) + "#sha256=" + small[0].SHA256(): one,
	} {
		c := client(t, func(s *index.Settings) { s.FindLinks, s.NoIndex = []string{location}, true })
		got := files(t, c, "some-project")
		equal(t, location, filenames(got), want)
		f := got[len(got)-1]
		if len(got) > 1 {
			f = got[2]
		}
		m, err := c.Metadata(ctx, f)
		if err != nil || len(m.RequiresDist) != 1 {
			t.Errorf("%s: metadata %+v, %v", location, m, err)
		}
		path, err := c.Fetch(ctx, f)
		if err != nil {
			t.Errorf("%s: %v", location, err)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != string(small[0].Bytes()) {
			t.Errorf("%s: content differs: %v", location, err)
		}
	}
	var warnings []string
	c := client(t, func(s *index.Settings) {
		s.FindLinks, s.NoIndex = []string{filepath.Join(root, "absent")}, true
		s.Warn = func(m string) { warnings = append(warnings, m) }
	})
	var missing *index.NotFoundError
	for range 2 {
		if _, err := c.Files(ctx, "a"); !errors.As(err, &missing) {
			t.Errorf("absent folder: %v", err)
		}
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "absent does not exist") {
		t.Errorf("warnings: %q", warnings)
	}
	if err := os.WriteFile(filepath.Join(dir, one[0]), []byte("changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	c = client(t, func(s *index.Settings) { s.FindLinks, s.NoIndex = []string{page}, true })
	var hash *index.HashError
	if _, err := c.Fetch(ctx, files(t, c, "some-project")[0]); !errors.As(err, &hash) {
		t.Errorf("a local file that changed: %v", err)
	}
}

func TestLocalIndex(t *testing.T) {
	root := t.TempDir()
	dir := indextest.Write(t, filepath.Join(root, "simple", "some-project"), small[0])
	if err := os.WriteFile(filepath.Join(dir, "index.html"), []byte(`<a href="./some_project-1.10-py3-none-any.whl">x</a>`), 0o644); err != nil {
		t.Fatal(err)
	}
	c := client(t, func(s *index.Settings) { s.Indexes = []string{"file://" + root + "/simple"} })
	f := files(t, c, "some-project")[0]
	if _, err := c.Metadata(ctx, f); err != nil {
		t.Error(err)
	}
	var missing *index.NotFoundError
	if _, err := c.Files(ctx, "other"); !errors.As(err, &missing) {
		t.Errorf("absent project: %v", err)
	}
}
