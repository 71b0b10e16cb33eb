//go:build darwin || freebsd || netbsd

package cache

import (
	"io/fs"
	"syscall"
	"time"
)

// accessTime is when a file was read last, as far as the file system knows.
func accessTime(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Atimespec.Unix())
	}
	return time.Time{}
}
