//go:build unix

package cache

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestTargets(t *testing.T) {
	dir := t.TempDir()
	if real, err := filepath.EvalSymlinks(dir); err != nil {
		t.Fatal(err)
	} else {
		dir = real
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := syscall.Mkfifo(at("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at("file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(at("dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"loop": "loop", "todir": "dir", "topipe": "pipe", "tofile": "dir/../file", "tonew": "dir/new"} {
		if err := os.Symlink(to, at(name)); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name string
		find func(string) (Target, error)
		want Target // the zero value: an error
	}{
		{"file", FileTarget, Target{Path: at("file")}},
		{"tofile", FileTarget, Target{Path: at("file")}},
		{"todir/../file", FileTarget, Target{Path: at("file")}},
		{"todir/x", FileTarget, Target{Path: at("dir/x")}},
		{"tonew", FileTarget, Target{Path: at("dir/new")}},
		{"pipe", FileTarget, Target{Path: at("pipe"), Stream: true}},
		{"topipe", FileTarget, Target{Path: at("topipe"), Stream: true}},
		{"dir", FileTarget, Target{}},
		{"todir", FileTarget, Target{}},
		{"loop", FileTarget, Target{}},
		{"none/x", FileTarget, Target{}},
		{"file/x", FileTarget, Target{}},
		{"dir", DirTarget, Target{Path: at("dir")}},
		{"todir/a/b", DirTarget, Target{Path: at("dir/a/b")}},
		{"file", DirTarget, Target{}},
		{"file/a", DirTarget, Target{}},
	}
	for _, tt := range tests {
		got, err := tt.find(at(tt.name))
		if (err != nil) != (tt.want == Target{}) || err == nil && got != tt.want {
			t.Errorf("%s: got %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
	}
}
