package fetchtest

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Workspace is a workspace of Databricks: Unity Catalog and the workspace's own registry, with the files of both behind
// signed addresses of a bucket. It was written by what MLflow's client asks and expects, and has not been compared with a
// real one.
type Workspace struct {
	URL    string
	Bucket string // the address of the bucket
	Auth   string // the Authorization that it wants
	// Model is the name of the one model, which is a model of Unity Catalog where it has two dots, with version 3 and the alias
	// champion.
	Model string
	Files map[string]string
	// Expired is how many of the addresses, from the first on, are refused as ended.
	Expired atomic.Int64
	// Principal and Secret are those of a service principal, to whom Auth is given.
	Principal, Secret string

	Leaked   atomic.Bool  // the bucket was sent an Authorization
	Fetched  atomic.Int64 // files, or parts of them
	requests seen
}

// NewWorkspace starts one, which ends with the test.
func NewWorkspace(t testing.TB, model string, files map[string]string) *Workspace {
	w := &Workspace{Model: model, Files: files, Auth: "Bearer hunter2"}
	api, bucket := httptest.NewServer(w), httptest.NewServer(http.HandlerFunc(w.bucket))
	w.URL, w.Bucket = api.URL, bucket.URL
	t.Cleanup(api.Close)
	t.Cleanup(bucket.Close)
	return w
}

const (
	catalog  = "/api/2.0/mlflow/unity-catalog/"
	fsRoute  = "/api/2.0/fs/directories"
	signRead = "/api/2.0/fs/create-download-url"
)

// ServeHTTP implements http.Handler.
func (w *Workspace) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.requests.Lock()
	w.requests.requests = append(w.requests.requests, r.Method+" "+r.URL.Path)
	w.requests.Unlock()
	registry := api
	if strings.Count(w.Model, ".") == 2 {
		registry = catalog
	}
	root := "/Models/" + strings.ReplaceAll(w.Model, ".", "/") + "/3"
	q := r.URL.Query()
	mine := q.Get("name") == w.Model
	switch at := r.URL.Path; {
	case at == "/oidc/v1/token":
		id, secret, _ := r.BasicAuth()
		if id != w.Principal || secret != w.Secret || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "all-apis" {
			fail(rw, 401, "invalid_client", "Client authentication failed")
			return
		}
		answer(rw, map[string]any{"access_token": strings.TrimPrefix(w.Auth, "Bearer "), "expires_in": 3600})
	case r.Header.Get("Authorization") != w.Auth:
		fail(rw, 403, "PERMISSION_DENIED", "Invalid access token.")
	case at == registry+"registered-models/alias" && mine && q.Get("alias") == "champion", at == registry+"model-versions/get" && mine && q.Get("version") == "3":
		answer(rw, map[string]any{"model_version": map[string]any{"name": w.Model, "version": "3", "status": "READY", "run_id": "r1", "source": "dbfs:/x"}})
	case strings.HasPrefix(at, fsRoute+root) && registry == catalog:
		w.directories(rw, root, strings.Trim(strings.TrimPrefix(at, fsRoute+root), "/"), q.Get("page_token"))
	case at == signRead && r.Method == http.MethodPost && registry == catalog:
		body := new(bytes.Buffer)
		_, _ = body.ReadFrom(r.Body) // what cannot be read names no file
		_, name, _ := strings.Cut(body.String(), root+"/")
		answer(rw, map[string]any{"url": w.sign(strings.TrimSuffix(name, `"}`)), "headers": []map[string]string{{"name": "X-Signed", "value": "yes"}}})
	case at == api+"model-versions/list-artifacts" && mine && registry == api:
		w.artifacts(rw, q.Get("path"))
	case at == api+"model-versions/get-signed-download-uri" && mine && registry == api:
		answer(rw, map[string]any{"signed_uri": w.sign(q.Get("path")), "headers": []map[string]string{{"name": "X-Signed", "value": "yes"}}})
	default:
		fail(rw, 404, "RESOURCE_DOES_NOT_EXIST", "no such thing")
	}
}

// Requests lists what the workspace was asked for.
func (w *Workspace) Requests() []string {
	w.requests.Lock()
	defer w.requests.Unlock()
	return slices.Clone(w.requests.requests)
}

func (w *Workspace) sign(name string) string {
	signature := "good"
	if w.Expired.Add(-1) >= 0 {
		signature = "ended"
	}
	return w.Bucket + "/" + name + "?signature=hunter2-" + signature
}

// children are the names in a directory, with a slash behind those of directories.
func (w *Workspace) children(dir string) []string {
	var out []string
	for name := range w.Files {
		rest, ok := strings.CutPrefix("/"+name, strings.TrimSuffix("/"+dir, "/")+"/")
		if !ok {
			continue
		}
		if first, _, below := strings.Cut(rest, "/"); below {
			rest = first + "/"
		}
		if !slices.Contains(out, rest) {
			out = append(out, rest)
		}
	}
	slices.Sort(out)
	return out
}

// directories answers as the Files API, with two entries on a page.
func (w *Workspace) directories(rw http.ResponseWriter, root, dir, token string) {
	var contents []map[string]any
	next := ""
	for _, name := range w.children(dir) {
		if name <= token {
			continue
		}
		if len(contents) == 2 {
			next = path.Base(contents[1]["path"].(string))
			if contents[1]["is_directory"].(bool) {
				next += "/"
			}
			break
		}
		whole := root + "/" + path.Join(dir, name)
		contents = append(contents, map[string]any{"path": whole, "is_directory": strings.HasSuffix(name, "/"), "file_size": len(w.Files[path.Join(dir, name)])})
	}
	answer(rw, map[string]any{"contents": contents, "next_page_token": next})
}

func (w *Workspace) artifacts(rw http.ResponseWriter, dir string) {
	var files []map[string]any
	for _, name := range w.children(dir) {
		at := path.Join(dir, name)
		files = append(files, map[string]any{"path": at, "is_dir": strings.HasSuffix(name, "/"), "file_size": len(w.Files[at])})
	}
	answer(rw, map[string]any{"files": files})
}

// bucket hands out what was signed.
func (w *Workspace) bucket(rw http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" {
		w.Leaked.Store(true)
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	text, ok := w.Files[name]
	if r.URL.Query().Get("signature") != "hunter2-good" || r.Header.Get("X-Signed") != "yes" || !ok {
		http.Error(rw, "<Error><Code>AccessDenied</Code><Message>Request has expired hunter2</Message></Error>", http.StatusForbidden)
		return
	}
	w.Fetched.Add(1)
	rw.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprint(len(text))))
	http.ServeContent(rw, r, "", time.Time{}, strings.NewReader(text))
}
