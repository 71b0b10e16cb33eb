package imagebuild_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/imagebuild"
	"mlenv/imagebuild/layer"
	"mlenv/resolve/cache"
)

// sums is what the memory holds of the layers of a part.
type sums struct {
	Sums     []layer.Sum       `json:"sums"`
	DistInfo map[string]string `json:"distInfo,omitempty"`
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
		"exchanged":     {func(s *sums) { s.Sums[0], s.Sums[1] = s.Sums[1], s.Sums[0] }, false},
		"another wheel": {func(s *sums) { s.DistInfo = map[string]string{strings.Repeat("0", 64): "x-1.dist-info"} }, true},
		"another .dist-info": {func(s *sums) {
			for sha := range s.DistInfo {
				s.DistInfo[sha] = "gamma-4.0.dist-info"
			}
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
