package fetch_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"mlenv/resolve/fetch"
	"mlenv/resolve/fetch/fetchtest"
)

// databricks are the options of somebody who has two profiles: the workspace's token, and a wrong one.
func databricks(t *testing.T, w *fetchtest.Workspace, env map[string]string) fetch.Options {
	t.Helper()
	o, err := configure(env, fstest.MapFS{"home/.databrickscfg": {Data: []byte(
		"[DEFAULT]\nhost = " + w.URL + "\ntoken = hunter2\n[wrong]\nhost=" + w.URL + "/\ntoken=hunter2-wrong\n[principal]\nhost=" + w.URL + "\nclient_id=me\nclient_secret=hunter2\n[empty]\nhost=" + w.URL + "\n")}})
	if err != nil {
		t.Fatal(err)
	}
	o.Dir, o.Sleep = t.TempDir(), func(context.Context, time.Duration) error { return nil }
	return o
}

// TestDatabricks opens models of Unity Catalog and of a workspace's registry, by every URI and setting that names them; the
// token goes to the workspace alone, and an address that has ended is asked for anew.
func TestDatabricks(t *testing.T) {
	const uc, ws = "main.ml.churn", "churn"
	for name, tt := range map[string]struct{ model, tracking, registry, uri string }{
		"tracking":         {uc, "databricks", "", "models:/main.ml.churn/3"},
		"profile":          {uc, "databricks://principal", "", "models:/main.ml.churn@champion"},
		"registry":         {uc, "http://127.0.0.1:1", "databricks-uc", "models:/main.ml.churn@champion"},
		"URI":              {uc, "", "", "models://principal@databricks-uc/main.ml.churn/3"},
		"URI, profile":     {uc, "", "", "models://principal/main.ml.churn/3"},
		"URI, default":     {uc, "", "", "models://databricks-uc/main.ml.churn/3"},
		"workspace":        {ws, "databricks", "databricks", "models:/churn/3"},
		"workspace, alias": {ws, "", "databricks://principal", "models:/churn@champion"},
		"workspace, URI":   {ws, "", "", "models://principal@databricks/churn/3"},
		"workspace, short": {ws, "", "", "models://principal/churn/3"},
	} {
		t.Run(name, func(t *testing.T) {
			w := fetchtest.NewWorkspace(t, tt.model, fetchtest.Model(2<<20))
			w.Principal, w.Secret = "me", "hunter2"
			w.Expired.Store(2)
			o := databricks(t, w, map[string]string{"MLFLOW_TRACKING_URI": tt.tracking, "MLFLOW_REGISTRY_URI": tt.registry})
			m, err := fetch.Open(context.Background(), tt.uri, o)
			if err != nil {
				t.Fatal(err)
			}
			if n := w.Fetched.Load(); n != 1 {
				t.Errorf("fetched %d files to read MLmodel", n)
			}
			got := contents(t, m.FS)
			for file, text := range fetchtest.Model(2 << 20) {
				if got[file] != text {
					t.Errorf("%s has %d bytes, want %d", file, len(got[file]), len(text))
				}
			}
			if s := m.Source; s.Name != tt.model || s.Version != "3" || s.RunID != "r1" || got["registered_model_meta"] == "" || strings.Contains(s.URI+s.Root, "hunter2") {
				t.Errorf("resolved to %+v", s)
			}
			if w.Leaked.Load() {
				t.Error("the bucket was sent the token")
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
			empty(t, o.Dir)
		})
	}
}

// TestDatabricksFaults are one sentence each, of the right kind.
func TestDatabricksFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		tracking, uri string
		set           func(*fetchtest.Workspace)
		kind          fetch.Kind
		want          string
	}{
		"wrong token":   {"databricks://wrong", "models:/main.ml.churn/3", nil, fetch.Denied, "answered 403"},
		"wrong secret":  {"databricks://principal", "models:/main.ml.churn/3", nil, fetch.Denied, "answered 401"},
		"no token":      {"databricks://empty", "models:/main.ml.churn/3", nil, fetch.NoServer, "no credentials for it"},
		"no profile":    {"databricks://nope", "models:/main.ml.churn/3", nil, fetch.BadSettings, `no profile nope`},
		"kept secret":   {"databricks://scope:prefix", "models:/main.ml.churn/3", nil, fetch.Unsupported, "credentials that Databricks keeps"},
		"no version":    {"databricks", "models:/main.ml.churn/4", nil, fetch.NotFound, "has no version 4 of a model main.ml.churn"},
		"no alias":      {"databricks", "models:/main.ml.churn@x", nil, fetch.NotFound, "has no model main.ml.churn"},
		"stage":         {"databricks", "models:/main.ml.churn/Production", nil, fetch.BadURI, "which Unity Catalog does not have"},
		"latest":        {"databricks", "models:/main.ml.churn/latest", nil, fetch.BadURI, "which Unity Catalog does not have"},
		"two parts":     {"databricks", "models:/ml.churn/3", nil, fetch.BadURI, "a catalog, a schema and a name"},
		"dots":          {"databricks", "models:/....../3", nil, fetch.BadURI, "a catalog, a schema and a name"},
		"logged":        {"databricks", "models:/m-1", nil, fetch.Unsupported, "a logged model of Databricks"},
		"run":           {"databricks", "runs:/r1/model", nil, fetch.Unsupported, "a run in Databricks"},
		"run, profile":  {"databricks", "runs://p/r1/model", nil, fetch.Unsupported, "a run in Databricks"},
		"ended":         {"databricks", "models:/main.ml.churn/3", func(w *fetchtest.Workspace) { w.Expired.Store(1000) }, fetch.ServerFailed, "answered 403 for the address that the server gave"},
		"no files":      {"databricks", "models:/main.ml.churn/3", func(w *fetchtest.Workspace) { w.Files = nil }, fetch.Empty, "there are no files"},
		"lists up":      {"databricks", "models:/main.ml.churn/3", func(w *fetchtest.Workspace) { w.Files["../x"] = "1" }, fetch.BadListing, "lists"},
		"lists by case": {"databricks", "models:/main.ml.churn/3", func(w *fetchtest.Workspace) { w.Files["mlMODEL"] = "1" }, fetch.BadListing, "one file on some systems"},
	} {
		t.Run(name, func(t *testing.T) {
			w := fetchtest.NewWorkspace(t, "main.ml.churn", fetchtest.Model(100))
			if tt.set != nil {
				tt.set(w)
			}
			o := databricks(t, w, map[string]string{"MLFLOW_TRACKING_URI": tt.tracking})
			_, err := fetch.Open(context.Background(), tt.uri, o)
			var e *fetch.Error
			if !errors.As(err, &e) || e.Kind != tt.kind || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %q (%s)", err, tt.want, tt.kind)
			}
			if n := len(w.Requests()); n > 20 {
				t.Errorf("%d requests", n)
			}
			empty(t, o.Dir)
		})
	}
}

// TestDatabricksVariables reads a workspace from the environment, which is stronger than the default profile.
func TestDatabricksVariables(t *testing.T) {
	for env, want := range map[string]fetch.Databricks{
		"DATABRICKS_HOST=h DATABRICKS_TOKEN=t":                                {Host: "h", Token: "t"},
		"DATABRICKS_HOST=h DATABRICKS_CLIENT_ID=i DATABRICKS_CLIENT_SECRET=s": {Host: "h", ClientID: "i", ClientSecret: "s"},
		"DATABRICKS_CONFIG_PROFILE=a":                                         {Host: "ha", Token: "ta"},
		"DATABRICKS_CONFIG_FILE=other":                                        {Host: "ho", Token: "to"},
		"":                                                                    {Host: "hd", Token: "td"},
	} {
		vars := map[string]string{}
		for pair := range strings.FieldsSeq(env) {
			k, v, _ := strings.Cut(pair, "=")
			vars[k] = v
		}
		o, err := configure(vars, fstest.MapFS{"home/.databrickscfg": {Data: []byte("[DEFAULT]\nhost=hd\ntoken=td\n[a]\nhost=ha\ntoken=ta\n")},
			"other": {Data: []byte("[DEFAULT]\nhost=ho\ntoken=to\n")}})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := o.Databricks(""); got != want || err != nil {
			t.Errorf("%s: %+v, %v", env, got, err)
		}
	}
}
