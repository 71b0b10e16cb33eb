package bucket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"mlenv/resolve/fetch"
	"mlenv/resolve/fetch/fetchtest"
)

// open opens a model of a fake.
func (c cloud) open(t *testing.T, f *fake, path string, o fetch.Options) (*fetch.Opened, error) {
	t.Helper()
	o.Stores = Stores(outside(c.env(f), nil), o)
	return fetch.Open(context.Background(), c.uri+path, o)
}

// TestModels opens a model of every kind of store: each file as it is, also those with odd names; directories that are
// empty objects are no files; what lies beside the model is not part of it; a listing costs a request for each page, and a
// file that is not opened none.
func TestModels(t *testing.T) {
	for name, c := range clouds {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, c.serve)
			want := fetchtest.Model(5000)
			for _, odd := range []string{"data/a b+c%20d&e=f.txt", "data/ü#1?.bin", "data/empty"} {
				want[odd] = strings.TrimPrefix(odd, "data/empty")
			}
			for file, text := range want {
				f.objects["models/my model/"+file] = text
			}
			f.objects["models/my model/"], f.objects["models/my model/data/"] = "", ""
			f.objects["models/my model 2/MLmodel"] = "another's"
			o := options(t)
			m, err := c.open(t, f, "models/my model", o)
			if err != nil {
				t.Fatal(err)
			}
			pages := (len(want) + 2 + 1) / 2
			if n := len(f.seen()); n != pages+1 {
				t.Errorf("%d requests to read MLmodel, want %d", n, pages+1)
			}
			if m.Source.Root != c.uri+"models/my model" {
				t.Errorf("the root is %q", m.Source.Root)
			}
			files := 0
			err = fs.WalkDir(m.FS, ".", func(name string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				files++
				data, err := fs.ReadFile(m.FS, name)
				if string(data) != want[name] {
					t.Errorf("%s: %q, want %q", name, data, want[name])
				}
				return err
			})
			if err != nil || files != len(want) {
				t.Errorf("%d files, want %d: %v", files, len(want), err)
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
			if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// TestGoesOn cuts the weights off in the middle: the rest is asked for, of just the object that was listed.
func TestGoesOn(t *testing.T) {
	const size = 1 << 20
	for name, c := range clouds {
		f := newFake(t, c.serve)
		for file, text := range fetchtest.Model(size) {
			f.objects["m/"+file] = text
		}
		var cut atomic.Int64
		f.answer = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/model.pkl") || cut.Add(1) > 2 {
				return false
			}
			rec := httptest.NewRecorder()
			c.serve(f, rec, r)
			for k, v := range rec.Header() {
				w.Header()[k] = v
			}
			w.WriteHeader(rec.Code)
			_, _ = w.Write(rec.Body.Bytes()[:size/4])
			panic(http.ErrAbortHandler) // which ends the connection
		}
		m, err := c.open(t, f, "m", options(t))
		if err != nil {
			t.Fatal(err)
		}
		got, err := fs.ReadFile(m.FS, "model.pkl")
		if err != nil || string(got) != fetchtest.Model(size)["model.pkl"] {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		ranges, conditions := 0, 0
		for _, r := range f.seen() {
			if strings.HasSuffix(r.URL.Path, "/model.pkl") {
				if r.Header.Get("Range") != "" {
					ranges++
				}
				if r.Header.Get("If-Match") != "" || r.URL.Query().Get("ifGenerationMatch") != "" {
					conditions++
				}
			}
		}
		if ranges != 2 || conditions != 3 {
			t.Errorf("%s: %d requests for a range and %d for a listed object, want 2 and 3", name, ranges, conditions)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestFaults lets stores fail, lie and send elsewhere: one error of the right kind, no secret in it, nothing left.
func TestFaults(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	on := func(suffix string, status int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(strings.TrimSuffix(r.URL.Path, "/"), suffix) {
				return false
			}
			w.WriteHeader(status)
			fmt.Fprint(w, body)
			return true
		}
	}
	tests := map[string]struct {
		path string
		set  func(f *fake)
		kind fetch.Kind
		want string
	}{
		"denied": {set: func(f *fake) {
			f.answer = on("", 403, "<Error><Code>AccessDenied</Code><Message>hunter2</Message></Error>")
		}, kind: fetch.Denied, want: "answered 403 (AccessDenied)"},
		"expired": {set: func(f *fake) { f.answer = on("", 400, "<Error><Code>ExpiredToken</Code></Error>") }, kind: fetch.Denied, want: "ExpiredToken"},
		"gone":    {path: "nothing", kind: fetch.Empty, want: "there are no files"},
		"gone meanwhile": {set: func(f *fake) { f.answer = on("/MLmodel", 404, `{"error":{"errors":[{"reason":"notFound"}]}}`) },
			kind: fetch.NotFound, want: "MLmodel: 127.0.0.1"},
		"replaced": {set: func(f *fake) { f.answer = on("/MLmodel", 412, "") }, kind: fetch.Changed, want: "MLmodel: it was replaced"},
		"busy":     {set: func(f *fake) { f.answer = on("", 503, "<Error><Code>SlowDown</Code></Error>") }, kind: fetch.ServerFailed, want: "503 (SlowDown)"},
		"no store": {set: func(f *fake) { f.answer = on("", 200, "<html>Sign in</html>") }, kind: fetch.ServerFailed, want: "but not as the store"},
		"down":     {set: func(f *fake) { f.Close() }, kind: fetch.Unreachable, want: "connection refused"},
		"redirect": {set: func(f *fake) {
			f.answer = func(w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, other.URL+"/hunter2", http.StatusTemporaryRedirect)
				return true
			}
		}, kind: fetch.ServerFailed, want: "answered 307"},
		"longer":            {set: func(f *fake) { f.answer = on("/MLmodel", 200, strings.Repeat("x", 500)) }, kind: fetch.Changed, want: "MLmodel has 500 bytes, but the server listed it with"},
		"up":                {set: func(f *fake) { f.objects["m/../x"] = "1" }, kind: fetch.BadListing, want: `lists "../x"`},
		"case":              {set: func(f *fake) { f.objects["m/mlMODEL"] = "1" }, kind: fetch.BadListing, want: "one file on some systems"},
		"both":              {set: func(f *fake) { f.objects["m/MLmodel/x"] = "1" }, kind: fetch.BadListing, want: "both as a file and as a directory"},
		"absolute":          {set: func(f *fake) { f.objects["m//etc/passwd"] = "1" }, kind: fetch.BadListing, want: `not a path below the model`},
		"a code of its own": {set: func(f *fake) { f.answer = on("", 403, "<Error><Code>hunter2 \n</Code></Error>") }, kind: fetch.Denied, want: "answered 403"},
	}
	for kind, c := range clouds {
		for name, tt := range tests {
			t.Run(kind+" "+name, func(t *testing.T) {
				f := newFake(t, c.serve)
				for file, text := range fetchtest.Model(100) {
					f.objects["m/"+file] = text
				}
				if tt.set != nil {
					tt.set(f)
				}
				if tt.path == "" {
					tt.path = "m"
				}
				o := options(t)
				_, err := c.open(t, f, tt.path, o)
				var e *fetch.Error
				if !errors.As(err, &e) || e.Kind != tt.kind || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("got %v, want %q (%s)", err, tt.want, tt.kind)
				}
				if text := err.Error(); strings.Contains(text, "hunter2") || strings.Contains(text, "\n") {
					t.Errorf("the message is %q", text)
				}
				if n := len(f.seen()); n > 10 {
					t.Errorf("%d requests", n)
				}
				if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
					t.Errorf("left behind: %v, %v", left, err)
				}
			})
		}
	}
	if elsewhere.Load() > 0 {
		t.Error("a redirect was followed")
	}
}

// TestEndless refuses a listing whose pages never end.
func TestEndless(t *testing.T) {
	pages := map[string]string{
		"s3":    `<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken></ListBucketResult>`,
		"gs":    `{"nextPageToken":"x"}`,
		"azure": `<EnumerationResults><NextMarker>x</NextMarker></EnumerationResults>`,
	}
	for name, body := range pages {
		f := newFake(t, clouds[name].serve)
		f.answer = func(w http.ResponseWriter, _ *http.Request) bool { fmt.Fprint(w, body); return true }
		_, err := clouds[name].open(t, f, "m", options(t))
		if err == nil || !strings.Contains(err.Error(), "more than 1000 pages") || len(f.seen()) != 1000 {
			t.Errorf("%s: %v after %d requests", name, err, len(f.seen()))
		}
	}
}

// TestSizes refuses a listing with sizes that no file has, or with none.
func TestSizes(t *testing.T) {
	for name, pages := range map[string][]string{
		"s3":    {`<ListBucketResult><Contents><Key>m/a</Key><Size>-1</Size></Contents></ListBucketResult>`, `<ListBucketResult><Contents><Key>m/a</Key></Contents></ListBucketResult>`},
		"gs":    {`{"items":[{"name":"m/a","size":"-1"}]}`, `{"items":[{"name":"m/a"}]}`},
		"azure": {`<EnumerationResults><Blobs><Blob><Name>m/a</Name><Properties><Content-Length>-1</Content-Length></Properties></Blob></Blobs></EnumerationResults>`, `<EnumerationResults><Blobs><Blob><Name>m/a</Name></Blob></Blobs></EnumerationResults>`},
	} {
		for i, body := range pages {
			f := newFake(t, clouds[name].serve)
			f.answer = func(w http.ResponseWriter, _ *http.Request) bool { fmt.Fprint(w, body); return true }
			_, err := clouds[name].open(t, f, "m", options(t))
			if want := []string{"with a size of -1 bytes", "but not as the store of"}[i]; err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
	}
}

// TestURIs refuses what names no bucket, or a host that is not one of the cloud's.
func TestURIs(t *testing.T) {
	for uri, want := range map[string]fetch.Kind{
		"s3://": fetch.BadURI, "s3:///x": fetch.BadURI, "s3://u:hunter2@b/x": fetch.BadURI, "s3://10.0.0.1/x": fetch.BadURI, "gs://": fetch.BadURI, "gs://a@b/x": fetch.BadURI,
		"wasbs://account.blob.core.windows.net/x": fetch.BadURI, "wasbs://c@evil.example/x": fetch.BadURI, "abfss://c@core.windows.net.evil.example/x": fetch.BadURI,
		"abfss://c@account.dfs.core.windows.net.evil.example/x": fetch.BadURI, "wasbs://c@account.blob.core.windows.net:443/x": fetch.BadURI,
	} {
		o := options(t)
		o.Stores = Stores(outside(nil, nil), o)
		_, err := fetch.Open(context.Background(), uri, o)
		var e *fetch.Error
		if !errors.As(err, &e) || e.Kind != want || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

// TestRegion asks for a bucket in the wrong region: the answer says which is the right one, and is heeded once.
func TestRegion(t *testing.T) {
	for _, region := range []string{"eu-central-1", "evil.example/", ""} {
		f := newFake(t, serveS3)
		for file, text := range fetchtest.Model(10) {
			f.objects["m/"+file] = text
		}
		f.answer = func(w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.Header.Get("Authorization"), "/eu-central-1/s3/") {
				return false
			}
			w.Header().Set("X-Amz-Bucket-Region", region)
			w.WriteHeader(400)
			fmt.Fprint(w, "<Error><Code>AuthorizationHeaderMalformed</Code></Error>")
			return true
		}
		m, err := clouds["s3"].open(t, f, "m", options(t))
		if (err == nil) != (region == "eu-central-1") {
			t.Errorf("%q: %v", region, err)
		}
		if err == nil {
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		} else if n := len(f.seen()); n != 1 {
			t.Errorf("%q: %d requests", region, n)
		}
	}
}

// TestHosts holds where objects are asked for.
func TestHosts(t *testing.T) {
	for want, s := range map[string]*s3{
		"https://bucket.s3.eu-west-1.amazonaws.com/a%20b/%C3%BC%2B":  {bucket: "bucket", region: "eu-west-1", virtual: true},
		"https://s3.cn-north-1.amazonaws.com.cn/b.c/a%20b/%C3%BC%2B": {bucket: "b.c", region: "cn-north-1"},
	} {
		if got := s.url("a b/ü+").String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
