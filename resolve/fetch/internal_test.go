package fetch

import (
	"path"
	"strings"
	"testing"
)

// TestScalar holds what PyYAML 6 writes for names (yaml.safe_dump, allow_unicode), tried there.
func TestScalar(t *testing.T) {
	for name, want := range map[string]string{
		"churn": "churn", "my model.ü": "my model.ü", "yes": "'yes'", "No": "'No'", "null": "'null'", "123": "'123'", "1.5": "'1.5'",
		"it's: x": "'it''s: x'", "a #b": "'a #b'", "-x": "-x", "@x": "'@x'", ".5": "'.5'", "a-b_c": "a-b_c", "x'y": "x'y", "a,b": "a,b", "a#b": "a#b",
		"y": "y", "~": "'~'", "[x": "'[x'", "x]": "x]", "a:": "'a:'", "a:b": "a:b", "=": "'='", "<<": "'<<'", "2020-01-01": "'2020-01-01'", "0x1": "'0x1'",
		"1e5": "1e5", "?a": "?a", "- a": "'- a'", "-": "'-'", "1_000": "'1_000'", "1:30": "'1:30'", ".a": ".a", "+1": "'+1'", "3d": "3d", "%a": "'%a'",
	} {
		if got := scalar(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// FuzzListing holds that whatever is listed, what is taken in are plain paths below a directory, each
// once, and none of them a directory of another's kind.
func FuzzListing(f *testing.F) {
	f.Add("a/b\na\n../x\n", uint8(0))
	f.Add("A\na/b\na/B/c", uint8(3))
	f.Add("a\x00b\n/abs\nc:\\x\n./a\na//b", uint8(1))
	f.Add("..\n../../etc/passwd\na/../../b\na/./b\n"+strings.Repeat("d/", 300)+"f", uint8(0))
	f.Add("MLmodel\nmlmodel\nMLMODEL/x\ncon\nNUL.txt\na\u202e\n\xff", uint8(2))
	f.Fuzz(func(t *testing.T, text string, dirs uint8) {
		l := newListing()
		for i, name := range strings.Split(text, "\n") {
			if l.add(File{Path: name, Dir: dirs>>(i%8)&1 == 1, Size: int64(len(name))}) != nil {
				return // the whole listing is refused
			}
		}
		lower := map[string]bool{}
		for name, file := range l.files {
			if path.IsAbs(name) || path.Clean(name) != name || strings.HasPrefix(name, "..") && (name == ".." || name[2] == '/') || strings.ContainsAny(name, "\x00\\") {
				t.Fatalf("took in %q", name)
			}
			if dir := path.Dir(name); dir != "." && !l.files[dir].Dir {
				t.Fatalf("%q lies in no directory", name)
			}
			if lower[strings.ToLower(name)] || file.Path != name {
				t.Fatalf("%q is there twice", name)
			}
			lower[strings.ToLower(name)] = true
		}
	})
}

// FuzzURI reads what a user may write: it is understood or refused, and never panics.
func FuzzURI(f *testing.F) {
	for _, uri := range []string{"models:/a@b", "models:/a/1", "runs:/r/p", "mlflow-artifacts://h:1/p", "http://h" + proxyRoute + "/p", "models:/%zz/1", "file:///x"} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		if m, err := parseModel(uri); err == nil && m.id == "" && m.name == "" {
			t.Fatal("neither a name nor an ID")
		}
		if id, p, err := parseRun(uri); err == nil && (id == "" || checkPath(p) != nil) {
			t.Fatalf("%q %q", id, p)
		}
		if _, p, err := parseHTTP(uri); err == nil && checkPath(p) != nil {
			t.Fatalf("%q", p)
		}
	})
}
