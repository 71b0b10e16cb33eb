package pylock

import (
	"os"
	"path/filepath"
	"testing"
)

// TestLocate finds a file where its lock names it, else in the model, and never outside of both.
func TestLocate(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"lock/here.whl", "lock/both.whl", "model/wheels/a.whl", "model/b.whl", "model/both.whl", "outside.whl"} {
		at := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"here.whl": "lock/here.whl", "both.whl": "lock/both.whl", "wheels/a.whl": "model/wheels/a.whl", "../elsewhere/wheels/a.whl": "model/wheels/a.whl",
		"some/dir/b.whl": "model/b.whl", "/far/away/wheels/a.whl": "model/wheels/a.whl", "none.whl": "lock/none.whl", "../wheels": "wheels",
		"x/../../outside.whl": "outside.whl", "x/../../../outside.whl": "../outside.whl",
	} {
		if got := Locate(name, filepath.Join(root, "lock"), filepath.Join(root, "model")); got != filepath.Join(root, filepath.FromSlash(want)) {
			t.Errorf("%s is at %s, want %s", name, got, want)
		}
	}
	if got := Locate("wheels/a.whl", filepath.Join(root, "lock"), ""); got != filepath.Join(root, "lock", "wheels", "a.whl") {
		t.Errorf("without a model: %s", got)
	}
}
