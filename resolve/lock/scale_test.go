package lock

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"mlenv/resolve/dist"
	"mlenv/resolve/index"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// made is an index whose projects have as many versions, files and requirements as somebody likes to
// write down.
type made struct {
	versions map[pep508.Name][]pep440.Version
	files    map[pep508.Name][]dist.File // of every version
	requires map[pep508.Name][]pep508.Requirement
}

func newMade() *made {
	return &made{map[pep508.Name][]pep440.Version{}, map[pep508.Name][]dist.File{}, map[pep508.Name][]pep508.Requirement{}}
}

// add gives a project a version.
func (m *made) add(name string, version string) {
	n := pep508.Name(name)
	m.versions[n] = append(m.versions[n], pep440.MustParse(version))
	m.file(n, version, "py3-none-any")
}

func (m *made) file(name pep508.Name, version, tags string) {
	filename := strings.ReplaceAll(string(name), "-", "_") + "-" + version + "-" + tags + ".whl"
	f, err := dist.NewFile(name, filename, "https://i.example/"+filename)
	if err != nil {
		panic(err)
	}
	f.Hashes = map[string]string{"sha256": fmt.Sprintf("%064x", len(m.files[name]))}
	m.files[name] = append(m.files[name], f)
}

func (m *made) Versions(_ context.Context, name pep508.Name) ([]pep440.Version, error) {
	if m.versions[name] == nil {
		return nil, &index.NotFoundError{Name: name}
	}
	return m.versions[name], nil
}

func (m *made) VersionFiles(_ context.Context, name pep508.Name, v pep440.Version) ([]dist.File, error) {
	if len(m.versions[name]) == 1 {
		return m.files[name], nil
	}
	for i, w := range m.versions[name] { // those of many versions have a file each
		if w.Equal(v) {
			return m.files[name][i : i+1], nil
		}
	}
	return nil, nil
}

func (m *made) Metadata(_ context.Context, f dist.File) (*dist.Metadata, error) {
	return &dist.Metadata{Name: f.Name, Version: f.Version, RequiresDist: m.requires[f.Name]}, nil
}

func (m *made) Fetch(context.Context, dist.File) (string, error) { return "", os.ErrNotExist }

func requirement(text string) pep508.Requirement {
	r, err := pep508.Parse(text)
	if err != nil {
		panic(err)
	}
	return r
}

// scaleShapes are what a model, or a page that it names, can make long.
var scaleShapes = map[string]struct {
	n    int
	make func(n int) (*made, Problem)
}{
	"wheels of one version": {10_000, func(n int) (*made, Problem) {
		m := newMade()
		m.add("a", "1")
		for i := range n {
			m.file("a", "1", fmt.Sprintf("py3.x%d-none-any", i))
		}
		return m, Problem{Roots: []Root{{Requirement: requirement("a")}}}
	}},
	"hashes of one requirement": {5_000, func(n int) (*made, Problem) {
		m := newMade()
		m.add("a", "1")
		r := Root{Requirement: requirement("a")}
		for i := range n {
			m.file("a", "1", fmt.Sprintf("py3.x%d-none-any", i))
			r.Hashes = append(r.Hashes, fmt.Sprintf("sha256:%064x", n+i/2))
		}
		r.Hashes = append(r.Hashes, fmt.Sprintf("sha256:%064x", n))
		return m, Problem{Roots: []Root{r}}
	}},
	"requirements": {1_000, func(n int) (*made, Problem) {
		m, p := newMade(), Problem{}
		for i := range n {
			name := fmt.Sprintf("a%d", i)
			m.add(name, "1")
			p.Roots = append(p.Roots, Root{Requirement: requirement(name)})
			p.Constraints = append(p.Constraints, Root{Requirement: requirement(name + "<2")})
			p.Limits.NoBinary = append(p.Limits.NoBinary, "no"+name)
		}
		return m, p
	}},
	"needs of one package": {1_000, func(n int) (*made, Problem) {
		m := newMade()
		m.add("a", "1")
		for i := range n {
			name := fmt.Sprintf("a%d", i)
			m.add(name, "1")
			m.requires["a"] = append(m.requires["a"], requirement(name))
		}
		return m, Problem{Roots: []Root{{Requirement: requirement("a")}}}
	}},
	"a chain": {1_000, func(n int) (*made, Problem) {
		m := newMade()
		for i := range n {
			m.add(fmt.Sprintf("a%d", i), "1")
			if i > 0 {
				m.requires[pep508.Name(fmt.Sprintf("a%d", i-1))] = []pep508.Requirement{requirement(fmt.Sprintf("a%d", i))}
			}
		}
		return m, Problem{Roots: []Root{{Requirement: requirement("a0")}}}
	}},
	"versions": {20_000, func(n int) (*made, Problem) {
		m := newMade()
		for i := range n {
			m.add("a", fmt.Sprintf("1.%d", i))
		}
		return m, Problem{Roots: []Root{{Requirement: requirement("a")}}}
	}},
}

func solveScale(tb testing.TB, m *made, p Problem) int {
	target, err := dist.NewTarget("linux", "amd64", pep440.MustParse("3.11.7"), "")
	if err != nil {
		tb.Fatal(err)
	}
	p.Targets = []dist.Target{target}
	l, err := Solve(tb.Context(), m, p)
	if err != nil {
		tb.Fatal(err)
	}
	n := 0
	for i := range l.Packages {
		n += len(l.Packages[i].Wheels) + len(l.Packages[i].Dependencies)
	}
	return n
}

// BenchmarkScale prints how many times longer a lock of twice as much takes: 2 is linear, 4 is quadratic.
func BenchmarkScale(b *testing.B) {
	for name, shape := range scaleShapes {
		b.Run(name, func(b *testing.B) {
			m1, p1 := shape.make(shape.n)
			m2, p2 := shape.make(2 * shape.n)
			var times [2]time.Duration
			for b.Loop() {
				start := time.Now()
				solveScale(b, m1, p1)
				middle := time.Now()
				solveScale(b, m2, p2)
				times[0] += middle.Sub(start)
				times[1] += time.Since(middle)
			}
			b.ReportMetric(float64(times[1])/float64(times[0]), "ratio")
			b.ReportMetric(times[1].Seconds()/float64(b.N), "s/double")
		})
	}
}

// TestScale holds that what is long is locked whole.
func TestScale(t *testing.T) {
	for name, want := range map[string]int{
		"wheels of one version": 101, "hashes of one requirement": 1, "requirements": 100, "needs of one package": 201, "a chain": 199, "versions": 1,
	} {
		m, p := scaleShapes[name].make(100)
		if got := solveScale(t, m, p); got != want {
			t.Errorf("%s: %d wheels and dependencies, want %d", name, got, want)
		}
	}
}
