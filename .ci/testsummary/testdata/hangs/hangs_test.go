// Package hangs has tests that never end.
package hangs

import "testing"

func TestFine(t *testing.T) {}

func TestHangs(t *testing.T) {
	for _, name := range []string{"one", "two"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Logf("%s was begun", name)
			select {}
		})
	}
}

func TestLater(t *testing.T) {}
