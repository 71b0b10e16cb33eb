package fetch_test

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"mlenv/resolve/fetch"
)

// configure reads settings from an environment and files; "." is the working directory, "home" the home.
func configure(env map[string]string, files fstest.MapFS) (fetch.Options, error) {
	return fetch.Configure(fetch.Environment{
		Env: func(name string) string { return env[name] }, Home: "home",
		ReadFile: func(name string) ([]byte, error) { return files.ReadFile(path.Clean(name)) },
		ReadDir:  func(name string) ([]fs.DirEntry, error) { return files.ReadDir(path.Clean(name)) },
	})
}

// TestSettings reads them as MLflow's client does (utils/credentials.py, environment_variables.py).
func TestSettings(t *testing.T) {
	credentials := fstest.MapFS{"home/.mlflow/credentials": {Data: []byte("[other]\nmlflow_tracking_username = no\n[mlflow]\n# x\nmlflow_tracking_username = ann\nMLFLOW_TRACKING_PASSWORD=p=w\n")}}
	is := func(want fetch.Auth) func(fetch.Options) bool {
		return func(o fetch.Options) bool { return o.Auth == want }
	}
	for name, tt := range map[string]struct {
		env   map[string]string
		files fstest.MapFS
		ok    func(fetch.Options) bool
	}{
		"nothing": {ok: func(o fetch.Options) bool { return o.Tracking == "" && o.Auth == (fetch.Auth{}) }},
		"server and registry": {env: map[string]string{"MLFLOW_TRACKING_URI": "http://a ", "MLFLOW_REGISTRY_URI": "http://b", "MLFLOW_WORKSPACE": "w"},
			ok: func(o fetch.Options) bool {
				return o.Tracking == "http://a" && o.Registry == "http://b" && o.Workspace == "w"
			}},
		"user":               {env: map[string]string{"MLFLOW_TRACKING_USERNAME": "u", "MLFLOW_TRACKING_PASSWORD": "p\n", "MLFLOW_TRACKING_TOKEN": "t"}, ok: is(fetch.Auth{User: "u", Password: "p", Token: "t"})},
		"token":              {env: map[string]string{"MLFLOW_TRACKING_TOKEN": "t"}, ok: is(fetch.Auth{Token: "t"})},
		"file":               {files: credentials, ok: is(fetch.Auth{User: "ann", Password: "p=w"})},
		"variable over file": {env: map[string]string{"MLFLOW_TRACKING_USERNAME": "u"}, files: credentials, ok: is(fetch.Auth{User: "u", Password: "p=w"})},
		"TLS": {env: map[string]string{"MLFLOW_TRACKING_INSECURE_TLS": "True", "MLFLOW_TRACKING_CLIENT_CERT_PATH": "c"},
			ok: func(o fetch.Options) bool { return o.TLS == fetch.TLS{Insecure: true, ClientCert: "c"} }},
		"CA": {env: map[string]string{"MLFLOW_TRACKING_SERVER_CERT_PATH": "ca"}, ok: func(o fetch.Options) bool { return o.TLS.CAFile == "ca" }},
		"patience": {env: map[string]string{"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"},
			ok: func(o fetch.Options) bool { return o.Timeout == 5*time.Second && o.Retries < 0 }},
		"proxies": {env: map[string]string{"HTTPS_PROXY": "a", "https_proxy": "b", "no_proxy": "c"},
			ok: func(o fetch.Options) bool { return o.Proxy == fetch.Proxy{HTTPS: "b", No: "c"} }},
		"mlruns":          {files: fstest.MapFS{"mlruns/0/meta.yaml": {}, "mlflow.db": {}}, ok: func(o fetch.Options) bool { return o.Tracking == "mlruns" }},
		"no experiments":  {files: fstest.MapFS{"mlruns/x/meta.yaml": {}}, ok: func(o fetch.Options) bool { return o.Tracking == "" }},
		"mlflow.db":       {files: fstest.MapFS{"mlflow.db": {}}, ok: func(o fetch.Options) bool { return o.Tracking == "sqlite:///mlflow.db" }},
		"no plugin is no": {env: map[string]string{"MLFLOW_TRACKING_AWS_SIGV4": "false"}, ok: func(fetch.Options) bool { return true }},
	} {
		if o, err := configure(tt.env, tt.files); err != nil || !tt.ok(o) {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
	for env, kind := range map[string]fetch.Kind{
		"MLFLOW_TRACKING_INSECURE_TLS=hunter2": fetch.BadSettings, "MLFLOW_HTTP_REQUEST_TIMEOUT=hunter2": fetch.BadSettings,
		"MLFLOW_TRACKING_AUTH=kubernetes": fetch.Unsupported, "MLFLOW_TRACKING_AWS_SIGV4=true": fetch.Unsupported,
	} {
		name, value, _ := strings.Cut(env, "=")
		_, err := configure(map[string]string{name: value}, nil)
		var e *fetch.Error
		if !errors.As(err, &e) || e.Kind != kind || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", env, err)
		}
	}
}

// TestScheme tells URIs from paths and references.
func TestScheme(t *testing.T) {
	for text, want := range map[string]string{
		"models:/a/1": "models", "Models:/a/1": "models", "runs:x": "runs", "s3://b": "s3", "file:/x": "file", "file:x": "file", "oss://b": "oss",
		"a": "", "./models:/a": "", "localhost:5000/a": "", "host/a:1": "", "oci:dir": "", "oci-tar:/x": "", `C:\x`: "", "C:/x": "", "python:3.11": "", "/a://b": "",
	} {
		if got := fetch.Scheme(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"models:/a@b": "models:/a@b", "runs:/r/a@b": "runs:/r/a@b", "https://u:pw@h/x?sig=1": "https://h/x", "models://u:pw@h/1": "models://h/1",
		"mlflow-artifacts://u:pw@h/x": "mlflow-artifacts://h/x", "dir": "dir",
	} {
		if got := fetch.Shown(text); got != want {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
	}
	for in, want := range map[string]string{
		"models:/a b/3 champion": "models:/a b@champion", "models://p@databricks-uc/a.b.c/3 2": "models://p@databricks-uc/a.b.c/2", "models:/a@x 7": "models:/a/7", "models:/m-1 7": "", "models:/a/1 x/y": "", "runs:/r/a 7": "",
	} {
		at := strings.LastIndexByte(in, ' ')
		if got, err := fetch.OtherVersion(in[:at], in[at+1:]); (err == nil) != (want != "") || want != "" && got != want {
			t.Errorf("%s: %q, %v, want %q", in, got, err, want)
		}
	}
}
