package pylock

import (
	"strings"
	"testing"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep440"
)

// Locks of other tools have the addresses of pages as they are, signatures and passwords included. A
// Lock has the secret queries apart, for who fetches the files, and nothing that is written has any.
func TestSecretsOfOtherLocks(t *testing.T) {
	const hidden = "hunter2pw"
	at := func(name string) string {
		return "https://files.example/" + name + "?X-Amz-Expires=60&X-Amz-Signature=" + hidden
	}
	const hashes = `hashes = {sha256 = "00"}}`
	text := `lock-version = "1.0"
created-by = "pip"
[[packages]]
name = "a"
version = "1"
index = "https://someone:` + hidden + `@index.example/simple/?token=` + hidden + `"
sdist = {url = "` + at("a-1.tar.gz") + `", ` + hashes + `
wheels = [{url = "` + at("a-1-py3-none-any.whl") + `", ` + hashes + `]
[[packages]]
name = "b"
archive = {url = "` + at("b-1-py3-none-any.whl") + `", ` + hashes + `
[[packages]]
name = "c"
vcs = {type = "git", url = "https://someone:` + hidden + `@git.example/c.git", commit-id = "00"}
[[packages]]
name = "d"
version = "1"
wheels = [{url = "https://files.example/d-1-py3-none-any.whl?version=3", ` + hashes + `]
[tool.mlenv]
indexes = [{name = "x", url = "https://index.example/simple/?token=` + hidden + `", packages = ["d"]}]
`
	l, err := Parse("pip.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for what, got := range map[string]string{
		"sdist": l.Packages[0].Sdist.Address(), "wheel": l.Packages[0].Wheels[0].Address(), "archive": l.Packages[1].Archive.Address(),
	} {
		if !strings.HasSuffix(got, "?X-Amz-Expires=60&X-Amz-Signature="+hidden) {
			t.Errorf("%s: the address is %s", what, got)
		}
	}
	if !l.Signed() {
		t.Error("it is said that all files can be had by their URLs")
	}
	if w := l.Packages[3].Wheels[0]; w.URL != "https://files.example/d-1-py3-none-any.whl?version=3" || w.Address() != w.URL {
		t.Errorf("a query that gives no access: %+v", w)
	}
	on, err := dist.NewTarget("linux", "amd64", pep440.MustParse("3.11.7"), "")
	if err != nil {
		t.Fatal(err)
	}
	picks, _ := l.Choose(on)
	if len(picks) != 3 {
		t.Fatalf("%+v", picks)
	}
	for _, p := range picks {
		if strings.Contains(p.File.URL+p.Index+string(p.DirectURL), hidden) {
			t.Errorf("%+v", p)
		}
		if p.Name != "d" && !strings.HasSuffix(p.File.Address(), hidden) {
			t.Errorf("%s is fetched from %s", p.Name, p.File.Address())
		}
	}
	if out := string(Format(l)); strings.Contains(out, hidden) || !strings.Contains(out, "https://git.example/c.git") {
		t.Errorf("%s", out)
	}
	_, err = Parse("pip.toml", []byte(strings.Replace(text, "a-1-py3-none-any.whl?", "a b-1-py3-none-any.whl%zz?", 1)))
	if err == nil || strings.Contains(err.Error(), hidden) {
		t.Errorf("an address that is none: %v", err)
	}
}
