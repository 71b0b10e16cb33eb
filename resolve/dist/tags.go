package dist

import (
	"cmp"
	"fmt"
	"math"
)

// Tag is one compatibility tag (PEP 425).
type Tag struct{ Python, ABI, Platform string }

// String returns the form used in file names: "cp311-cp311-manylinux_2_17_x86_64".
func (t Tag) String() string { return t.Python + "-" + t.ABI + "-" + t.Platform }

// scheme holds the components of a target's tags; each list has the most specific ones first.
type scheme struct {
	native    []Tag    // combined with every platform; Platform is ""
	platforms []string // linux_…, manylinux_… or musllinux_…
	pure      []Tag    // for any platform
}

func (t Target) scheme() (s scheme) {
	if t.Python.IsZero() {
		return s
	}
	major, minor := t.minor()
	s.platforms = t.platforms()
	cp := fmt.Sprintf("cp%d%d", major, minor)
	abi := cp
	if major == 3 && minor < 8 {
		abi += "m" // with pymalloc, as all builds were in practice; later ones do not tell (bpo-36707)
	}
	s.native = append(s.native, Tag{cp, abi, ""})
	const firstABI3 = 2 // Python 3.2, PEP 384
	if major == 3 && minor >= firstABI3 {
		s.native = append(s.native, Tag{cp, "abi3", ""})
	}
	s.native = append(s.native, Tag{cp, "none", ""})
	for m := minor; major == 3 && m > firstABI3; m-- {
		s.native = append(s.native, Tag{fmt.Sprintf("cp%d%d", major, m-1), "abi3", ""})
	}
	s.pure = append(s.pure, Tag{cp, "none", "any"})
	py := []string{fmt.Sprintf("py%d%d", major, minor), fmt.Sprintf("py%d", major)}
	for m := minor; m > 0; m-- {
		py = append(py, fmt.Sprintf("py%d%d", major, m-1))
	}
	for _, version := range py {
		s.native = append(s.native, Tag{version, "none", ""})
		s.pure = append(s.pure, Tag{version, "none", "any"})
	}
	return s
}

// legacyManylinux maps minor versions of glibc 2 to the names they had before PEP 600 (PEP 599,
// 571, 513). Many wheels still use these names.
var legacyManylinux = map[int]string{17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}

// platforms returns the platform tags, the most specific first (PEP 600, 656).
func (t Target) platforms() []string {
	machine := t.machine()
	platforms := []string{"linux_" + machine}
	switch t.Libc.Kind {
	case "musl":
		for minor := t.Libc.Minor; minor >= 0; minor-- {
			platforms = append(platforms, fmt.Sprintf("musllinux_%d_%d_%s", t.Libc.Major, minor, machine))
		}
	case "glibc":
		oldest := 17
		if t.Arch == "amd64" || t.Arch == "386" {
			oldest = 5
		}
		for major, minor := t.Libc.Major, t.Libc.Minor; major >= 2; major, minor = major-1, lastMinor {
			last := 0
			if major == 2 {
				last = oldest
			}
			for ; minor >= last; minor-- {
				platforms = append(platforms, fmt.Sprintf("manylinux_%d_%d_%s", major, minor, machine))
				if legacy := legacyManylinux[minor]; legacy != "" && major == 2 {
					platforms = append(platforms, legacy+"_"+machine)
				}
			}
		}
	}
	return platforms
}

// lastMinor is the last minor version of glibc 2 that packaging assumes, should there ever be a
// glibc 3.
const lastMinor = 50

// Tags returns the tags that fit the target, the most specific first, in packaging's order:
// cpython_tags, then compatible_tags, without free-threaded builds.
func (t Target) Tags() []Tag {
	s := t.scheme()
	tags := make([]Tag, 0, len(s.native)*len(s.platforms)+len(s.pure))
	for _, tag := range s.native {
		for _, tag.Platform = range s.platforms {
			tags = append(tags, tag)
		}
	}
	return append(tags, s.pure...)
}

// TagSet ranks tags for a target. A target has thousands of tags, so it looks up their parts
// instead of listing them. It is safe for concurrent use.
type TagSet struct {
	native    map[Tag]int    // by Python and ABI
	platforms map[string]int // index in scheme.platforms
	pure      map[Tag]int    // ranks
}

// TagSet returns the TagSet of the target.
func (t Target) TagSet() TagSet {
	s := t.scheme()
	set := TagSet{map[Tag]int{}, map[string]int{}, map[Tag]int{}}
	for i, tag := range s.native {
		set.native[tag] = i
	}
	for i, platform := range s.platforms {
		set.platforms[platform] = i
	}
	for i, tag := range s.pure {
		set.pure[tag] = len(s.native)*len(s.platforms) + i
	}
	return set
}

// Rank returns the index in Target.Tags of the best of a wheel's tags (lower is better), and
// whether any of them fits.
func (s TagSet) Rank(tags []Tag) (int, bool) {
	best := math.MaxInt
	for _, tag := range tags {
		if platform, ok := s.platforms[tag.Platform]; ok {
			tag.Platform = ""
			if i, ok := s.native[tag]; ok {
				best = min(best, i*len(s.platforms)+platform)
			}
		} else if rank, ok := s.pure[tag]; ok {
			best = min(best, rank)
		}
	}
	return best, best < math.MaxInt
}

// Fit is how well a wheel suits a target.
type Fit struct {
	rank  int
	build string
}

// Fit returns how well a wheel with these tags and this build tag fits, and whether it fits at all.
func (s TagSet) Fit(tags []Tag, build string) (Fit, bool) {
	rank, ok := s.Rank(tags)
	return Fit{rank, build}, ok
}

// Compare returns a negative number if f suits the target better than g. The tags decide first,
// then the build number, where the greater one wins, as in installers (PEP 425, 427).
func (f Fit) Compare(g Fit) int {
	return cmp.Or(cmp.Compare(f.rank, g.rank), CompareBuild(g.build, f.build))
}
