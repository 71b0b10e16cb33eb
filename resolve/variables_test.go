package resolve_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"mlenv/resolve"
	"mlenv/resolve/diff"
	"mlenv/resolve/model"
)

func read(t *testing.T, mlmodel string) *model.Model {
	t.Helper()
	m, err := model.Read(fstest.MapFS{"MLmodel": {Data: []byte("flavors: {python_function: {loader_module: m}}\n" + mlmodel)}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const agent = `env_vars: [OPENAI_API_KEY, DATABRICKS_HOST]
resources:
  api_version: '1'
  databricks:
    serving_endpoint:
    - name: chat
    - name: embed
      on_behalf_of_user: true
    vector_search_index:
    - name: main.docs.index
auth_policy:
  user_auth_policy:
    api_scopes: [vectorsearch.vector-search-indexes, serving.serving-endpoints]
`

// TestVariables names what a model wants when it runs, once, with the lines that say so.
func TestVariables(t *testing.T) {
	found := resolve.VariableFindings(read(t, agent))
	if len(found) != 1 || found[0].Rule != "runtime-variable" || found[0].Severity != "info" {
		t.Fatalf("found %+v", found)
	}
	if want := "the model wants environment variables when it runs: DATABRICKS_HOST, DATABRICKS_TOKEN, OPENAI_API_KEY"; found[0].Message != want {
		t.Errorf("it says %q, want %q", found[0].Message, want)
	}
	var from []string
	for _, o := range found[0].From {
		from = append(from, o.String()+" "+o.Text)
	}
	if got, want := strings.Join(from, "; "), "MLmodel:2 DATABRICKS_HOST; MLmodel:7 chat; MLmodel:8 embed; MLmodel:11 main.docs.index; MLmodel:2 OPENAI_API_KEY"; got != want {
		t.Errorf("from %s, want %s", got, want)
	}
	if found := resolve.VariableFindings(read(t, "resources: {api_version: '1'}\n")); len(found) > 0 {
		t.Errorf("a model that wants none: %+v", found)
	}
}

// TestResourcesDiffer compares what two versions of a model call, and as whom.
func TestResourcesDiffer(t *testing.T) {
	side := func(mlmodel string) diff.Side {
		m := read(t, mlmodel)
		spec, err := resolve.Model(m, resolve.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return diff.Side{Name: "m", Kind: diff.Model, Spec: spec, Model: m}
	}
	now := strings.NewReplacer("    - name: embed\n      on_behalf_of_user: true\n", "", "main.docs.index", "main.docs.other",
		"vectorsearch.vector-search-indexes, ", "", "OPENAI_API_KEY, ", "").Replace(agent)
	got := diff.Compare(side(agent), side(now))
	var lines []string
	for _, list := range [][]diff.Item{got.Resources, got.AuthPolicy, got.NeededVariables} {
		for _, i := range list {
			lines = append(lines, string(i.Change)+" "+i.Name)
		}
	}
	want := "removed databricks.serving_endpoint embed; removed databricks.vector_search_index main.docs.index; added databricks.vector_search_index main.docs.other; " +
		"removed user_auth_policy.api_scopes vectorsearch.vector-search-indexes; removed OPENAI_API_KEY"
	if text := strings.Join(lines, "; "); text != want || got.Same {
		t.Errorf("same %v, changes\n%s\nwant\n%s", got.Same, text, want)
	}
	if same := diff.Compare(side(agent), side(agent)); !same.Same {
		t.Errorf("a model differs from itself: %+v", same)
	}
}
