//go:build unix

package imagebuild_test

import "syscall"

// setUmask sets the process's file mode creation mask and gives what undoes it.
func setUmask(mask int) (undo func()) {
	old := syscall.Umask(mask)
	return func() { syscall.Umask(old) }
}
