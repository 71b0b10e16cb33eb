package imagebuild_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/imagebuild"
	"mlenv/imagebuild/image"
	"mlenv/imagebuild/layer"
	"mlenv/resolve/cache"
)

func layerDigests(t *testing.T, img v1.Image) (out []string) {
	t.Helper()
	for _, l := range manifest(t, img).Layers {
		out = append(out, l.Digest.String())
	}
	return out
}

// carriedMemo is a memo that knows what an image carries, and nothing else.
type carriedMemo map[string]cache.Note

func carriedBy(t *testing.T, img v1.Image) carriedMemo {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	m := carriedMemo{}
	for _, c := range imagebuild.CarriedBy(manifest(t, img), config) {
		m[c.Hash] = c.Note
	}
	return m
}

func (m carriedMemo) Get(_ context.Context, k cache.Key) (cache.Note, bool, error) {
	n, ok := m[k.Hash()]
	return n, ok, nil
}

func (m carriedMemo) Put(context.Context, cache.Key, cache.Note) error { return nil }

// TestCarried builds on a machine that knows the last image alone: no wheel is opened, the image is the
// same, and what it carries is.
func TestCarried(t *testing.T) {
	recipe := func() imagebuild.Recipe {
		r := makeRecipe(t, model())
		r.MaxLayer = 190000
		dir := t.TempDir()
		r.Wheels = append(r.Wheels, makeWheel(t, dir, "gamma", "3.0",
			map[string]string{"gamma/a.py": noise(1, 150000), "gamma/b.py": noise(2, 150000)}))
		r.Wheels = append(r.Wheels, makeWheel(t, dir, "delta", "1.0", map[string]string{"shared/readme": "another\n"}))
		for i := range r.Wheels {
			if r.Wheels[i].Name == "delta" {
				r.Wheels[i].Size = 0
			}
		}
		return r
	}
	first := build(t, &imagebuild.Builder{Jobs: 2}, recipe())
	r := recipe()
	n := opened(&r)
	again := build(t, &imagebuild.Builder{Memo: carriedBy(t, first)}, r)
	if n.Load() != 0 {
		t.Errorf("%d wheels were opened", n.Load())
	}
	if digest(t, first) != digest(t, again) {
		t.Errorf("the second image is %s, the first %s", digest(t, again), digest(t, first))
	}
	if a, b := fmt.Sprint(first.Carried), fmt.Sprint(again.Carried); a != b || len(first.Carried) == 0 {
		t.Errorf("carried at first %s\nthen %s", a, b)
	}
	if len(again.Findings) == 0 || len(again.Findings) != len(first.Findings) {
		t.Errorf("findings at first %v, then %v", first.Findings, again.Findings)
	}
	if err := readAll(t, again); err != nil || n.Load() == 0 {
		t.Errorf("reading the layers: %v; %d wheels were opened", err, n.Load())
	}
}

// TestCarriedChange changes one of many packages on a machine that knows the last image alone: only
// what shares its layer is opened.
func TestCarriedChange(t *testing.T) {
	recipe := func(version string) imagebuild.Recipe {
		r := makeRecipe(t, nil)
		r.Wheels = nil
		dir := t.TempDir()
		for i := range 30 {
			v, name := "1.0", fmt.Sprint("small", i)
			if i == 7 {
				v = version
			}
			r.Wheels = append(r.Wheels, makeWheel(t, dir, name, v, map[string]string{
				name + "/__init__.py":                              "x = " + v,
				name + "-" + v + ".dist-info/entry_points.txt":     "[console_scripts]\n" + name + " = x:main\n",
				name + "-" + v + ".data/data/share/" + name + "/a": "a",
			}))
		}
		return r
	}
	first := build(t, &imagebuild.Builder{}, recipe("1.0"))
	r := recipe("2.0")
	names := asked(&r)
	img := build(t, &imagebuild.Builder{Memo: carriedBy(t, first)}, r)
	if got := names(); !slices.Contains(got, "small7") || len(got) > 10 {
		t.Errorf("opened %s", got)
	}
	if want := digest(t, build(t, &imagebuild.Builder{}, recipe("2.0"))); digest(t, img) != want {
		t.Errorf("the image is %s, want %s", digest(t, img), want)
	}
}

// TestCarriedByStrange reads notes that somebody wrote by hand.
func TestCarriedByStrange(t *testing.T) {
	img := build(t, &imagebuild.Builder{}, makeRecipe(t, model()))
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	all := len(imagebuild.CarriedBy(manifest(t, img), config))
	for what, change := range map[string]func(m *v1.Manifest, c *v1.ConfigFile) int{
		"no layers":    func(m *v1.Manifest, c *v1.ConfigFile) int { m.Layers, c.RootFS.DiffIDs = nil, nil; return 2 },
		"a layer less": func(m *v1.Manifest, c *v1.ConfigFile) int { m.Layers = m.Layers[1:]; return 0 },
		"no JSON":      func(m *v1.Manifest, c *v1.ConfigFile) int { m.Annotations[image.Notes] = "[{"; return all - 2 },
		"nothing":      func(m *v1.Manifest, c *v1.ConfigFile) int { m.Annotations[image.Notes] = ""; return all - 2 },
		"a note of layers": func(m *v1.Manifest, c *v1.ConfigFile) int {
			m.Annotations[image.Notes] = `[{"kind":"layers","key":"x","value":{}}]`
			return all - 2
		},
		"a size in words": func(m *v1.Manifest, c *v1.ConfigFile) int {
			noted(m)[image.LayerNote] = `{"unpacked":"many"}`
			return all - 1
		},
		"a list for a note":  func(m *v1.Manifest, c *v1.ConfigFile) int { noted(m)[image.LayerNote] = "[]"; return all - 1 },
		"no key":             func(m *v1.Manifest, c *v1.ConfigFile) int { delete(noted(m), image.LayerKey); return all - 1 },
		"nothing is changed": func(m *v1.Manifest, c *v1.ConfigFile) int { return all },
	} {
		m, c := manifest(t, img).DeepCopy(), config.DeepCopy()
		want := change(m, c)
		if got := len(imagebuild.CarriedBy(m, c)); got != want {
			t.Errorf("%s: %d notes, want %d", what, got, want)
		}
	}
}

// noted are the annotations of a layer of which there is a note.
func noted(m *v1.Manifest) map[string]string {
	for _, l := range m.Layers {
		if l.Annotations[image.LayerKey] != "" {
			return l.Annotations
		}
	}
	return nil
}

// TestVerify makes remembered layers again, and refuses a note that is wrong, wherever it is from.
func TestVerify(t *testing.T) {
	recipe := func() imagebuild.Recipe { return makeRecipe(t, model()) }
	first := build(t, &imagebuild.Builder{}, recipe())
	r := recipe()
	n := opened(&r)
	if again := build(t, &imagebuild.Builder{Memo: carriedBy(t, first), Verify: 100}, r); digest(t, again) != digest(t, first) || n.Load() != 2 {
		t.Errorf("the image is %s, want %s; %d wheels were opened", digest(t, again), digest(t, first), n.Load())
	}
	wrong := carriedBy(t, first)
	for key, note := range wrong {
		var s sums
		if !note.Decode(&s) || len(s.Sums) == 0 {
			continue
		}
		s.Sums[0].DiffID = hash('8') // which nothing else finds out
		var err error
		if wrong[key], err = cache.NewNote(s); err != nil {
			t.Fatal(err)
		}
	}
	_, err := (&imagebuild.Builder{Memo: wrong, Verify: 100}).Build(t.Context(), recipe())
	var found *imagebuild.WrongNoteError
	if !errors.As(err, &found) || !strings.Contains(err.Error(), "is wrong") {
		t.Errorf("got %v", err)
	}
	if err := readAll(t, build(t, &imagebuild.Builder{Memo: wrong}, recipe())); err != nil {
		t.Errorf("a wrong diffID was found out otherwise: %v", err)
	}
}

// blobs are layers' bytes by their digests.
type blobs map[string][]byte

func (b blobs) Open(digest v1.Hash) (io.ReadCloser, error) {
	data, ok := b[digest.String()]
	if !ok {
		return nil, errors.New("gone")
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// TestBlobs reads remembered layers from where their bytes are, and makes them of the wheels where they
// are there no longer. Bytes that are others are found out.
func TestBlobs(t *testing.T) {
	first := build(t, &imagebuild.Builder{}, makeRecipe(t, model()))
	b := blobs{}
	for _, h := range layerDigests(t, first) {
		digest, err := v1.NewHash(h)
		if err != nil {
			t.Fatal(err)
		}
		l, err := first.LayerByDigest(digest)
		if err != nil {
			t.Fatal(err)
		}
		r, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		if b[h], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	for what, tt := range map[string]struct {
		blobs  blobs
		opened bool
		wrong  bool
	}{"there": {b, false, false}, "gone": {blobs{}, true, false}, "changed": {blobs{}, false, true}} {
		if tt.wrong {
			for h, data := range b {
				tt.blobs[h] = append([]byte{data[0] + 1}, data[1:]...)
			}
		}
		r := makeRecipe(t, model())
		n := opened(&r)
		img := build(t, &imagebuild.Builder{Memo: carriedBy(t, first), Blobs: tt.blobs}, r)
		if err := readAll(t, img); errors.Is(err, layer.ErrChanged) != tt.wrong || (err != nil) != tt.wrong {
			t.Errorf("%s: got %v", what, err)
		}
		if (n.Load() > 0) != tt.opened {
			t.Errorf("%s: %d wheels were opened", what, n.Load())
		}
	}
}
