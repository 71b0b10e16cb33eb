package imagebuild

import (
	"fmt"
	"strings"
	"testing"

	"mlenv/imagebuild/layer"
	"mlenv/resolve/dist"
	"mlenv/resolve/pylock"
)

func manyWheels(n int, size func(i int) int64) []Wheel {
	var out []Wheel
	for i := range n {
		out = append(out, Wheel{Name: fmt.Sprintf("package-%d", i), SHA256: fmt.Sprintf("%064d", i), Size: size(i)})
	}
	return out
}

func groupsOf(groups [][]Wheel) map[string]bool {
	out := map[string]bool{}
	for _, g := range groups {
		var names []string
		for _, w := range g {
			names = append(names, w.Name+w.SHA256)
		}
		out[strings.Join(names, " ")] = true
	}
	return out
}

// TestPlanIsStable changes one small package of many: one layer differs.
func TestPlanIsStable(t *testing.T) {
	b, err := newBudget(4)
	if err != nil {
		t.Fatal(err)
	}
	wheels := manyWheels(200, func(i int) int64 { return int64(i+1) * 100_000 })
	before := groupsOf(planWheels(wheels, b))
	for what, change := range map[string]func([]Wheel) []Wheel{
		"another version": func(w []Wheel) []Wheel { w[3].SHA256 = strings.Repeat("f", 64); w[3].Size += 1000; return w },
		"one more":        func(w []Wheel) []Wheel { return append(w, Wheel{Name: "new", SHA256: "x", Size: 1000}) },
		"one less":        func(w []Wheel) []Wheel { return w[1:] },
	} {
		after := groupsOf(planWheels(change(append([]Wheel{}, wheels...)), b))
		changed := 0
		for g := range after {
			if !before[g] {
				changed++
			}
		}
		if changed != 1 {
			t.Errorf("%s: %d layers differ, want 1", what, changed)
		}
	}
}

func TestBudget(t *testing.T) {
	for layers := 0; layers <= 130; layers++ {
		b, err := newBudget(layers)
		if layers > 120 {
			if err == nil {
				t.Errorf("%d layers of the base: accepted", layers)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%d layers of the base: %v", layers, err)
		}
		for _, wheels := range [][]Wheel{
			manyWheels(300, func(int) int64 { return 1 << 30 }), manyWheels(300, func(i int) int64 { return int64(i) << 20 }),
			manyWheels(3, func(int) int64 { return 0 }), nil,
		} {
			var files []layer.Entry
			for i := range 50 {
				files = append(files, layer.Entry{Path: fmt.Sprint("f", i), Content: layer.Content{Size: int64(i) << 22}})
			}
			n := len(planWheels(wheels, b)) + len(planModel(files, b)) + 4
			if n > maxOurs || n+layers > maxTotal {
				t.Errorf("%d layers above %d of the base", n, layers)
			}
		}
	}
}

func TestPlanModel(t *testing.T) {
	b, err := newBudget(4)
	if err != nil {
		t.Fatal(err)
	}
	files := func(sizes ...int64) []layer.Entry {
		var out []layer.Entry
		for i, s := range sizes {
			out = append(out, layer.Entry{Path: fmt.Sprint("f", i), Content: layer.Content{Size: s}})
		}
		return out
	}
	if got := planModel(files(1<<20, 2<<20, 1<<30), b); len(got) != 3 {
		t.Errorf("3 files are in %d layers", len(got))
	}
	many := files(1<<30, 1<<30)
	for range 30 {
		many = append(many, layer.Entry{Path: fmt.Sprint("g", len(many)), Content: layer.Content{Size: 1 << 20}})
	}
	got := planModel(many, b)
	if len(got[0]) != 1 || len(got[1]) != 1 || len(got) > b.model {
		t.Errorf("the large files share layers: %d layers", len(got))
	}
	total := 0
	for _, g := range got {
		total += len(g)
	}
	if total != len(many) {
		t.Errorf("%d of %d files are planned", total, len(many))
	}
}

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
	l, err := pylock.Parse("pylock.toml", []byte(text))
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
	return Select(l, target)
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
