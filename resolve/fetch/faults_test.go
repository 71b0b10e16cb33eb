package fetch_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mlenv/resolve/fetch"
	"mlenv/resolve/fetch/fetchtest"
)

const proxy = "/api/2.0/mlflow-artifacts/artifacts"

// on answers requests whose path ends so.
func on(suffix string, f http.HandlerFunc) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, suffix) {
			return false
		}
		f(w, r)
		return true
	}
}

func page(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		fmt.Fprint(w, "<html>Sign in</html>")
	}
}

// listing answers the listing of the model's root.
func listing(files string) func(http.ResponseWriter, *http.Request) bool {
	return on(proxy, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Query().Get("path"), "/artifacts") {
			fmt.Fprint(w, `{"files":[`+files+`]}`)
			return
		}
		fmt.Fprint(w, `{}`)
	})
}

// TestFaults makes a server fail in every way that real ones do: there is one error of the right kind,
// a sentence that names the URI, no endless trying, and nothing is left on disk.
func TestFaults(t *testing.T) {
	tests := map[string]struct {
		uri  string // "": models:/churn/1
		set  func(*fetchtest.Server, *fetch.Options)
		kind fetch.Kind
		want string
	}{
		"no version":     {uri: "models:/churn/99", kind: fetch.NotFound, want: "has no version 99 of a model churn"},
		"no model":       {uri: "models:/nope/1", kind: fetch.NotFound, want: "no version 1 of a model nope"},
		"no alias":       {uri: "models:/churn@nope", kind: fetch.NotFound, want: "no alias nope of a model churn"},
		"alias no model": {uri: "models:/nope@x", kind: fetch.NotFound, want: "has no model nope"},
		"alias era 2":    {uri: "models:/nope@x", set: func(s *fetchtest.Server, _ *fetch.Options) { s.Era2 = true }, kind: fetch.NotFound, want: "no alias x of a model nope"},
		"no stage":       {uri: "models:/churn/Staging", kind: fetch.NotFound, want: "no version in the stage Staging"},
		"bad stage":      {uri: "models:/churn/Prod", kind: fetch.NotFound, want: `"Prod" is neither a version, nor latest, nor a stage`},
		"no latest":      {uri: "models:/nope/latest", kind: fetch.NotFound, want: "has no model nope"},
		"no run":         {uri: "runs:/r9/model", kind: fetch.NotFound, want: "has no run r9"},
		"deleted run":    {uri: "runs:/r1/model", set: func(s *fetchtest.Server, _ *fetch.Options) { s.Runs[0].Deleted = true }, kind: fetch.NotFound, want: "has the run r1 only as a deleted one"},
		"no logged":      {uri: "models:/m-9", kind: fetch.NotFound, want: "no logged model m-9"},
		"no logged era2": {uri: "models:/m-1", set: func(s *fetchtest.Server, _ *fetch.Options) { s.Era2 = true }, kind: fetch.NotFound, want: "came with MLflow 3"},
		"name alone":     {uri: "models:/churn", kind: fetch.NotFound, want: "ends in a version or an alias"},
		"run, other":     {uri: "runs:/r1/other", kind: fetch.Empty, want: "there are no files"},
		"gone":           {set: func(s *fetchtest.Server, _ *fetch.Options) { s.Files = nil }, kind: fetch.Empty, want: "there are no files"},
		"gone meanwhile": {set: func(s *fetchtest.Server, _ *fetch.Options) { s.Answer = on("/MLmodel", http.NotFound) }, kind: fetch.NotMLflow, want: "MLmodel: "},
		"lost object": {set: func(s *fetchtest.Server, _ *fetch.Options) {
			s.Answer = on("/MLmodel", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "boto", 500) })
		}, kind: fetch.ServerFailed, want: "MLmodel: 127.0.0.1"},
		"pending":        {set: func(s *fetchtest.Server, _ *fetch.Options) { s.Versions[0].Status = "PENDING_REGISTRATION" }, kind: fetch.NotReady, want: "PENDING_REGISTRATION"},
		"logged pending": {uri: "models:/m-1", set: func(s *fetchtest.Server, _ *fetch.Options) { s.Logged[0].Status = "LOGGED_MODEL_PENDING" }, kind: fetch.NotReady, want: "not ready"},
		"wrong token":    {set: func(s *fetchtest.Server, o *fetch.Options) { s.Auth = "Bearer right"; o.Auth.Token = "hunter2" }, kind: fetch.Denied, want: "answered 401"},
		"forbidden":      {set: func(s *fetchtest.Server, _ *fetch.Options) { s.Answer = on("/get", page(403)) }, kind: fetch.Denied, want: "answered 403"},
		"login page":     {set: func(s *fetchtest.Server, _ *fetch.Options) { s.Answer = on("", page(200)) }, kind: fetch.NotMLflow, want: "answers with a page for people"},
		"login page for a file": {set: func(s *fetchtest.Server, _ *fetch.Options) { s.Answer = on("/MLmodel", page(200)) },
			kind: fetch.NotMLflow, want: "MLmodel: 127.0.0.1"},
		"server down": {set: func(s *fetchtest.Server, _ *fetch.Options) { s.Close() }, kind: fetch.Unreachable, want: "connection refused"},
		"no http":     {set: func(s *fetchtest.Server, o *fetch.Options) { o.Tracking = strings.Replace(s.URL, "http:", "https:", 1) }, kind: fetch.Unreachable, want: "does not speak TLS"},
		"no server":   {set: func(_ *fetchtest.Server, o *fetch.Options) { o.Tracking = "" }, kind: fetch.NoServer, want: "no tracking server is set"},
		"database":    {set: func(_ *fetchtest.Server, o *fetch.Options) { o.Tracking = "sqlite:///mlflow.db" }, kind: fetch.Database, want: "names a database (sqlite)"},
		"a database with a password": {set: func(_ *fetchtest.Server, o *fetch.Options) { o.Tracking = "postgresql+psycopg2://u:hunter2@db/x" },
			kind: fetch.Database, want: "names a database (postgresql)"},
		"other tracking": {set: func(_ *fetchtest.Server, o *fetch.Options) { o.Tracking = "redis://x" }, kind: fetch.Unsupported, want: "redis"},
		"dbfs":           {uri: "dbfs:/x", kind: fetch.Unsupported, want: "does not read dbfs:"},
		"hdfs":           {uri: "hdfs://h/x", kind: fetch.Unsupported, want: "does not read hdfs:"},
		"sftp":           {uri: "sftp://u:hunter2@h/x", kind: fetch.Unsupported, want: "does not read sftp:"},
		"plugin":         {uri: "oss://b/x", kind: fetch.Unsupported, want: "does not read oss:"},
		"http":           {uri: "http://127.0.0.1/model", kind: fetch.Unsupported, want: "is not the address of a directory"},
		"profile":        {uri: "models://me/churn/1", kind: fetch.NoServer, want: "no workspace of Databricks is set"},
		"leaving model":  {uri: "models:/churn/1/../x", kind: fetch.BadURI, want: "a path within the model"},
		"leaving alias":  {uri: "models:/churn@champion/..", kind: fetch.BadURI, want: "a path within the model"},
		"within, absent": {uri: "models:/churn/1/none", kind: fetch.Empty, want: "there are no files"},
		"empty part":     {uri: "models:/churn/", kind: fetch.BadURI, want: "empty part"},
		"no slash":       {uri: "models:churn/1", kind: fetch.BadURI, want: "no / behind"},
		"no name":        {uri: "models:/@x", kind: fetch.BadURI, want: "no name"},
		"run alone":      {uri: "runs:/r1", kind: fetch.BadURI, want: "no model of it"},
		"leaving run":    {uri: "runs:/r1/../../x", kind: fetch.BadURI, want: "below the run's artifacts"},
		"leaving":        {uri: "mlflow-artifacts:/../x", kind: fetch.BadURI, want: "below the server's artifacts"},
		"a circle":       {set: func(s *fetchtest.Server, _ *fetch.Options) { s.Versions[0].Root = "models:/churn/1" }, kind: fetch.BadListing, want: "without end"},
		"unlisted bucket": {set: func(s *fetchtest.Server, _ *fetch.Options) { s.Versions[0].Root = "s3://elsewhere/x" },
			kind: fetch.Unsupported, want: "its files are at s3://elsewhere/x"},
		"cut short": {set: func(s *fetchtest.Server, _ *fetch.Options) {
			s.Answer = on("/MLmodel", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", fmt.Sprint(len(s.Files["mlflow-artifacts:/0/models/m-1/artifacts/MLmodel"])))
				fmt.Fprint(w, "flavors:")
			})
		}, kind: fetch.Truncated, want: "MLmodel ended after 8 of "},
		"ended early": {set: func(s *fetchtest.Server, _ *fetch.Options) {
			s.Answer = on("/MLmodel", func(w http.ResponseWriter, _ *http.Request) {
				w.(http.Flusher).Flush()
				fmt.Fprint(w, "flavors:")
			})
		}, kind: fetch.Truncated, want: "MLmodel ended after 8 of "},
		"other length": {set: func(s *fetchtest.Server, _ *fetch.Options) {
			s.Answer = on("/MLmodel", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "flavors:") })
		}, kind: fetch.Changed, want: "MLmodel has 8 bytes, but the server listed it with"},
		"endless": {set: func(s *fetchtest.Server, _ *fetch.Options) {
			s.Answer = on("/MLmodel", func(w http.ResponseWriter, r *http.Request) {
				for r.Context().Err() == nil {
					_, _ = w.Write(make([]byte, 1<<16))
				}
			})
		}, kind: fetch.Changed, want: "is longer than the"},
		"lists up":        {set: list(`{"path":"..","is_dir":true}`), kind: fetch.BadListing, want: `lists ".."`},
		"lists nothing":   {set: list(`{"path":"","is_dir":true}`), kind: fetch.BadListing, want: `lists`},
		"lists a NUL":     {set: list(`{"path":"a\u0000b","file_size":1}`), kind: fetch.BadListing, want: `not the name of a file`},
		"lists backslash": {set: list(`{"path":"..\\x","file_size":1}`), kind: fetch.BadListing, want: `not the name of a file`},
		"lists a drive":   {set: list(`{"path":"C:","file_size":1}`), kind: fetch.BadListing, want: `absolute`},
		"lists twice":     {set: list(`{"path":"a","file_size":1},{"path":"a","file_size":1}`), kind: fetch.BadListing, want: `lists "a" twice`},
		"lists both":      {set: list(`{"path":"a","file_size":1},{"path":"a","is_dir":true}`), kind: fetch.BadListing, want: `both as a file and as a directory`},
		"lists case":      {set: list(`{"path":"a","file_size":1},{"path":"A","file_size":1}`), kind: fetch.BadListing, want: `one file on some systems`},
		"lists negative":  {set: list(`{"path":"a","file_size":-5}`), kind: fetch.BadListing, want: `size "-5"`},
		"lists too much":  {set: list(`{"path":"a","file_size":4611686018427387904},{"path":"b","file_size":4611686018427387904}`), kind: fetch.BadListing, want: `more than 4 TiB`},
		"lists the meta":  {set: list(`{"path":"registered_model_meta","is_dir":true}`), kind: fetch.BadListing, want: `where MLflow puts a file`},
		"deep": {set: func(s *fetchtest.Server, _ *fetch.Options) {
			s.Answer = on(proxy, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"files":[{"path":"a","is_dir":true}]}`) })
		}, kind: fetch.BadListing, want: "more than 32 deep"},
		"wide": {set: func(s *fetchtest.Server, _ *fetch.Options) {
			var n atomic.Int64
			s.Answer = on(proxy, func(w http.ResponseWriter, _ *http.Request) {
				var files []string
				for range 1000 {
					files = append(files, fmt.Sprintf(`{"path":"f%d","file_size":1}`, n.Add(1)))
				}
				fmt.Fprintf(w, `{"files":[%s],"next_page_token":"x"}`, strings.Join(files, ","))
			})
		}, kind: fetch.BadListing, want: "more than 20000 files"},
		"endless pages": {set: func(s *fetchtest.Server, _ *fetch.Options) {
			s.Answer = on(proxy, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"next_page_token":"x"}`) })
		}, kind: fetch.BadListing, want: "more than 1000 pages"},
		"two settings": {set: func(_ *fetchtest.Server, o *fetch.Options) { o.TLS = fetch.TLS{Insecure: true, CAFile: "x"} }, kind: fetch.BadSettings, want: "contradict"},
		"no CA":        {set: func(_ *fetchtest.Server, o *fetch.Options) { o.TLS.CAFile = "/no/such/file" }, kind: fetch.BadSettings, want: "certificates to trust"},
		"no cert":      {set: func(_ *fetchtest.Server, o *fetch.Options) { o.TLS.ClientCert = "/no/such/file" }, kind: fetch.BadSettings, want: "client certificate"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := fetchtest.New(t)
			s.Churn("mlflow-artifacts:/0", 100)
			o := options(t, s)
			uri := tt.uri
			if uri == "" {
				uri = "models:/churn/1"
			}
			if tt.set != nil {
				tt.set(s, &o)
			}
			m, err := fetch.Open(context.Background(), uri, o)
			var e *fetch.Error
			if !errors.As(err, &e) || e.Kind != tt.kind || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v (%v), want %q (%s)", err, m, tt.want, tt.kind)
			}
			if text := err.Error(); strings.Contains(text, "hunter2") || strings.Contains(text, "\n") || !strings.HasPrefix(text, "fetching "+strings.SplitN(uri, ":", 2)[0]) {
				t.Errorf("the message is %q", text)
			}
			if n := len(s.Requests()); n > 1010 {
				t.Errorf("%d requests", n)
			}
			empty(t, o.Dir)
		})
	}
}

func list(files string) func(*fetchtest.Server, *fetch.Options) {
	return func(s *fetchtest.Server, _ *fetch.Options) { s.Answer = listing(files) }
}

// TestRetries lets what may pass fail a few times: the model is fetched all the same, and a download
// that was cut off goes on where it was, if the server says that it is the same file.
func TestRetries(t *testing.T) {
	for name, status := range map[string]int{"busy": 503, "too many": 429, "gateway": 502} {
		s := fetchtest.New(t)
		s.Churn("mlflow-artifacts:/0", 100)
		var failed atomic.Int64
		s.Answer = func(w http.ResponseWriter, r *http.Request) bool {
			if failed.Add(1)%3 != 0 { // two of three requests
				w.WriteHeader(status)
				return true
			}
			return false
		}
		m, err := fetch.Open(context.Background(), "models:/churn/1", options(t, s))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestResumes cuts a large file off in the middle, three times.
func TestResumes(t *testing.T) {
	const size = 3 << 20
	for _, chunked := range []bool{false, true} {
		s := fetchtest.New(t)
		s.Churn("mlflow-artifacts:/0", size)
		s.Chunked = chunked
		var cut atomic.Int64
		s.Answer = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/model.pkl") || cut.Add(1) > 3 {
				return false
			}
			rec := httptest.NewRecorder()
			fetchtest.Route(s, rec, r)
			for k, v := range rec.Header() {
				w.Header()[k] = v
			}
			w.WriteHeader(rec.Code)
			_, _ = w.Write(rec.Body.Bytes()[:size/8])
			panic(http.ErrAbortHandler) // which ends the connection
		}
		m, err := fetch.Open(context.Background(), "models:/churn/1", options(t, s))
		if err != nil {
			t.Fatal(err)
		}
		got, err := fs.ReadFile(m.FS, "model.pkl")
		if err != nil || string(got) != fetchtest.Model(size)["model.pkl"] {
			t.Errorf("chunked %v: %d bytes, %v", chunked, len(got), err)
		}
		ranges := 0
		for _, h := range s.Headers() {
			if h.Get("Range") != "" {
				ranges++
			}
		}
		if want := map[bool]int{false: 3, true: 0}[chunked]; ranges != want {
			t.Errorf("chunked %v: %d requests for a range, want %d", chunked, ranges, want)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestChangedMeanwhile replaces a file between two attempts: what was there of the old one is dropped.
func TestChangedMeanwhile(t *testing.T) {
	s := fetchtest.New(t)
	s.Churn("mlflow-artifacts:/0", 1<<20)
	const uri = "mlflow-artifacts:/0/models/m-1/artifacts/model.pkl"
	var n atomic.Int64
	s.Answer = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/model.pkl") || n.Add(1) > 1 {
			return false
		}
		w.Header().Set("ETag", `"old"`)
		w.Header().Set("Content-Length", fmt.Sprint(1<<20))
		_, _ = w.Write(make([]byte, 1000))
		return true
	}
	m, err := fetch.Open(context.Background(), "models:/churn/1", options(t, s))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if got, err := fs.ReadFile(m.FS, "model.pkl"); err != nil || string(got) != string(s.Files[uri]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestStalls lets a server send nothing more.
func TestStalls(t *testing.T) {
	s := fetchtest.New(t)
	s.Churn("mlflow-artifacts:/0", 100)
	s.Answer = on("/MLmodel", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "200")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	o := options(t, s)
	o.Timeout, o.Retries = 20*time.Millisecond, -1
	_, err := fetch.Open(context.Background(), "mlflow-artifacts:/0/models/m-1/artifacts", o)
	if err == nil || !strings.Contains(err.Error(), "but the server listed it") && !strings.Contains(err.Error(), "nothing came for 20ms") {
		t.Error(err)
	}
	empty(t, o.Dir)
}

// TestCredentials sends them to the server that they are for, and to nobody else: neither where it
// redirects to, nor a host that a URI names, nor anything on disk or in an error.
func TestCredentials(t *testing.T) {
	other := fetchtest.New(t)
	other.Churn("mlflow-artifacts:/0", 100)
	s := fetchtest.New(t)
	s.Churn("mlflow-artifacts:/0", 100)
	s.Auth, s.Workspace = "Basic dXNlcjpodW50ZXIy", "team"
	s.Answer = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/model.pkl") {
			http.Redirect(w, r, other.URL+r.URL.Path+"?X-Amz-Signature=hunter3", http.StatusFound)
			return true
		}
		return false
	}
	o := options(t, s)
	o.Auth, o.Workspace = fetch.Auth{User: "user", Password: "hunter2", Token: "hunter4"}, "team"
	m, err := fetch.Open(context.Background(), "models:/churn@champion", o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fs.ReadFile(m.FS, "model.pkl"); err != nil {
		t.Error(err)
	}
	err = filepath.WalkDir(o.Dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if data, _ := os.ReadFile(name); strings.Contains(string(data), "hunter") {
				t.Errorf("a credential in %s", name)
			}
		}
		return err
	})
	if err := errors.Join(err, m.Close()); err != nil {
		t.Error(err)
	}
	uri := strings.Replace(other.URL, "http:", "mlflow-artifacts:", 1) + "/0/models/m-1/artifacts"
	for _, uri := range []string{uri, other.URL + proxy + "/0/models/m-1/artifacts"} {
		m, err := fetch.Open(context.Background(), uri, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := len(other.Headers()); n < 9 {
		t.Errorf("only %d requests", n)
	}
	for _, h := range other.Headers() {
		if fmt.Sprint(h) != strings.NewReplacer("hunter", "", "Basic", "", "team", "").Replace(fmt.Sprint(h)) || h.Get("Authorization") != "" {
			t.Errorf("another host was sent %v", h)
		}
	}
	o.Auth = fetch.Auth{}
	o.Tracking = strings.Replace(s.URL, "http://", "http://user:hunter2@", 1)
	m, err = fetch.Open(context.Background(), "models:/churn@champion", o)
	if err != nil {
		t.Fatal("credentials in the tracking URI:", err)
	}
	if strings.Contains(fmt.Sprintf("%+v", m.Source), "hunter") {
		t.Errorf("%+v", m.Source)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

// TestCertificates has a server whose certificate nobody knows.
func TestCertificates(t *testing.T) {
	s := fetchtest.NewTLS(t)
	s.Churn("mlflow-artifacts:/0", 100)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, s.Certificate(), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		tls  fetch.TLS
		kind fetch.Kind
	}{"unknown": {kind: fetch.Certificate}, "named": {tls: fetch.TLS{CAFile: ca}}, "insecure": {tls: fetch.TLS{Insecure: true}}} {
		o := options(t, s)
		o.TLS = tt.tls
		m, err := fetch.Open(context.Background(), "models:/churn/1", o)
		var e *fetch.Error
		switch {
		case tt.kind != "":
			if !errors.As(err, &e) || e.Kind != tt.kind {
				t.Errorf("%s: %v", name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		default:
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
