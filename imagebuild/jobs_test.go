package imagebuild_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"mlenv/imagebuild"
)

// gauge counts the wheels that are being fetched. The first ones wait for each other, until as many are
// in flight as may be.
type gauge struct {
	jobs int
	full chan struct{}

	mu      sync.Mutex
	now     int
	highest int
}

func (g *gauge) count(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now += n
	if g.now == g.jobs && g.highest < g.jobs {
		close(g.full)
	}
	g.highest = max(g.highest, g.now)
}

// over makes all wheels of a recipe pass the gauge.
func (g *gauge) over(wheels []imagebuild.Wheel) {
	for i := range wheels {
		path := wheels[i].Path
		wheels[i].Path = func(ctx context.Context) (string, error) {
			g.count(1)
			defer g.count(-1)
			select {
			case <-g.full:
			case <-ctx.Done():
				return "", ctx.Err()
			}
			for range 100 { // whoever else may come does so now
				runtime.Gosched()
			}
			return path(ctx)
		}
	}
}

// TestJobs builds images of wheels that have a layer each, of wheels that are a layer together, and of
// wheels whose sizes have to be found: never more than Jobs of them are fetched at once, and as many are.
func TestJobs(t *testing.T) {
	for _, tt := range []struct {
		name string
		pad  int  // bytes of each wheel; large ones have layers of their own
		size bool // the lock has it
	}{
		{"layers of their own", 1 << 20, true},
		{"layers together", 10, true},
		{"unknown sizes", 10, false},
	} {
		for _, jobs := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s/%d", tt.name, jobs), func(t *testing.T) {
				t.Parallel()
				r := makeRecipe(t, model())
				for i := range 12 {
					one := makeWheel(t, t.TempDir(), fmt.Sprintf("wheel%02d", i), "1.0",
						map[string]string{fmt.Sprintf("wheel%02d/data", i): noise(byte(i), tt.pad)})
					r.Wheels = append(r.Wheels, one)
				}
				for i := range r.Wheels {
					if !tt.size {
						r.Wheels[i].Size = 0
					}
				}
				g := &gauge{jobs: jobs, full: make(chan struct{})}
				g.over(r.Wheels)
				b := &imagebuild.Builder{Memo: memoIn(t.TempDir()), Jobs: jobs}
				for range 2 { // the second time layers are remembered, and made when they are read
					if err := readAll(t, build(t, b, r)); err != nil {
						t.Error(err)
					}
				}
				if g.highest != jobs {
					t.Errorf("%d wheels were fetched at once, want %d", g.highest, jobs)
				}
			})
		}
	}
}
