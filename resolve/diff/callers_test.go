package diff_test

import (
	"encoding/json"
	"os"
	"testing"

	"mlenv/resolve"
	"mlenv/resolve/diff"
	"mlenv/resolve/model"
)

// What is said of callers agrees with MLflow: .ci/oracle/callers.py made requests that fit an old
// signature and noted how many of them MLflow refuses under a new one.
func TestCallersAgreeWithMLflow(t *testing.T) {
	data, err := os.ReadFile("testdata/callers.json")
	if err != nil {
		t.Fatal(err)
	}
	type signature struct{ Inputs, Params string }
	var cases []struct {
		Old, New signature
		Refused  string // none, some or all
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	side := func(s signature) diff.Side {
		return diff.Side{Name: "m", Kind: diff.Model, Spec: &resolve.Spec{},
			Signature: &model.Signature{Inputs: model.Value{Text: s.Inputs}, Params: model.Value{Text: s.Params}}}
	}
	seen := map[string]int{}
	for _, c := range cases {
		effect := diff.Safe
		if found := diff.Compare(side(c.Old), side(c.New)).Signature; found != nil {
			effect = found.Callers
		}
		seen[string(effect)+" "+c.Refused]++
		// May-break covers what the recorded requests do not show: other values, defaults that
		// change, a signature that came or went.
		if c.Refused == "all" && effect != diff.Breaks || c.Refused == "some" && effect == diff.Safe || c.Refused == "none" && effect == diff.Breaks {
			t.Errorf("MLflow refuses %s, but it is said to be %s\n  old %s %s\n  new %s %s", c.Refused, effect, c.Old.Inputs, c.Old.Params, c.New.Inputs, c.New.Params)
		}
	}
	if len(cases) < 600 {
		t.Errorf("there are only %d cases", len(cases))
	}
	t.Logf("%v", seen)
}
