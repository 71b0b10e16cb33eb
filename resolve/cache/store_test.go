package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestRecords(t *testing.T) {
	s := open(filepath.Join(t.TempDir(), "not", "yet"))
	if _, err := s.Read("pages/a/b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent record: %v", err)
	}
	for _, text := range []string{"one", "", "two"} {
		if err := s.Write("pages/a/b", []byte(text)); err != nil {
			t.Fatal(err)
		}
		got, err := s.Read("pages/a/b")
		if err != nil || string(got) != text {
			t.Errorf("read %q, %v; want %q", got, err, text)
		}
	}
	for _, key := range []string{"", "../x", "/x", "a//b", "a/../../x"} {
		if err := s.Write(key, nil); err == nil {
			t.Errorf("key %q was accepted", key)
		}
	}
	if err := s.Remove("pages/a/b"); err != nil {
		t.Error(err)
	}
	if err := s.Remove("pages/a/b"); err != nil {
		t.Error(err)
	}
	if _, err := s.Read("pages/a/b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed record: %v", err)
	}
}

func sum(data string) string {
	h := sha256.Sum256([]byte(data))
	return hex.EncodeToString(h[:])
}

func keep(t *testing.T, s *Store, name, data string) string {
	t.Helper()
	temp, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	defer temp.Discard()
	if _, err := io.WriteString(temp, data); err != nil {
		t.Fatal(err)
	}
	path, err := temp.Keep(sum(data), name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFiles(t *testing.T) {
	s := open(t.TempDir())
	if _, err := s.File(sum("a"), "a.whl"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
	path := keep(t, s, "a.whl", "a")
	keep(t, s, "a.whl", "a") // again, as a second process would
	if got, err := s.File(sum("a"), "a.whl"); err != nil || got != path || filepath.Base(got) != "a.whl" {
		t.Errorf("file: %s, %v", got, err)
	}
	if err := os.WriteFile(path, []byte("b"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := s.File(sum("a"), "a.whl"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("damaged file: %s, %v", got, err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a damaged file stays: %v", err)
	}
	for _, bad := range [][2]string{{"", "a.whl"}, {"xyz", "a.whl"}, {"../" + sum("a"), "a.whl"}, {sum("a"), ""}, {sum("a"), "../a.whl"}, {sum("a"), "."}} {
		if got, err := s.File(bad[0], bad[1]); err == nil {
			t.Errorf("%q: %s", bad, got)
		}
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			all = append(all, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// open gives the index section of a cache.
func open(dir string) *Store { return Open(dir, nil).Index() }

// temps lists the temporary files of a cache.
func temps(t *testing.T, dir string) []string {
	t.Helper()
	return slices.DeleteFunc(names(t, dir), func(name string) bool {
		return !isTemp(filepath.Base(name)) && !strings.HasPrefix(name, IndexFormat+"/"+tempDir+"/")
	})
}

// The tests below run this test binary again as other processes on the same cache.
const roleVariable = "MLENV_TEST_CACHE_ROLE"

func TestMain(m *testing.M) {
	role, dir, _ := strings.Cut(os.Getenv(roleVariable), " ")
	switch role {
	case "":
		os.Exit(m.Run())
	case "worker":
		os.Exit(work(dir, 300))
	case "partial":
		os.Exit(writePartial(dir))
	case "endless":
		if code := work(dir, 9); code != 0 {
			os.Exit(code)
		}
		fmt.Println("started")
		os.Exit(work(dir, -1))
	}
}

func other(t *testing.T, role, dir string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe)
	c.Env = append(os.Environ(), roleVariable+"="+role+" "+dir)
	c.Stderr = os.Stderr
	return c
}

// version is what any process may write as the nth content: of varying length, and telling of
// itself whether it is whole.
func version(n int) string {
	body := strings.Repeat(fmt.Sprintf("%d,", n), 1+n%977*40)
	return sum(body) + body
}

func whole(data string) bool { return len(data) > 64 && sum(data[64:]) == data[:64] }

// work writes and reads the same few records and files, for so many rounds, and fails on the first
// that is not whole.
func work(dir string, rounds int) int {
	s := open(dir)
	for n := 0; n != rounds; n++ {
		key := fmt.Sprintf("pages/i/%d", n%3)
		if err := s.Write(key, []byte(version(n))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if data, err := s.Read(key); err != nil || !whole(string(data)) {
			fmt.Fprintln(os.Stderr, "torn record", err)
			return 1
		}
		content := version(n % 7)
		if _, err := s.File(sum(content), "f.whl"); err != nil {
			temp, err := s.Create()
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			io.WriteString(temp, content)
			if _, err := temp.Keep(sum(content), "f.whl"); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
	}
	return 0
}

func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 3 {
		c := other(t, "worker", dir)
		wg.Go(func() {
			if err := c.Run(); err != nil {
				t.Errorf("worker: %v", err)
			}
		})
	}
	wg.Wait()
	if left := temps(t, dir); len(left) > 0 {
		t.Errorf("temporary files are left: %q", left)
	}
}

// TestKilledWriter kills processes in the midst of writing: whatever is there under its own name
// afterwards is whole, and all that is left behind goes with Prune.
func TestKilledWriter(t *testing.T) {
	dir := t.TempDir()
	for range 10 {
		c := other(t, "endless", dir)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, len("started\n"))); err != nil {
			t.Fatal(err)
		}
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		c.Wait()
		s := open(dir)
		for i := range 3 {
			data, err := s.Read(fmt.Sprintf("pages/i/%d", i))
			if err != nil || !whole(string(data)) {
				t.Errorf("record %d after the kill: %d bytes, %v", i, len(data), err)
			}
		}
		for n := range 7 {
			if _, err := s.File(sum(version(n)), "f.whl"); err != nil && strings.Contains(err.Error(), "damaged") {
				t.Errorf("file %d after the kill: %v", n, err)
			}
		}
	}
	later := time.Now().Add(48 * time.Hour)
	if _, err := Open(dir, nil).Prune(later, later.Add(-72*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if left := temps(t, dir); len(left) > 0 {
		t.Errorf("temporary files are left after Prune: %q", left)
	}
}

// writePartial begins a file and goes on with it until the process is killed.
func writePartial(dir string) int {
	temp, err := open(dir).Resume("x")
	if err != nil || temp == nil {
		fmt.Fprintln(os.Stderr, "resuming:", temp, err)
		return 1
	}
	if _, err := temp.Seek(0, io.SeekEnd); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	temp.WriteString("part,")
	if err := temp.Remember([]byte("of x")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("started")
	io.Copy(io.Discard, os.Stdin)
	return 0
}

// TestResume has processes begin a file, one after the other: each is killed, and the next one goes
// on with what it finds. While one is at it no other is let in.
func TestResume(t *testing.T) {
	if !canLock {
		t.Skip("no locks here")
	}
	dir := t.TempDir()
	s := open(dir)
	for range 3 {
		c := other(t, "partial", dir)
		if _, err := c.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, len("started\n"))); err != nil {
			t.Fatal(err)
		}
		if temp, err := s.Resume("x"); temp != nil || err != nil {
			t.Errorf("another process was let in: %v, %v", temp, err)
		}
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		c.Wait()
	}
	temp := resume(t, s)
	if data, err := io.ReadAll(temp); err != nil || string(data) != "part,part,part," || string(temp.Note()) != "of x" {
		t.Errorf("found %q, %q, %v", data, temp.Note(), err)
	}
	temp.Leave()
	temp.Discard() // does nothing
	temp = resume(t, s)
	if err := temp.Remember(nil); err != nil || temp.Note() != nil {
		t.Errorf("the note is %q, %v", temp.Note(), err)
	}
	path, err := temp.Keep(sum("part,part,part,"), "x.whl")
	if err != nil {
		t.Fatal(err)
	}
	next := resume(t, s) // is another file, although the first one is still in use
	next.WriteString("other")
	temp.Discard()
	if got, err := s.File(sum("part,part,part,"), "x.whl"); got != path || err != nil {
		t.Errorf("kept %s, %v", got, err)
	}
	next.Discard()
	if left := temps(t, dir); len(left) > 0 {
		t.Errorf("temporary files are left: %q", left)
	}
	for _, id := range []string{"", "..", "a/b", "/a"} {
		if temp, err := s.Resume(id); err == nil {
			t.Errorf("%q was opened: %v", id, temp.Name())
		}
	}
}

func resume(t *testing.T, s *Store) *Temp {
	t.Helper()
	temp, err := s.Resume("x")
	if err != nil || temp == nil {
		t.Fatalf("resuming: %v, %v", temp, err)
	}
	return temp
}
