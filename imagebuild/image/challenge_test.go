package image

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// told writes challenges down, with their parameters sorted.
func told(list []challenge) string {
	var out []string
	for _, c := range list {
		text := c.scheme
		for _, key := range slices.Sorted(maps.Keys(c.params)) {
			text += fmt.Sprintf(" %s=%q", key, c.params[key])
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

func TestChallenges(t *testing.T) {
	tests := []struct {
		lines []string
		want  string
	}{
		{nil, ""},
		{[]string{`Basic realm="a"`}, `basic realm="a"`},
		{[]string{`BASIC Realm=a`, `Bearer realm="https://t.example/token",service="s, t",scope="repository:a:pull,push"`},
			`basic realm="a"; bearer realm="https://t.example/token" scope="repository:a:pull,push" service="s, t"`},
		{[]string{`Basic realm="a", Bearer realm="b",scope="c"`}, `basic realm="a"; bearer realm="b" scope="c"`},
		{[]string{`Negotiate, Basic realm="x"`}, `negotiate; basic realm="x"`},
		{[]string{`Negotiate YWJj==, Basic realm="x"`}, `negotiate ywjj=""; basic realm="x"`},
		{[]string{`Bearer realm = "say \"hi\"" , error="x"`}, `bearer error="x" realm="say \"hi\""`},
		{[]string{`Bearer realm="without an end`}, `bearer realm="without an end"`},
		{[]string{`=,,"`}, ""},
	}
	for _, tt := range tests {
		if got := told(parseChallenges(http.Header{"Www-Authenticate": tt.lines})); got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.lines, got, tt.want)
		}
	}
}

func FuzzChallenges(f *testing.F) {
	f.Add(`Basic realm="a", Bearer realm="b\"",scope=c`)
	f.Add(`Negotiate YWJj==`)
	f.Fuzz(func(t *testing.T, line string) {
		for _, c := range parseChallengeLine(line) {
			if c.scheme == "" || c.params == nil {
				t.Errorf("%q: %v", line, c)
			}
		}
	})
}
