//go:build linux || openbsd || dragonfly

package cache

import (
	"io/fs"
	"syscall"
	"time"
)

// accessTime is when a file was read last, as far as the file system knows.
func accessTime(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Atim.Unix())
	}
	return time.Time{}
}
