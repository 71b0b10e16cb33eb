package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// disk mounts a file system of so many bytes, which resize changes.
func disk(t *testing.T, size int) (dir string, resize func(size int)) {
	t.Helper()
	dir = t.TempDir()
	options := func(size int) string { return fmt.Sprintf("size=%d,mode=0700", size) }
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options(size)); err != nil {
		t.Skip("mounting a small file system needs root:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir, func(size int) {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, options(size)); err != nil {
			t.Fatal(err)
		}
	}
}

const roomy = 64 << 20

// TestDiskFull fills the disks of outputs and caches.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	disk(t, roomy) // or skip all of it
	w := newFullWorld(t)
	why := syscall.ENOSPC.Error()
	for kind := range w.outputs("") {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir, resize := disk(t, 128<<10)
			place := w.outputs(dir)[kind]
			to := []string{"-o", kind + ":" + place}
			if said := w.process(w.warm.cache, nil, to...).fail(t); !strings.Contains(said, why) {
				t.Errorf("it does not say %q:\n%s", why, said)
			}
			if left := hidden(t, dir); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
			for _, name := range []string{place, filepath.Join(place, "index.json")} {
				if info, err := os.Stat(name); err == nil && !info.IsDir() {
					t.Errorf("%s was written", name)
				}
			}
			resize(roomy)
			w.succeeds(t, w.process(w.warm.cache, nil, to...))
		})
	}
	var failed atomic.Int64
	t.Cleanup(func() { // when all of the parallel subtests are through
		if failed.Load() == 0 {
			t.Error("nothing was full")
		}
	})
	for _, size := range []int{4 << 10, 16 << 10, 64 << 10, 128 << 10, 256 << 10, 300 << 10, 320 << 10} {
		t.Run(fmt.Sprintf("a cache of %d bytes", size), func(t *testing.T) {
			t.Parallel()
			cache, resize := disk(t, size)
			to := []string{"--push", fmt.Sprintf("%s/full:%d", w.host, size)}
			if w.mayFail(t, w.process(cache, nil, to...), why) {
				failed.Add(1)
			}
			resize(roomy)
			w.succeeds(t, w.process(cache, nil, to...))
			if tag, err := os.ReadFile(filepath.Join(cache, "CACHEDIR.TAG")); err != nil || !strings.HasPrefix(string(tag), "Signature: ") {
				t.Errorf("the cache's tag is %q, %v", tag, err)
			}
		})
	}
}
