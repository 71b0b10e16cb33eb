package diff

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
)

func TestLocks(t *testing.T) {
	lock := func(requires, serve string, targets []string, packages ...[2]string) *pylock.Lock {
		l := &pylock.Lock{RequiresPython: pep440.MustParseSpecifiers(requires), Tool: pylock.Tool{Serve: serve}}
		for _, text := range targets {
			target, err := dist.ParseTarget(text)
			if err != nil {
				t.Fatal(err)
			}
			l.Tool.Targets = append(l.Tool.Targets, target)
		}
		for _, p := range packages {
			l.Packages = append(l.Packages, pylock.Package{Name: pep508.Name(p[0]), Version: pep440.MustParse(p[1])})
		}
		return l
	}
	amd64, arm64 := "linux/amd64 glibc:2.36", "linux/arm64 glibc:2.36"
	old := lock("==3.11.*", "mlflow", []string{amd64}, [2]string{"a", "1"}, [2]string{"b", "1"}, [2]string{"gone", "2"}, [2]string{"two", "1"}, [2]string{"two", "2"})
	now := lock("==3.12.*", "mlserver", []string{amd64, arm64}, [2]string{"a", "1"}, [2]string{"b", "2"}, [2]string{"new", "3"}, [2]string{"two", "2"})
	want := []Item{
		{"requires-python", Changed, "==3.11.*", "==3.12.*"},
		{"targets", Changed, amd64, amd64 + ", " + arm64},
		{"serve", Changed, "mlflow", "mlserver"},
		{"b", Changed, "1", "2"},
		{"gone", Removed, "2", ""},
		{"new", Added, "", "3"},
		{"two", Changed, "1, 2", "2"},
	}
	if d := cmp.Diff(want, Locks(old, now)); d != "" {
		t.Errorf("differences (-want +got):\n%s", d)
	}
	if got := Locks(old, old); got != nil {
		t.Errorf("a lock differs from itself: %v", got)
	}
	limited := lock("==3.11.*", "mlflow", []string{amd64})
	limited.Tool.ExcludeNewer = time.Date(2025, 2, 1, 0, 0, 0, 0, time.UTC)
	unlimited := lock("==3.11.*", "mlflow", []string{amd64})
	for _, pair := range [][2]*pylock.Lock{{unlimited, limited}, {limited, unlimited}} {
		if got := Locks(pair[0], pair[1]); len(got) != 1 || got[0].Name != "exclude-newer" {
			t.Errorf("of two locks one of which excludes what is newer: %v", got)
		}
	}
	// A lock of another tool does not say what it was made for, which is no difference.
	if got := Locks(lock("", "", nil), lock("==3.11.*", "mlflow", []string{amd64})); got != nil {
		t.Errorf("what another tool's lock leaves out differs: %v", got)
	}
}
