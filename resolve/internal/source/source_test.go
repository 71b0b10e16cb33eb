package source

import "testing"

func TestClean(t *testing.T) {
	tests := []struct {
		dir, name, want string
		ok              bool
	}{
		{"", "a", "a", true}, {"", "./a//b/", "a/b", true}, {"sub", "../a", "a", true}, {"sub", "../../a", "", false},
		{"", "..", "", false}, {"", ".", ".", true}, {"", "", "", false}, {"", "/a", "", false}, {"", `C:\a`, "", false}, {"", "c:/a", "", false},
		{"", "a\x00b", "", false}, {"", "..a", "..a", true}, {"", "\xff", "", false}, {"", `\\host\a`, "", false},
	}
	for _, test := range tests {
		got, ok := Clean(test.dir, test.name)
		if ok != test.ok || ok && got != test.want {
			t.Errorf("%q %q: %q %v", test.dir, test.name, got, ok)
		}
	}
}
