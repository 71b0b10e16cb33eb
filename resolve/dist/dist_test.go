package dist

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

func TestParseLibc(t *testing.T) {
	for _, s := range []string{"glibc:2.36", "musl:1.2"} {
		if l, err := ParseLibc(s); err != nil || l.String() != s {
			t.Errorf("%s: %v, %v", s, l, err)
		}
	}
	if l, err := ParseLibc("musl:1.2.4"); err != nil || (l != Libc{"musl", 1, 2}) {
		t.Errorf("musl:1.2.4: %v, %v", l, err)
	}
	for _, s := range []string{"", "glibc", "glibc:", "glibc:2", "glibc:x.1", "glibc:2.-1", "uclibc:1.0", "glibc:2.99999"} {
		if l, err := ParseLibc(s); err == nil || l.String() != "" {
			t.Errorf("%q: %v, no error", s, l)
		}
	}
}

func TestParseTarget(t *testing.T) {
	for s, want := range map[string]Target{
		"linux/amd64 glibc:2.36": {OS: "linux", Arch: "amd64", Libc: Libc{"glibc", 2, 36}},
		"linux/arm64 musl:1.2":   {OS: "linux", Arch: "arm64", Libc: Libc{"musl", 1, 2}},
		"linux/amd64":            {OS: "linux", Arch: "amd64"},
		"":                       {},
	} {
		var got Target
		if err := got.UnmarshalText([]byte(s)); err != nil || got != want || got.String() != s {
			t.Errorf("%q: %+v, %q, %v", s, got, got, err)
		}
		if text, err := got.MarshalText(); err != nil || string(text) != s {
			t.Errorf("%q is written as %q, %v", s, text, err)
		}
	}
	for _, s := range []string{"", "linux", "linux/", "/amd64", "linux/arm/v7", "linux/amd64 ", "linux/amd64  glibc:2.36", "linux/amd64 glibc", "linux/amd64\tglibc:2.36"} {
		if got, err := ParseTarget(s); err == nil || got != (Target{}) {
			t.Errorf("%q: %+v, no error", s, got)
		}
	}
}

// Before Python 3.8 the ABI of CPython had a letter for its allocator.
func TestTagsOfOldPythons(t *testing.T) {
	for python, want := range map[string]string{"3.6": "cp36-cp36m-manylinux_2_5_x86_64", "3.7": "cp37-cp37m-manylinux1_x86_64", "3.8": "cp38-cp38-manylinux1_x86_64"} {
		tag := Tag{}
		parts := strings.Split(want, "-")
		tag.Python, tag.ABI, tag.Platform = parts[0], parts[1], parts[2]
		if _, ok := target(python, "amd64", DefaultLibc).TagSet().Rank([]Tag{tag}); !ok {
			t.Errorf("Python %s does not take %s", python, want)
		}
	}
}

func TestNewTarget(t *testing.T) {
	python := pep440.MustParse("3.11")
	if got, err := NewTarget("linux", "amd64", python, ""); err != nil || got != target("3.11", "amd64", DefaultLibc) {
		t.Errorf("without a C library: %+v, %v", got, err)
	}
	if got, err := NewTarget("linux", "arm64", python, "musl:1.2"); err != nil || got != target("3.11", "arm64", "musl:1.2") {
		t.Errorf("with musl: %+v, %v", got, err)
	}
	if _, err := NewTarget("linux", "amd64", python, "libc"); err == nil {
		t.Error("libc: no error")
	}
}

func TestOlder(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"glibc:2.31", "glibc:2.36", true}, {"glibc:2.36", "glibc:2.36", false}, {"glibc:2.36", "glibc:2.31", false},
		{"glibc:1.99", "glibc:2.0", true}, {"musl:1.1", "glibc:2.36", false},
	} {
		a, errA := ParseLibc(c.a)
		b, errB := ParseLibc(c.b)
		if errA != nil || errB != nil || a.Older(b) != c.want {
			t.Errorf("%s older than %s: %v; %v, %v", c.a, c.b, a.Older(b), errA, errB)
		}
	}
}

func target(python, arch, libc string) Target {
	l, err := ParseLibc(libc)
	if err != nil {
		panic(err)
	}
	return Target{Python: pep440.MustParse(python), OS: "linux", Arch: arch, Libc: l}
}

func TestEnvironment(t *testing.T) {
	want := pep508.Environment{
		OSName: "posix", SysPlatform: "linux", PlatformMachine: "aarch64", PlatformPythonImplementation: "CPython",
		PlatformSystem: "Linux", PythonVersion: "3.11", PythonFullVersion: "3.11.0", ImplementationName: "cpython",
		ImplementationVersion: "3.11.0",
	}
	if diff := cmp.Diff(want, target("3.11", "arm64", "glibc:2.36").Environment()); diff != "" {
		t.Error(diff)
	}
	for python, full := range map[string]string{"3.9.18": "3.9.18", "3.14.0rc1": "3.14.0rc1", "3.13": "3.13.0", "3": "3.0.0"} {
		if env := target(python, "amd64", "musl:1.2").Environment(); env.PythonFullVersion != full {
			t.Errorf("%s: python_full_version %s, want %s", python, env.PythonFullVersion, full)
		}
	}
}

func TestFitsPython(t *testing.T) {
	for _, c := range []struct {
		python, requires string
		want             bool
	}{
		{"3.11", "", true}, {"3.11", ">=3.8", true}, {"3.11", ">=3.11.1", false}, {"3.11.1", ">=3.11.1", true},
		{"3.11", "<3.11", false}, {"3.11", "==3.11.*", true}, {"3.14.0rc1", ">=3.14", true}, {"3.14.0rc1", "<3.14", false},
	} {
		if got := target(c.python, "amd64", "glibc:2.36").FitsPython(specifiers(c.requires)); got != c.want {
			t.Errorf("%s in %q: %v", c.python, c.requires, got)
		}
	}
	if !(Target{}).FitsPython(specifiers(">=3.8")) {
		t.Error("no Python fits not")
	}
}

// TestEnvironmentAsPackaging compares with the Python that runs, on Linux.
func TestEnvironmentAsPackaging(t *testing.T) {
	python := os.Getenv("MLENV_PYTHON")
	if python == "" {
		t.Skip("MLENV_PYTHON names no Python with packaging")
	}
	out, err := exec.Command(python, "-c",
		"import json, packaging.markers as m; print(json.dumps(m.default_environment()))").Output()
	if err != nil {
		t.Fatal(err)
	}
	var vars map[string]string
	if err := json.Unmarshal(out, &vars); err != nil {
		t.Fatal(err)
	}
	if vars["sys_platform"] != "linux" {
		t.Skipf("this is %s", vars["sys_platform"])
	}
	arch := map[string]string{"x86_64": "amd64", "aarch64": "arm64"}[vars["platform_machine"]]
	env := target(vars["python_full_version"], arch, "glibc:2.36").Environment()
	for name, value := range vars {
		if name == "platform_release" || name == "platform_version" {
			continue // the kernel's
		}
		m, err := pep508.ParseMarker(name + " === '" + value + "' or " + name + " == '" + value + "'")
		if err != nil || !m.Eval(env) {
			t.Errorf("%s is not %q in %+v, error %v", name, value, env, err)
		}
	}
}

func TestRank(t *testing.T) {
	set := target("3.11", "amd64", "glibc:2.28").TagSet()
	wheels := []string{ // each better than the next
		"p-1-cp311-cp311-linux_x86_64.whl",
		"p-1-cp311-cp311-manylinux_2_28_x86_64.whl",
		"p-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
		"p-1-cp311-cp311-manylinux1_x86_64.whl",
		"p-1-cp311-abi3-manylinux_2_28_x86_64.whl",
		"p-1-cp38-abi3-manylinux_2_28_x86_64.whl",
		"p-1-py3-none-manylinux_2_17_x86_64.whl",
		"p-1-py2.py3-none-any.whl",
		"p-1-py30-none-any.whl",
	}
	last := -1
	for _, name := range wheels {
		w, err := ParseWheelName(name)
		if err != nil {
			t.Fatal(err)
		}
		rank, ok := set.Rank(w.Tags)
		if !ok || rank <= last {
			t.Errorf("%s: rank %d, %v, the one before has %d", name, rank, ok, last)
		}
		last = rank
	}
	for _, name := range []string{
		"p-1-cp312-cp312-linux_x86_64.whl", "p-1-cp311-cp311-manylinux_2_31_x86_64.whl", "p-1-cp312-abi3-manylinux1_x86_64.whl",
		"p-1-cp311-cp311-musllinux_1_1_x86_64.whl", "p-1-py2-none-any.whl", "p-1-cp311-cp311-linux_aarch64.whl",
		"p-1-cp311-cp311-any.whl", "p-1-cp311-cp311t-linux_x86_64.whl", "p-1-py312-none-any.whl",
	} {
		w, err := ParseWheelName(name)
		if rank, ok := set.Rank(w.Tags); err != nil || ok {
			t.Errorf("%s fits, rank %d, error %v", name, rank, err)
		}
	}
	if _, ok := (TagSet{}).Rank([]Tag{{"py3", "none", "any"}}); ok {
		t.Error("a tag fits the zero TagSet")
	}
}

func TestNewFile(t *testing.T) {
	type want struct {
		name    pep508.Name
		version string
		build   string
		tags    int
	}
	for _, c := range []struct {
		project, filename string
		want
	}{
		{"foo-bar", "foo_bar-1.0-py3-none-any.whl", want{"foo-bar", "1.0", "", 1}},
		{"foo-bar", "Foo.Bar-1.0-7_x-py2.py3-none-any.whl", want{"foo-bar", "1.0", "7_x", 2}},
		{"torch", "torch-2.1.0+cu118-cp311-cp311-linux_x86_64.whl", want{"torch", "2.1.0+cu118", "", 1}},
		{"p", "p-1.0_1-py3-none-any.whl", want{"p", "1.0.post1", "", 1}},
		{"foo-bar", "foo-bar-1.0.tar.gz", want{"foo-bar", "1.0", "", 0}},
		{"foo-bar", "foo_bar-1.0-1.zip", want{"foo-bar", "1.0.post1", "", 0}},
		{"foo-bar", "Foo--Bar-1.0.TAR.BZ2", want{"foo-bar", "1.0", "", 0}},
		{"foo", "foo-1.0.tgz", want{"foo", "1.0", "", 0}},
		{"", "foo-bar-1.0.tar.gz", want{"foo-bar", "1.0", "", 0}},
		{"", "Foo_Bar-1.0-py3-none-any.whl", want{"foo-bar", "1.0", "", 1}},
	} {
		f, err := NewFile(pep508.Name(c.project), c.filename, "https://files.example/x")
		if err != nil {
			t.Errorf("%s: %v", c.filename, err)
			continue
		}
		got := want{f.Name, f.Version.String(), f.Build, len(f.Tags)}
		if got != c.want || f.Wheel != (got.tags > 0) || f.URL != "https://files.example/x" || f.Filename != c.filename {
			t.Errorf("%s: %+v", c.filename, f)
		}
	}
	for _, c := range [][2]string{
		{"foo", "foo-bar-1.0.tar.gz"}, {"foo", "bar-1.0.tar.gz"}, {"foo", "foo-1.0-py3-none-any.whl.metadata"},
		{"foo", "bar-1.0-py3-none-any.whl"}, {"foo", "foo-1.0.exe"}, {"foo", "foo-1.0-py2.7.egg"}, {"foo", ".tar.gz"},
		{"foo", "foo-1.0.linux-x86_64.tar.gz"}, {"foo", "foo-1.0-py2.7.tar.gz"}, {"foo", "foo.tar.gz"}, {"foo", ""},
		{"foo", "foo-1.0-py3-none.whl"}, {"foo", "foo-1.0-x-py3-none-any.whl"}, {"", "-1.0.tar.gz"},
		{"foo", "foo-1.0-" + strings.Repeat("a.", 70) + "a-" + strings.Repeat("a.", 70) + "a-any.whl"},
	} {
		if f, err := NewFile(pep508.Name(c[0]), c[1], ""); err == nil {
			t.Errorf("%s: no error, %+v", c[1], f)
		}
	}
	if sum := (File{Hashes: map[string]string{"sha256": "ab", "md5": "cd"}}).SHA256(); sum != "ab" {
		t.Errorf("SHA256 is %q", sum)
	}
}

func TestCompareBuild(t *testing.T) {
	builds := []string{"", "0", "1", "1_a", "1_b", "2", "10", "10a", "20240101", "99999999999999999999"}
	for i, a := range builds {
		for j, b := range builds {
			if got := CompareBuild(a, b); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("CompareBuild(%q, %q) is %d", a, b, got)
			}
		}
	}
}

func FuzzNewFile(f *testing.F) {
	for _, name := range []string{"foo-1.0-py3-none-any.whl", "foo-1.0-1a-cp311.cp312-abi3.none-linux_x86_64.whl", "foo-1.0-1.tar.gz", "foo-1.zip"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		file, err := NewFile("foo", name, "")
		if err == nil && (file.Name != "foo" || file.Version.IsZero() || file.Wheel != (len(file.Tags) > 0)) {
			t.Errorf("%q: %+v", name, file)
		}
		if any, err := NewFile("", name, ""); err == nil && any.Version.IsZero() {
			t.Errorf("%q: %+v", name, any)
		}
	})
}

func TestFit(t *testing.T) {
	set := target("3.11", "amd64", "glibc:2.28").TagSet()
	wheels := []string{ // the best first
		"a-1-10-cp311-cp311-manylinux_2_17_x86_64.whl", "a-1-9z-cp311-cp311-manylinux_2_17_x86_64.whl",
		"a-1-cp311-cp311-manylinux_2_17_x86_64.whl", "a-1-99-cp311-abi3-manylinux_2_17_x86_64.whl", "a-1-py3-none-any.whl",
	}
	var fits []Fit
	for _, name := range wheels {
		w, err := ParseWheelName(name)
		if err != nil {
			t.Fatal(err)
		}
		fit, ok := set.Fit(w.Tags, w.Build)
		if !ok {
			t.Fatalf("%s does not fit", name)
		}
		fits = append(fits, fit)
	}
	for i := range fits {
		for j := range fits {
			if got := fits[i].Compare(fits[j]); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%s compared with %s: %d", wheels[i], wheels[j], got)
			}
		}
	}
	if _, ok := set.Fit([]Tag{{"cp39", "cp39", "win32"}}, "1"); ok {
		t.Error("a wheel for Windows fits")
	}
}

func BenchmarkRank(b *testing.B) {
	set := target("3.11", "amd64", "glibc:2.36").TagSet()
	w, err := ParseWheelName("numpy-1.26.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := set.Rank(w.Tags); !ok {
			b.Fatal("does not fit")
		}
	}
}

func BenchmarkNewFile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewFile("numpy", "numpy-1.26.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", ""); err != nil {
			b.Fatal(err)
		}
	}
}

// A Libc comes back from its text, and what is none is refused.
func TestLibcText(t *testing.T) {
	for _, text := range []string{"", "glibc:2.36", "musl:1.2"} {
		var l Libc
		err := l.UnmarshalText([]byte(text))
		back, _ := l.MarshalText()
		if err != nil || string(back) != text {
			t.Errorf("%q came back as %q, %v", text, back, err)
		}
	}
	l := Libc{Kind: "glibc", Major: 2, Minor: 36}
	if err := l.UnmarshalText([]byte("glibc 2.36")); err == nil || l != (Libc{}) {
		t.Errorf("%q was read as %v", "glibc 2.36", l)
	}
}
