package pylock

import (
	"slices"
	"testing"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep440"
)

func TestUnmet(t *testing.T) {
	target, err := dist.NewTarget("linux", "amd64", pep440.MustParse("3.11.7"), "")
	if err != nil {
		t.Fatal(err)
	}
	m, err := dist.ParseMetadata([]byte("Name: a\nVersion: 1\nRequires-Dist: b>=2\nRequires-Dist: B[x]<2\nRequires-Dist: tree>9\n" +
		"Requires-Dist: c; python_version >= '3.8'\nRequires-Dist: d; python_version < '3.8'\nRequires-Dist: e; extra == 'x'\nRequires-Dist: !\n"))
	if err != nil {
		t.Fatal(err)
	}
	n := NeedsOf([]Pick{{Name: "b", Version: pep440.MustParse("2.1")}, {Name: "tree"}}, target)
	if got, want := n.Unmet(m), []string{"!", "b[x]<2", "c; python_version >= \"3.8\""}; !slices.Equal(got, want) {
		t.Errorf("unmet: %q, want %q", got, want)
	}
}
