//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package sink

import (
	"os"
	"syscall"
)

// lock locks a file that was just made. ok is false if another process has removed it. A file
// system without locks is no obstacle: on such nobody removes anything.
func lock(name string) (unlock func(), ok bool) {
	f, err := os.Open(name)
	if err != nil {
		return func() {}, !os.IsNotExist(err)
	}
	unlock = func() { f.Close() } // which was opened for reading
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == syscall.EWOULDBLOCK || !is(f, name) {
		unlock()
		return nil, false
	}
	return unlock, true
}

// removeAbandoned removes a file that no process has locked.
func removeAbandoned(name string) {
	f, err := os.Open(name)
	if err != nil {
		return
	}
	defer f.Close()
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil && is(f, name) {
		os.Remove(name)
	}
}

// is tells whether an open file still has a name.
func is(f *os.File, name string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(name)
	return err == nil && os.SameFile(a, b)
}
