package dist

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// Libc is a C library and its version.
type Libc struct {
	Kind         string // "glibc" or "musl"
	Major, Minor int
}

// ParseLibc reads "glibc:2.36" or "musl:1.2"; a patch version is ignored.
func ParseLibc(s string) (Libc, error) {
	kind, version, _ := strings.Cut(s, ":")
	parts := strings.SplitN(version, ".", 3)
	l := Libc{Kind: kind}
	ok := kind == "glibc" || kind == "musl"
	if ok = ok && len(parts) > 1; ok {
		var majorErr, minorErr error
		l.Major, majorErr = parseNumber(parts[0])
		l.Minor, minorErr = parseNumber(parts[1])
		ok = majorErr == nil && minorErr == nil
	}
	if !ok {
		return Libc{}, fmt.Errorf("%q: expected a C library and its version, such as glibc:2.36 or musl:1.2", s)
	}
	return l, nil
}

// parseNumber reads a small decimal number without a sign.
func parseNumber(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err
}

// String returns the form that ParseLibc reads, or "" for the zero Libc.
func (l Libc) String() string {
	if l.Kind == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d.%d", l.Kind, l.Major, l.Minor)
}

// MarshalText returns the same form as String.
func (l Libc) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText is like ParseLibc; "" is the zero Libc.
func (l *Libc) UnmarshalText(text []byte) (err error) {
	*l = Libc{}
	if len(text) > 0 {
		*l, err = ParseLibc(string(text))
	}
	return err
}

// Older reports whether l is an earlier version of the same C library as m, so that a file built
// for m may fail to load.
func (l Libc) Older(m Libc) bool {
	return l.Kind == m.Kind && (l.Major < m.Major || l.Major == m.Major && l.Minor < m.Minor)
}

// DefaultLibc is the C library of Debian 12, the older of the two current releases: what fits it
// runs on both. A lock for a newer one could contain wheels that do not load on the older one.
const DefaultLibc = "glibc:2.36"

// Target is the environment that a lock or an image is made for: a CPython on a platform.
type Target struct {
	Python pep440.Version // major.minor or exact
	OS     string         // as in Go and OCI: "linux"
	Arch   string         // as in Go and OCI: "amd64", "arm64"
	Libc   Libc
}

// NewTarget returns the Target for a platform, given in OCI's terms, and a C library in the form
// that ParseLibc reads, where "" means DefaultLibc.
func NewTarget(goos, arch string, python pep440.Version, libc string) (Target, error) {
	t := Target{Python: python, OS: goos, Arch: arch}
	var err error
	t.Libc, err = ParseLibc(cmp.Or(libc, DefaultLibc))
	return t, err
}

// ParseTarget reads "linux/amd64 glibc:2.36", or "linux/amd64" if the C library does not matter.
// This form does not include the Python.
func ParseTarget(s string) (Target, error) {
	platform, libc, hasLibc := strings.Cut(s, " ")
	var t Target
	var ok bool
	t.OS, t.Arch, ok = strings.Cut(platform, "/")
	if !ok || t.OS == "" || t.Arch == "" || strings.ContainsAny(t.Arch, "/ \t\n") {
		return Target{}, fmt.Errorf("%q: expected a platform and a C library, such as linux/amd64 %s", s, DefaultLibc)
	}
	if hasLibc {
		var err error
		if t.Libc, err = ParseLibc(libc); err != nil {
			return Target{}, err
		}
	}
	return t, nil
}

// String returns the form that ParseTarget reads, or "" for the zero Target. It does not include
// the Python.
func (t Target) String() string {
	if t.OS == "" && t.Arch == "" {
		return ""
	}
	return strings.TrimSpace(t.Platform() + " " + t.Libc.String())
}

// MarshalText returns the same form as String.
func (t Target) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText is like ParseTarget; "" is the zero Target. It leaves the Python zero.
func (t *Target) UnmarshalText(text []byte) (err error) {
	*t = Target{}
	if len(text) > 0 {
		*t, err = ParseTarget(string(text))
	}
	return err
}

// Platform returns the platform in OCI's form, "linux/amd64".
func (t Target) Platform() string { return t.OS + "/" + t.Arch }

// machines maps Go's names of the supported architectures to those of uname on Linux.
var machines = map[string]string{
	"386":     "i686",
	"amd64":   "x86_64",
	"arm":     "armv7l",
	"arm64":   "aarch64",
	"loong64": "loongarch64",
	"ppc64le": "ppc64le",
	"riscv64": "riscv64",
	"s390x":   "s390x",
}

// Architectures lists the known architectures by Go's name, sorted.
func Architectures() []string { return slices.Sorted(maps.Keys(machines)) }

// machine returns uname's name of the architecture.
func (t Target) machine() string {
	if m, ok := machines[t.Arch]; ok {
		return m
	}
	return t.Arch
}

// PythonVersion returns the exact Python to assume. If the target has only major and minor, that is
// their first release, as in "uv pip compile --python-version", so that a lock for 3.11 works on
// every 3.11.
func (t Target) PythonVersion() pep440.Version {
	if t.Python.IsZero() || len(t.Python.Release()) > 2 || t.Python.IsPrerelease() {
		return t.Python
	}
	major, minor := t.minor()
	return pep440.MustParse(fmt.Sprintf("%d.%d.0", major, minor))
}

// FitsPython reports whether the target's Python satisfies a Requires-Python. As in pip, a
// pre-release of Python counts as its final release. If the target has only major and minor,
// excluded patch releases are ignored, as in uv: "!=3.9.0,!=3.9.1" fits 3.9, as those are not what
// anybody runs.
func (t Target) FitsPython(requires pep440.Specifiers) bool {
	if requires.IsZero() || t.Python.IsZero() {
		return true
	}
	exact := len(t.Python.Release()) > 2
	release := append(t.Python.Release(), 0, 0)[:3]
	version := pep440.MustParse(fmt.Sprintf("%d.%d.%d", release[0], release[1], release[2]))
	for _, c := range requires.Clauses() {
		if !exact && c.Op == "!=" && !strings.HasSuffix(c.Version, ".*") {
			continue
		}
		if !c.Match(version) {
			return false
		}
	}
	return true
}

// minor returns the first two numbers of the Python version.
func (t Target) minor() (major, minor uint64) {
	release := append(t.Python.Release(), 0, 0)
	return release[0], release[1]
}

// Environment returns the values of the marker variables on the target (PEP 508). platform_release
// and platform_version are "": they describe the kernel, and an image can run on any.
func (t Target) Environment() pep508.Environment {
	env := pep508.Environment{
		OSName:                       "posix",
		SysPlatform:                  t.OS,
		PlatformMachine:              t.machine(),
		PlatformPythonImplementation: "CPython",
		PlatformSystem:               t.OS,
		ImplementationName:           "cpython",
	}
	if t.OS == "linux" {
		env.PlatformSystem = "Linux"
	}
	if !t.Python.IsZero() {
		major, minor := t.minor()
		env.PythonVersion = fmt.Sprintf("%d.%d", major, minor)
		env.PythonFullVersion = t.PythonVersion().String()
		env.ImplementationVersion = env.PythonFullVersion
	}
	return env
}
