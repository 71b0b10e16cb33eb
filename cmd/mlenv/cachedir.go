package main

import (
	"fmt"
	"path/filepath"
	"runtime"
)

// cacheDir is where everything that is remembered lies: MLENV_CACHE_DIR, else mlenv in the user's
// cache directory (XDG Base Directory Specification; on macOS ~/Library/Caches).
func (a *app) cacheDir() (string, error) {
	if dir := a.env("MLENV_CACHE_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	if dir := a.env("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "mlenv"), nil
	}
	home := a.env("HOME")
	if home == "" {
		return "", fmt.Errorf("finding the cache directory: neither MLENV_CACHE_DIR nor HOME is set")
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Caches", "mlenv"), nil
	}
	return filepath.Join(home, ".cache", "mlenv"), nil
}
