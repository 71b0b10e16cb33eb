package signature

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
)

// recorded is one pair of a signature and an example with the verdict of real MLflow, as
// .ci/oracle/signatures.py wrote it.
type recorded struct {
	Name      string
	Signature struct{ Inputs, Outputs, Params string }
	Info      struct {
		Type   string
		Params any
	}
	File, Text, Stage, Error, Varies string
	TypeHint                         bool
	OK                               bool
}

func readRecorded(t testing.TB) []recorded {
	t.Helper()
	f, err := os.Open("../check/testdata/signatures.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Cases []recorded }
	if err := json.NewDecoder(z).Decode(&all); err != nil {
		t.Fatal(err)
	}
	if len(all.Cases) < 400 {
		t.Fatalf("only %d pairs", len(all.Cases))
	}
	return all.Cases
}

// verdict returns what this package finds wrong with a pair, "" if nothing.
func verdict(r recorded) string {
	s, err := Parse(r.Signature.Inputs, r.Signature.Outputs, r.Signature.Params)
	if err != nil {
		return "signature: " + err.Error()
	}
	s.FromTypeHint = r.TypeHint
	var found []Mismatch
	if r.File == "input_example.json" {
		found, err = s.CheckExample(Info{Type: r.Info.Type, Params: r.Info.Params != nil}, []byte(r.Text))
	} else {
		found, err = s.CheckServing([]byte(r.Text))
	}
	if err != nil {
		return err.Error()
	}
	var words []string
	for _, m := range found {
		words = append(words, m.Message)
	}
	return strings.Join(words, "; ")
}

// exceptions are pairs in which the verdicts may differ, each with the reason.
var exceptions = map[string]string{}

func TestAgreesWithMLflow(t *testing.T) {
	agreed, varied := 0, 0
	for _, r := range readRecorded(t) {
		said := verdict(r)
		switch {
		case (said == "") == r.OK:
			agreed++
		case r.Varies != "":
			varied++ // MLflow itself answers otherwise with another pandas
		case exceptions[r.Name] != "":
		default:
			t.Errorf("%s: MLflow: %v %s %q; here: %q\n  inputs %s params %s\n  %s", r.Name, r.OK, r.Stage, r.Error, said, r.Signature.Inputs, r.Signature.Params, r.Text)
		}
	}
	t.Logf("%d pairs agree, %d depend on the version of pandas", agreed, varied)
}

// An exception that is not needed hides the next difference.
func TestExceptionsAreNeeded(t *testing.T) {
	for _, r := range readRecorded(t) {
		if exceptions[r.Name] != "" && (verdict(r) == "") == r.OK {
			t.Errorf("%s agrees", r.Name)
		}
	}
}

func TestMismatchesNameTheColumn(t *testing.T) {
	s, err := Parse(`[{"name":"a","type":"long"},{"name":"b","type":"string"},{"name":"c","type":"array","items":{"type":"double"},"required":false}]`, "",
		`[{"name":"k","type":"long","default":1,"shape":null}]`)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		in, column string
		part       Part
		message    string
	}{
		{`{"dataframe_split":{"columns":["a"],"data":[[1]]}}`, "b", Inputs, "the column b (string) is required, but the example does not have it"},
		{`{"dataframe_records":[{"a":"x","b":"y"}]}`, "a", Inputs, `the column a should be long: "x" is not an integer`},
		{`{"dataframe_records":[{"a":1,"b":"y","c":["z"]}]}`, "c", Inputs, `the column c should be array(double): the list's items should be double: text cannot be converted to it without loss`},
		{`{"dataframe_records":[{"a":1,"b":"y"}],"params":{"k":"z"}}`, "k", Params, `the parameter k should be long: "z" is not`},
	}
	for _, test := range tests {
		found, err := s.CheckServing([]byte(test.in))
		if err != nil || len(found) != 1 || found[0] != (Mismatch{test.column, test.part, test.message}) {
			t.Errorf("%s: %+v, %v", test.in, found, err)
		}
	}
}

// What would make a huge table, or is of a kind that makes none, is a mismatch and no more.
func TestOddExamples(t *testing.T) {
	s, err := Parse(`[{"name":"a","type":"long"}]`, "", "")
	if err != nil {
		t.Fatal(err)
	}
	long := "[[" + strings.Repeat("1,", 9999) + "1]" + strings.Repeat(",[]", 9999) + "]"
	for kind, text := range map[string]string{
		"json_object":       long,
		"sparse_matrix_csr": `{"data": [1.5], "indices": [0], "indptr": [0, 1], "shape": [2, 2]}`,
	} {
		if found, err := s.CheckExample(Info{Type: kind}, []byte(text)); err != nil || len(found) != 1 {
			t.Errorf("%s: %v, %v", kind, found, err)
		}
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ inputs, params, want string }{
		{`[`, "", "inputs: is not JSON: line 1: unexpected end of input"},
		{`{}`, "", "inputs: must be a list, but it is an object"},
		{`[]`, "", "inputs: is an empty list"},
		{`[{"name":"a"}]`, "", `inputs: column "a": has no type`},
		{`[{"name":"a","type":"int"}]`, "", `inputs: column "a": there is no type "int"`},
		{`[{"name":"a","type":"long"},{"type":"long"}]`, "", "inputs: some columns have a name and some have none"},
		{`[{"type":"tensor","tensor-spec":{"dtype":"x","shape":[1]}}]`, "", "inputs: column 0: a tensor needs a dtype"},
		{"", `[{"name":"p","type":"long","default":"x"}]`, `params: "p": the default does not fit: "x" is not`},
	}
	for _, test := range tests {
		_, err := Parse(test.inputs, "", test.params)
		var part *PartError
		if !errors.As(err, &part) || err.Error() != test.want || !strings.HasPrefix(test.want, string(part.Part)) {
			t.Errorf("%s %s: %v, want %s", test.inputs, test.params, err, test.want)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for i, r := range readRecorded(f) {
		if i%40 == 0 {
			f.Add(r.Signature.Inputs, r.Signature.Params, r.Text, r.Info.Type)
		}
	}
	f.Fuzz(func(t *testing.T, inputs, params, text, kind string) {
		s, err := Parse(inputs, "", params)
		if err != nil {
			return
		}
		if _, err := s.CheckServing([]byte(text)); err == nil {
			if _, err := s.CheckExample(Info{Type: kind}, []byte(text)); err != nil {
				t.Errorf("JSON for the one and not for the other: %v", err)
			}
		}
	})
}
