package dist

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

const wheelSuffix = ".whl"

// sdistSuffixes are the archives that pip accepts as source distributions.
var sdistSuffixes = []string{".tar.gz", ".zip", ".tgz", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tar.lzma", ".tlz", ".tar"}

// LikelyFile reports whether a file name ends as those of distributions do or did, eggs and Windows
// installers included, whatever else is wrong with it.
func LikelyFile(filename string) bool {
	return slices.ContainsFunc(append([]string{wheelSuffix, ".egg", ".exe", ".msi", ".rpm"}, sdistSuffixes...),
		func(suffix string) bool { return strings.HasSuffix(filename, suffix) })
}

// maxTags limits how many tags one file name may expand to. Real ones have a few dozen at most;
// without a limit, a short name could expand to millions.
const maxTags = 4096

// WheelName is a parsed wheel file name (PEP 427, binary distribution format).
type WheelName struct {
	Name    pep508.Name
	Version pep440.Version
	Build   string // build tag, "" if none; see CompareBuild
	Tags    []Tag  // expanded, in lower case, in the order of the file name
}

// ParseWheelName reads a file name that ends in ".whl". It also accepts what older build tools
// wrote: names that are not normalized, and versions with "_" in place of "-".
func ParseWheelName(filename string) (WheelName, error) {
	stem, ok := strings.CutSuffix(filename, wheelSuffix)
	parts := strings.Split(stem, "-")
	if !ok || len(parts) != 5 && len(parts) != 6 {
		return WheelName{}, fmt.Errorf("file name %q: expected name-version[-build]-python-abi-platform.whl", filename)
	}
	w := WheelName{Name: pep508.NormalizeName(parts[0])}
	if !escapedName(parts[0]) {
		return WheelName{}, fmt.Errorf("file name %q: invalid project name %q", filename, parts[0])
	}
	var err error
	if w.Version, err = pep440.Parse(parts[1]); err != nil {
		if w.Version, err = pep440.Parse(strings.ReplaceAll(parts[1], "_", "-")); err != nil {
			return WheelName{}, fmt.Errorf("file name %q: invalid version %q", filename, parts[1])
		}
	}
	if len(parts) == 6 {
		if w.Build = parts[2]; digits(w.Build) == 0 {
			return WheelName{}, fmt.Errorf("file name %q: the build tag %q does not start with a digit", filename, w.Build)
		}
	}
	tags := parts[len(parts)-3:]
	if w.Tags, err = expandTags(tags[0], tags[1], tags[2]); err != nil {
		return WheelName{}, fmt.Errorf("file name %q: %w", filename, err)
	}
	return w, nil
}

// escapedName reports whether s can be the project's name in a wheel's file name.
func escapedName(s string) bool {
	for _, r := range s {
		if r != '.' && r != '_' && !unicode.IsLetter(r) && !unicode.IsNumber(r) {
			return false
		}
	}
	return s != ""
}

// expandTags expands a compressed tag set (PEP 425).
func expandTags(pythons, abis, platforms string) ([]Tag, error) {
	var sets [3][]string
	count := 1
	for i, part := range [...]string{pythons, abis, platforms} {
		sets[i] = strings.Split(strings.ToLower(part), ".")
		if count *= len(sets[i]); count > maxTags {
			return nil, fmt.Errorf("too many tags")
		}
		for _, s := range sets[i] {
			if s == "" {
				return nil, fmt.Errorf("empty tag in %q", part)
			}
		}
	}
	tags := make([]Tag, 0, count)
	for _, python := range sets[0] {
		if !identifier(python) {
			return nil, fmt.Errorf("invalid Python tag %q", python)
		}
		for _, abi := range sets[1] {
			for _, platform := range sets[2] {
				tags = append(tags, Tag{python, abi, platform})
			}
		}
	}
	return tags, nil
}

func identifier(s string) bool {
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsNumber(r)) {
			return false
		}
	}
	return s != ""
}

// CompareBuild compares build tags as PEP 427 sorts them: no tag first, then by the leading number,
// then by the rest. The numbers have no size limit, so they are compared as text.
func CompareBuild(a, b string) int {
	m, n := digits(a), digits(b)
	x, y := strings.TrimLeft(a[:m], "0"), strings.TrimLeft(b[:n], "0")
	return cmp.Or(
		cmp.Compare(min(m, 1), min(n, 1)),
		cmp.Compare(len(x), len(y)),
		strings.Compare(x, y),
		strings.Compare(a[m:], b[n:]),
	)
}

// digits returns how many decimal digits s starts with.
func digits(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }

// ParseSdistName reads the file name of a source distribution in any archive format that pip
// accepts. It needs the project to find where the version starts, as both name and version may
// contain a "-".
func ParseSdistName(filename string, project pep508.Name) (pep440.Version, error) {
	_, version, err := parseSdist(filename, project)
	return version, err
}

// parseSdist is like ParseSdistName but also returns the name. Without a project, that is the part
// before the last "-", as in PEP 625.
func parseSdist(filename string, project pep508.Name) (pep508.Name, pep440.Version, error) {
	stem := filename
	for _, suffix := range sdistSuffixes {
		if n := len(filename) - len(suffix); n > 0 && strings.EqualFold(filename[n:], suffix) {
			stem = filename[:n]
			break
		}
	}
	if stem == filename {
		return project, pep440.Version{}, fmt.Errorf("file name %q: neither a wheel nor a source distribution", filename)
	}
	at := strings.LastIndexByte(stem, '-')
	if project != "" {
		at = endOfName(stem, project)
	}
	if at <= 0 {
		return project, pep440.Version{}, fmt.Errorf("file name %q: not of the project %s", filename, project)
	}
	version, err := pep440.Parse(stem[at+1:])
	if err != nil {
		return project, version, fmt.Errorf("file name %q: invalid version %q", filename, stem[at+1:])
	}
	return pep508.NormalizeName(stem[:at]), version, nil
}

// endOfName returns the index of the "-" in s that follows the project's name, or -1.
func endOfName(s string, project pep508.Name) int {
	for i := range len(s) {
		if s[i] == '-' && pep508.NormalizeName(s[:i]) == project {
			return i
		}
	}
	return -1
}
