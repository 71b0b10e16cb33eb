package imagebuild

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"mlenv/imagebuild/layer"
)

// The layer rule. Every number is part of what makes the same input give the same image.
const (
	maxOurs    = 40  // layers above the base's
	maxTotal   = 127 // Docker's limit, and that of several registries
	fixedParts = 4   // the skeleton, two of code, and the last one
	forOverlap = 1   // beside them: the files that several wheels hold, if there are any

	largeWheel = 8 << 20 // a wheel of this many bytes has a layer of its own
	smallFile  = 64 << 10
	largeFile  = 64 << 20
)

// budget says how many layers may be spent on what. The sum of its parts and of fixedParts is not
// more than ours.
type budget struct {
	ours    int // layers above the base's
	alone   int // wheels with a layer of their own
	buckets int // layers of the other wheels
	medium  int // layers of the model's files between smallFile and largeFile
	large   int // layers of the model's files over largeFile, where there are too many to have one each
}

// newBudget says how the layers are spent on a base of baseLayers layers, of which some more are set aside.
func newBudget(baseLayers, aside int) (budget, error) {
	b := budget{ours: min(maxOurs, maxTotal-forOverlap-aside-baseLayers)}
	n := b.ours - fixedParts
	if n < 4 {
		return budget{}, fmt.Errorf("the base has %d layers; an image may have %d, and %d are needed", baseLayers, maxTotal, fixedParts+forOverlap+aside+4)
	}
	b.buckets, b.medium, b.large = min(8, n/4), min(4, n/4), min(8, n/4)
	b.alone = min(16, n-b.buckets-b.medium-b.large)
	return b, nil
}

// TooManyLayersError says that an image would have more layers than one can have, which happens where
// parts are split.
type TooManyLayersError struct {
	Need int // at the least, above the base's
	Base int // layers of the base
	Most int // how many may be above them
}

func (e *TooManyLayersError) Error() string {
	return fmt.Sprintf("the image would have %d layers or more above the base's %d; %d are possible", e.Need, e.Base, e.Most)
}

// bucket assigns a name to one of n by its hash, so that it does not depend on the other names.
func bucket(name string, n int) int {
	h := fnv.New64a()
	h.Write([]byte(name)) // never fails
	return int(h.Sum64() % uint64(n))
}

// inBuckets puts everything into n groups by the hash of its name, and leaves out those that stay
// empty.
func inBuckets[T any](all []T, n int, name func(T) string) [][]T {
	shared := make([][]T, n)
	for _, one := range all {
		at := bucket(name(one), n)
		shared[at] = append(shared[at], one)
	}
	return slices.DeleteFunc(shared, func(g []T) bool { return len(g) == 0 })
}

func each[T any](all []T) [][]T {
	var out [][]T
	for _, one := range all {
		out = append(out, []T{one})
	}
	return out
}

// planWheels groups the wheels into layers: of those of largeWheel bytes or more the largest have one
// each, and all others share some by the hash of their name. So a wheel that grows over the bound, or
// into the largest ones, changes the layer that it leaves, its own, and that of the one wheel whose
// place it may take. Names and sizes alone count, so that the plan is the same before and after the
// wheels were fetched.
func planWheels(wheels []Wheel, b budget) [][]Wheel {
	bySize := slices.Clone(wheels)
	slices.SortFunc(bySize, func(x, y Wheel) int {
		switch {
		case x.Size > y.Size:
			return -1
		case x.Size < y.Size:
			return 1
		}
		return strings.Compare(x.Name, y.Name)
	})
	n := 0
	for n < min(len(bySize), b.alone) && bySize[n].Size >= largeWheel {
		n++
	}
	alone, rest := bySize[:n], bySize[n:]
	slices.SortFunc(rest, func(x, y Wheel) int { return strings.Compare(x.Name, y.Name) })
	return append(each(alone), inBuckets(rest, b.buckets, func(w Wheel) string { return w.Name })...)
}

// leastLayers is how many layers of at most limit bytes a group of wheels takes at the least. How many
// exactly shows when the wheels are open, which they need not be.
func leastLayers(group []Wheel, limit int64) int {
	total := int64(0)
	for _, w := range group {
		total += min(w.Size, 1<<50) // so that no sum overflows
	}
	return int(max(1, min(total/limit, maxTotal)))
}

// planModel groups the model's files of more than smallFile bytes into layers. Those over largeFile
// have one each, as long as there are free layers for them. Else they share the few that they have
// whatever else is in the image, by the hash of their path, which stays the same when a file's
// content changes. The others share some of their own in the same way, and so never move a large one.
// layers says how many a group takes.
func planModel(files []layer.Entry, b budget, free int, layers func([]layer.Entry) int) [][]layer.Entry {
	var large, medium []layer.Entry
	for _, f := range files {
		if f.Content.Size > largeFile {
			large = append(large, f)
		} else {
			medium = append(medium, f)
		}
	}
	name := func(f layer.Entry) string { return f.Path }
	count := func(groups [][]layer.Entry) (n int) {
		for _, g := range groups {
			n += layers(g)
		}
		return n
	}
	shared := inBuckets(medium, b.medium, name)
	free -= max(b.medium, count(shared)) // also where they take fewer, so that one file more changes nothing
	groups := each(large)
	// Fuller buckets leave less room unused where they are split.
	for n := b.large; n > 0 && count(groups) > free; n-- {
		groups = inBuckets(large, n, name)
	}
	return append(groups, shared...)
}
