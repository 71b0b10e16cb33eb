//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package cache

import (
	"os"
	"syscall"
)

const canLock = true

// lock locks an open file, by another descriptor that is open for longer, and makes sure that it
// still has its name (errMoved). errLocked says that another process has locked it. Any other error
// says that files cannot be locked here.
func lock(f *os.File, path string) (*os.File, error) {
	held, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil, errMoved
	}
	if err != nil {
		return nil, err
	}
	switch err = syscall.Flock(int(held.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case err == syscall.EWOULDBLOCK:
		err = errLocked
	case err == nil && !same(f, held, path):
		err = errMoved
	}
	if err != nil {
		held.Close()
		return nil, err
	}
	return held, nil
}

// same reports whether a path and two open files are one file.
func same(f, held *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := held.Stat()
	if err != nil {
		return false
	}
	c, err := os.Stat(path)
	return err == nil && os.SameFile(a, b) && os.SameFile(b, c)
}

// removeAbandoned removes a file that no process has locked, and tells whether it did.
func removeAbandoned(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil && same(f, f, path) && os.Remove(path) == nil
}
