package lock

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mlenv/resolve/dist"
	"mlenv/resolve/index"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
)

func problem(t *testing.T, needs ...string) Problem {
	t.Helper()
	c := testCase{problem: "need " + strings.Join(needs, "\nneed ")}
	return c.parse(t)
}

func reads(t *testing.T, text string) *universe {
	t.Helper()
	u, err := readUniverse(text)
	if err != nil {
		t.Fatal(err)
	}
	u.dir = t.TempDir()
	return u
}

// A published file that changed under the lock is an attack or an accident, never a new lock.
func TestChangedFile(t *testing.T) {
	u := reads(t, "a 1.0\nb 1.0\n")
	p := problem(t, "a", "b")
	l, err := Solve(t.Context(), u, p)
	if err != nil {
		t.Fatal(err)
	}
	p.Keep.Lock = l
	if _, err := Solve(t.Context(), u, p); err != nil {
		t.Errorf("nothing changed, but %v", err)
	}
	l.Packages[1].Wheels[0].Hashes = map[string]string{"sha256": "00"}
	var changed *ChangedError
	if _, err := Solve(t.Context(), u, p); !errors.As(err, &changed) || changed.File != "b-1.0-py3-none-any.whl" || changed.Was != "00" {
		t.Errorf("error %v, want that b-1.0 changed", err)
	}
}

// failing is an index that cannot be reached for one project, or for its metadata.
type failing struct {
	*universe
	page, metadata pep508.Name
	err            error
}

var errsDown = []error{
	&index.NetworkError{URL: "https://pypi.example/simple/", Status: 503},
	&index.HashError{}, // a proxy's own page, or worse
}

func (f *failing) Versions(ctx context.Context, name pep508.Name) ([]pep440.Version, error) {
	if name == f.page {
		return nil, f.err
	}
	return f.universe.Versions(ctx, name)
}

func (f *failing) Metadata(ctx context.Context, d dist.File) (*dist.Metadata, error) {
	if d.Name == f.metadata {
		return nil, f.err
	}
	return f.universe.Metadata(ctx, d)
}

// An index that does not answer, or not with what it promised, says nothing of what exists: no version may be passed over, and
// no other solution sought, because of it.
func TestNetworkErrorEndsTheSearch(t *testing.T) {
	u := reads(t, "a 1.0\na 2.0\n\tb\nb 1.0\n")
	for _, down := range errsDown {
		for _, f := range []*failing{{universe: u, page: "a"}, {universe: u, page: "b"}, {universe: u, metadata: "a"}, {universe: u, metadata: "b"}} {
			f.err = down
			_, err := Solve(t.Context(), f, problem(t, "a"))
			if !errors.Is(err, down) {
				t.Errorf("page %q, metadata %q: error %v, want the index's own, %v", f.page, f.metadata, err, down)
			}
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	u := &cancelled{reads(t, "a 1.0\n")}
	if _, err := Solve(ctx, u, problem(t, "a")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that it was cancelled", err)
	}
}

// cancelled heeds its context, as a client does.
type cancelled struct{ *universe }

func (c *cancelled) Versions(ctx context.Context, name pep508.Name) ([]pep440.Version, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return c.universe.Versions(ctx, name)
}

// A wheel without a known hash is downloaded and hashed; what the index does say is kept.
func TestUnknownHashIsFound(t *testing.T) {
	u := reads(t, "a 1.0\n\t!nohash\n")
	l, err := Solve(t.Context(), u, problem(t, "a"))
	if err != nil {
		t.Fatal(err)
	}
	w := l.Packages[0].Wheels
	const sum = "1db229cdeeab32dd89d9d116f4cad76e44c03462e956cb95fca0272c12d7a940"
	if len(w) != 1 || w[0].Hashes["sha256"] != sum || w[0].Size != int64(len("a-1.0-py3-none-any.whl")) {
		t.Errorf("wheels %+v", w)
	}
}

// The lock says what it was made for, so that installers refuse it elsewhere.
func TestWhatTheLockIsFor(t *testing.T) {
	c := testCase{problem: "need a\nsoft nothing\nplatforms linux/arm64 linux/amd64\npython 3.11.7"}
	p := c.parse(t)
	p.Tool = pylock.Tool{SpecDigest: "sha256:00", Serve: "mlflow"}
	l, err := Solve(t.Context(), reads(t, "a 1.0\n"), p)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pylock.Format(l))
	for _, want := range []string{
		"requires-python = \"==3.11.*\"\n",
		"environments = [\n    \"platform_machine == \\\"aarch64\\\" and sys_platform == \\\"linux\\\"\",\n    \"platform_machine == \\\"x86_64\\\" and sys_platform == \\\"linux\\\"\",\n]\n",
		"targets = [\"linux/amd64 glibc:2.36\", \"linux/arm64 glibc:2.36\"]\n",
		"python = \"3.11.7\"\n", "requested = [\n    \"a\",\n]\n", "spec-digest = \"sha256:00\"\n", "serve = \"mlflow\"\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the lock lacks %q:\n%s", want, text)
		}
	}
}

// A lock that was given is held to a cutoff too: by what its files say of their age.
func TestOlderThan(t *testing.T) {
	u := reads(t, "a 1.0\n\t!uploaded 2024-01-01\nb 1.0\n\t!uploaded 2025-01-01\n")
	p := problem(t, "a", "b")
	l, err := Solve(t.Context(), u, p)
	if err != nil {
		t.Fatal(err)
	}
	day := func(s string) time.Time {
		d, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for cutoff, want := range map[string][]string{
		"2025-01-02": nil,
		"2025-01-01": {"b-1.0-py3-none-any.whl"},
		"2023-01-01": {"a-1.0-py3-none-any.whl", "b-1.0-py3-none-any.whl"},
	} {
		err := OlderThan(l, day(cutoff), p.Targets)
		var newer *NewerError
		if (err != nil) != (want != nil) || want != nil && (!errors.As(err, &newer) || !slices.Equal(newer.Newer, want)) {
			t.Errorf("%s: %v, want %q", cutoff, err, want)
		}
	}
	if err := OlderThan(l, time.Time{}, p.Targets); err != nil {
		t.Errorf("without a cutoff: %v", err)
	}
	l.Packages[0].Wheels[0].UploadTime = time.Time{}
	var newer *NewerError
	if err := OlderThan(l, day("2026-01-01"), p.Targets); !errors.As(err, &newer) || !slices.Equal(newer.Undated, []string{"a-1.0-py3-none-any.whl"}) {
		t.Errorf("a file of unknown age: %v", err)
	}
	l.Packages[0].Index = "" // from a folder or a page of links
	if err := OlderThan(l, day("2026-01-01"), p.Targets); err != nil {
		t.Errorf("a file of no index: %v", err)
	}
}

// A lock is refused on a patch release for which nobody has decided, instead of lacking a package
// there (as redis 5.0.1 does on Debian 12, whose Python is 3.11.2).
func TestPatchReleaseOfTheBase(t *testing.T) {
	u := reads(t, "redis 5.0.1\n\tasync-timeout; python_full_version < \"3.11.3\"\nasync-timeout 4.0\n")
	for _, c := range []struct {
		made, base string
		want       int // packages; 0: refused
	}{
		{"3.11.9", "3.11.9", 1}, {"3.11.9", "3.11.3", 1}, {"3.11.9", "3.11.2", 0}, {"3.11.2", "3.11.9", 0},
		{"3.11", "3.11.9", 1}, {"3.11", "3.11.2", 2}, {"3.11", "3.11", 2},
	} {
		p := problem(t, "redis")
		p.Targets[0].Python = pep440.MustParse(c.made)
		l, err := Solve(t.Context(), u, p)
		if err != nil {
			t.Fatal(err)
		}
		base := p.Targets[0]
		base.Python = pep440.MustParse(c.base)
		picks, err := l.Select(base)
		var notFor *pylock.NotForError
		if len(picks) != c.want || (c.want == 0) != errors.As(err, &notFor) {
			t.Errorf("locked for %s, installed on %s: %d packages, %v; want %d", c.made, c.base, len(picks), err, c.want)
		}
	}
}

// Where the bases of two platforms have different patch releases, each is held to its own.
func TestPatchReleasesOfTwoBases(t *testing.T) {
	u := reads(t, "redis 5.0.1\n\tasync-timeout; python_full_version < \"3.11.3\"\nasync-timeout 4.0\n")
	c := testCase{problem: "need redis\nplatforms linux/amd64 linux/arm64\npython 3.11.9"}
	p := c.parse(t)
	p.Targets[1].Python = pep440.MustParse("3.11.2")
	l, err := Solve(t.Context(), u, p)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{1, 2} {
		if picks, err := l.Select(p.Targets[i]); err != nil || len(picks) != want {
			t.Errorf("%s: %d packages, %v; want %d", p.Targets[i], len(picks), err, want)
		}
		wrong := p.Targets[i]
		wrong.Python = p.Targets[1-i].Python
		if _, err := l.Select(wrong); !errors.As(err, new(*pylock.NotForError)) {
			t.Errorf("%s with Python %s: %v", wrong, wrong.Python, err)
		}
	}
}

// What an index says of a yanked version cannot play with the terminal, nor fill it.
func TestYankedReasonIsPrintable(t *testing.T) {
	for reason, want := range map[string]string{
		"a bug":                          "a bug",
		"two\nlines\r\tand \x1b[2J more": "two lines and [2J more",
		strings.Repeat("x", 1000):        strings.Repeat("x", 200) + "…",
	} {
		if got := printable(reason); got != want {
			t.Errorf("%q became %q, want %q", reason, got, want)
		}
	}
}

// counted counts what is read of an index.
type counted struct {
	*universe
	read atomic.Int64
}

func (c *counted) Metadata(ctx context.Context, f dist.File) (*dist.Metadata, error) {
	c.read.Add(1)
	return c.universe.Metadata(ctx, f)
}

// The search for hints is bounded, in work and by its context, and ends in silence: what is known
// without a search is said all the same.
func TestHintsAreBounded(t *testing.T) {
	const versions = 4000
	var text strings.Builder
	for i := range versions {
		fmt.Fprintf(&text, "big %d\n\tsmall==%d\n\tsmall==%d\n", i+1, i%2+1, (i+1)%2+1)
	}
	text.WriteString("small 1\nsmall 2\nsource 1\n\t!sdist\n")
	u := &counted{universe: reads(t, text.String())}
	_, err := Solve(t.Context(), u, problem(t, "big==4000", "source"))
	var none *NoSolutionError
	if !errors.As(err, &none) {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for what, ctx := range map[string]context.Context{"enough": t.Context(), "cancelled": cancelled} {
		u.read.Store(0)
		var got []string
		for h := range none.Hints(ctx) {
			got = append(got, h.String())
		}
		if want := []string{"build wheel: source"}; !slices.Equal(got, want) {
			t.Errorf("%s: hints %q, want %q", what, got, want)
		}
		if n := u.read.Load(); n > mostReads || what == "cancelled" && n > 0 {
			t.Errorf("%s: the metadata of %d versions was read", what, n)
		}
	}
}

// passing is an index that passes over another one.
type passing struct{ *universe }

func (p *passing) Elsewhere(_ context.Context, name pep508.Name) ([]index.Listing, error) {
	if name != "requests" {
		return nil, nil
	}
	return []index.Listing{{Index: "https://main.example/simple/", Versions: []pep440.Version{pep440.MustParse("2.28.1"), pep440.MustParse("2.32.3")}}}, nil
}

// A version that is on an index which the strategy passes over is said to be there.
func TestVersionOnAnotherIndex(t *testing.T) {
	_, err := Solve(t.Context(), &passing{reads(t, "requests 2.28.1\n")}, problem(t, "requests==2.32.3"))
	var none *NoSolutionError
	if !errors.As(err, &none) {
		t.Fatal(err)
	}
	if want := "https://pypi.example/simple/ has no such version"; !strings.Contains(none.Error(), want) {
		t.Errorf("%v does not say where one looked", err)
	}
	for h := range none.Hints(t.Context()) {
		if h.Kind != OnOtherIndex || h.Index != "https://main.example/simple/" || h.Version.String() != "2.32.3" {
			t.Errorf("hint %v", h)
		}
	}
}

// What is published as source alone can be left out, for something else to build: of roots and of what
// packages need. The lock then has the rest, and what is required of them stands beside it.
func TestSolveWithout(t *testing.T) {
	u := reads(t, `own 1.0
	!sdist
parent 1.0
	deep[x]<2,>=1
	plain
parent 0.5
	deep!=1.5
deep 1.0
	!sdist
deep 1.5
	!sdist
plain 1.0
fitting 1.0
elsewhere 1.0
	!wheel cp311-cp311-win_amd64
	!sdist
`)
	p := problem(t, "own==1.0", "parent==1.0", "fitting", "elsewhere")
	var built []pep508.Name
	for {
		l, needs, err := SolveWithout(t.Context(), u, p, built)
		var none *NoSolutionError
		if errors.As(err, &none) && len(none.Buildable) > 0 && len(built) < 5 {
			built = append(built, none.Buildable...)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var locked, required []string
		for _, p := range l.Packages {
			locked = append(locked, string(p.Name))
		}
		for _, r := range needs {
			required = append(required, r.String())
		}
		if want := []string{"fitting", "parent", "plain"}; !slices.Equal(locked, want) {
			t.Errorf("locked %q, want %q", locked, want)
		}
		if want := []string{"deep[x]<2,>=1", "elsewhere", "own==1.0"}; !slices.Equal(required, want) {
			t.Errorf("to be built %q, want %q", required, want)
		}
		return
	}
}

// A package that conflicts is not one that building would help with.
func TestConflictIsNotBuildable(t *testing.T) {
	u := reads(t, "a 1.0\n\tb<2\na 0.9\n\t!sdist\nb 1.0\nb 2.0\n")
	_, err := Solve(t.Context(), u, problem(t, "a", "b>=2"))
	var none *NoSolutionError
	if !errors.As(err, &none) || len(none.Buildable) > 0 {
		t.Errorf("%v, buildable %q", err, none.Buildable)
	}
}

// A wheel that nobody has checked for the C library that it needs is read when it is locked.
func TestWheelForANewerLibc(t *testing.T) {
	library, err := os.ReadFile("../dist/testdata/needs-glibc-2.36.so")
	if err != nil {
		t.Fatal(err)
	}
	var data bytes.Buffer
	z := zip.NewWriter(&data)
	for name, text := range map[string]string{"a/_native.so": string(library), "a-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: a\nVersion: 1.0\n"} {
		e, err := z.Create(name)
		if err == nil {
			_, err = e.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for libc, fits := range map[string]bool{"glibc:2.36": true, "glibc:2.31": false} {
		u := reads(t, "a 1.0\n\t!nohash\n\t!wheel cp311-cp311-linux_x86_64\n")
		u.content = data.Bytes()
		p := problem(t, "a")
		if p.Targets[0].Libc, err = dist.ParseLibc(libc); err != nil {
			t.Fatal(err)
		}
		f := &u.files["a"][0]
		path, err := u.Fetch(t.Context(), *f)
		if err != nil {
			t.Fatal(err)
		}
		l, err := Solve(t.Context(), u, p)
		if err != nil {
			t.Fatalf("what is on an index is looked at when an image is built: %v", err)
		}
		var symbols *dist.SymbolsError
		if err := Loadable(t.Context(), u, l, p.Dir, p.Targets); fits != (err == nil) || !fits && !errors.As(err, &symbols) {
			t.Errorf("of an index, on %s: %v", libc, err)
		}
		f.URL = "file://" + filepath.ToSlash(path)
		if _, err := Solve(t.Context(), u, p); fits != (err == nil) || !fits && !errors.As(err, &symbols) {
			t.Errorf("of a folder, on %s: %v", libc, err)
		}
	}
}
