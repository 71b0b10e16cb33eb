package imagebuild_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"mlenv/imagebuild"
)

// asked notes which wheels' files are asked for.
func asked(r *imagebuild.Recipe) func() []string {
	var mu sync.Mutex
	names := map[string]bool{}
	for i, w := range r.Wheels {
		r.Wheels[i].Path = func(ctx context.Context) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			names[w.Name] = true
			return w.Path(ctx)
		}
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Sorted(maps.Keys(names))
	}
}

// alone makes every wheel a layer of its own, as large ones are.
func alone(r *imagebuild.Recipe) {
	for i := range r.Wheels {
		r.Wheels[i].Size = 9 << 20
	}
}

// TestOneWheelMore adds a wheel to an environment that was built before. The others are needed only
// where it may not go together with them.
func TestOneWheelMore(t *testing.T) {
	tests := map[string]struct {
		files     map[string]string
		asked     []string
		collision []string // what the error names
	}{
		"nothing in common": {files: map[string]string{"gamma/__init__.py": ""}, asked: []string{"gamma"}},
		"the same file":     {files: map[string]string{"shared/readme": "same\n"}, asked: []string{"gamma"}},
		"another file of the same size": {
			files: map[string]string{"alpha/__init__.py": "x = 2\n"}, asked: []string{"alpha", "gamma"}},
		"a file for a directory": {
			files: map[string]string{"alpha": "x"}, asked: []string{"alpha", "gamma"},
			collision: []string{"/alpha", "alpha-1.0-py3-none-any.whl", "gamma-3.0-py3-none-any.whl"}},
		"a directory for a file": {
			files: map[string]string{"beta.py/x": "x"}, asked: []string{"beta", "gamma"},
			collision: []string{"/beta.py", "beta-2.0-py3-none-any.whl", "gamma-3.0-py3-none-any.whl"}},
		"the lock's place": {
			files: map[string]string{"gamma-3.0.data/data/pylock.toml": "x"}, asked: []string{"gamma"},
			collision: []string{"pylock.toml", "the lock", "gamma-3.0-py3-none-any.whl"}},
		"a mark of its own": {files: map[string]string{"gamma-3.0.dist-info/REQUESTED": ""}, asked: []string{"gamma"}},
		"another's mark": {
			files: map[string]string{"gamma-3.0.data/purelib/beta-2.0.dist-info/REQUESTED": "x"}, asked: []string{"beta", "gamma"},
			collision: []string{"REQUESTED", "beta-2.0-py3-none-any.whl", "gamma-3.0-py3-none-any.whl"}},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			b := &imagebuild.Builder{Memo: memoIn(t.TempDir())}
			r := makeRecipe(t, nil)
			alone(&r)
			build(t, b, r)
			r.Wheels = append(r.Wheels, makeWheel(t, t.TempDir(), "gamma", "3.0", tt.files))
			alone(&r)
			got := asked(&r)
			img, err := b.Build(context.Background(), r)
			var c *imagebuild.CollisionError
			if errors.As(err, &c) != (tt.collision != nil) || (err != nil) != (tt.collision != nil) {
				t.Fatalf("got %v", err)
			}
			for _, want := range tt.collision {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not name %s", err, want)
				}
			}
			if !slices.Equal(got(), tt.asked) {
				t.Errorf("%v were opened, want %v", got(), tt.asked)
			}
			if err == nil {
				if again, err := b.Build(context.Background(), r); err != nil || digest(t, again) != digest(t, img) {
					t.Errorf("remembering all of it: %v, another image", err)
				}
			}
			_, fresh := (&imagebuild.Builder{}).Build(context.Background(), r)
			if fmt.Sprint(fresh) != fmt.Sprint(err) {
				t.Errorf("remembering nothing: %v, else %v", fresh, err)
			}
		})
	}
}

// TestOutlinesDamaged damages what is remembered of the wheels: they are opened again.
func TestOutlinesDamaged(t *testing.T) {
	dir := t.TempDir()
	b := &imagebuild.Builder{Memo: memoIn(dir)}
	r := makeRecipe(t, nil)
	alone(&r)
	build(t, b, r)
	damage(t, kindDir(dir, imagebuild.OutlinesMemo), func(data []byte) []byte { return data[:len(data)-9] })
	r.Wheels = append(r.Wheels, makeWheel(t, t.TempDir(), "gamma", "3.0", map[string]string{"alpha": "x"}))
	var c *imagebuild.CollisionError
	if _, err := b.Build(context.Background(), r); !errors.As(err, &c) {
		t.Errorf("got %v, want a collision", err)
	}
}

// BenchmarkAgain builds an environment of 90 wheels with 13,000 files that was built before.
func BenchmarkAgain(b *testing.B) {
	dir, cache := b.TempDir(), b.TempDir()
	r := makeRecipe(b, nil)
	for i := range 88 {
		files := map[string]string{}
		for j := range 145 {
			files[fmt.Sprintf("package%d/part%d/module%d.py", i, j%9, j)] = fmt.Sprintf("x = %d\n", j)
		}
		r.Wheels = append(r.Wheels, makeWheel(b, dir, fmt.Sprintf("package%d", i), "1.0", files))
	}
	run := func(b *testing.B) {
		img, err := (&imagebuild.Builder{Memo: memoIn(cache), Jobs: 2}).Build(context.Background(), r)
		if err != nil {
			b.Fatal(err)
		}
		if err := img.Close(); err != nil {
			b.Fatal(err)
		}
	}
	without := func(b *testing.B, kinds ...string) {
		for b.Loop() {
			b.StopTimer()
			for _, kind := range kinds {
				if err := os.RemoveAll(kindDir(cache, kind)); err != nil {
					b.Fatal(err)
				}
			}
			b.StartTimer()
			run(b)
		}
	}
	run(b)
	b.Run("the same set", func(b *testing.B) { without(b) })
	b.Run("another set of the same wheels", func(b *testing.B) { without(b, "unions") })
	b.Run("wheels never seen", func(b *testing.B) { without(b, "unions", "outlines") })
}
