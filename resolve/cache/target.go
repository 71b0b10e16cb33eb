package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// ErrBrokenOff says that a part of what was written is in a pipe or device, which cannot take it back.
var ErrBrokenOff = errors.New("a part of it is written, and cannot be taken back")

// Target is what a path to write to stands for.
type Target struct {
	Path   string // absolute, with all symbolic links followed
	Stream bool   // a pipe or a device: it is written to, never replaced
}

// FileTarget finds out what is written where a file is wanted at a path. A symbolic link stands for
// the file that it points to, there already or not. What cannot be written is an error.
func FileTarget(name string) (Target, error) {
	switch info, err := os.Stat(name); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return Target{}, err
	case info.IsDir():
		return Target{}, fmt.Errorf("%s is a directory", name)
	case info.Mode()&os.ModeSocket != 0:
		return Target{}, fmt.Errorf("%s is a socket", name)
	case !info.Mode().IsRegular():
		// The path as given: the links of /proc/self/fd point to what no path leads to.
		at, err := filepath.Abs(name)
		return Target{Path: at, Stream: true}, err
	}
	at, err := follow(name)
	if err != nil {
		return Target{}, err
	}
	if info, err := os.Stat(filepath.Dir(at)); err != nil {
		return Target{}, err
	} else if !info.IsDir() {
		return Target{}, fmt.Errorf("%s is not a directory", filepath.Dir(at))
	}
	return Target{Path: at}, nil
}

// DirTarget is FileTarget for a directory, which need not be there, and neither those above it.
func DirTarget(dir string) (Target, error) {
	at, err := follow(dir)
	if err != nil {
		return Target{}, err
	}
	for up := at; ; up = filepath.Dir(up) {
		info, err := os.Stat(up)
		if errors.Is(err, fs.ErrNotExist) && up != filepath.Dir(up) {
			continue
		}
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is not a directory", up)
		}
		return Target{Path: at}, err
	}
}

const maxLinks = 40 // as Linux has it

// follow makes a path absolute and follows its symbolic links, the last one included, as far as
// there is anything.
func follow(name string) (string, error) {
	at, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	for range maxLinks {
		dir, err := followDir(filepath.Dir(at))
		if err != nil {
			return "", err
		}
		at = filepath.Join(dir, filepath.Base(at))
		link, err := os.Readlink(at)
		if err != nil {
			return at, nil // no link, or nothing at all
		}
		if at = link; !filepath.IsAbs(link) {
			at = filepath.Join(dir, link)
		}
	}
	return "", fmt.Errorf("%s: too many symbolic links", name)
}

func followDir(dir string) (string, error) {
	at, err := filepath.EvalSymlinks(dir)
	if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
		return at, err
	}
	up, err := followDir(filepath.Dir(dir))
	return filepath.Join(up, filepath.Base(dir)), err
}

// WriteTarget writes the file that a path stands for: Replace does it, or, where it is a pipe or
// device, what is written goes there as it comes. Breaking off after that is an ErrBrokenOff.
func WriteTarget(ctx context.Context, name string, o Options, write func(io.Writer) error) error {
	t, err := FileTarget(name)
	switch {
	case err != nil:
		return err
	case !t.Stream:
		return Replace(t.Path, o, write)
	}
	f, err := openStream(ctx, t.Path)
	if err != nil {
		return err
	}
	// A pipe whose reader has stopped reading is waited for until the context ends.
	defer context.AfterFunc(ctx, func() { _ = f.SetWriteDeadline(time.Unix(1, 0)) })()
	if err := write(f); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return errors.Join(fmt.Errorf("%w: %w", ErrBrokenOff, err), f.Close())
	}
	return f.Close()
}

// openStream opens a pipe or device, which may take until there is a reader.
func openStream(ctx context.Context, name string) (*os.File, error) {
	type opened struct {
		f   *os.File
		err error
	}
	done := make(chan opened, 1)
	go func() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		done <- opened{f, err}
	}()
	select {
	case o := <-done:
		return o.f, o.err
	case <-ctx.Done():
		return nil, ctx.Err() // the open itself cannot be ended
	}
}
