package pylock

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep440"
)

const lockText = `lock-version = "1.0"
requires-python = ">=3.11"
created-by = "test"

[[packages]]
name = "best"
version = "1.0"
wheels = [
  { name = "best-1.0-py3-none-any.whl", url = "https://files.example/best-1.0-py3-none-any.whl", hashes = { sha256 = "aa" } },
  { name = "best-1.0-cp311-cp311-manylinux_2_17_x86_64.whl", url = "https://files.example/a.whl", hashes = { sha256 = "bb" } },
  { name = "best-1.0-2-cp311-cp311-manylinux_2_17_x86_64.whl", url = "https://files.example/b.whl", hashes = { sha256 = "cc" } },
  { name = "best-1.0-cp311-cp311-manylinux_2_40_x86_64.whl", url = "https://files.example/c.whl", hashes = { sha256 = "dd" } },
]

[[packages]]
name = "elsewhere"
version = "1.0"
marker = "sys_platform == 'win32'"
sdist = { name = "elsewhere-1.0.tar.gz", url = "https://files.example/elsewhere-1.0.tar.gz", hashes = { sha256 = "ee" } }

[[packages]]
name = "direct"
version = "2.0"
archive = { url = "https://files.example/direct-2.0-py3-none-any.whl", hashes = { sha256 = "ff" } }
`

func selectFrom(t *testing.T, text, python, libc string) ([]Pick, error) {
	t.Helper()
	l, err := Parse("pylock.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	target := dist.Target{OS: "linux", Arch: "amd64"}
	if err := target.Python.UnmarshalText([]byte(python)); err != nil {
		t.Fatal(err)
	}
	if target.Libc, err = dist.ParseLibc(libc); err != nil {
		t.Fatal(err)
	}
	return l.Select(target)
}

func TestSelect(t *testing.T) {
	picks, err := selectFrom(t, lockText, "3.11.7", "glibc:2.36")
	if err != nil {
		t.Fatal(err)
	}
	if len(picks) != 2 || picks[0].File.Hashes["sha256"] != "cc" || picks[1].File.Name != "direct-2.0-py3-none-any.whl" {
		t.Errorf("picked %+v", picks)
	}
	if want := `{"archive_info":{"hashes":{"sha256":"ff"}},"url":"https://files.example/direct-2.0-py3-none-any.whl"}`; string(picks[1].DirectURL) != want {
		t.Errorf("direct_url.json is %s", picks[1].DirectURL)
	}
	if picks, err = selectFrom(t, lockText, "3.12.1", "musl:1.2"); err != nil || picks[0].File.Hashes["sha256"] != "aa" {
		t.Errorf("on musl: %v, %v", picks, err)
	}
	for what, tt := range map[string]struct{ text, python, want string }{
		"another Python": {lockText, "3.10.1", ">=3.11"},
		"only source":    {strings.Replace(lockText, "marker = \"sys_platform == 'win32'\"\n", "", 1), "3.11.7", "elsewhere 1.0 (a source distribution)"},
		"other wheels":   {strings.ReplaceAll(lockText, "py3-none-any", "cp39-cp39-win32"), "3.12.1", "best 1.0 (its 4 wheels are for others)"},
	} {
		if _, err := selectFrom(t, tt.text, tt.python, "glibc:2.36"); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestChoose holds that each package without a wheel is given with its reason, beside what fits.
func TestChoose(t *testing.T) {
	const hashes = `hashes = {sha256 = "00"}`
	packages := map[string]struct {
		toml string
		want Why
		text string
	}{
		"sdist":    {`sdist = {name = "sdist-1.0.tar.gz", url = "https://files.example/sdist-1.0.tar.gz", ` + hashes + `}`, OnlySource, "sdist 1.0 (a source distribution)"},
		"zip":      {`archive = {url = "https://files.example/zip-1.0.zip", ` + hashes + `}`, OnlySource, "zip 1.0 (a source distribution)"},
		"git":      {`vcs = {type = "git", url = "https://git.example/x", commit-id = "0"}`, SourceTree, "git 1.0 (a source tree in git)"},
		"tree":     {`directory = {path = "tree"}`, SourceTree, "tree 1.0 (a source tree)"},
		"others":   {`wheels = [{name = "others-1.0-cp39-cp39-win32.whl", url = "https://files.example/o", ` + hashes + `}]`, OtherTargets, "others 1.0 (its 1 wheels are for others)"},
		"archived": {`archive = {url = "https://files.example/archived-1.0-cp39-cp39-win32.whl?x#y", ` + hashes + `}`, OtherTargets, "archived 1.0 (its wheel archived-1.0-cp39-cp39-win32.whl does not fit)"},
		"unnamed":  {`archive = {path = "unnamed.whl", ` + hashes + `}`, NotAWheel, "unnamed 1.0 (not a wheel's name: unnamed.whl)"},
		"newer":    {"requires-python = \">=3.12\"\n" + `wheels = [{name = "newer-1.0-py3-none-any.whl", url = "https://files.example/n", ` + hashes + `}]`, OtherPython, "newer 1.0 (it requires Python >=3.12)"},
	}
	text := lockText
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		text += "\n[[packages]]\nname = \"" + name + "\"\nversion = \"1.0\"\n" + packages[name].toml + "\n"
	}
	l, err := Parse("pylock.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	target, err := dist.NewTarget("linux", "amd64", pep440.MustParse("3.11.7"), "")
	if err != nil {
		t.Fatal(err)
	}
	picks, unbuilt := l.Choose(target)
	if len(picks) != 2 || picks[0].Name != "best" || picks[1].Name != "direct" {
		t.Errorf("picked %+v", picks)
	}
	if len(unbuilt) != len(packages) {
		t.Errorf("without a wheel: %v", unbuilt)
	}
	var texts []string
	for _, u := range unbuilt {
		want := packages[string(u.Package.Name)]
		if u.Why != want.want || u.String() != want.text {
			t.Errorf("%s: reason %d, %q; want %d, %q", u.Package.Name, u.Why, u, want.want, want.text)
		}
		texts = append(texts, want.text)
	}
	slices.Sort(texts)
	_, err = l.Select(target)
	var e *UnbuiltError
	if !errors.As(err, &e) || e.Error() != "no wheel for linux/amd64: "+strings.Join(texts, ", ") || len(e.Packages) != len(packages) {
		t.Errorf("Select: %v", err)
	}
	l.RequiresPython = pep440.MustParseSpecifiers(">=3.12")
	if again, _ := l.Choose(target); len(again) != len(picks) {
		t.Errorf("of a lock that is not for the target, %d packages are picked", len(again))
	}
}

// TestPortable holds that only paths that lead out of the lock's directory are cut, and that the lock
// itself stays as it was.
func TestPortable(t *testing.T) {
	l := &Lock{Packages: []Package{
		{Name: "a", Wheels: []File{{Path: "wheels/a.whl"}, {Path: "../elsewhere/b.whl"}, {URL: "https://files.example/c.whl"}}},
		{Name: "b", Sdist: &File{Path: "../../b.tar.gz"}},
		{Name: "c", Archive: &Archive{Path: "/home/me/c.whl"}},
	}}
	before := Format(l)
	got := Portable(l)
	want := []string{"wheels/a.whl", "b.whl", "", "b.tar.gz", "c.whl"}
	have := []string{got.Packages[0].Wheels[0].Path, got.Packages[0].Wheels[1].Path, got.Packages[0].Wheels[2].Path, got.Packages[1].Sdist.Path, got.Packages[2].Archive.Path}
	if !slices.Equal(have, want) {
		t.Errorf("paths %q, want %q", have, want)
	}
	if string(Format(l)) != string(before) {
		t.Error("the lock that was given has changed")
	}
}
