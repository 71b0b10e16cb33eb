package ini

import (
	"maps"
	"testing"
)

func TestSection(t *testing.T) {
	const text = "x=before any section\n[other]\nuser=no\n[profile a b]\n# comment\n; comment\nUser = ann\nPassword=p=w:x\n nested = 1\nregion : eu\n=none\nno value\nuser=bob\n[ spaced ]\nk=v\n[open\nk=v\n"
	for name, want := range map[string]map[string]string{
		"profile a b": {"user": "bob", "password": "p=w:x", "nested": "1", "region": "eu"},
		"other":       {"user": "no"},
		"spaced":      {"k": "v"},
		"absent":      {},
		"pe":          {},
	} {
		if got := Section(text, name); !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
