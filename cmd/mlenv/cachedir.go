package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"time"

	"mlenv/resolve/cache"
)

// cache opens the directory in which everything that is remembered lies.
func (a *app) cache() (*cache.Dir, error) {
	dir, err := a.cacheDir()
	if err != nil {
		return nil, err
	}
	return cache.Open(dir, time.Now), nil
}

// writeOutput writes a file that a flag names, so that nobody sees half of it; a pipe or device is
// written to.
func writeOutput(ctx context.Context, name string, data []byte) error {
	err := cache.WriteTarget(ctx, name, cache.Options{}, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

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
