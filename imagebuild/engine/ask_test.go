package engine

import (
	"strings"
	"testing"
)

// TestSame compares answers as numbers and not as text, and names the first difference.
func TestSame(t *testing.T) {
	for _, tt := range []struct{ want, got, differs string }{
		{`{"predictions": [1, 2.5]}`, `{ "predictions":[1.0, 2.50000000000001] }`, ""},
		{`{"a": 1, "b": 2}`, `{"b": 2, "a": 1}`, ""},
		{`[1e300, 0, null, true, "x"]`, `[1.0e300, 0.0, null, true, "x"]`, ""},
		{`{"predictions": [1, 2.5]}`, `{"predictions": [1, 2.6]}`, ".predictions[1] is 2.6, expected 2.5"},
		{`{"a": 1, "b": 2}`, `{"a": 2, "b": 3}`, ".a is 2, expected 1"},
		{`{"a": 1}`, `{"b": 1}`, `the answer is {"b":1}, expected {"a":1}`},
		{`[1, 2]`, `[1]`, "the answer is [1], expected [1,2]"},
		{`1`, `"1"`, `the answer is "1", expected 1`},
		{`true`, `1`, "the answer is 1, expected true"},
		{`1e-12`, `2e-12`, "the answer is 2e-12, expected 1e-12"},
		{`{`, `{}`, "what is expected is not JSON"},
		{`{}`, `<html>`, "the answer is not JSON"},
	} {
		err := Same([]byte(tt.want), []byte(tt.got))
		if tt.differs == "" && err != nil || tt.differs != "" && (err == nil || !strings.Contains(err.Error(), tt.differs)) {
			t.Errorf("%s and %s: %v, want %q", tt.want, tt.got, err, tt.differs)
		}
	}
}
