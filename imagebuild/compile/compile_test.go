package compile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/imagebuild/base"
	"mlenv/resolve/pep440"
)

// confined makes this test's own program the one that confines itself, as mlenv's is.
const confined = "MLENV_TEST_CONFINE"

func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == confined {
		fmt.Fprintln(os.Stderr, Confine(os.Args[2], os.Args[3:], os.Environ()))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func confine(t testing.TB) []string {
	if err := CanConfine(); err != nil {
		t.Skip(err)
	}
	return []string{os.Args[0], confined}
}

// hostPython is a CPython of this machine that compiled modules are known for.
func hostPython(t testing.TB) (file string, minor int) {
	t.Helper()
	dirs := append([]string{"/usr/bin", "/usr/local/bin"}, filepath.SplitList(os.Getenv("PATH"))...)
	for _, minor := range []int{11, 12, 13, 14, 10, 9} {
		if file, err := base.FindHost(pep440.MustParse(fmt.Sprintf("3.%d", minor)), dirs); err == nil {
			return file, minor
		}
	}
	t.Skip("no CPython 3.9 to 3.14 on this machine")
	return "", 0
}

// hostBase is a base that is made of this machine's Python, once for all tests.
var hostBase = sync.OnceValues(func() (v1.Image, error) { return base.Host(context.Background(), hostFile, nil) })

var hostFile string

// unpack takes this machine's Python out of that base.
func unpack(t testing.TB) *Interpreter {
	t.Helper()
	file, minor := hostPython(t)
	hostFile = file
	img, err := hostBase()
	if err != nil {
		t.Fatal(err)
	}
	i, err := Unpack(t.Context(), img, fmt.Sprintf("/usr/local/bin/python3.%d", minor), minor, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// The same sources in another order, in one process and in three, confined or not, give the same bytes, which
// Python takes for the compiled form of the source: no module is compiled anew.
func TestCompile(t *testing.T) {
	i := unpack(t)
	if len(i.Missing) < 100 {
		t.Fatalf("%d modules of the standard library", len(i.Missing))
	}
	modules := slices.Clone(i.Missing)
	rng := rand.New(rand.NewPCG(1, 2))
	var want map[string][]byte
	for _, way := range []struct {
		n       int
		confine []string
	}{{1, nil}, {3, confine(t)}} {
		rng.Shuffle(len(modules), func(a, b int) { modules[a], modules[b] = modules[b], modules[a] })
		got := compileAll(t, NewPool(i, way.n, way.confine), modules)
		if want == nil {
			want = got
		}
		for name, data := range got {
			if !bytes.Equal(data, want[name]) {
				t.Errorf("%s: two forms", name)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d files, want %d", len(got), len(want))
		}
	}
	imports(t, i, want)
}

func compileAll(t *testing.T, p *Pool, modules []Module) map[string][]byte {
	defer p.Close()
	out := map[string][]byte{}
	var mu sync.Mutex
	var g sync.WaitGroup
	for _, m := range modules {
		g.Go(func() {
			source, err := os.ReadFile(m.File)
			if err != nil {
				t.Error(err)
				return
			}
			data, err := p.Compile(t.Context(), m.Path, source)
			if errors.Is(err, ErrSyntax) {
				return
			}
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			out[m.Path] = data
			mu.Unlock()
		})
	}
	g.Wait()
	return out
}

// imports has the interpreter import modules from where they were compiled to, and say what it has compiled.
func imports(t *testing.T, i *Interpreter, compiled map[string][]byte) {
	t.Helper()
	home := filepath.Join(i.root, homeDir, "lib", fmt.Sprintf("python3.%d", i.Minor))
	for name, data := range compiled {
		_, rest, _ := strings.Cut(name, fmt.Sprintf("/python3.%d/", i.Minor))
		file := filepath.Join(home, Cached(rest, i.Minor))
		if err := os.MkdirAll(path.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	args := i.command()
	args = append(args[:len(args)-2], "-v", "-c", "import json, email.message, dataclasses, asyncio.base_events, logging.config")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = i.environ()
	out, _ := cmd.CombinedOutput() // it fails, at a module that needs a compiled extension
	if n := strings.Count(string(out), "matches "); n < 20 {
		t.Errorf("only %d modules were imported from compiled files:\n%.2000s", n, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "wrote ") || strings.Contains(line, "code object from /") {
			t.Errorf("compiled anew: %s", line)
		}
	}
}

// A confined process cannot do what it is not there for.
func TestConfined(t *testing.T) {
	i := unpack(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, code := range map[string]string{
		"open a file of the machine":  fmt.Sprintf("open(%q)", secret),
		"open /etc/passwd":            "open('/etc/passwd')",
		"list the root":               "import posix; posix.listdir('/')",
		"write below the root":        fmt.Sprintf("open(%q, 'w')", filepath.Join(i.root, "x")),
		"write over its own file":     fmt.Sprintf("open(%q, 'w')", filepath.Join(i.root, pythonFile)),
		"start another process":       "import posix; posix.fork()",
		"start a program":             "import posix; posix.execv('/bin/true', ['true'])",
		"signal another":              "import posix; posix.kill(1, 0)",
		"make a directory":            fmt.Sprintf("import posix; posix.mkdir(%q)", filepath.Join(i.root, "d")),
		"a symbolic link":             fmt.Sprintf("import posix; posix.symlink('x', %q)", filepath.Join(i.root, "l")),
		"look at another's memory":    "open('/proc/self/maps')",
		"take more memory than there": "b'x' * (5 << 30)",
	} {
		args := i.command()
		args = append(append(confine(t), i.root), append(args[:len(args)-1], code)...)
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = i.environ()
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "Error") {
			t.Errorf("it can %s: %v\n%s", name, err, out)
		}
	}
	// The same is possible without: these attempts show something.
	args := i.command()
	cmd := exec.Command(args[0], append(args[1:len(args)-1], fmt.Sprintf("open(%q)", secret))...)
	cmd.Env = i.environ()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("unconfined: %v\n%s", err, out)
	}
}

// All that the process has mapped is below the directory: nothing of this machine's own libraries.
func TestNothingOfTheMachine(t *testing.T) {
	i := unpack(t)
	args := i.command()
	cmd := exec.Command(args[0], append(args[1:len(args)-1], "print(open('/proc/self/maps').read())")...)
	cmd.Env = i.environ()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	files := 0
	for line := range strings.Lines(string(out)) {
		_, file, ok := strings.Cut(line, " /")
		if !ok {
			continue
		}
		files++
		if !strings.HasPrefix("/"+file, i.root+"/") {
			t.Errorf("mapped: /%s", file)
		}
	}
	if files < 4 {
		t.Errorf("only %d files are mapped:\n%s", files, out)
	}
}

func TestSourcesThatDoNotCompile(t *testing.T) {
	p := NewPool(unpack(t), 1, confine(t))
	defer p.Close()
	for name, source := range map[string]string{
		"another version": "print 1\n", "null bytes": "x = 1\x00\n", "not UTF-8": "x = '\xff'\n", "deep": strings.Repeat("(", 5000) + strings.Repeat(")", 5000),
		"an unknown encoding": "# -*- coding: klingon -*-\n",
	} {
		if _, err := p.Compile(t.Context(), "/x.py", []byte(source)); !errors.Is(err, ErrSyntax) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// It goes on after them, and knows what takes modules of their own: the names of characters, and encodings.
	for source, want := range map[string]string{
		"x = '\\N{BULLET}'\n": "\u2022", "# -*- coding: euc-jp -*-\nx = '\xc6\xfc'\n": "\u65e5", "# -*- coding: cp1252 -*-\nx = '\x80'\n": "\u20ac",
	} {
		if data, err := p.Compile(t.Context(), "/x.py", []byte(source)); err != nil || !bytes.Contains(data, []byte(want)) {
			t.Errorf("%q: %q, %v", source, data, err)
		}
	}
	if data, err := p.Compile(t.Context(), "/x.py", []byte("# -*- coding: latin-1 -*-\nx = '\xe9'\n")); err != nil || !bytes.Contains(data, []byte("é")) {
		t.Errorf("%q, %v", data, err)
	}
}

// What ends the interpreter is said, and what it answers is not believed.
func TestBadInterpreters(t *testing.T) {
	for name, tt := range map[string]struct{ script, want string }{
		"one that does not start": {"echo no such library >&2; exit 127", "the base's Python cannot be run: no such library"},
		"one that says nothing":   {"exit 0", "EOF"},
		"one that says too much":  {`printf '\377\377\377\377'; cat >/dev/null`, "answers with 4294967295 bytes"},
		"no code":                 {`printf '\001\000\000\000N'; cat >/dev/null`, "value of type 'N'"},
		"half an answer":          {`printf '\011\000\000\000N'`, "EOF"},
	} {
		i := &Interpreter{Minor: 11, root: t.TempDir()}
		if err := os.WriteFile(filepath.Join(i.root, loaderFile), []byte("#!/bin/sh\n"+tt.script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		p := NewPool(i, 1, nil)
		_, err := p.Compile(t.Context(), "/x.py", bytes.Repeat([]byte("x = 1\n"), 100_000))
		if err == nil || !strings.Contains(err.Error(), tt.want) && !strings.Contains(err.Error(), "broken pipe") {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		p.Close()
	}
}

func TestInterrupted(t *testing.T) {
	i := &Interpreter{Minor: 11, root: t.TempDir()}
	if err := os.WriteFile(filepath.Join(i.root, loaderFile), []byte("#!/bin/sh\nexec cat\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := NewPool(i, 1, nil)
	defer p.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Compile(ctx, "/x.py", []byte("x = 1")); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
