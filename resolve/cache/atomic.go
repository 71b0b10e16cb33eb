package cache

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A file that is being written has a name that tells whose it is, .NAME.mlenv-RANDOM.tmp, and is
// locked as long as its writer lives. So whoever writes NAME later can remove what a writer left
// behind that was killed, and nothing else. Where there are no locks it stays, unless it is a file
// of the cache, of which Prune knows that a day is long enough.
const (
	tempInfix  = ".mlenv-"
	tempSuffix = ".tmp"
)

// tempPrefix is how the names of the temporary files of a target begin.
func tempPrefix(name string) string {
	base := filepath.Base(name)
	return "." + base[:min(len(base), 200)] + tempInfix // file systems allow 255 bytes
}

// isTemp reports whether a file's name is that of a temporary file.
func isTemp(name string) bool {
	return strings.HasPrefix(name, ".") && strings.Contains(name, tempInfix) && strings.HasSuffix(name, tempSuffix)
}

// temp is a file that is being written and that nobody else sees. It is ended by commit or discard.
type temp struct {
	*os.File
	held *os.File // what locks it; nil where files cannot be locked
	over bool     // it was ended
}

var (
	errMoved  = errors.New("the file was moved") // no longer has the name under which it was opened
	errLocked = errors.New("the file is being written by another process")
)

// tries bounds how often something is done again that another process undid in the meantime.
const tries = 100

// createTemp makes a temporary file beside its target, and the directories above it.
func createTemp(target string, perm fs.FileMode) (*temp, error) {
	prefix := filepath.Join(filepath.Dir(target), tempPrefix(target))
	for range tries {
		name := prefix + strconv.FormatUint(rand.Uint64(), 10) + tempSuffix
		f, err := openNew(name, os.O_EXCL, perm)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		held, err := lock(f, name)
		if !errors.Is(err, errMoved) && !errors.Is(err, errLocked) {
			return &temp{File: f, held: held}, nil
		}
		// Another process took it for left behind in the moment before it was locked.
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("writing %s: another process removes what this one writes", target)
}

// openNew opens a file to be written, and makes the directories above it where they are lacking.
func openNew(name string, flags int, perm fs.FileMode) (*os.File, error) {
	for i := 0; ; i++ {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|flags, perm)
		if !errors.Is(err, fs.ErrNotExist) || i == tries {
			return f, err
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return nil, err
		}
	}
}

// discard closes and removes the file. After commit it does nothing.
func (t *temp) discard() {
	if t.over {
		return
	}
	t.over = true
	t.Close()
	os.Remove(t.Name())
	t.unlock()
}

// commit closes the file and renames it. The caller discards what cannot be renamed.
func (t *temp) commit(target string) error {
	if err := t.Close(); err != nil {
		return err
	}
	for i := 0; ; i++ {
		err := os.Rename(t.Name(), target)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || i == tries {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
	}
	t.over = true
	t.unlock()
	return nil
}

// unlock lets go of a file whose temporary name is no longer in use.
func (t *temp) unlock() {
	if t.held != nil {
		t.held.Close()
	}
}

// Options say how a file is replaced.
type Options struct {
	Sync bool // the content is on the disk before the file has its name, so that a power cut leaves no empty file
}

// Replace writes a file so that whoever opens it finds the old content or the new, never a part: it
// is written beside its place and renamed. Directories that are lacking are made. What a writer of the same file left there that was killed
// is removed. A file that is replaced keeps its permissions; a symbolic link is replaced itself (see
// WriteTarget). Errors are those of write, and of the file system.
func Replace(name string, o Options, write func(w io.Writer) error) error {
	t, err := createTemp(name, 0o666)
	if err != nil {
		return err
	}
	defer t.discard()
	if info, err := os.Stat(name); err == nil {
		if err := t.Chmod(info.Mode().Perm()); err != nil {
			return err
		}
	}
	if err := write(t.File); err != nil {
		return err
	}
	if o.Sync {
		if err := t.Sync(); err != nil {
			return err
		}
	}
	if err := t.commit(name); err != nil {
		return err
	}
	sweep(filepath.Dir(name), tempPrefix(name))
	return nil
}

// Sweep removes what killed writers have left in a directory, whatever it was to become. That it
// cannot is nothing that whoever wrote a file has to know.
func Sweep(dir string) { sweep(dir, ".") }

// sweep is Sweep for the temporary files whose names begin so.
func sweep(dir, prefix string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && isTemp(e.Name()) && e.Type().IsRegular() {
			removeAbandoned(filepath.Join(dir, e.Name()))
		}
	}
}

// readAll reads a file whose size is known. One that grew or was cut meanwhile fails its check.
func readAll(f *os.File, info fs.FileInfo) ([]byte, error) {
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file: %w", f.Name(), fs.ErrNotExist)
	}
	data := make([]byte, info.Size())
	_, err := io.ReadFull(f, data)
	return data, err
}
