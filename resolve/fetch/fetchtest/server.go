// Package fetchtest is an MLflow server for tests: its registry, its runs and logged models, and both
// ways in which it hands out files. It answers as MLflow 3.17 does, and in Era2 as 2.9, down to which
// status an unknown alias has; .ci/e2e asks real servers the same. It fails as it is told to.
package fetchtest

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Version is a version of a registered model.
type Version struct {
	Name, Number   string
	Stage, Aliases string // of aliases at most one
	Source         string // as whoever registered it wrote it
	Root           string // what get-download-uri says
	RunID, Status  string // "" for READY
}

// Logged is a model of MLflow 3.
type Logged struct {
	ID, Name, RunID, Root, Status string
	Created                       int64 // milliseconds
}

// Run is a run; Outputs are the IDs of its logged models.
type Run struct {
	ID, Root string
	Outputs  []string
	Deleted  bool
}

// Server is such a server. Its fields are set before it is asked for anything.
type Server struct {
	URL string

	Versions []Version
	Logged   []Logged
	Runs     []Run
	// Files by their URI: the root that a Version, Logged or Run names, and a path below it.
	Files map[string][]byte

	NoServe   bool   // hands out nothing by the proxy route
	Chunked   bool   // sends no length and no ETag, and knows no ranges, as with a bucket behind it
	Era2      bool   // knows no logged models
	Auth      string // the Authorization that it wants, "" for none
	Workspace string // that it wants to be asked for, "" for none
	Presigned bool   // gives addresses in its bucket, which is /bucket of the same host
	PageSize  int    // of its listings, but for the proxy's; 0: no pages

	// Answer, where not nil, is asked first, and tells whether it has answered.
	Answer func(w http.ResponseWriter, r *http.Request) bool

	http *httptest.Server
	seen seen
}

// seen is what was asked for and sent.
type seen struct {
	sync.Mutex
	requests []string
	headers  []http.Header
	sent     int64 // bytes of files
}

// New starts a server, which ends with the test.
func New(t testing.TB) *Server {
	s := &Server{Files: map[string][]byte{}}
	s.http = httptest.NewServer(s)
	s.URL = s.http.URL
	t.Cleanup(s.http.Close)
	return s
}

// NewTLS is New for a server of https, whose certificate nobody knows.
func NewTLS(t testing.TB) *Server {
	s := &Server{Files: map[string][]byte{}}
	s.http = httptest.NewTLSServer(s)
	s.URL = s.http.URL
	t.Cleanup(s.http.Close)
	return s
}

// Certificate is the PEM text of the server's certificate.
func (s *Server) Certificate() []byte { return pemOf(s.http.Certificate().Raw) }

// Close ends the server early.
func (s *Server) Close() { s.http.Close() }

// Put adds the files of a model at a root.
func (s *Server) Put(root string, files map[string]string) {
	for name, text := range files {
		s.Files[root+"/"+name] = []byte(text)
	}
}

// Requests lists what was asked for: method, path and query.
func (s *Server) Requests() []string {
	s.seen.Lock()
	defer s.seen.Unlock()
	return slices.Clone(s.seen.requests)
}

// Headers are those of all requests.
func (s *Server) Headers() []http.Header {
	s.seen.Lock()
	defer s.seen.Unlock()
	return slices.Clone(s.seen.headers)
}

// Sent is how many bytes of files were sent.
func (s *Server) Sent() int64 {
	s.seen.Lock()
	defer s.seen.Unlock()
	return s.seen.sent
}

const (
	api   = "/api/2.0/mlflow/"
	proxy = "/api/2.0/mlflow-artifacts/artifacts"

	presigned = "/api/2.0/mlflow-artifacts/presigned/"
	bucket    = "/bucket/"
	files     = "/ajax-api/2.0/mlflow/logged-models/"
)

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.seen.Lock()
	s.seen.requests = append(s.seen.requests, strings.TrimSuffix(r.Method+" "+r.URL.Path+"?"+r.URL.RawQuery, "?"))
	s.seen.headers = append(s.seen.headers, r.Header.Clone())
	s.seen.Unlock()
	switch {
	case s.Answer != nil && s.Answer(w, r):
	case strings.HasPrefix(r.URL.Path, bucket):
		s.bucket(w, r)
	case s.Auth != "" && r.Header.Get("Authorization") != s.Auth:
		w.Header().Set("WWW-Authenticate", `Basic realm="mlflow"`)
		http.Error(w, "You are not authenticated.", http.StatusUnauthorized)
	case s.Workspace != "" && r.Header.Get("X-MLFLOW-WORKSPACE") != s.Workspace:
		fail(w, 404, "RESOURCE_DOES_NOT_EXIST", "no such workspace")
	default:
		s.route(w, r)
	}
}

func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	q, at := r.URL.Query(), r.URL.Path
	switch {
	case strings.HasPrefix(at, presigned):
		s.presign(w, strings.TrimPrefix(at, presigned))
	case at == proxy || strings.HasPrefix(at, proxy+"/"):
		s.proxied(w, r)
	case at == api+"model-versions/get":
		s.version(w, func(v Version) bool { return v.Name == q.Get("name") && v.Number == q.Get("version") },
			404, "RESOURCE_DOES_NOT_EXIST", fmt.Sprintf("Model Version (name=%s, version=%s) not found", q.Get("name"), q.Get("version")))
	case at == api+"model-versions/get-download-uri":
		if v := s.find(q.Get("name"), q.Get("version")); v != nil {
			answer(w, map[string]any{"artifact_uri": v.Root})
			return
		}
		fail(w, 404, "RESOURCE_DOES_NOT_EXIST", "Model Version not found")
	case at == api+"registered-models/alias":
		if !s.Era2 && !s.known(w, q.Get("name")) {
			return
		}
		s.version(w, func(v Version) bool { return v.Name == q.Get("name") && v.Aliases == q.Get("alias") },
			400, "INVALID_PARAMETER_VALUE", "Registered model alias "+q.Get("alias")+" not found.")
	case at == api+"registered-models/get-latest-versions":
		s.latest(w, r)
	case at == api+"runs/get":
		s.run(w, q.Get("run_id"))
	case at == api+"artifacts/list":
		if run := s.findRun(q.Get("run_id")); run != nil {
			s.list(w, run.Root, q.Get("path"), q.Get("page_token"), true)
			return
		}
		fail(w, 404, "RESOURCE_DOES_NOT_EXIST", "Run not found")
	case at == "/get-artifact":
		if run := s.findRun(q.Get("run_id")); run != nil {
			s.file(w, r, run.Root+"/"+q.Get("path"))
			return
		}
		fail(w, 404, "RESOURCE_DOES_NOT_EXIST", "Run not found")
	case !s.Era2 && (strings.HasPrefix(at, api+"logged-models/") || strings.HasPrefix(at, files)):
		s.logged(w, r)
	default:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(404)
		_, _ = w.Write([]byte("<!doctype html><title>404 Not Found</title>"))
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that went away wants no answer
}

func fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error_code": code, "message": message})
}

func (s *Server) find(name, number string) *Version {
	for i, v := range s.Versions {
		if v.Name == name && v.Number == number {
			return &s.Versions[i]
		}
	}
	return nil
}

func (s *Server) findRun(id string) *Run {
	for i, r := range s.Runs {
		if r.ID == id {
			return &s.Runs[i]
		}
	}
	return nil
}

func (v Version) json() map[string]any {
	out := map[string]any{"name": v.Name, "version": v.Number, "current_stage": v.Stage, "source": v.Source, "run_id": v.RunID, "status": "READY"}
	if v.Status != "" {
		out["status"] = v.Status
	}
	if v.Aliases != "" {
		out["aliases"] = []string{v.Aliases}
	}
	return out
}

func (s *Server) version(w http.ResponseWriter, is func(Version) bool, status int, code, message string) {
	for _, v := range s.Versions {
		if is(v) {
			answer(w, map[string]any{"model_version": v.json()})
			return
		}
	}
	fail(w, status, code, message)
}

// known reports whether there is a model of that name, and answers if there is none.
func (s *Server) known(w http.ResponseWriter, name string) bool {
	if slices.ContainsFunc(s.Versions, func(v Version) bool { return v.Name == name }) {
		return true
	}
	fail(w, 404, "RESOURCE_DOES_NOT_EXIST", "Registered Model with name="+name+" not found")
	return false
}

// latest gives the newest version of each stage.
func (s *Server) latest(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Name   string   `json:"name"`
		Stages []string `json:"stages"`
	}
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil || r.Method != http.MethodPost {
		fail(w, 400, "BAD_REQUEST", "malformed")
		return
	}
	if !s.known(w, ask.Name) {
		return
	}
	for _, stage := range ask.Stages {
		if !slices.Contains([]string{"none", "staging", "production", "archived"}, strings.ToLower(stage)) {
			fail(w, 400, "INVALID_PARAMETER_VALUE", "Invalid Model Version stage: "+stage+". Value must be one of None, Staging, Production, Archived.")
			return
		}
	}
	newest := map[string]Version{}
	for _, v := range s.Versions {
		wanted := len(ask.Stages) == 0 || slices.ContainsFunc(ask.Stages, func(x string) bool { return strings.EqualFold(x, v.Stage) })
		if v.Name == ask.Name && wanted {
			newest[v.Stage] = v
		}
	}
	var out []map[string]any
	for _, v := range newest {
		out = append(out, v.json())
	}
	if out == nil {
		answer(w, map[string]any{})
		return
	}
	answer(w, map[string]any{"model_versions": out})
}

func (s *Server) run(w http.ResponseWriter, id string) {
	r := s.findRun(id)
	if r == nil {
		fail(w, 404, "RESOURCE_DOES_NOT_EXIST", "Run with id="+id+" not found")
		return
	}
	run := map[string]any{"info": map[string]any{"run_id": id, "experiment_id": "0", "artifact_uri": r.Root, "lifecycle_stage": map[bool]string{false: "active", true: "deleted"}[r.Deleted]}}
	if !s.Era2 {
		var outputs []map[string]any
		for _, m := range r.Outputs {
			outputs = append(outputs, map[string]any{"model_id": m, "step": 0})
		}
		run["outputs"] = map[string]any{"model_outputs": outputs}
	}
	answer(w, map[string]any{"run": run})
}

func (s *Server) logged(w http.ResponseWriter, r *http.Request) {
	rest := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, api+"logged-models/"), files)
	id, what, _ := strings.Cut(rest, "/")
	for _, m := range s.Logged {
		if m.ID != id {
			continue
		}
		q := r.URL.Query()
		switch what {
		case "":
			status := "LOGGED_MODEL_READY"
			if m.Status != "" {
				status = m.Status
			}
			answer(w, map[string]any{"model": map[string]any{"info": map[string]any{
				"model_id": m.ID, "name": m.Name, "artifact_uri": m.Root, "status": status, "source_run_id": m.RunID, "creation_timestamp_ms": m.Created,
			}}})
		case "artifacts/directories":
			s.list(w, m.Root, q.Get("artifact_directory_path"), q.Get("page_token"), true)
		case "artifacts/files":
			s.file(w, r, m.Root+"/"+q.Get("artifact_file_path"))
		}
		return
	}
	fail(w, 404, "RESOURCE_DOES_NOT_EXIST", "Logged model with ID '"+id+"' not found.")
}

func (s *Server) proxied(w http.ResponseWriter, r *http.Request) {
	if s.NoServe {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("Endpoint: " + r.URL.Path + " disabled due to the mlflow server running with `--no-serve-artifacts`."))
		return
	}
	const scheme = "mlflow-artifacts:"
	if r.URL.Path == proxy {
		s.list(w, scheme+"/"+r.URL.Query().Get("path"), "", "", false)
		return
	}
	s.file(w, r, scheme+strings.TrimPrefix(r.URL.Path, proxy))
}

// listed is one line of a listing.
type listed struct {
	Path string `json:"path"`
	Dir  bool   `json:"is_dir"`
	Size *int   `json:"file_size,omitempty"`
}

// list lists one directory below a root. What is not there has no files.
func (s *Server) list(w http.ResponseWriter, root, dir, token string, whole bool) {
	at := strings.TrimSuffix(root+"/"+dir, "/") + "/"
	found := map[string]listed{}
	for uri, data := range s.Files {
		rest, ok := strings.CutPrefix(uri, at)
		if !ok {
			continue
		}
		name, _, below := strings.Cut(rest, "/")
		one := listed{Path: name, Dir: below}
		if whole {
			one.Path = path.Join(dir, name)
		}
		if size := len(data); !below {
			one.Size = &size
		}
		found[name] = one
	}
	var out []listed
	for _, one := range found {
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b listed) int { return strings.Compare(a.Path, b.Path) })
	body := map[string]any{}
	if whole {
		body["root_uri"] = root
	}
	if whole && s.PageSize > 0 {
		from := 0
		_, _ = fmt.Sscan(token, &from) // none: from the beginning
		to := min(from+s.PageSize, len(out))
		if to < len(out) {
			body["next_page_token"] = fmt.Sprint(to)
		}
		out = out[from:to]
	}
	if len(out) > 0 {
		body["files"] = out
	}
	answer(w, body)
}

// file sends a file.
func (s *Server) file(w http.ResponseWriter, r *http.Request, uri string) {
	data, ok := s.Files[uri]
	if !ok {
		fail(w, 404, "RESOURCE_DOES_NOT_EXIST", "No such artifact: '"+path.Base(uri)+"'")
		return
	}
	count := &counter{ResponseWriter: w, s: s}
	w.Header().Set("Content-Disposition", "attachment")
	w.Header().Set("Content-Type", "application/octet-stream")
	if s.Chunked {
		w.(http.Flusher).Flush()
		_, _ = count.Write(data) // a client that went away wants no more
		return
	}
	sum := md5.Sum(data)
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:])+`"`)
	http.ServeContent(count, r, "", time.Time{}, bytes.NewReader(data))
}

// presign gives an address of a file, in the bucket.
func (s *Server) presign(w http.ResponseWriter, name string) {
	data, ok := s.Files["mlflow-artifacts:/"+name]
	switch {
	case !s.Presigned:
		fail(w, 501, "NOT_IMPLEMENTED", "Presigned URLs are not supported for the current artifact repository.")
	case !ok:
		fail(w, 404, "RESOURCE_DOES_NOT_EXIST", "no such artifact")
	default:
		at := url.URL{Path: bucket + name, RawQuery: "X-Amz-Signature=hunter2"}
		answer(w, map[string]any{"url": s.URL + at.String(), "headers": map[string]string{"X-Signed": "yes"}, "file_size": len(data)})
	}
}

// bucket hands out files by their addresses, as S3 does, and nothing to those who show a credential besides.
func (s *Server) bucket(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery != "X-Amz-Signature=hunter2" || r.Header.Get("X-Signed") != "yes" || r.Header.Get("Authorization") != "" {
		http.Error(w, "<Error><Code>AccessDenied</Code></Error>", http.StatusForbidden)
		return
	}
	data, ok := s.Files["mlflow-artifacts:/"+strings.TrimPrefix(r.URL.Path, bucket)]
	if !ok {
		http.NotFound(w, r)
		return
	}
	sum := md5.Sum(data)
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:])+`"`)
	http.ServeContent(&counter{ResponseWriter: w, s: s}, r, "", time.Time{}, bytes.NewReader(data))
}

// counter counts what is sent of files.
type counter struct {
	http.ResponseWriter
	s *Server
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.s.seen.Lock()
	c.s.seen.sent += int64(n)
	c.s.seen.Unlock()
	return n, err
}

// Route answers as the server does where it does not fail.
func Route(s *Server, w http.ResponseWriter, r *http.Request) { s.route(w, r) }
