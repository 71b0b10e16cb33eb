package cache

import (
	"os"
	"path/filepath"
	"testing"
)

// TestNothing remembers nothing: neither a nil cache nor its sections have to be told apart.
func TestNothing(t *testing.T) {
	d := Open("", nil)
	if d != nil || d.Index() != nil {
		t.Errorf("opened %v, %v", d, d.Index())
	}
	key, note := testNote(t, "layers", 1, "value")
	if err := d.Memos().Put(t.Context(), key, note); err != nil {
		t.Error(err)
	}
	if _, ok, err := d.Memos().Get(t.Context(), key); ok || err != nil {
		t.Errorf("remembered: %t, %v", ok, err)
	}
	readBlob(t, d.Blobs(), "blob", sum("blob"), "")
	if f, ok := d.Blobs().Open(sum("blob"), 4); ok {
		t.Errorf("kept %s", f.Name())
	}
	for what, f := range map[string]func() (Removed, error){
		"prune": func() (Removed, error) { return d.Prune(testNow, testNow) }, "clean": d.Clean,
	} {
		if r, err := f(); err != nil || r != (Removed{}) {
			t.Errorf("%s: %+v, %v", what, r, err)
		}
	}
}

// TestTag writes the tag anew where a full disk has cut it short, and leaves another's alone.
func TestTag(t *testing.T) {
	const signature = "Signature: 8a477f597d28d172789f06886806bc55"
	for before, want := range map[string]string{"": tag, signature[:20]: tag, signature + "\n": signature + "\n", tag: tag} {
		dir := t.TempDir()
		s := open(dir)
		if err := s.Write("pages/i/1", nil); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "CACHEDIR.TAG")
		if data, err := os.ReadFile(file); err != nil || string(data) != tag {
			t.Errorf("the first tag is %q, %v", data, err)
		}
		if err := os.WriteFile(file, []byte(before), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := s.Write("pages/i/2", nil); err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(file); err != nil || string(data) != want {
			t.Errorf("%q became %q, %v", before, data, err)
		}
	}
}
