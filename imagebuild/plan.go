package imagebuild

import (
	"fmt"
	"hash/fnv"
	"sort"

	"mlenv/imagebuild/layer"
)

// The layer rule. Every number is part of what makes the same input give the same image.
const (
	maxOurs  = 40  // layers above the base's
	maxTotal = 127 // Docker's limit, and that of several registries

	largeWheel = 8 << 20 // a wheel of this many bytes has a layer of its own
	smallFile  = 64 << 10
	largeFile  = 64 << 20
)

// budget says how many layers may be spent on what.
type budget struct {
	large   int // wheels with a layer of their own
	buckets int // layers of small wheels
	model   int // layers of the model's larger files
}

// newBudget leaves four layers for the skeleton, two of code and the last one.
func newBudget(baseLayers int) (budget, error) {
	n := min(maxOurs, maxTotal-baseLayers) - 4
	if n < 3 {
		return budget{}, fmt.Errorf("the base has %d layers; an image may have %d, and 7 are needed", baseLayers, maxTotal)
	}
	b := budget{model: min(10, n/3), buckets: min(8, n/3)}
	b.large = min(16, n-b.model-b.buckets)
	return b, nil
}

// bucket assigns a name to one of n by its hash, so that it does not depend on the other names.
func bucket(name string, n int) int {
	h := fnv.New64a()
	h.Write([]byte(name)) // never fails
	return int(h.Sum64() % uint64(n))
}

// planWheels groups the wheels into layers: the large ones alone, from the largest on, and the
// others by the hash of their name. Where there are too many large ones the bound is doubled until
// there are not. Only the lock's sizes count, so that the plan is the same before and after the
// wheels were fetched.
func planWheels(wheels []Wheel, b budget) [][]Wheel {
	bound := int64(largeWheel)
	for countLarge(wheels, bound) > b.large {
		bound *= 2
	}
	sorted := append([]Wheel{}, wheels...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Name < sorted[j].Name })
	var alone []Wheel
	shared := make([][]Wheel, b.buckets)
	for _, w := range sorted {
		if w.Size >= bound {
			alone = append(alone, w)
			continue
		}
		at := bucket(w.Name, b.buckets)
		shared[at] = append(shared[at], w)
	}
	sort.SliceStable(alone, func(i, j int) bool { return alone[i].Size > alone[j].Size })
	var groups [][]Wheel
	for _, w := range alone {
		groups = append(groups, []Wheel{w})
	}
	for _, g := range shared {
		if len(g) > 0 {
			groups = append(groups, g)
		}
	}
	return groups
}

func countLarge(wheels []Wheel, bound int64) int {
	n := 0
	for _, w := range wheels {
		if w.Size >= bound {
			n++
		}
	}
	return n
}

// planModel groups the model's files of more than smallFile bytes into layers. A few have one each;
// of many, those over largeFile have, and the others share some by the hash of their path, which
// stays the same when a file's content changes.
func planModel(files []layer.Entry, b budget) [][]layer.Entry {
	var large, rest []layer.Entry
	for _, f := range files {
		if len(files) <= b.model || f.Content.Size > largeFile {
			large = append(large, f)
		} else {
			rest = append(rest, f)
		}
	}
	free := b.model - len(large)
	if len(rest) > 0 && free < 1 || len(large) > b.model {
		rest, large, free = files, nil, b.model
	}
	var groups [][]layer.Entry
	for _, f := range large {
		groups = append(groups, []layer.Entry{f})
	}
	if len(rest) == 0 {
		return groups
	}
	shared := make([][]layer.Entry, free)
	for _, f := range rest {
		at := bucket(f.Path, free)
		shared[at] = append(shared[at], f)
	}
	for _, g := range shared {
		if len(g) > 0 {
			groups = append(groups, g)
		}
	}
	return groups
}
