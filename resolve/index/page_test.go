package index

import (
	"bytes"
	"encoding/json"
	"io"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep440"
	"mlenv/resolve/secret"
)

const jsonType = "application/vnd.pypi.simple.v1+json"

func mustURL(raw string) *url.URL {
	u, err := url.Parse(raw)
	if err != nil {
		panic(err)
	}
	return u
}

// parsed gives the links of a page.
func parsed(t testing.TB, media, text, base string) []link {
	t.Helper()
	var all []link
	if err := parsePage(answer{strings.NewReader(text), nil, media, mustURL(base)}, func(e *entry) error { all = append(all, *e.link()); return nil }); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return all
}

func TestHTML(t *testing.T) {
	const page = `<!DOCTYPE html>
<html><head><meta name="pypi:repository-version" content="1.3"><title>x</title></head><body>
<a href="a-1.0.tar.gz#md5=ABCD" data-requires-python="&gt;=3.8, &lt;4" data-gpg-sig="true">a</a>
<A HREF='../../files/a-1.0-py3-none-any.whl#sha256=00ff&egg=a' data-yanked data-core-metadata="sha256=11">a</A>
<a href="https://user:secret@files.example/a%2B-1.1%2Bcu118-py3-none-any.whl?token=x" data-dist-info-metadata=true data-yanked="why &amp; how">b</a>
<a href="//other.example/a-2.tar.gz" data-core-metadata="false" data-dist-info-metadata="true">c</a>
<a name="x">no link</a> <a href="javascript:alert(1)">x</a><a href="">y</a><a href="https://%zz/">z</a><a href="http:///a-3.tar.gz">w</a>
<a href="file:///a-4.tar.gz">no</a> <a href="mailto:x@y">no</a>`
	want := []link{
		{filename: "a-1.0.tar.gz", url: "https://index.example/simple/a/a-1.0.tar.gz", hashes: map[string]string{"md5": "abcd"}, requiresPython: ">=3.8, <4"},
		{filename: "a-1.0-py3-none-any.whl", url: "https://index.example/files/a-1.0-py3-none-any.whl", hashes: map[string]string{"sha256": "00ff"}, yanked: true, hasMetadata: true, metadataHashes: map[string]string{"sha256": "11"}},
		{filename: "a+-1.1+cu118-py3-none-any.whl", url: "https://files.example/a%2B-1.1%2Bcu118-py3-none-any.whl", query: "token=x", yanked: true, reason: "why & how", hasMetadata: true},
		{filename: "a-2.tar.gz", url: "https://other.example/a-2.tar.gz"},
	}
	if d := cmp.Diff(want, parsed(t, "text/html", page, "https://index.example/simple/a/"), cmp.AllowUnexported(link{})); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	for base, want := range map[string]string{
		`<base href="/pool/">`:                         "https://index.example/pool/a-1.tar.gz",
		`<base href="https://u:p@cdn.example/x/y">`:    "https://cdn.example/x/a-1.tar.gz",
		`<base href="file:///tmp/">`:                   "https://index.example/simple/a-1.tar.gz",
		`<base href="/one/"><base href="/two/">`:       "https://index.example/one/a-1.tar.gz",
		`<base target="_top"><base href="sub/x.html">`: "https://index.example/simple/sub/a-1.tar.gz",
	} {
		got := parsed(t, "text/html", base+`<a href=a-1.tar.gz>`, "https://index.example/simple/")
		if len(got) != 1 || got[0].url != want {
			t.Errorf("%s: %+v, want %s", base, got, want)
		}
	}
	if err := parseHTML(strings.NewReader(`<meta name="pypi:repository-version" content="2.0">`), mustURL("https://x/"), nil); err == nil {
		t.Error("version 2.0 was accepted")
	}
}

func TestJSON(t *testing.T) {
	const page = `{"name":"a","meta":{"_last-serial":1,"api-version":"1.4"},"versions":["1",{"x":[1,"]",{}]}],"files":[
 {"filename":"a-1.0.tar.gz","url":"a-1.0.tar.gz","hashes":{"sha256":"ABCD","md5":"11"},"requires-python":">=3.8\u003c4","size":12,"upload-time":"2024-01-02T03:04:05.678901Z","yanked":false},
 {"filename":"a-1.1.tar.gz","url":"https:\/\/f.example\/a-1.1.tar.gz#sha256=22","hashes":{},"yanked":"\ud83d\ude00 \"why\"\n","core-metadata":true,"dist-info-metadata":false},
 {"filename":"a-1.2.tar.gz","url":"https://f.example/a-1.2.tar.gz","hashes":{},"yanked":true,"core-metadata":false,"dist-info-metadata":{"sha256":"33"},"size":null,"requires-python":null,"upload-time":null},
 {"filename":"a-1.3.tar.gz","url":"https://f.example/a-1.3.tar.gz","hashes":{},"dist-info-metadata":{"sha256":"33"},"size":1e3,"upload-time":"yesterday","provenance":null},
 {"filename":"a-1.4.tar.gz","hashes":{}}, {"url":"x"}, null, 3, "x", [],
 {"filename":"a-1.5.tar.gz","url":"file:///a-1.5.tar.gz","hashes":{}}
]}`
	const f = "https://f.example/"
	want := []link{
		{filename: "a-1.0.tar.gz", url: "https://index.example/simple/a/a-1.0.tar.gz", hashes: map[string]string{"sha256": "abcd", "md5": "11"}, requiresPython: ">=3.8<4", size: 12, uploaded: time.Date(2024, 1, 2, 3, 4, 5, 678901000, time.UTC)},
		{filename: "a-1.1.tar.gz", url: f + "a-1.1.tar.gz", hashes: map[string]string{"sha256": "22"}, yanked: true, reason: "😀 \"why\"\n", hasMetadata: true},
		{filename: "a-1.2.tar.gz", url: f + "a-1.2.tar.gz", yanked: true},
		{filename: "a-1.3.tar.gz", url: f + "a-1.3.tar.gz", hasMetadata: true, metadataHashes: map[string]string{"sha256": "33"}},
	}
	got := parsed(t, "application/vnd.pypi.simple.v1+json", page, "https://index.example/simple/a/")
	if d := cmp.Diff(want, got, cmp.AllowUnexported(link{})); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	var slow []link
	err := parseJSON(answer{iotest.OneByteReader(strings.NewReader(page)), make([]byte, 1), jsonType, mustURL("https://index.example/simple/a/")}, func(e *entry) error { slow = append(slow, *e.link()); return nil })
	if err != nil || !reflect.DeepEqual(slow, got) {
		t.Errorf("byte by byte: %v, %+v", err, slow)
	}
	broken := iotest.TimeoutReader(iotest.HalfReader(strings.NewReader(page)))
	if err := parseJSON(answer{broken, make([]byte, 100), jsonType, mustURL("https://index.example/")}, func(*entry) error { return nil }); err != iotest.ErrTimeout {
		t.Errorf("a read error is reported as %v", err)
	}
	for i := range page {
		if err := parseJSON(answer{strings.NewReader(page[:i]), make([]byte, 100), jsonType, mustURL("https://index.example/")}, func(*entry) error { return nil }); err == nil {
			t.Errorf("cut after %d bytes: no error", i)
		}
	}
}

// tree reads a whole value with the scanner.
func tree(s *scanner) (any, error) {
	c, err := s.peek()
	if err != nil {
		return nil, err
	}
	switch c {
	case '{':
		m := map[string]any{}
		return m, s.object(func(key []byte) error {
			name := string(key)
			v, err := tree(s)
			m[name] = v
			return err
		})
	case '[':
		l := []any{}
		err := s.array(func() error {
			v, err := tree(s)
			l = append(l, v)
			return err
		})
		return l, err
	case '"':
		b, err := s.string()
		return string(b), err
	}
	w, err := s.word()
	switch string(w) {
	case "true":
		return true, err
	case "false":
		return false, err
	case "null":
		return nil, err
	}
	return json.Number(w), err
}

// hostileJSON and hostileHTML are the beginnings of answers that have no end, or lead where a page must not.
var hostileJSON = []string{
	`{"files":[` + strings.Repeat("[", 300),
	`{"files":["` + strings.Repeat("x", 3000),
	`{"` + strings.Repeat(`\"`, 300),
	`{"files":[{"filename":"a-1.zip","url":"x","hashes":{` + strings.Repeat(`"a":"0",`, 100) + `"z":"0"}}]}`,
	`{"files":[{"filename":"a-1.zip","url":"file:///proc/self/cwd/a-1.zip","size":1e400,"core-metadata":{"sha256":[]}}]}`,
	`{"files":[{"filename":"../a-1.zip\u0000\u202e","url":"//u:p@h/a-1.zip","yanked":{"a":{}},"size":-9223372036854775809}]}`,
	`{"files":` + strings.Repeat(`{"files":`, 100),
}

var hostileHTML = []string{
	"<a " + strings.Repeat("x='y' ", 300),
	"<!-- " + strings.Repeat("-", 300),
	`<base href="file:///proc/self/cwd/"><a href=a-1.zip>a</a>`,
	`<a href="file:///proc/self/cwd/a-1.zip">a</a><a href="javascript:alert(1)//a-1.zip">a</a><a href="data:a/b,/a-1.zip">a</a>`,
	`<a href="https://u:p@h/a-1.zip#sha256=` + strings.Repeat("0", 3000) + `">a</a>`,
	`<a href="//h/%2e%2e%2fa-1.zip&#10;::error::x">a</a>`,
	`<a href="a-1.zip?X-Amz-Signature=x#sha256=00">a</a><a href="?token=x">a</a><a href="//h/a-1.zip?a=b&amp;sig=x%zz">a</a><a href="a-1.zip?a;key=x">a</a>`,
	"<base href='https://u:p@h/?token=x'><a href=a-1.zip>" + strings.Repeat("<a href=a-1.zip>", 200), "<a href=\"https://h/\u202e-1.zip\u2028\">a</a><a href='https://h/\x1b[2J-1.zip'>",
}

// FuzzScanner holds that the scanner reads from valid JSON what encoding/json reads, and can pass
// over it, at whatever borders the reads fall.
func FuzzScanner(f *testing.F) {
	f.Add([]byte(`{"files":[{"filename":"a","url":"b","hashes":{"sha256":"c"},"requires-python":"\u003e\ud83d\ude00","yanked":"\"\\"}]}`), 3)
	f.Add([]byte(`{"meta":{"api-version":"1.0"},"x":[{"]":1.5e3}],"files":[]}`), 1)
	for _, s := range hostileJSON {
		f.Add([]byte(s), len(s)/2)
	}
	f.Add([]byte(` [ "a\\", -0.5E+3 , true,false , null, "\ud800", {} , [ ] ] `), 2)
	f.Fuzz(func(t *testing.T, data []byte, border int) {
		border = max(0, min(border, len(data)))
		reader := func() *scanner {
			s := newScanner(io.MultiReader(bytes.NewReader(data[:border]), iotest.OneByteReader(bytes.NewReader(data[border:]))), make([]byte, 1)) // every string outgrows it
			return s
		}
		got, err := tree(reader())
		skipper := reader()
		skipErr := skipper.skip()
		if !utf8.Valid(data) || !json.Valid(data) {
			return
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		var want any
		if err := d.Decode(&want); err != nil {
			t.Skip(err)
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %#v, %v; want %#v", data, got, err, want)
		}
		if skipErr != nil || skipper.finish() != nil {
			t.Errorf("%q: passing over it: %v", data, skipErr)
		}
	})
}

func FuzzHTML(f *testing.F) {
	for _, s := range hostileHTML {
		f.Add([]byte(s))
	}
	f.Add([]byte(`<base href="x/"><a href="../a-1.tar.gz#sha256=00" data-yanked="x" data-requires-python="&gt;3">a</a>`))
	f.Add([]byte(`<meta name="pypi:repository-version" content="1.0"><A HREF=//h/p data-core-metadata>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		parseHTML(bytes.NewReader(data), mustURL("https://x.example/simple/a/"), func(l *link) error {
			u, err := url.Parse(l.url)
			if err == nil && secret.QueryIsSecret(u.RawQuery) {
				t.Errorf("link %q has what gives access", l.url)
			}
			if err != nil || u.User != nil || u.Scheme != "http" && u.Scheme != "https" || u.Fragment != "" || u.Host == "" {
				t.Errorf("link %q: %v", l.url, err)
			}
			if l.filename == "" || strings.Contains(l.filename, "/") && !strings.Contains(l.url, "%2F") && !strings.Contains(l.url, "%2f") {
				t.Errorf("file name %q of %q", l.filename, l.url)
			}
			return nil
		})
	})
}

// FuzzDecodePage holds that whatever is in the cache is decoded or refused, not more.
func FuzzDecodePage(f *testing.F) {
	f.Add(record(bigPage(f, 3)))
	f.Add(record(&page{Missing: true}))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := decodePage(data, pageKey{bigIndex, "big"}, nil)
		if err != nil {
			return
		}
		for i := range p.versions {
			p.files(i)
		}
	})
}

func bigPage(tb testing.TB, n int) *page { return parseBig(tb, new(memory), hugePage(n)) }

// built gives the files of a page of links.
func built(t *testing.T, links ...link) []dist.File {
	t.Helper()
	b, p := newBuilder("a", new(memory), nil), &page{}
	for i := range links {
		if err := b.add(links[i].entry()); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.finish(p, pageKey{"https://i.example/", "a"}); err != nil {
		t.Fatal(err)
	}
	files, err := p.all()
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestHostileFilenames(t *testing.T) {
	many := strings.Repeat("a.", 30) + "b"
	for name, want := range map[string]bool{
		"a-1-py3-none-any.whl":                              true,
		"a-1-py2.py3-none-any.whl":                          true,
		"a-1-" + many + "-" + many + "-" + many + ".whl":    false,
		"a-1-py3-none-" + strings.Repeat("x", 250) + ".whl": false,
		"a-1.tar.gz":               true,
		"b-1.tar.gz":               false,
		"a-1.exe":                  false,
		"a-1.egg":                  false,
		"a-one.tar.gz":             false,
		"a-1-py3-none-any.whl.asc": false,
		"../a-1.tar.gz":            false,
	} {
		files := built(t, link{filename: name, url: "https://f.example/x"}, link{filename: name, url: "https://f.example/x"})
		if len(files) != 0 != want || want && !reflect.DeepEqual(files[0], files[1]) {
			t.Errorf("%s: %+v", name, files)
		}
	}
}

func TestCodec(t *testing.T) {
	const wheel = "a-1.0-2x-cp311.cp312-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
	links := []link{
		{filename: "a-1.0.post1.tar.gz", url: "https://f.example/a-1.0.post1.tar.gz", size: 1 << 40, requiresPython: ">=3"},
		{filename: "a-1.0.0.zip", url: "https://f.example/a-1.0.0.zip", query: "token=x", hasMetadata: true},
		{filename: wheel, url: "https://f.example/x%2F?q", hashes: map[string]string{"sha256": "AbCd", "MD5": "11"},
			metadataHashes: map[string]string{"sha256": "22"}, hasMetadata: true, yanked: true, reason: "why",
			uploaded: time.Date(2024, 1, 2, 3, 4, 5, 678901000, time.UTC)},
		{filename: "a-1.0a1.zip", url: "https://f.example/", uploaded: time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC)},
	}
	var want []dist.File // 1.0 and 1.0.0 are equal: they are sorted by name
	for _, i := range []int{3, 2, 1, 0} {
		l := links[i]
		f, err := dist.NewFile("a", l.filename, l.url)
		if err != nil {
			t.Fatal(err)
		}
		f.Index, f.Size, f.RequiresPython, f.UploadTime = "https://i.example/", l.size, l.requiresPython, l.uploaded
		f.HasMetadata, f.MetadataHashes, f.Yanked, f.YankedReason, f.Signed = l.hasMetadata, l.metadataHashes, l.yanked, l.reason, l.query != ""
		if l.filename == wheel {
			f.Hashes = map[string]string{"sha256": "abcd", "md5": "11"}
		}
		want = append(want, f)
	}
	slices.SortFunc(want[1:3], func(a, b dist.File) int { return strings.Compare(a.Filename, b.Filename) })
	p := &page{URL: "https://u.example/", ETag: `W/"x"`, Modified: "yesterday", Fetched: time.Unix(1700000000, 0), Fresh: time.Hour}
	b := newBuilder("a", new(memory), nil)
	for i := range links {
		if err := b.add(links[i].entry()); err != nil {
			t.Fatal(err)
		}
	}
	key := pageKey{"https://i.example/", "a"}
	if err := b.finish(p, key); err != nil {
		t.Fatal(err)
	}
	q, err := decodePage(record(p), key, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := q.all()
	if err != nil {
		t.Fatal(err)
	}
	same := cmp.Comparer(func(a, b pep440.Version) bool { return a.Text() == b.Text() })
	if d := cmp.Diff(want, got, same); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
	if len(q.versions) != 3 || q.URL != p.URL || q.ETag != p.ETag || q.Modified != p.Modified || !q.Fetched.Equal(p.Fetched) || q.Fresh != p.Fresh {
		t.Errorf("page: %+v", q.versions)
	}
	if !bytes.Equal(record(q), record(p)) {
		t.Error("a page that was read is not written as it was")
	}
	missing := &page{URL: "https://u.example/", Missing: true, Fetched: time.Unix(1700000000, 0), Fresh: time.Hour}
	if got, err := decodePage(record(missing), key, nil); err != nil || !got.Missing || got.Fresh != time.Hour || got.cost() != 0 {
		t.Errorf("a page that is missing: %+v, %v", got, err)
	}
}

// record is what the cache keeps of a page.
func record(p *page) []byte { return append(p.encode(), p.body...) }

func TestTime(t *testing.T) {
	for text, want := range map[string]string{
		"2025-03-17T00:02:54.770630Z":       "2025-03-17T00:02:54.77063Z",
		"2025-03-17T00:02:54Z":              "2025-03-17T00:02:54Z",
		"2025-03-17T00:02:54.77Z":           "2025-03-17T00:02:54.77Z",
		"2025-03-17T02:02:54+02:00":         "2025-03-17T00:02:54Z",
		"2025-03-17T00:02:54.770630999Z":    "2025-03-17T00:02:54.77063Z",
		"1969-12-31T23:59:59.000001Z":       "1969-12-31T23:59:59.000001Z",
		"2024-02-29T00:00:00Z":              "2024-02-29T00:00:00Z",
		"2025-02-29T00:00:00Z":              "",
		"2025-13-01T00:00:00Z":              "",
		"2025-01-01T24:00:00Z":              "",
		"2025-01-01T00:60:00.000000Z":       "",
		"2025-01-01 00:00:00.000000Z":       "",
		"2025-01-01T00:00:00.00000xZ":       "",
		"0001-01-01T00:00:00Z":              "",
		"yesterday":                         "",
		"":                                  "",
		"2025-03-17T00:02:54.770630\\u005a": "2025-03-17T00:02:54.77063Z",
	} {
		all := parsed(t, jsonType, `{"files":[{"filename":"a-1.zip","url":"https://f.example/a","upload-time":"`+text+`"}]}`, "https://index.example/")
		if len(all) != 1 {
			t.Fatal(all)
		}
		got := ""
		if u := all[0].uploaded; !u.IsZero() {
			got = u.Format(time.RFC3339Nano)
		}
		if got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
