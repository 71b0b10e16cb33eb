package sink_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mlenv/imagebuild/sink"
	"mlenv/resolve/cache"
)

// apart is a registry whose repositories do not share their blobs, as the test registry's do: one
// has what was uploaded to it or mounted from another that has it, until the repository is deleted.
type apart struct {
	*testRegistry
	has map[string]map[string]bool // digests by repository
}

func newApart(t *testing.T) *apart {
	t.Helper()
	reg := &apart{newRegistry(t), map[string]map[string]bool{}}
	reg.answer(reg.refuseUnknown)
	return reg
}

func (reg *apart) refuseUnknown(w http.ResponseWriter, r *http.Request) bool {
	repo, rest, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/blobs/")
	if !ok {
		return false
	}
	reg.mu.Lock()
	defer reg.mu.Unlock()
	if reg.has[repo] == nil {
		reg.has[repo] = map[string]bool{}
	}
	query := r.URL.Query()
	switch digest := query.Get("mount"); {
	case r.Method == http.MethodHead && !reg.has[repo][rest]:
		w.WriteHeader(http.StatusNotFound)
		return true
	case digest != "" && reg.has[query.Get("from")][digest]:
		reg.has[repo][digest] = true
		w.WriteHeader(http.StatusCreated)
		return true
	case r.Method == http.MethodPut:
		reg.has[repo][query.Get("digest")] = true
	}
	return false
}

func (reg *apart) remove(repo string) {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	delete(reg.has, repo)
}

// TestMountAfterDeletion deletes the repository that first had a layer: one push must upload it
// again, and from then on it is mounted as before.
func TestMountAfterDeletion(t *testing.T) {
	for what, large := range map[string]int64{"in one piece": 0, "in chunks": 1} {
		t.Run(what, func(t *testing.T) {
			reg := newApart(t)
			o := sink.RegistryOptions{Mounts: mountsIn(t.TempDir()), Large: large}
			a := sink.Artifact{Image: testImage(t, testLayer(t, "weights", strings.Repeat("w", 9000)))}
			steps := []struct {
				repo, remove string
				mounts       int // that are asked for
				uploads      int // of the layer and the configuration
			}{
				{repo: "one", uploads: 2},
				{repo: "two", mounts: 1, uploads: 1},
				{repo: "three", mounts: 1, uploads: 1, remove: "one"},
				{repo: "four", mounts: 1, uploads: 2, remove: "three"},
				{repo: "five", mounts: 1, uploads: 1},
			}
			for _, step := range steps {
				reg.remove(step.remove)
				reg.forget()
				send(t, sink.Registry(reg.host+"/"+step.repo+":1", o), a)
				if m, u := reg.count("mount="), reg.count("PUT /v2/"+step.repo+"/blobs/"); m != step.mounts || u != step.uploads {
					t.Errorf("pushing to %s: %d mounts and %d uploads, want %d and %d:\n%s", step.repo, m, u, step.mounts, step.uploads, strings.Join(reg.log, "\n"))
				}
			}
		})
	}
}

// mountsIn remembers in a directory.
func mountsIn(dir string) *sink.MountSources {
	return &sink.MountSources{Memo: cache.Open(dir, nil).Memos()}
}

// TestMountsForged returns the notes other contents: nothing worse than an upload comes of it.
func TestMountsForged(t *testing.T) {
	a := sink.Artifact{Image: testImage(t, testLayer(t, "a", "1"))}
	for what, value := range map[string]string{
		"empty":                   "",
		"no text":                 `{"registry":"elsewhere.example"}`,
		"another registry":        `"elsewhere.example/one"`,
		"no name":                 `"UPPER CASE"`,
		"a repository that isn't": `"never/was"`,
	} {
		t.Run(what, func(t *testing.T) {
			reg := newApart(t)
			dir := t.TempDir()
			o := sink.RegistryOptions{Mounts: mountsIn(dir)}
			send(t, sink.Registry(reg.host+"/one:1", o), a)
			notes, err := filepath.Glob(filepath.Join(dir, cache.MemosFormat, "mounts", "*", "*"))
			if err != nil || len(notes) == 0 {
				t.Fatalf("notes %v, %v", notes, err)
			}
			for _, note := range notes {
				hash := filepath.Base(filepath.Dir(note)) + filepath.Base(note)
				check := sha256.Sum256([]byte(hash + "\n" + value))
				if err := os.WriteFile(note, fmt.Appendf(nil, "mlenv-memo %x\n%s", check, value), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			for _, repo := range []string{"two", "three"} {
				send(t, sink.Registry(reg.host+"/"+repo+":1", o), a)
			}
			if n := reg.count("PUT /v2/two/blobs/"); n != 2 {
				t.Errorf("%d uploads to the second repository, want all 2", n)
			}
			if n := reg.count("PUT /v2/three/blobs/"); n != 1 {
				t.Errorf("%d uploads to the third repository, want the configuration alone", n)
			}
		})
	}
}
