package imagebuild_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/imagebuild"
	"mlenv/imagebuild/layer"
	"mlenv/resolve/cache"
)

// sums is what the memory holds of the layers of a part.
type sums struct {
	Sums   []layer.Sum `json:"sums"`
	Wheels []facts     `json:"wheels,omitempty"`
}

type facts struct {
	DistInfo string `json:"distInfo"`
	Roots    []byte `json:"roots,omitempty"`
}

// memoIn remembers in a directory.
func memoIn(dir string) imagebuild.Memo { return cache.Open(dir, nil).Memos() }

// kindDir is where memoIn remembers one kind of notes.
func kindDir(dir, kind string) string { return filepath.Join(dir, cache.MemosFormat, kind) }

// forge changes what a cache remembers of split parts, with checks that fit.
func forge(t *testing.T, dir string, change func(s *sums)) {
	t.Helper()
	forged := 0
	err := filepath.WalkDir(kindDir(dir, imagebuild.LayersMemo), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var s sums
		_, value, _ := bytes.Cut(data, []byte("\n"))
		if err := json.Unmarshal(value, &s); err != nil {
			return err
		}
		if len(s.Sums) < 2 {
			return nil
		}
		forged++
		change(&s)
		if value, err = json.Marshal(s); err != nil {
			return err
		}
		hash := filepath.Base(filepath.Dir(name)) + filepath.Base(name)
		check := sha256.Sum256([]byte(hash + "\n" + string(value)))
		return os.WriteFile(name, fmt.Appendf(nil, "mlenv-memo %x\n%s", check, value), 0o644)
	})
	if err != nil || forged == 0 {
		t.Fatalf("forged %d notes: %v", forged, err)
	}
}

// readAll reads the bytes of all layers.
func readAll(t *testing.T, img v1.Image) error {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var errs []error
	for _, l := range layers {
		r, err := l.Compressed()
		if err == nil {
			_, err = io.Copy(io.Discard, r)
			err = errors.Join(err, r.Close())
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// TestForgedSplit changes what is remembered of a part that is several layers.
func TestForgedSplit(t *testing.T) {
	recipe := func(t *testing.T) imagebuild.Recipe {
		r := makeRecipe(t, nil)
		r.MaxLayer = 40000
		r.Wheels = append(r.Wheels, makeWheel(t, t.TempDir(), "gamma", "3.0",
			map[string]string{"gamma/a.py": strings.Repeat("a", 30000), "gamma/b.py": strings.Repeat("b", 30000), "gamma/c.py": strings.Repeat("c", 30000)}))
		return r
	}
	tests := map[string]struct {
		change func(s *sums)
		anew   bool // it is not believed in the first place
	}{
		"nothing":   {func(*sums) {}, false},
		"one less":  {func(s *sums) { s.Sums = s.Sums[1:] }, false},
		"one twice": {func(s *sums) { s.Sums = append(s.Sums, s.Sums[0]) }, true},
		"one more": {func(s *sums) {
			s.Sums = append(s.Sums, s.Sums[0])
			s.Sums[0].Digest, s.Sums[0].DiffID = hash('8'), hash('9')
		}, false},
		"exchanged":         {func(s *sums) { s.Sums[0], s.Sums[1] = s.Sums[1], s.Sums[0] }, false},
		"another wheel":     {func(s *sums) { s.Wheels = append(s.Wheels, facts{DistInfo: "x-1.dist-info"}) }, true},
		"half a hash":       {func(s *sums) { s.Wheels[0].Roots = s.Wheels[0].Roots[1:] }, true},
		"another directory": {func(s *sums) { s.Wheels[0].Roots = []byte("abcd") }, false},
		"another .dist-info": {func(s *sums) {
			s.Wheels[0].DistInfo = "gamma-4.0.dist-info"
		}, false},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			b := &imagebuild.Builder{Memo: memoIn(dir)}
			want := digest(t, build(t, b, recipe(t)))
			forge(t, dir, tt.change)
			img := build(t, b, recipe(t))
			same, err := digest(t, img) == want, readAll(t, img)
			if ok := what == "nothing" || tt.anew; ok && (!same || err != nil) {
				t.Errorf("same: %t, %v", same, err)
			} else if !ok && !errors.Is(err, layer.ErrChanged) {
				t.Errorf("got %v, want ErrChanged", err)
			}
			b.Fresh = true
			if got := digest(t, build(t, b, recipe(t))); got != want {
				t.Errorf("made anew it is %s, want %s", got, want)
			}
		})
	}
}

func hash(digit byte) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(string(digit), 64)}
}

// mapMemo remembers in memory, as a registry may one day: keys and notes are printed and read back.
type mapMemo struct {
	mu    sync.Mutex
	notes map[string][]byte // by the key's JSON
	kinds map[string]int
	err   error // that every Get gives, or every Put
	put   bool  // err is of Put
}

func (m *mapMemo) Get(_ context.Context, key cache.Key) (n cache.Note, ok bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil && !m.put {
		return n, false, m.err
	}
	name, err := json.Marshal(key)
	if err != nil {
		return n, false, err
	}
	data, ok := m.notes[string(name)]
	if !ok {
		return n, false, nil
	}
	return n, true, json.Unmarshal(data, &n)
}

func (m *mapMemo) Put(_ context.Context, key cache.Key, n cache.Note) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil && m.put {
		return m.err
	}
	name, err := json.Marshal(key)
	if err != nil {
		return err
	}
	m.kinds[key.Kind]++
	m.notes[string(name)], err = json.Marshal(n)
	return err
}

// TestMemo builds with a memo that is no directory. Its notes are of the kinds that are documented,
// and what it gives as an error ends the build.
func TestMemo(t *testing.T) {
	recipe := func() imagebuild.Recipe {
		r := makeRecipe(t, model())
		for i := range r.Wheels {
			r.Wheels[i].Size = 0 // so that it is found out
		}
		return r
	}
	m := &mapMemo{notes: map[string][]byte{}, kinds: map[string]int{}}
	b := &imagebuild.Builder{Memo: m, Jobs: 2}
	want := digest(t, build(t, b, recipe()))
	for _, kind := range []string{imagebuild.LayersMemo, imagebuild.UnionsMemo, imagebuild.OutlinesMemo, imagebuild.SizesMemo} {
		if m.kinds[kind] == 0 {
			t.Errorf("nothing is remembered of %s", kind)
		}
		delete(m.kinds, kind)
	}
	if len(m.kinds) > 0 {
		t.Errorf("remembered beside that: %v", m.kinds)
	}
	r := recipe()
	n := opened(&r)
	if got := digest(t, build(t, b, r)); got != want || n.Load() != 0 {
		t.Errorf("built again it is %s, want %s; %d wheels were opened", got, want, n.Load())
	}
	m.err = errors.New("the memo failed")
	for _, m.put = range []bool{false, true} {
		fresh := &imagebuild.Builder{Memo: m, Fresh: m.put}
		if _, err := fresh.Build(t.Context(), recipe()); !errors.Is(err, m.err) {
			t.Errorf("got %v, want %v", err, m.err)
		}
	}
}
