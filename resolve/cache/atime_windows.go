package cache

import (
	"io/fs"
	"syscall"
	"time"
)

// accessTime is when a file was read last, as far as the file system knows.
func accessTime(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Win32FileAttributeData); ok {
		return time.Unix(0, st.LastAccessTime.Nanoseconds())
	}
	return time.Time{}
}
