package imagebuild

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"mlenv/imagebuild/layer"
)

func manyWheels(n int, size func(i int) int64) []Wheel {
	var out []Wheel
	for i := range n {
		out = append(out, Wheel{Name: fmt.Sprintf("package-%d", i), SHA256: fmt.Sprintf("%064d", i), Size: size(i)})
	}
	return out
}

func groupsOf(groups [][]Wheel) map[string]bool {
	out := map[string]bool{}
	for _, g := range groups {
		var names []string
		for _, w := range g {
			names = append(names, w.Name+w.SHA256)
		}
		out[strings.Join(names, " ")] = true
	}
	return out
}

// TestPlanIsStable changes one small package of many: one layer differs.
func TestPlanIsStable(t *testing.T) {
	b, err := newBudget(4, 0)
	if err != nil {
		t.Fatal(err)
	}
	wheels := manyWheels(200, func(i int) int64 { return int64(i+1) * 100_000 })
	before := groupsOf(planWheels(wheels, b))
	for what, change := range map[string]func([]Wheel) []Wheel{
		"another version": func(w []Wheel) []Wheel { w[3].SHA256 = strings.Repeat("f", 64); w[3].Size += 1000; return w },
		"one more":        func(w []Wheel) []Wheel { return append(w, Wheel{Name: "new", SHA256: "x", Size: 1000}) },
		"one less":        func(w []Wheel) []Wheel { return w[1:] },
	} {
		after := groupsOf(planWheels(change(append([]Wheel{}, wheels...)), b))
		changed := 0
		for g := range after {
			if !before[g] {
				changed++
			}
		}
		if changed != 1 {
			t.Errorf("%s: %d layers differ, want 1", what, changed)
		}
	}
}

func TestBudget(t *testing.T) {
	for layers := 0; layers <= 130; layers++ {
		b, err := newBudget(layers, 0)
		if layers > 118 { // 127, less the four parts, one for overlaps and four that are divided
			if err == nil {
				t.Errorf("%d layers of the base: accepted", layers)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%d layers of the base: %v", layers, err)
		}
		for _, wheels := range [][]Wheel{
			manyWheels(300, func(int) int64 { return 1 << 30 }), manyWheels(300, func(i int) int64 { return int64(i) << 20 }),
			manyWheels(3, func(int) int64 { return 0 }), nil,
		} {
			var files []layer.Entry
			for i := range 50 {
				files = append(files, layer.Entry{Path: fmt.Sprint("f", i), Content: layer.Content{Size: int64(i) << 22}})
			}
			ours := len(planWheels(wheels, b)) + fixedParts
			n := ours + len(planModel(files, b, b.ours-ours, one))
			if n > maxOurs || n+layers > maxTotal {
				t.Errorf("%d layers above %d of the base", n, layers)
			}
		}
	}
}

// one is how many layers a group takes that is not split.
func one([]layer.Entry) int { return 1 }

// modelFiles are files of these sizes in MB, and more of 1 MB.
func modelFiles(more int, sizes ...int64) []layer.Entry {
	var out []layer.Entry
	for i, s := range sizes {
		out = append(out, layer.Entry{Path: fmt.Sprintf("shard-%05d.safetensors", i), Content: layer.Content{Size: s << 20}})
	}
	for i := range more {
		out = append(out, layer.Entry{Path: fmt.Sprint("vocab", i, ".json"), Content: layer.Content{Size: 1 << 20}})
	}
	return out
}

func repeated(n int, size int64) []int64 { return slices.Repeat([]int64{size}, n) }

// TestPlanModel looks at where the large files of a model are.
func TestPlanModel(t *testing.T) {
	b, err := newBudget(4, 0)
	if err != nil {
		t.Fatal(err)
	}
	const free = 20
	alone := free - b.medium
	for what, tt := range map[string]struct {
		files []layer.Entry
		alone int // of the large ones
	}{
		"a few":                         {modelFiles(0, 100, 200, 1000), 3},
		"shards":                        {modelFiles(0, repeated(11, 65)...), 11},
		"shards and a small file":       {modelFiles(1, repeated(10, 65)...), 10},
		"many small files":              {modelFiles(100, 100, 1000), 2},
		"all layers":                    {modelFiles(100, repeated(alone, 65)...), alone},
		"more than there are layers":    {modelFiles(9, repeated(alone+1, 65)...), -1},
		"many more than there are":      {modelFiles(9, repeated(200, 65)...), -1},
		"more than there are, no small": {modelFiles(0, repeated(200, 65)...), -1},
	} {
		groups := planModel(tt.files, b, free, one)
		total, alone := 0, 0
		for _, g := range groups {
			total += len(g)
			isLarge := g[0].Content.Size > largeFile
			if isLarge && len(g) == 1 {
				alone++
			}
			for _, f := range g {
				if f.Content.Size > largeFile != isLarge {
					t.Errorf("%s: %s shares a layer with %s", what, f.Path, g[0].Path)
				}
			}
		}
		if total != len(tt.files) || len(groups) > free || tt.alone >= 0 && alone != tt.alone {
			t.Errorf("%s: %d of %d files in %d layers, %d large ones alone", what, total, len(tt.files), len(groups), alone)
		}
	}
}

// TestPlanModelIsStable changes one file of many: one layer of small files differs, and none of large.
func TestPlanModelIsStable(t *testing.T) {
	b, err := newBudget(4, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, shards := range []int{3, 12, 16, 17, 100} {
		before := modelFiles(9, repeated(shards, 65)...)
		for what, after := range map[string][]layer.Entry{
			"one small file more": modelFiles(10, repeated(shards, 65)...),
			"one small file less": modelFiles(8, repeated(shards, 65)...),
			"no small file":       modelFiles(0, repeated(shards, 65)...),
		} {
			is := map[string]bool{}
			for _, g := range planModel(before, b, 20, one) {
				is[fmt.Sprint(pathsOf(g))] = true
			}
			small := 0
			for _, g := range planModel(after, b, 20, one) {
				switch {
				case is[fmt.Sprint(pathsOf(g))]:
				case g[0].Content.Size > largeFile:
					t.Errorf("%d shards, %s: the layer of %v is another", shards, what, pathsOf(g))
				default:
					small++
				}
			}
			if small > 1 {
				t.Errorf("%d shards, %s: %d layers of small files differ", shards, what, small)
			}
		}
	}
}

func pathsOf(group []layer.Entry) []string {
	var out []string
	for _, f := range group {
		out = append(out, f.Path)
	}
	return out
}

// TestPlanModelSplits counts what is split: thirty files of 5 GB go into ten layers of 16 GB, if need be.
func TestPlanModelSplits(t *testing.T) {
	b, err := newBudget(4, 0)
	if err != nil {
		t.Fatal(err)
	}
	layers := func(g []layer.Entry) int { return len(layer.Split(g, 16<<30)) }
	for _, free := range []int{34, 20, 16, 14} {
		n := 0
		for _, g := range planModel(modelFiles(0, repeated(30, 5000)...), b, free, layers) {
			n += layers(g)
		}
		if n > free-b.medium { // no medium file is there, but one may come
			t.Errorf("%d layers, want at most %d", n, free-b.medium)
		}
	}
}

// TestWheelCrossesTheBound lets one wheel grow: the layers that it leaves and goes to change, and
// that of the wheel whose place it takes.
func TestWheelCrossesTheBound(t *testing.T) {
	b, err := newBudget(4, 0)
	if err != nil {
		t.Fatal(err)
	}
	for large := range 40 {
		size := func(i int) int64 {
			if i < large {
				return int64(9<<20 + i)
			}
			return 1<<20 + int64(i)
		}
		for _, now := range []int64{largeWheel - 1, largeWheel, largeWheel + 1, 9<<20 + 5, 1 << 30, math.MaxInt64} {
			before := manyWheels(60, size)
			before[50].Size = largeWheel - 1000
			after := slices.Clone(before)
			after[50].Size = now
			had, changed := groupsOf(planWheels(before, b)), 0
			for g := range groupsOf(planWheels(after, b)) {
				if !had[g] {
					changed++
				}
			}
			if changed > 3 {
				t.Errorf("%d large wheels, one of %d bytes: %d layers differ", large, now, changed)
			}
		}
	}
}

// TestLargestWheelsAreAlone holds whatever else there is, and with sizes that nobody can have.
func TestLargestWheelsAreAlone(t *testing.T) {
	b, err := newBudget(4, 0)
	if err != nil {
		t.Fatal(err)
	}
	wheels := manyWheels(100, func(i int) int64 { return int64(i) << 20 })
	for i := range 18 {
		wheels[i].Size = math.MaxInt64
	}
	groups := planWheels(wheels, b)
	for i, g := range groups {
		if (len(g) == 1) != (i < b.alone) || i < b.alone && g[0].Size != math.MaxInt64 {
			t.Errorf("layer %d has %d wheels, the first of %d bytes", i, len(g), g[0].Size)
		}
	}
	if n := leastLayers(wheels, 1); n != maxTotal {
		t.Errorf("all wheels take %d layers of a byte", n)
	}
}
