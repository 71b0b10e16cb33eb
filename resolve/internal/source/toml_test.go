package source

import (
	"reflect"
	"testing"
)

func TestFoldedKey(t *testing.T) {
	type file struct {
		Name  string `toml:"name"`
		Files []struct {
			URL string `toml:"url"`
		} `toml:"files"`
		Tool struct {
			Ours map[string]any `toml:"mlenv"`
		} `toml:"tool"`
	}
	for text, want := range map[string]struct {
		key  string
		line int
	}{
		"name = 'x'\n[[files]]\nurl = 'y'\n":                     {},
		"Name = 'x'\n":                                           {"Name", 1},
		"name = 'x'\n\n[[Files]]\nurl = 'y'\n":                   {"Files", 3},
		"[[files]]\nURL = 'y'\n":                                 {"URL", 2},
		"files = [\n  {url = 'y'},\n  {\"Url\" = 'z'},\n]\n":     {"Url", 3},
		"a.NAME = 1\n":                                           {"NAME", 1},
		"[tool.other]\nName = 'x'\n":                             {},
		"[tool]\nother = {Name = 'x'}\n[tool.mlenv]\nName = 1\n": {"Name", 4},
		"[Tool.mlenv]\n":                                         {"Tool", 1},
		"other = 'Name'\nOther = 1\n":                            {},
	} {
		key, line, ok := FoldedKey([]byte(text), reflect.TypeFor[file]())
		if key != want.key || line != want.line || ok != (want.key != "") {
			t.Errorf("%q: %q in line %d, %v, want %q in line %d", text, key, line, ok, want.key, want.line)
		}
	}
}
