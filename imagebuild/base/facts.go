package base

import (
	"bufio"
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"path"
	"sort"
	"strconv"
	"strings"

	"mlenv/resolve/pattern"
)

// facts is the information from one file of the base.
type facts struct {
	interp   string            // an ELF executable's loader (PT_INTERP)
	machine  elf.Machine       // an ELF file's machine; 0 for other files
	versions []string          // CPython's version as compiled in, or the C library's
	packages map[string]string // of a package database
	arches   map[string]string // of a package database: what its packages are built for
	release  map[string]string // of os-release
	define   string            // PY_VERSION of patchlevel.h
}

// maxFileSize is how much of one file is kept in memory while it is examined. A statically linked
// interpreter has 8 MB, one with debugging symbols 30 MB.
const maxFileSize = 64 << 20

var (
	interpreterName = pattern.New(`^(python3(\.\d+)?|platform-python(\d\.\d+)?)$`)
	libpythonName   = pattern.New(`^libpython3\.\d+m?\.so(\.1\.0)?$`)
	glibcName       = pattern.New(`^(libc\.so\.6|libc-2\.\d+\.so)$`)
	muslName        = pattern.New(`^(ld-musl-[a-z0-9_]+\.so\.1|libc\.musl-[a-z0-9_]+\.so\.1)$`)

	// The linker may merge the version with a longer string that has the same end, such as a build
	// directory.
	pythonVersion = pattern.New(`[^0-9.](3\.\d{1,2}\.\d{1,3})((?:a|b|rc)\d+)?\+?\x00`)
	glibcRelease  = pattern.New(`stable release version (2\.\d+)`)
	glibcSymbol   = pattern.New(`\x00GLIBC_(2\.\d+)(?:\.\d+)?\x00`)
	muslVersion   = pattern.New(`\x00(1\.\d+)\.\d+(?:-git[-0-9a-z]*)?\x00`)
	patchlevel    = pattern.New(`(?m)^#define\s+PY_VERSION\s+"([^"]+)"`)
)

// readFacts reads the facts in a file if it is one of those that matter. Others are not read.
func readFacts(name string, size int64, content io.Reader) (*facts, error) {
	dir, file := path.Split(name)
	switch {
	case interpreterName.MatchString(file), libpythonName.MatchString(file):
		return binaryFacts(content, size, pythonVersion)
	case glibcName.MatchString(file):
		return binaryFacts(content, size, glibcRelease)
	case muslName.MatchString(file):
		return binaryFacts(content, size, muslVersion)
	case file == "patchlevel.h" && strings.Contains(dir, "/include/python"):
		data, err := io.ReadAll(io.LimitReader(content, 1<<20))
		if m := patchlevel.Regexp().FindSubmatch(data); m != nil {
			return &facts{define: string(m[1])}, err
		}
		return nil, err
	case name == "/var/lib/dpkg/status", dir == "/var/lib/dpkg/status.d/" && !strings.HasSuffix(file, ".md5sums"):
		return databaseFacts(content, dpkgKeys)
	case name == "/lib/apk/db/installed", name == "/usr/lib/apk/db/installed":
		return databaseFacts(content, apkKeys)
	case name == "/etc/os-release", name == "/usr/lib/os-release":
		return releaseFacts(content)
	}
	return nil, nil
}

// maxVersions is how many versions are extracted from one binary.
const maxVersions = 1000

func binaryFacts(content io.Reader, size int64, version *pattern.Pattern) (*facts, error) {
	data := make([]byte, min(size, maxFileSize))
	if _, err := io.ReadFull(content, data); err != nil {
		return nil, err
	}
	f := &facts{}
	f.machine, f.interp = elfHeader(data)
	if f.machine == 0 {
		return nil, nil // a script or an empty file
	}
	seen := map[string]bool{}
	// A NUL may end one string and start the next, so the search continues at the closing one.
	for at := 0; len(seen) < maxVersions; {
		m := version.Regexp().FindSubmatchIndex(data[at:])
		if m == nil {
			break
		}
		text := string(data[at+m[2] : at+m[3]])
		if len(m) > 4 && m[4] >= 0 {
			text += string(data[at+m[4] : at+m[5]])
		}
		seen[text] = true
		at += m[1] - 1
	}
	if len(seen) == 0 && version == glibcRelease {
		return f, glibcBySymbol(f, data)
	}
	for v := range seen {
		f.versions = append(f.versions, v)
	}
	sort.Strings(f.versions)
	return f, nil
}

// glibcBySymbol sets the version to the newest symbol version that the C library defines.
func glibcBySymbol(f *facts, data []byte) error {
	newest := 0
	for {
		m := glibcSymbol.Regexp().FindSubmatchIndex(data)
		if m == nil {
			break
		}
		minor, err := strconv.Atoi(string(data[m[2]+2 : m[3]]))
		if err != nil {
			return err
		}
		newest = max(newest, minor)
		data = data[m[1]:]
	}
	if newest > 0 {
		f.versions = []string{"2." + strconv.Itoa(newest)}
	}
	return nil
}

// elfHeader returns the machine and the loader of an ELF file, using only its program headers. The
// machine is 0 if it is not an ELF file, and the loader is "" if it has none.
func elfHeader(data []byte) (elf.Machine, string) {
	file, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return 0, ""
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP && p.Filesz < 4096 {
			text, err := io.ReadAll(p.Open())
			if err != nil {
				return file.Machine, ""
			}
			return file.Machine, strings.TrimRight(string(text), "\x00")
		}
	}
	return file.Machine, ""
}

// Limits for package databases. Debian's has 10 MB if ten thousand packages are installed.
const (
	maxDatabase = 256 << 20 // bytes
	maxField    = 1 << 10   // bytes of a name or a version
)

// databaseKeys are how the lines of a package database begin.
type databaseKeys struct{ name, version, arch string }

var (
	dpkgKeys = databaseKeys{"Package: ", "Version: ", "Architecture: "}
	apkKeys  = databaseKeys{"P:", "V:", "A:"}
)

// databaseFacts reads dpkg's and apk's databases: stanzas of "Key: value" lines. Lines may have any
// length, but names and versions that are too long are ignored.
func databaseFacts(content io.Reader, keys databaseKeys) (*facts, error) {
	packages, arches := map[string]string{}, map[string]string{}
	name, version, arch, installed := "", "", "", true
	flush := func() {
		if name != "" && installed {
			packages[name] = version
			if arch != "" {
				arches[name] = arch
			}
		}
		name, version, arch, installed = "", "", "", true
	}
	limited := &io.LimitedReader{R: content, N: maxDatabase + 1}
	lines := bufio.NewReaderSize(limited, 64<<10)
	for {
		line, err := lines.ReadSlice('\n')
		long := err == bufio.ErrBufferFull
		text := strings.TrimRight(string(line), "\r\n")
		for err == bufio.ErrBufferFull {
			_, err = lines.ReadSlice('\n')
		}
		switch {
		case long || len(text) > maxField:
		case text == "":
			flush()
		case strings.HasPrefix(text, keys.name):
			name = strings.TrimPrefix(text, keys.name)
		case strings.HasPrefix(text, keys.version):
			version = strings.TrimPrefix(text, keys.version)
		case strings.HasPrefix(text, keys.arch):
			arch = strings.TrimPrefix(text, keys.arch)
		case strings.HasPrefix(text, "Status: "):
			installed = strings.HasSuffix(text, " installed")
		}
		switch {
		case limited.N <= 0:
			return nil, tooMuch("the base's package database has more than %d MB", maxDatabase>>20)
		case len(packages) > maxPackages:
			return nil, tooMuch("the base has more than %d packages", maxPackages)
		case err == io.EOF:
			flush()
			return &facts{packages: packages, arches: arches}, nil
		case err != nil:
			return nil, fmt.Errorf("reading the package database: %w", err)
		}
	}
}
