package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/crane"

	"mlenv/imagebuild/base/basetest"
	"mlenv/resolve/index/indextest"
)

// A run asks for the page of a project once: what it locks and what it does with the lock are of the
// same moment, also while somebody uploads.
func TestOneRunOneMoment(t *testing.T) {
	w := newImageWorld(t)
	w.index.CacheControl = "no-cache" // so that nothing but the run itself remembers
	w.index.Add(indextest.Parse("uv 0.9.0")...)
	w.write(t, "requirements.txt", "mlflow==3.1.0\nchurn\nuv\n")
	img, err := basetest.Slim("3.11.9")
	if err != nil {
		t.Fatal(err)
	}
	pushed := w.registry + "/library/python:3.11.9-slim"
	if err := crane.Push(img, pushed); err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(t.TempDir(), "pylock.toml")
	for _, tt := range []struct {
		name string
		args []string
		want int // pages
	}{
		{"image", []string{"image", w.model, "--quiet", "-o", "oci:" + filepath.Join(t.TempDir(), "layout")}, 5},
		{"lock", []string{"lock", w.model, "-o", lock}, 5},
		{"image --lock --locked", []string{"image", w.model, "--quiet", "--lock", lock, "--locked", "-o", "oci:" + filepath.Join(t.TempDir(), "layout")}, 0}, // what the lock has still fits
		{"dockerfile", []string{"dockerfile", w.model, "-o", filepath.Join(t.TempDir(), "context")}, 5},                                                      // which locks uv, too
		{"check --online", []string{"check", "--online", w.model, "--date", "2026-01-01"}, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.index.Forget()
			_, stderr, code := command(t, map[string]string{"MLENV_CACHE_DIR": t.TempDir(), "HOME": t.TempDir()},
				append(tt.args, "--index-url", w.index.URL, "--base", pushed)...)
			if code != exitOK {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			pages := map[string]int{}
			for _, r := range w.index.Requests() {
				if strings.Contains(r, "/simple/") {
					pages[r]++
				}
			}
			if len(pages) != tt.want {
				t.Errorf("requests of pages: %v, want %d", pages, tt.want)
			}
			for page, n := range pages {
				if n != 1 {
					t.Errorf("%d times %s", n, page)
				}
			}
		})
	}
}
