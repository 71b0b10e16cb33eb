package pylock

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestFull holds that the file with every key comes back to the byte, so that no key is lost on
// the way in or out.
func TestFull(t *testing.T) {
	data := read(t, "full.toml")
	l, err := Parse("full.toml", data)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(data), string(Format(l))); d != "" {
		t.Errorf("formatted (-want +got):\n%s", d)
	}
}

// TestTool holds that what the lock was made for is read as values, and that every target has the
// Python, which the file says once.
func TestTool(t *testing.T) {
	l, err := Parse("full.toml", read(t, "full.toml"))
	if err != nil {
		t.Fatal(err)
	}
	python := pep440.MustParse("3.11")
	libc := dist.Libc{Kind: "glibc", Major: 2, Minor: 36}
	want := Tool{
		SpecDigest: "sha256:00", Python: python, BaseName: "debian:12", BaseDigest: "sha256:11", Serve: "mlflow", Requested: []pep508.Name{"a"},
		Targets:      []dist.Target{{Python: python, OS: "linux", Arch: "amd64", Libc: libc}, {Python: python, OS: "linux", Arch: "arm64", Libc: libc}},
		ExcludeNewer: time.Date(2025, 2, 1, 0, 0, 0, 0, time.UTC),
		Yanked:       []Yanked{{Name: "a", Version: pep440.MustParse("1.0"), Reason: "a bug"}},
		TorchBackend: "cpu", SignedURLs: true,
		Indexes: []Index{{Name: "corp", URL: "https://corp.example/simple/", Packages: []pep508.Name{"a", "b"}}},
	}
	if d := cmp.Diff(want, l.Tool); d != "" {
		t.Errorf("tool (-want +got):\n%s", d)
	}
}

func TestForeign(t *testing.T) {
	for _, name := range []string{"pip.toml", "uv.toml"} {
		l, err := Parse(name, read(t, name))
		if err != nil {
			t.Fatal(err)
		}
		roundTrip(t, l)
	}
	l, err := Parse("uv.toml", read(t, "uv.toml"))
	if err != nil {
		t.Fatal(err)
	}
	w := l.Packages[1].Wheels[1]
	want := File{
		Name: "numpy-2.0.2-cp310-cp310-macosx_11_0_arm64.whl",
		URL:  "https://files.example/05/33/numpy-2.0.2-cp310-cp310-macosx_11_0_arm64.whl",
		Size: 13738540, UploadTime: time.Date(2024, 8, 26, 20, 4, 36, 5e8, time.UTC),
		Hashes: map[string]string{"sha256": "f15975dfec0cf2239224d80e32c3170b1d168335eaedee69da84fbe9f1f9cd04"},
	}
	if d := cmp.Diff(want, w); d != "" {
		t.Errorf("wheel (-want +got):\n%s", d)
	}
	if got := l.Packages[1].Marker.String(); got != `python_full_version < "3.10"` {
		t.Errorf("marker %s", got)
	}
	if p, err := Parse("pip.toml", read(t, "pip.toml")); err != nil || !p.Packages[1].Directory.Editable || p.Packages[2].VCS.RequestedRevision != "main" {
		t.Errorf("pip.toml: %+v, %v", p, err)
	}
}

func roundTrip(t *testing.T, l *Lock) {
	t.Helper()
	data := Format(l)
	again, err := Parse("formatted", data)
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	if d := cmp.Diff(l, again); d != "" {
		t.Errorf("parsing what was formatted (-want +got):\n%s", d)
	}
}

func TestErrors(t *testing.T) {
	head := "lock-version = \"1.0\"\ncreated-by = \"x\"\n"
	wheel := `{name = "a-1-py3-none-any.whl", url = "https://files.example/a", hashes = {sha256 = "00"}}`
	for _, tt := range []struct{ in, want string }{
		{"lock-version = \"1.0\"\nx = = 1\n", "p.toml:2: "},
		{"[build-system]\nrequires = []\n", "p.toml: lock-version: is missing; this is not a PEP 751 lock file"},
		{"lock-version = \"2.0\"\n", `p.toml:1: lock-version: "2.0" is not supported; mlenv reads 1.0`},
		{"lock-version = 1.0\n", "p.toml:1: "},
		{"lock-version = \"1.0\"\npackages = []\n", "p.toml: created-by: is missing"},
		{head, "p.toml: packages: is missing"},
		{head + "environments = [\"os_name = 'x'\"]\npackages = []\n", "p.toml:3: environments: "},
		{head + "requires-python = \"~3\"\npackages = []\n", "p.toml:3: requires-python: "},
		{head + "extras = [\"A_b\"]\npackages = []\n", `p.toml:3: extras: "A_b" is not normalized; write "a-b"`},
		{head + "[[packages]]\nversion = \"1\"\n", "p.toml:3: packages[0]: name: is missing"},
		{head + "[[packages]]\nname = \"a b\"\n", `p.toml:4: package a b: name: "a b" is not a name`},
		{head + "[[packages]]\nname = \"a\"\n", "p.toml:4: package a: name: neither files nor one of vcs, directory and archive"},
		{head + "[[packages]]\nname = \"a\"\nversion = \"x\"\n", "p.toml:5: package a: version: "},
		{head + "[[packages]]\nname = \"a\"\nmarker = \"x\"\n", "p.toml:5: package a: marker: "},
		{head + "[[packages]]\nname = \"a\"\nrequires-python = \"x\"\n", "p.toml:5: package a: requires-python: "},
		{head + "[[packages]]\nname = \"a\"\ndependencies = [{}]\n", "p.toml:5: package a: dependencies: an entry has no name"},
		{head + "[[packages]]\nname = \"a\"\nversion = \"2\"\nwheels = [" + wheel + "]\n", "p.toml:6: package a: wheels: a-1-py3-none-any.whl is not version 2"},
		{head + "[[packages]]\nname = \"b\"\nwheels = [" + wheel + "]\n", "p.toml:5: package b: wheels: a-1-py3-none-any.whl is a wheel of a"},
		{head + "[[packages]]\nname = \"a\"\nwheels = [{name = \"a.whl\", url = \"x\", hashes = {a = \"0\"}}]\n", "p.toml:5: package a: wheels: "},
		{head + "[[packages]]\nname = \"a\"\nwheels = [{name = \"a-1-py3-none-any.whl\", hashes = {a = \"0\"}}]\n", "p.toml:5: package a: wheels: neither url nor path"},
		{head + "[[packages]]\nname = \"a\"\nwheels = [{name = \"a-1-py3-none-any.whl\", url = \"x\"}]\n", "p.toml:5: package a: wheels: no hashes"},
		{head + "[[packages]]\nname = \"a\"\nsdist = {url = \"a.zip\", size = -1, hashes = {a = \"0\"}}\n", "p.toml:5: package a: sdist: size -1"},
		{head + "[[packages]]\nname = \"a\"\nsdist = {url = \"a.zip\", size = 9223372036854775807, hashes = {a = \"0\"}}\n", "p.toml:5: package a: sdist: size 9223372036854775807"},
		{head + "[[packages]]\nname = \"a\"\nsdist = {url = \"a.zip\", upload-time = 2020-01-01, hashes = {a = \"0\"}}\n", "p.toml:5: package a: sdist: upload-time is not"},
		{head + "[[packages]]\nname = \"a\"\nwheels = [" + wheel + "]\n[packages.directory]\npath = \"x\"\n", "p.toml:4: package a: name: both files"},
		{head + "[[packages]]\nname = \"a\"\ndirectory = {}\n", "p.toml:5: package a: directory: path is missing"},
		{head + "[[packages]]\nname = \"a\"\n[packages.vcs]\ntype = \"git\"\n", "p.toml:5: package a: vcs: "},
		{head + "[[packages]]\nname = \"a\"\ndirectory = {path = \"x\"}\narchive = {url = \"x\", hashes = {a = \"0\"}}\n", "p.toml:4: package a: name: more than one"},
		{head + "packages = []\n[tool.mlenv]\nserve = \"mlflow\"\npython = \"three\"\n", `p.toml:6: tool.mlenv.python: "three" is not a PEP 440 version`},
		{head + "packages = []\n[tool.mlenv]\ntargets = [\n\"linux/amd64 glibc\"]\n", `p.toml:5: tool.mlenv.targets: "glibc": expected a C library`},
		{head + "packages = []\n[tool]\nmlenv.targets = [\"amd64\"]\n", `p.toml:5: tool.mlenv.targets: "amd64": expected a platform`},
		{head + "packages = []\n[tool.other]\ntargets = 1\n[tool.mlenv]\nrequested = [\"A\"]\n", `p.toml:7: tool.mlenv.requested: "A" is not normalized; write "a"`},
		{head + "packages = []\n[tool]\nmlenv = {python = \"x\"}\n", "p.toml:5: tool.mlenv.python: "},
	} {
		_, err := Parse("p.toml", []byte(tt.in))
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q:\n got %v\nwant %s", tt.in, err, tt.want)
		}
		if err != nil && !errors.As(err, new(*Error)) {
			t.Errorf("%q: error is a %T", tt.in, err)
		}
	}
}

// TestAgainstPackaging has the reference implementation validate what Format writes.
func TestAgainstPackaging(t *testing.T) {
	python := os.Getenv("MLENV_PYTHON")
	if python == "" {
		t.Skip("MLENV_PYTHON names no Python with packaging >= 26")
	}
	const script = `
import sys, tomllib
from packaging.pylock import Pylock
Pylock.from_dict(tomllib.load(open(sys.argv[1], "rb"))).validate()
`
	for _, name := range []string{"full.toml", "pip.toml", "uv.toml"} {
		l, err := Parse(name, read(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "full.toml" {
			l.Packages[0].Sdist.Name = "a-1.0+local.1.tar.gz"
		}
		file := filepath.Join(t.TempDir(), "pylock.toml")
		if err := os.WriteFile(file, Format(l), 0o666); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(python, "-c", script, file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// FuzzParse holds that whatever parses comes back equal after Format, and formats the same again.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range files {
		f.Add(read(f, filepath.Base(name)))
	}
	for _, url := range []string{"https://u:p@files.example/a-1.tar.gz?X-Amz-Signature=x#y", "http://[::1]:80/a-1.tar.gz?sig=%zz", "//u@h/a-1.tar.gz?token=a;b", "a-1.tar.gz?token=x", "https://h/a%2F-1.tar.gz?a&key=b"} {
		f.Add(fmt.Appendf(nil, "lock-version = \"1.0\"\ncreated-by = \"x\"\n[[packages]]\nname = \"a\"\nindex = %q\nsdist = {url = %q, hashes = {sha256 = \"0\"}}\n", url, url))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := Parse("fuzz", data)
		if err != nil {
			if !errors.As(err, new(*Error)) {
				t.Errorf("error is a %T", err)
			}
			return
		}
		withoutQueries(l)
		roundTrip(t, l)
	})
}

// withoutQueries drops what is never written.
func withoutQueries(l *Lock) {
	for i := range l.Packages {
		p := &l.Packages[i]
		for j := range p.Wheels {
			p.Wheels[j].Query = ""
		}
		if p.Sdist != nil {
			p.Sdist.Query = ""
		}
		if p.Archive != nil {
			p.Archive.Query = ""
		}
	}
}

func TestValidFileName(t *testing.T) {
	for name, want := range map[string]bool{
		"pylock.toml": true, "pylock.both.toml": true, "a/b/pylock.x-y.toml": true,
		"both.toml": false, "pylock.a.b.toml": false, "pylock..toml": false, "pylock.toml.bak": false, "pylock": false, "pylock.x": false, "x/pylock.d/y.toml": false,
	} {
		if got := ValidFileName(filepath.FromSlash(name)); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TOML's keys are case-sensitive: other installers do not see what is written Packages.
func TestKeysInOtherCase(t *testing.T) {
	_, err := Parse("pylock.toml", []byte("lock-version = '1.0'\ncreated-by = 'x'\n\n[[Packages]]\nname = 'x'\nversion = '1'\n"))
	if err == nil || err.Error() != "pylock.toml:4: Packages: keys are case-sensitive, and this one is written packages" {
		t.Errorf("%v", err)
	}
}
