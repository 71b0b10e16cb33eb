package imagebuild_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"mlenv/imagebuild"
)

// What is told of the layers agrees with the plan: each is done once, and after as many bytes as
// were announced.
func TestProgressAgreesWithPlan(t *testing.T) {
	recipe := makeRecipe(t, fstest.MapFS{
		"MLmodel":     {Data: []byte("flavors: {}\n")},
		"code/x.py":   {Data: []byte("x = 1\n")},
		"weights.bin": {Data: []byte(strings.Repeat("weights ", 50000))},
	})
	cache := t.TempDir()
	for _, run := range []string{"cold", "warm"} {
		var mu sync.Mutex
		var plan []imagebuild.Planned
		total, read, done, reused := map[int]int64{}, map[int]int64{}, map[int]int{}, 0
		builder := &imagebuild.Builder{Memo: memoIn(cache), Jobs: 2, Progress: func(e imagebuild.Event) {
			mu.Lock()
			defer mu.Unlock()
			if e.Plan != nil {
				plan = e.Plan
				return
			}
			total[e.Part] += e.Total
			read[e.Part] += e.Bytes
			if e.Done {
				done[e.Part]++
			}
			if e.Reused {
				reused++
			}
		}}
		img, err := builder.Build(context.Background(), recipe)
		if err != nil {
			t.Fatal(err)
		}
		if err := img.Close(); err != nil {
			t.Fatal(err)
		}
		var files, bytes int64
		for i, p := range plan {
			if done[i] != 1 {
				t.Errorf("%s: part %d was done %d times", run, i, done[i])
			}
			// The tar stream may say more of long names, and nothing else.
			if read[i] < total[i] || read[i] > total[i]+10240 {
				t.Errorf("%s: part %d has %d bytes, but %d were announced", run, i, read[i], total[i])
			}
			files += int64(len(p.Wheels))
			bytes += p.Size
		}
		if len(plan) < 5 || len(done) != len(plan) || files != 2 || bytes < 400000 {
			t.Errorf("%s: the plan is %+v, done were %v", run, plan, done)
		}
		if (reused > 0) != (run == "warm") {
			t.Errorf("%s: %d layers were reused", run, reused)
		}
	}
}
