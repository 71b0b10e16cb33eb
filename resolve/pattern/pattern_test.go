package pattern

import (
	"sync"
	"testing"
)

func TestPattern(t *testing.T) {
	p := New(`(a+)b`)
	if p.re != nil {
		t.Error("it was compiled before anybody used it")
	}
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			if !p.MatchString("xaab") || p.FindString("xaab") != "aab" || p.FindStringSubmatch("xaab")[1] != "aa" || p.ReplaceAllString("xaab", "<$1>") != "x<aa>" {
				t.Error("it does not match as its regular expression does")
			}
		})
	}
	wait.Wait()
	defer func() {
		if recover() == nil {
			t.Error("what is no regular expression was used without a panic")
		}
	}()
	New(`(`).MatchString("")
}
