package pyc

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

var minors = []int{9, 10, 11, 12, 13}

func sample(t testing.TB, minor int, way string) []byte {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("testdata/3.%d%s.marshal", minor, way))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Two processes in other states wrote the same code in two ways. It has one canonical form, which stays
// what it is from one version of this package to the next: Format says when not.
func TestCanonical(t *testing.T) {
	for _, minor := range minors {
		a, b := sample(t, minor, "a"), sample(t, minor, "b")
		if bytes.Equal(a, b) {
			t.Errorf("3.%d: the two samples are the same and show nothing", minor)
		}
		got, err := Canonical(minor, a)
		if err != nil {
			t.Fatalf("3.%d: %v", minor, err)
		}
		if other, err := Canonical(minor, b); err != nil || !bytes.Equal(got, other) {
			t.Errorf("3.%d: two forms (%v)", minor, err)
		}
		if again, err := Canonical(minor, got); err != nil || !bytes.Equal(got, again) {
			t.Errorf("3.%d: the canonical form has another one (%v)", minor, err)
		}
		golden := fmt.Sprintf("testdata/3.%d.canonical", minor)
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(golden); err != nil || !bytes.Equal(got, want) {
			t.Errorf("3.%d: not %s (%v)", minor, golden, err)
		}
	}
}

// The numbers are importlib.util.source_hash's, of each version.
func TestFile(t *testing.T) {
	sources := []string{"", "x = 1\n", string(every())}
	for minor, want := range map[int][3]uint64{
		9:  {6853453058164591532, 18077184908352411377, 3750477986949408390},
		10: {2881713483321032844, 13816635243545578201, 13858872105997181260},
		11: {8322626641513450867, 5932075872792216396, 13697487850479595293},
		12: {2700533366487183802, 639499151668027925, 7488037614787884465},
		13: {1493105107375352871, 1013962160795191015, 15225639417582052184},
	} {
		for i, source := range sources {
			if got := SourceHash(minor, []byte(source)); got != want[i] {
				t.Errorf("3.%d: the hash of source %d is %d, want %d", minor, i, got, want[i])
			}
		}
		code := sample(t, minor, "a")
		file, err := File(minor, []byte(sources[1]), code)
		if err != nil {
			t.Fatal(err)
		}
		body, err := Canonical(minor, code)
		if err != nil {
			t.Fatal(err)
		}
		if got := binary.LittleEndian.Uint16(file); got != magics[minor] || string(file[2:4]) != "\r\n" {
			t.Errorf("3.%d: magic number % x", minor, file[:4])
		}
		if binary.LittleEndian.Uint32(file[4:]) != 3 || binary.LittleEndian.Uint64(file[8:]) != want[1] || !bytes.Equal(file[16:], body) {
			t.Errorf("3.%d: header % x", minor, file[:16])
		}
	}
	if _, err := File(8, nil, nil); err == nil || !strings.Contains(err.Error(), "Python 3.8") {
		t.Errorf("3.8: %v", err)
	}
}

func every() (b []byte) {
	for i := range 256 {
		b = append(b, byte(i))
	}
	return b
}

// wrap puts a constant into the smallest code object of Python 3.11.
func wrap(constant string) []byte {
	return []byte("c" + strings.Repeat("\x00", 20) + "s\x00\x00\x00\x00" + constant + strings.Repeat(")\x00", 2) + "s\x00\x00\x00\x00" +
		"z\x01f" + "z\x01m" + "z\x01m" + "\x00\x00\x00\x00" + strings.Repeat("s\x00\x00\x00\x00", 2))
}

func TestRefused(t *testing.T) {
	if _, err := Canonical(11, wrap(")\x01i\x01\x00\x00\x00")); err != nil {
		t.Fatal("what the cases are made of is refused: ", err)
	}
	for name, tt := range map[string]struct{ data, want string }{
		"nothing":                {"", "too early"},
		"no code":                {"N", "value of type 'N'"},
		"more":                   {string(wrap("N")) + "N", "followed by 1 other"},
		"a list":                 {string(wrap("[\x00\x00\x00\x00")), "type '['"},
		"a dict":                 {string(wrap("{0")), "type '{'"},
		"a set":                  {string(wrap("<\x00\x00\x00\x00")), "type '<'"},
		"null":                   {string(wrap("0")), "type '0'"},
		"a slice before 3.14":    {string(wrap(":NNN")), "type ':'"},
		"a reference to nothing": {string(wrap("r\x00\x00\x00\x00")), "value 0, which there is not yet"},
		"a tuple in itself":      {string(wrap("\xa9\x01r\x00\x00\x00\x00")), "value 0, which there is not yet"},
		"a flagged singleton":    {string(wrap("\xce")), "'N' with a number"},
		"a huge tuple":           {string(wrap("(\xff\xff\xff\x7f")), "too early"},
		"a negative tuple":       {string(wrap("(\xff\xff\xff\xff")), "too early"},
		"a huge integer":         {string(wrap("l\xff\xff\xff\x7f")), "too early"},
		"the least integer":      {string(wrap("l\x00\x00\x00\x80")), "too early"},
		"a wide digit":           {string(wrap("l\x01\x00\x00\x00\x00\x80")), "more than 15 bits"},
		"a leading zero":         {string(wrap("l\x02\x00\x00\x00\x01\x00\x00\x00")), "leading zeros"},
		"no digits":              {string(wrap("l\x00\x00\x00\x00")), "leading zeros"},
		"ASCII that is none":     {string(wrap("z\x01\xe9")), "not in its own encoding"},
		"UTF-8 that is none":     {string(wrap("u\x01\x00\x00\x00\xe9")), "not in its own encoding"},
		"names that are numbers": {strings.Replace(string(wrap("N")), ")\x00", ")\x01N", 1), "names are no strings"},
		"code in a frozenset":    {string(wrap(">\x01\x00\x00\x00" + string(wrap("N")))), "code object in a frozenset"},
		"too deep":               {string(wrap(strings.Repeat(")\x01", 2100) + "N")), "nested more than 2000"},
	} {
		if _, err := Canonical(11, []byte(tt.data)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// A lone surrogate is text for Python; every surrogate pair that was written as two is, too.
func TestSurrogates(t *testing.T) {
	for _, s := range []string{"\xed\xa0\x80", "\xed\xbf\xbfx", "é\xed\xa0\x80\xed\xb0\x80"} {
		if !validText([]byte(s)) {
			t.Errorf("%q is refused", s)
		}
	}
	for _, s := range []string{"\xed\xa0", "\xed", "\xff", "\xc0\x80", "\xf4\x90\x80\x80"} {
		if validText([]byte(s)) {
			t.Errorf("%q is accepted", s)
		}
	}
}

// doubling is a tuple of two tuples of two tuples: 2^n members for n times fourteen bytes, each level flagged.
func doubling(n int, kind string) string {
	s := "\xe9\x01\x00\x00\x00"
	for i := range n { // the outermost has number 0, and each other the next one
		s = kind + s + "r" + string(binary.LittleEndian.AppendUint32(nil, uint32(n-i)))
	}
	return s
}

// What is exponential in its size is read, sorted and written in time that is not, and comes out no longer.
func TestSharedValues(t *testing.T) {
	for _, kind := range []string{"\xa9\x02", "\xbe\x02\x00\x00\x00"} {
		data := wrap(doubling(1000, kind))
		out, err := Canonical(11, data)
		if err != nil {
			t.Fatal(err)
		}
		if len(out) > len(data) {
			t.Errorf("%d bytes became %d", len(data), len(out))
		}
	}
}

// Memory is bounded by a multiple of the input, whatever that is.
func TestMemory(t *testing.T) {
	many := func(s string, n int) string {
		return "(" + string(binary.LittleEndian.AppendUint32(nil, uint32(n))) + strings.Repeat(s, n)
	}
	for name, constant := range map[string]string{
		"singletons": many("N", 1<<20), "empty tuples": many(")\x00", 1<<19), "tuples of one": many(")\x01N", 1<<18),
		"flagged numbers": many("\xe9\x01\x00\x00\x00", 1<<18), "huge lengths": strings.Repeat("(\xff\xff\x00\x00", 1<<18),
	} {
		data := wrap(constant)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = Canonical(11, data)
		runtime.ReadMemStats(&after)
		if got := (after.TotalAlloc - before.TotalAlloc) / uint64(len(data)); got > 200 {
			t.Errorf("%s: %d bytes of memory for each byte", name, got)
		}
	}
}

// TestAgainstPython compiles sources with every CPython that MLENV_PYTHONS names (a list, as in PATH) in two
// processes of other states, and compares canonical forms with each other and with what was compiled. The sources are
// the standard library's, or those below the directory that MLENV_SOURCES names.
func TestAgainstPython(t *testing.T) {
	list := filepath.SplitList(os.Getenv("MLENV_PYTHONS"))
	if len(list) == 0 {
		t.Skip("MLENV_PYTHONS names no CPython")
	}
	for _, python := range list {
		t.Run(python, func(t *testing.T) { againstPython(t, python) })
	}
}

func againstPython(t *testing.T, python string) {
	dir := t.TempDir()
	run := func(env string, args ...string) string {
		t.Helper()
		cmd := exec.Command(python, append([]string{"-s", "-W", "ignore"}, args...)...)
		cmd.Env = []string{env, "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	lib := os.Getenv("MLENV_SOURCES")
	if lib == "" {
		lib = run("X=", "-c", "import os; print(os.path.dirname(os.__file__))")
	}
	var minor int
	if _, err := fmt.Sscanf(run("X=", "-c", "import sys; print(sys.version_info[1])"), "%d", &minor); err != nil {
		t.Fatal(err)
	}
	magic, err := Magic(minor)
	if err != nil {
		t.Fatal(err)
	}
	if got := run("X=", "-c", "import importlib.util as u; print(u.MAGIC_NUMBER.hex())"); got != fmt.Sprintf("%x", magic) {
		t.Fatalf("magic number %s, want %x", got, magic)
	}
	var sources []string
	err = filepath.WalkDir(lib, func(name string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == "site-packages" && name != lib {
			return filepath.SkipDir
		}
		if err == nil && strings.HasSuffix(name, ".py") {
			sources = append(sources, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	jobs := filepath.Join(dir, "list")
	if err := os.WriteFile(jobs, []byte(strings.Join(sources, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"a", "b", "canonical"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run("PYTHONHASHSEED=0", "testdata/oracle.py", "compile", "a", jobs, filepath.Join(dir, "a"))
	run("PYTHONHASHSEED=77", "testdata/oracle.py", "compile", "b", jobs, filepath.Join(dir, "b"))
	raw, compared := 0, 0
	for i, source := range sources {
		number := fmt.Sprint(i)
		a, err := os.ReadFile(filepath.Join(dir, "a", number))
		if err != nil {
			continue // a source that does not compile
		}
		b, err := os.ReadFile(filepath.Join(dir, "b", number))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			raw++
		}
		ca, errA := Canonical(minor, a)
		cb, errB := Canonical(minor, b)
		if errA != nil || errB != nil || !bytes.Equal(ca, cb) {
			t.Errorf("%s: two forms (%v, %v)", source, errA, errB)
		}
		if again, err := Canonical(minor, ca); err != nil || !bytes.Equal(again, ca) {
			t.Errorf("%s: the canonical form has another one (%v)", source, err)
		}
		if err := os.WriteFile(filepath.Join(dir, "canonical", number), ca, 0o644); err != nil {
			t.Fatal(err)
		}
		compared++
	}
	if compared < 500 {
		t.Errorf("only %d sources were compiled", compared)
	}
	run("X=", "testdata/oracle.py", "compare", jobs, filepath.Join(dir, "a"), filepath.Join(dir, "canonical"))
	t.Logf("%d sources; %d were written in two ways, and every one has one canonical form that loads as the same code", compared, raw)
}

// FuzzCanonical holds that whatever is accepted has one form, which is no longer than what it came from.
func FuzzCanonical(f *testing.F) {
	for _, minor := range minors {
		f.Add(minor, sample(f, minor, "a"))
	}
	f.Add(11, wrap(doubling(20, "\xbe\x02\x00\x00\x00")))
	f.Add(14, wrap(":NNN"))
	f.Fuzz(func(t *testing.T, minor int, data []byte) {
		out, err := Canonical(minor, data)
		if err != nil {
			return
		}
		if len(out) > len(data) {
			t.Errorf("%d bytes became %d", len(data), len(out))
		}
		if again, err := Canonical(minor, out); err != nil || !bytes.Equal(again, out) {
			t.Errorf("the canonical form has another one: %v", err)
		}
	})
}

func BenchmarkCanonical(b *testing.B) {
	data := sample(b, 11, "a")
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Canonical(11, data); err != nil {
			b.Fatal(err)
		}
	}
}
