package main

import (
	"regexp"
	"strings"
	"testing"
)

// A process that is killed gives no verdict on the test that it was in: only the package's is left.
func TestUnfinished(t *testing.T) {
	var out strings.Builder
	code := run("testdata/hangs", []string{"-timeout=100ms", "./..."}, &out, &out)
	text := regexp.MustCompile(`\([0-9.]+s\)`).ReplaceAllString(out.String(), "(#s)")
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	for _, want := range []string{
		"one was begun", "two was begun", // all that the unfinished tests said
		"no way to go on",
		"FAIL  hangs TestHangs/one  unfinished\n",
		"FAIL  hangs TestHangs/two  unfinished\n",
		"FAIL  hangs/exits TestExits  unfinished\n",
		"\n1 passed, ",
		"\n  hangs ran out of time after 100ms; -timeout allows more. What was running:\n      TestHangs/one (#s)\n      TestHangs/two (#s)\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if n := strings.Count(text, "ran out of time"); n != 1 {
		t.Errorf("%d packages are said to have run out of time, want one", n)
	}
	if t.Failed() {
		t.Log(text)
	}
}
