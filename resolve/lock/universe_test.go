package lock

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mlenv/resolve/dist"
	"mlenv/resolve/index"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "rewrite the golden parts of testdata/*.txt")

// universe is an Index written as text:
//
//	name version
//		a requirement (Requires-Dist), or one of
//		!wheel TAGS     a wheel with these tags; without any, one for py3-none-any
//		!sdist          a source distribution
//		!python SPEC    Requires-Python of the files listed after it
//		!yanked REASON  the same
//		!uploaded DATE  the same
//		!extra NAME     Provides-Extra
//		!broken         metadata that is none
//		!nohash         the index does not say the hash
type universe struct {
	files    map[pep508.Name][]dist.File
	metadata map[string]*dist.Metadata // by file name
	broken   map[string]bool
	dir      string // where files lie that are fetched
	content  []byte // of every file; nil: its name
}

func (u *universe) Versions(_ context.Context, name pep508.Name) (vs []pep440.Version, _ error) {
	for _, f := range u.files[name] {
		if len(vs) == 0 || !f.Version.Equal(vs[len(vs)-1]) {
			vs = append(vs, f.Version)
		}
	}
	if vs != nil {
		return vs, nil
	}
	return nil, &index.NotFoundError{Name: name, Where: []string{"https://pypi.example/simple/"}}
}

func (u *universe) VersionFiles(_ context.Context, name pep508.Name, v pep440.Version) (fs []dist.File, _ error) {
	for _, f := range u.files[name] {
		if f.Version.Equal(v) {
			fs = append(fs, f)
		}
	}
	return fs, nil
}

func (u *universe) Metadata(_ context.Context, f dist.File) (*dist.Metadata, error) {
	if u.broken[f.Filename] {
		return nil, &index.FormatError{URL: f.URL, Err: fmt.Errorf("no header")}
	}
	if m := u.metadata[f.Filename]; m != nil {
		return m, nil
	}
	return nil, &index.NotFoundError{File: f.URL}
}

func (u *universe) Fetch(_ context.Context, f dist.File) (string, error) {
	name := filepath.Join(u.dir, f.Filename)
	content := u.content
	if content == nil {
		content = []byte(f.Filename)
	}
	return name, os.WriteFile(name, content, 0o666)
}

// entry is one version while it is read.
type reading struct {
	u                     *universe
	name, version         string
	python, yanked        string
	uploaded              time.Time
	nohash, broken, files bool
	m                     *dist.Metadata
}

func (r *reading) add(filename string) error {
	f, err := dist.NewFile(pep508.NormalizeName(r.name), filename, "https://files.example/"+filename)
	if err != nil {
		return err
	}
	r.files = true
	sum := sha256.Sum256([]byte(filename))
	if !r.nohash {
		f.Hashes = map[string]string{"sha256": hex.EncodeToString(sum[:])}
	}
	f.RequiresPython, f.YankedReason, f.Yanked, f.UploadTime = r.python, r.yanked, r.yanked != "", r.uploaded
	f.Index, f.Size = "https://pypi.example/simple/", int64(len(filename))
	r.u.files[f.Name] = append(r.u.files[f.Name], f)
	r.u.metadata[filename] = r.m
	r.u.broken[filename] = r.broken
	return nil
}

func (r *reading) wheel(tags string) error {
	return r.add(fmt.Sprintf("%s-%s-%s.whl", strings.ReplaceAll(r.name, "-", "_"), r.version, tags))
}

func (r *reading) end() error {
	if r.name == "" || r.files {
		return nil
	}
	return r.wheel("py3-none-any")
}

func (r *reading) line(s string) (err error) {
	word, rest, _ := strings.Cut(s, " ")
	switch word {
	case "!wheel":
		return r.wheel(rest)
	case "!sdist":
		return r.add(r.name + "-" + r.version + ".tar.gz")
	case "!python":
		r.python = rest
	case "!yanked":
		r.yanked = rest
	case "!uploaded":
		r.uploaded, err = time.Parse(time.DateOnly, rest)
	case "!extra":
		r.m.ProvidesExtra = append(r.m.ProvidesExtra, pep508.NormalizeName(rest))
	case "!broken":
		r.broken = true
	case "!nohash":
		r.nohash = true
	default:
		req, err := pep508.Parse(s)
		r.m.RequiresDist = append(r.m.RequiresDist, req)
		return err
	}
	return err
}

func readUniverse(text string) (*universe, error) {
	u := &universe{files: map[pep508.Name][]dist.File{}, metadata: map[string]*dist.Metadata{}, broken: map[string]bool{}}
	r := &reading{}
	for line := range strings.Lines(text) {
		s := strings.TrimSpace(line)
		switch {
		case s == "" || s[0] == '#':
		case line[0] == '\t':
			if err := r.line(s); err != nil {
				return nil, fmt.Errorf("%q: %w", s, err)
			}
		default:
			if err := r.end(); err != nil {
				return nil, err
			}
			name, version, _ := strings.Cut(s, " ")
			v, err := pep440.Parse(version)
			if err != nil {
				return nil, err
			}
			r = &reading{u: u, name: name, version: version, m: &dist.Metadata{Name: pep508.NormalizeName(name), Version: v}}
		}
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	for _, fs := range u.files {
		slices.SortStableFunc(fs, func(a, b dist.File) int { return a.Version.Compare(b.Version) })
	}
	return u, nil
}

// testCase is a problem written as text: "need REQUIREMENT [--hash=…]", "limit REQUIREMENT",
// "soft REQUIREMENT", and options. What is expected follows "--".
type testCase struct {
	name, problem, want string
	notes               bool // are wanted
}

func readCases(t *testing.T, file string) (*universe, string, []testCase) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(data), "\n== ")
	u, err := readUniverse(parts[0])
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var cases []testCase
	for _, p := range parts[1:] {
		name, rest, _ := strings.Cut(p, "\n")
		problem, want, _ := strings.Cut(rest, "--\n")
		cases = append(cases, testCase{name: name, problem: problem, want: strings.TrimRight(want, "\n")})
	}
	if len(cases) == 0 {
		t.Fatalf("%s holds no case", file)
	}
	return u, parts[0], cases
}

func (c *testCase) parse(t *testing.T) Problem {
	t.Helper()
	p := Problem{Dir: "/locks"}
	python, platforms, libc := "3.11", []string{"linux/amd64"}, "glibc:2.36"
	root := func(s string, file string, line int) Root {
		words := strings.Split(s, " --hash=")
		r := Root{From: []string{fmt.Sprintf("%s:%d", file, line)}, Text: words[0], Hashes: words[1:]}
		if strings.HasPrefix(s, "file:") || strings.HasPrefix(s, "https:") || strings.HasPrefix(s, "git+") {
			r.URL = words[0]
			return r
		}
		var err error
		if r.Requirement, err = pep508.Parse(words[0]); err != nil {
			t.Fatal(err)
		}
		return r
	}
	sc := bufio.NewScanner(strings.NewReader(c.problem))
	for n := 1; sc.Scan(); n++ {
		word, rest, _ := strings.Cut(sc.Text(), " ")
		switch word {
		case "need":
			p.Roots = append(p.Roots, root(rest, "requirements.txt", n))
		case "soft":
			r := root(rest, "python_env.yaml", n)
			r.Soft = true
			p.Roots = append(p.Roots, r)
		case "limit":
			p.Constraints = append(p.Constraints, root(rest, "constraints.txt", n))
		case "editable":
			p.Roots = append(p.Roots, Root{Editable: true, Text: "-e " + rest, From: []string{"requirements.txt:1"}})
		case "keep":
			if p.Keep.Lock == nil {
				p.Keep.Lock = &pylock.Lock{}
			}
			name, version, _ := strings.Cut(rest, " ")
			p.Keep.Lock.Packages = append(p.Keep.Lock.Packages, pylock.Package{Name: pep508.Name(name), Version: pep440.MustParse(version)})
		case "upgrade":
			p.Keep.Upgrade = append(p.Keep.Upgrade, pep508.Name(rest))
		case "upgrade-all":
			p.Keep.UpgradeAll = true
		case "pre":
			p.Limits.Pre = true
		case "no-binary":
			p.Limits.NoBinary = append(p.Limits.NoBinary, rest)
		case "notes":
			c.notes = true
		case "only-binary":
			p.Limits.OnlyBinary = append(p.Limits.OnlyBinary, rest)
		case "cutoff":
			p.Limits.Cutoff, _ = time.Parse(time.DateOnly, rest)
		case "python":
			python = rest
		case "platforms":
			platforms = strings.Fields(rest)
		case "libc":
			libc = rest
		default:
			t.Fatalf("%s: what is %q?", c.name, sc.Text())
		}
	}
	for _, s := range platforms {
		os, arch, _ := strings.Cut(s, "/")
		l, err := dist.ParseLibc(libc)
		if err != nil {
			t.Fatal(err)
		}
		p.Targets = append(p.Targets, dist.Target{Python: pep440.MustParse(python), OS: os, Arch: arch, Libc: l})
	}
	return p
}

// show writes what a case is about: the packages, each with what it needs, or the explanation.
func show(l *pylock.Lock, warnings []string, err error) string {
	var none *NoSolutionError
	if errors.As(err, &none) {
		text := err.Error()
		for h := range none.Hints(context.Background()) {
			text += "\n  try: " + h.String()
		}
		return text
	}
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	if s := l.RequiresPython.String(); s != "=="+l.Tool.Python.Minor()+".*" {
		fmt.Fprintf(&b, "requires-python %s\n", s)
	}
	for _, m := range l.Environments {
		if m.UsesPatch() {
			fmt.Fprintf(&b, "environment %s\n", m)
		}
	}
	for _, p := range l.Packages {
		fmt.Fprintf(&b, "%s %s", p.Name, p.Version)
		for i, d := range p.Dependencies {
			if i == 0 {
				b.WriteString(" ->")
			}
			fmt.Fprintf(&b, " %s", d.Name)
			if !d.Version.IsZero() {
				fmt.Fprintf(&b, "@%s", d.Version)
			}
		}
		if !p.Marker.IsZero() {
			fmt.Fprintf(&b, " ; %s", p.Marker)
		}
		for _, w := range p.Wheels {
			if len(p.Wheels) > 1 || !strings.HasSuffix(w.Name, "-py3-none-any.whl") {
				fmt.Fprintf(&b, "\n    %s", w.Name)
			}
		}
		if p.Archive != nil {
			fmt.Fprintf(&b, "\n    archive %s%s", p.Archive.URL, p.Archive.Path)
		}
		b.WriteByte('\n')
	}
	for _, w := range warnings {
		fmt.Fprintln(&b, w)
	}
	return strings.TrimRight(b.String(), "\n")
}

// TestUniverses solves every case of testdata/*.txt, twice over, and holds the lock to the
// format.
func TestUniverses(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no universes", err)
	}
	for _, file := range files {
		u, head, cases := readCases(t, file)
		u.dir = t.TempDir()
		out := head
		for _, c := range cases {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt")+"/"+c.name, func(t *testing.T) {
				var got string
				for range 2 {
					p := c.parse(t)
					var warnings []string
					p.Warn = func(s string) { warnings = append(warnings, "warning: "+s) }
					if c.notes {
						p.Note = func(s string) { warnings = append(warnings, "passed over: "+s) }
					}
					l, err := Solve(t.Context(), u, p)
					again := show(l, warnings, err)
					if got != "" && again != got {
						t.Errorf("two runs differ:\n%s\n%s", got, again)
					}
					got = again
					if err == nil {
						back, err := pylock.Parse("lock", pylock.Format(l))
						if err != nil || string(pylock.Format(back)) != string(pylock.Format(l)) {
							t.Fatalf("the lock does not come back: %v", err)
						}
						if d := cmp.Diff(l.Tool, back.Tool, cmpopts.EquateEmpty()); d != "" {
							t.Errorf("what the lock is for comes back as (-want +got):\n%s", d)
						}
					}
				}
				out += fmt.Sprintf("\n== %s\n%s--\n%s\n", c.name, c.problem, got)
				if got != c.want && !*update {
					t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
				}
			})
		}
		if *update {
			if err := os.WriteFile(file, []byte(out), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
}
