//go:build linux || darwin

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"mlenv/resolve/index/indextest"
)

// fullWorld is a world with a wheel of some size, and what was built in it while there was room.
type fullWorld struct {
	*killWorld
	warm spot
	want string // the image's digest
}

func newFullWorld(t *testing.T) *fullWorld {
	t.Helper()
	w := &fullWorld{killWorld: newKillWorld(t)}
	w.index.Remove("deep")
	w.index.Add(indextest.Dist{Name: "deep", Version: "0.1", Pad: 200_000})
	w.warm = w.fresh(t)
	w.want = w.killWorld.process(w.warm).succeed(t)[0]
	return w
}

// process sends to one place.
func (w *fullWorld) process(cache string, more map[string]string, to ...string) *process {
	env := map[string]string{"MLENV_CACHE_DIR": cache, "HOME": w.warm.out}
	for k, v := range more {
		env[k] = v
	}
	return newProcess(env, append([]string{"image", w.model, "--base", w.host + "/library/python:3.11.9-slim",
		"--index-url", w.indexURL, "--quiet", "--name", "churn:1"}, to...)...)
}

// outputs are the places of the three kinds of output below a directory.
func (w *fullWorld) outputs(dir string) map[string]string {
	return map[string]string{"oci": filepath.Join(dir, "layout"), "oci-tar": filepath.Join(dir, "oci.tar"), "docker-tar": filepath.Join(dir, "docker.tar")}
}

// mayFail runs a process whose cache has no room: it gives the right image all the same, or says
// why it cannot.
func (w *fullWorld) mayFail(t *testing.T, p *process, why string) (failed bool) {
	t.Helper()
	err := p.Run()
	if err == nil {
		if !strings.Contains(p.stdout.String(), w.want) {
			t.Errorf("it gives %s, want %s", p.stdout.String(), w.want)
		}
		return false
	}
	if p.ProcessState.ExitCode() != exitFailure || p.stdout.Len() > 0 || !strings.Contains(p.stderr.String(), why) {
		t.Errorf("%v, stdout %q, stderr\n%s", err, p.stdout.String(), p.stderr.String())
	}
	return true
}

// succeeds runs a process that has room again.
func (w *fullWorld) succeeds(t *testing.T, p *process) {
	t.Helper()
	if got := p.succeed(t); !slices.Equal(got, []string{w.want}) {
		t.Errorf("with room again: %q, want %q", got, w.want)
	}
}

// TestFilesTooLarge bounds the size of files, as a quota would: what cannot be written is said and
// leaves nothing behind, and with room again the image is what it always was.
func TestFilesTooLarge(t *testing.T) {
	t.Parallel()
	w := newFullWorld(t)
	why := syscall.EFBIG.Error()
	for kind := range w.outputs("") {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			place := w.outputs(t.TempDir())[kind]
			to := []string{"-o", kind + ":" + place}
			said := w.process(w.warm.cache, map[string]string{tellFile: "100000"}, to...).fail(t)
			if !strings.Contains(said, why) {
				t.Errorf("it does not say %q:\n%s", why, said)
			}
			if left := hidden(t, filepath.Dir(place)); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
			for _, name := range []string{place, filepath.Join(place, "index.json")} {
				if info, err := os.Stat(name); err == nil && !info.IsDir() {
					t.Errorf("%s was written", name)
				}
			}
			w.succeeds(t, w.process(w.warm.cache, nil, to...))
		})
	}
	var failed atomic.Int64
	t.Cleanup(func() { // when all of the parallel subtests are through
		if failed.Load() == 0 {
			t.Error("nothing was too large")
		}
	})
	for _, limit := range []int{0, 1, 20, 100, 1000, 5000, 100_000} {
		t.Run("a cache of files of "+strconv.Itoa(limit), func(t *testing.T) {
			t.Parallel()
			cache := t.TempDir()
			to := []string{"--push", w.host + "/limited:" + strconv.Itoa(limit)}
			if w.mayFail(t, w.process(cache, map[string]string{tellFile: strconv.Itoa(limit)}, to...), why) {
				failed.Add(1)
			}
			w.succeeds(t, w.process(cache, nil, to...))
			if tag, err := os.ReadFile(filepath.Join(cache, "CACHEDIR.TAG")); err != nil || !strings.HasPrefix(string(tag), "Signature: ") {
				t.Errorf("the cache's tag is %q, %v", tag, err)
			}
		})
	}
}
