//go:build linux

package imagebuild

import (
	"io/fs"
	"syscall"
	"time"
)

// fileStamp is what tells a file's state apart from any other without reading it.
type fileStamp struct {
	Device, Inode    uint64
	Size             int64
	Modified, Change int64 // nanoseconds
}

// stamp gives a file's stamp and the time of its last change, as far as the file system tells them.
func stamp(fsys fs.FS, name string) (fileStamp, time.Time, bool) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return fileStamp{}, time.Time{}, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileStamp{}, time.Time{}, false
	}
	changed := time.Unix(st.Ctim.Unix())
	if info.ModTime().After(changed) {
		changed = info.ModTime()
	}
	return fileStamp{uint64(st.Dev), st.Ino, info.Size(), info.ModTime().UnixNano(), time.Unix(st.Ctim.Unix()).UnixNano()}, changed, true
}
