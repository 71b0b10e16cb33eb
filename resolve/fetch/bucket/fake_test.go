package bucket

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"mlenv/resolve/fetch"
)

// fake is an object store of one of the three kinds, which answers as the real ones do, and fails as it is told to. It
// lists two objects on a page.
type fake struct {
	*httptest.Server
	objects map[string]string
	tags    map[string]string // other tags than those that the content gives

	// answer, where not nil, is asked first, and tells whether it has answered.
	answer func(w http.ResponseWriter, r *http.Request) bool

	mu       sync.Mutex
	requests []*http.Request
	sent     int
}

// newFake starts a store whose requests are understood by route.
func newFake(t *testing.T, route func(f *fake, w http.ResponseWriter, r *http.Request)) *fake {
	f := &fake{objects: map[string]string{}, tags: map[string]string{}}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.requests = append(f.requests, r.Clone(context.Background()))
		f.mu.Unlock()
		if f.answer == nil || !f.answer(w, r) {
			route(f, w, r)
		}
	}))
	t.Cleanup(f.Close)
	return f
}

// seen gives the requests.
func (f *fake) seen() []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

func (f *fake) tag(key string) string {
	if tag, ok := f.tags[key]; ok {
		return tag
	}
	sum := md5.Sum([]byte(f.objects[key]))
	return hex.EncodeToString(sum[:])
}

// part gives two of the keys below a prefix, from the one after a token on, and the token of what follows.
func (f *fake) part(prefix, token string) (keys []string, next string) {
	for key := range f.objects {
		if strings.HasPrefix(key, prefix) && key > token {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	if len(keys) > 2 {
		keys, next = keys[:2], keys[1]
	}
	return keys, next
}

// object sends an object, or a part of it.
func (f *fake) object(w http.ResponseWriter, r *http.Request, key, missing string) {
	data, ok := f.objects[key]
	if !ok {
		w.WriteHeader(404)
		fmt.Fprint(w, missing)
		return
	}
	f.mu.Lock()
	f.sent += len(data)
	f.mu.Unlock()
	w.Header().Set("ETag", `"`+f.tag(key)+`"`)
	w.Header().Set("Content-Type", "binary/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader([]byte(data)))
}

// serveS3 is S3 with the bucket in the path.
func serveS3(f *fake, w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	key, ok := strings.CutPrefix(r.URL.Path, "/bucket/")
	switch {
	case !ok:
		w.WriteHeader(404)
		fmt.Fprint(w, `<?xml version="1.0"?><Error><Code>NoSuchBucket</Code><Message>hunter2</Message></Error>`)
	case key == "" && q.Get("list-type") == "2":
		keys, next := f.part(q.Get("prefix"), q.Get("continuation-token"))
		var out strings.Builder
		for _, k := range keys {
			escaped := strings.ReplaceAll(url.QueryEscape(k), "%2F", "/")
			fmt.Fprintf(&out, `<Contents><Key>%s</Key><ETag>&quot;%s&quot;</ETag><Size>%d</Size></Contents>`, escaped, f.tag(k), len(f.objects[k]))
		}
		fmt.Fprintf(w, `<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><EncodingType>url</EncodingType><IsTruncated>%v</IsTruncated><NextContinuationToken>%s</NextContinuationToken>%s</ListBucketResult>`,
			next != "", escapeXML(next), out.String())
	default:
		f.object(w, r, key, `<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>`)
	}
}

// serveGCS is the JSON API of Google Cloud Storage.
func serveGCS(f *fake, w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	escaped, ok := strings.CutPrefix(r.URL.EscapedPath(), "/storage/v1/b/bucket/o")
	key, err := url.PathUnescape(strings.TrimPrefix(escaped, "/"))
	switch {
	case !ok || err != nil || strings.Contains(strings.TrimPrefix(escaped, "/"), "/"):
		w.WriteHeader(404)
		fmt.Fprint(w, `{"error":{"code":404,"message":"hunter2","errors":[{"reason":"notFound"}]}}`)
	case key == "":
		keys, next := f.part(q.Get("prefix"), q.Get("pageToken"))
		var items []map[string]any
		for _, k := range keys {
			sum := md5.Sum([]byte(f.objects[k]))
			items = append(items, map[string]any{"name": k, "size": strconv.Itoa(len(f.objects[k])), "generation": f.tag(k), "md5Hash": sum[:]})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"items": items, "nextPageToken": next})
	case q.Get("ifGenerationMatch") != "" && q.Get("ifGenerationMatch") != f.tag(key):
		w.WriteHeader(412)
	default:
		f.object(w, r, key, `{"error":{"code":404,"errors":[{"reason":"notFound"}]}}`)
	}
}

// serveAzure is Azure's Blob Storage, with the account in the path as emulators have it.
func serveAzure(f *fake, w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	at := strings.TrimPrefix(r.URL.Path, "/account") // emulators have the account in the path
	key, ok := strings.CutPrefix(at, "/bucket/")
	switch {
	case at == "/bucket" && q.Get("comp") == "list" && q.Get("restype") == "container":
		keys, next := f.part(q.Get("prefix"), q.Get("marker"))
		var out strings.Builder
		for _, k := range keys {
			if k == q.Get("prefix") {
				continue // which a directory's blob, without the slash, does not begin with
			}
			meta := ""
			if strings.HasSuffix(k, "/") {
				meta = "<Metadata><hdi_isfolder>true</hdi_isfolder></Metadata>"
			}
			fmt.Fprintf(&out, `<Blob><Name>%s</Name><Properties><Content-Length>%d</Content-Length><Etag>%s</Etag></Properties>%s</Blob>`, escapeXML(strings.TrimSuffix(k, "/")), len(f.objects[k]), f.tag(k), meta)
		}
		fmt.Fprintf(w, "\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults><Blobs>%s</Blobs><NextMarker>%s</NextMarker></EnumerationResults>", out.String(), escapeXML(next))
	case ok:
		f.object(w, r, key, `<?xml version="1.0"?><Error><Code>BlobNotFound</Code></Error>`)
	default:
		w.WriteHeader(404)
		fmt.Fprint(w, `<?xml version="1.0"?><Error><Code>ContainerNotFound</Code><Message>hunter2</Message></Error>`)
	}
}

func escapeXML(text string) string {
	var out bytes.Buffer
	_ = xml.EscapeText(&out, []byte(text)) // a buffer takes everything
	return out.String()
}

// noon is the time of the tests.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// outside is a world with variables and files.
func outside(env map[string]string, files fstest.MapFS) Outside {
	return Outside{Now: func() time.Time { return noon }, Environment: fetch.Environment{
		Env: func(name string) string { return env[name] }, Home: "home",
		ReadFile: func(name string) ([]byte, error) { return files.ReadFile(path.Clean(strings.TrimPrefix(name, "/"))) },
		ReadDir:  func(string) ([]fs.DirEntry, error) { return nil, fs.ErrNotExist },
	}}
}

// options are those of a client that does not wait.
func options(t *testing.T) fetch.Options {
	return fetch.Options{Dir: t.TempDir(), Sleep: func(context.Context, time.Duration) error { return nil }}
}

// cloud is a kind of store, with the URI and the environment by which its fake is reached.
type cloud struct {
	serve func(f *fake, w http.ResponseWriter, r *http.Request)
	uri   string
	env   func(f *fake) map[string]string
}

const accountKey = "aHVudGVyMg==" // "hunter2"

var clouds = map[string]cloud{
	"s3": {serveS3, "s3://bucket/", func(f *fake) map[string]string {
		return map[string]string{"MLFLOW_S3_ENDPOINT_URL": f.URL, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "hunter2"}
	}},
	"gs": {serveGCS, "gs://bucket/", func(f *fake) map[string]string { return map[string]string{"STORAGE_EMULATOR_HOST": f.URL} }},
	"azure": {serveAzure, "wasbs://bucket@account.blob.core.windows.net/", func(f *fake) map[string]string {
		return map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "DefaultEndpointsProtocol=http;AccountName=account;AccountKey=" + accountKey + ";BlobEndpoint=" + f.URL + "/account;"}
	}},
	"data lake": {serveAzure, "abfss://bucket@account.dfs.core.windows.net/", func(f *fake) map[string]string {
		return map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "BlobEndpoint=" + f.URL + ";SharedAccessSignature=sv=1&sig=hunter2"}
	}},
}
