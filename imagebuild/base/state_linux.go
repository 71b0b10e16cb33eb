package base

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"syscall"

	"mlenv/imagebuild/layer"
)

// stateOf returns a hash of the entries and of the file system's metadata of the files they are
// made of, whose paths are in Source. It returns false if that is not possible.
func stateOf(entries []layer.Entry) (string, bool) {
	h := sha256.New()
	fmt.Fprintf(h, "%s %s\n", format, layer.Format) // writing to a hash never fails
	for _, e := range entries {
		fmt.Fprintf(h, "%q %d %o %q %s", e.Path, e.Kind, e.Mode, e.Link, e.Content.Sum)
		if e.Kind == layer.File && e.Content.Sum.Hex == "" {
			info, err := os.Stat(e.Source)
			if err != nil {
				return "", false
			}
			st, ok := info.Sys().(*syscall.Stat_t)
			if !ok {
				return "", false
			}
			fmt.Fprintf(h, " %d %d %d %d %d", st.Dev, st.Ino, st.Size, info.ModTime().UnixNano(), st.Ctim.Nano())
		}
		fmt.Fprintln(h)
	}
	return hex.EncodeToString(h.Sum(nil)), true
}
