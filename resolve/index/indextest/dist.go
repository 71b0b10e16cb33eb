package indextest

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Dist is a distribution to be served: a few words from which a small but valid wheel or source
// distribution is built. The same Dist always gives the same bytes.
type Dist struct {
	Name           string
	Version        string
	Requires       []string // Requires-Dist
	Extras         []string // Provides-Extra
	RequiresPython string
	Tags           string // of the wheel; "py3-none-any" if ""
	Build          string // build tag of the wheel
	Sdist          bool   // a .tar.gz with PKG-INFO instead of a wheel
	Yanked         bool
	YankedReason   string
	UploadTime     time.Time
	Files          map[string]string // further files of the wheel; RECORD lists them
	Pad            int               // bytes of incompressible padding, for wheels of size

	Metadata string // METADATA as it stands, instead of what the fields above give
	Content  []byte // the file as it stands, instead of what is built

	Listed
}

// Listed says how the index's page lists a distribution. The zero value is all that the Simple API
// can say.
type Listed struct {
	NoMetadata bool   // the index offers no metadata file (PEP 658)
	NoHash     bool   // the page names no hash
	NoSize     bool   // the page names no size
	URL        string // where the page points, instead of the index's own files
}

// Parse makes Dists of lines such as "a 1.0", "a 2.0: b>=1, c" and "a 1.0 cp311-cp311-linux_x86_64: b",
// the short form for tests of resolvers.
func Parse(lines ...string) []Dist {
	var all []Dist
	for _, line := range lines {
		head, requires, _ := strings.Cut(line, ":")
		f := strings.Fields(head)
		if len(f) < 2 {
			panic(fmt.Sprintf("indextest: %q has no version", line))
		}
		d := Dist{Name: f[0], Version: f[1]}
		if len(f) > 2 {
			d.Tags = f[2]
		}
		for r := range strings.SplitSeq(requires, ",") {
			if r = strings.TrimSpace(r); r != "" {
				d.Requires = append(d.Requires, r)
			}
		}
		all = append(all, d)
	}
	return all
}

// project is the name as file names have it.
func (d Dist) project() string {
	return strings.ToLower(strings.NewReplacer("-", "_", ".", "_").Replace(d.Name))
}

// Filename is the name of the built file.
func (d Dist) Filename() string {
	if d.Sdist {
		return d.project() + "-" + d.Version + ".tar.gz"
	}
	parts := []string{d.project(), d.Version}
	if d.Build != "" {
		parts = append(parts, d.Build)
	}
	tags := d.Tags
	if tags == "" {
		tags = "py3-none-any"
	}
	return strings.Join(append(parts, tags), "-") + ".whl"
}

// METADATA is the core metadata of the built file.
func (d Dist) METADATA() string {
	if d.Metadata != "" {
		return d.Metadata
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Metadata-Version: 2.2\nName: %s\nVersion: %s\n", d.Name, d.Version)
	if d.RequiresPython != "" {
		fmt.Fprintf(&b, "Requires-Python: %s\n", d.RequiresPython)
	}
	for _, e := range d.Extras {
		fmt.Fprintf(&b, "Provides-Extra: %s\n", e)
	}
	for _, r := range d.Requires {
		fmt.Fprintf(&b, "Requires-Dist: %s\n", r)
	}
	b.WriteString("\nA distribution made for a test.\n")
	return b.String()
}

// Bytes is the built file.
func (d Dist) Bytes() []byte {
	switch {
	case d.Content != nil:
		return d.Content
	case d.Sdist:
		return d.sdist()
	}
	return d.wheel()
}

// SHA256 is the hash of Bytes in hexadecimal.
func (d Dist) SHA256() string {
	sum := sha256.Sum256(d.Bytes())
	return hex.EncodeToString(sum[:])
}

func (d Dist) wheel() []byte {
	info := d.project() + "-" + d.Version + ".dist-info/"
	files := maps.Clone(d.Files)
	if files == nil {
		files = map[string]string{}
	}
	if len(d.Files) == 0 {
		files[d.project()+"/__init__.py"] = fmt.Sprintf("__version__ = %q\n", d.Version)
	}
	if d.Pad > 0 {
		files[d.project()+"/padding.bin"] = padding(d.Pad)
	}
	names := slices.Sorted(maps.Keys(files))
	_, _, tags := cutTags(d.Filename())
	files[info+"METADATA"] = d.METADATA()
	files[info+"WHEEL"] = "Wheel-Version: 1.0\nGenerator: indextest\nRoot-Is-Purelib: true\n" + tags
	names = append(names, info+"METADATA", info+"WHEEL")
	var record, out bytes.Buffer
	z := zip.NewWriter(&out)
	add := func(name, content string) {
		method := zip.Deflate
		if strings.HasSuffix(name, ".bin") {
			method = zip.Store
		}
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: method, ExternalAttrs: 0o100644 << 16})
		if err == nil {
			_, err = w.Write([]byte(content))
		}
		must(err)
	}
	for _, name := range names {
		sum := sha256.Sum256([]byte(files[name]))
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", name, base64.RawURLEncoding.EncodeToString(sum[:]), len(files[name]))
		add(name, files[name])
	}
	fmt.Fprintf(&record, "%sRECORD,,\n", info)
	add(info+"RECORD", record.String())
	must(z.Close())
	return out.Bytes()
}

// cutTags gives the parts of a wheel's file name and its tags as the lines of WHEEL.
func cutTags(filename string) (project, version, lines string) {
	p := strings.Split(strings.TrimSuffix(filename, ".whl"), "-")
	t := p[len(p)-3:]
	var b strings.Builder
	for python := range strings.SplitSeq(t[0], ".") {
		for abi := range strings.SplitSeq(t[1], ".") {
			for platform := range strings.SplitSeq(t[2], ".") {
				fmt.Fprintf(&b, "Tag: %s-%s-%s\n", python, abi, platform)
			}
		}
	}
	return p[0], p[1], b.String()
}

func (d Dist) sdist() []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	t := tar.NewWriter(z)
	content := d.METADATA()
	dir := d.project() + "-" + d.Version + "/"
	must(t.WriteHeader(&tar.Header{Name: dir + "PKG-INFO", Mode: 0o644, Size: int64(len(content))}))
	_, err := t.Write([]byte(content))
	must(err)
	must(t.Close())
	must(z.Close())
	return out.Bytes()
}

// padding gives n bytes that do not compress: a row of hashes.
func padding(n int) string {
	b := make([]byte, 0, n+32)
	sum := sha256.Sum256([]byte("padding"))
	for len(b) < n {
		b = append(b, sum[:]...)
		sum = sha256.Sum256(sum[:])
	}
	return string(b[:n])
}

// Write builds the distributions into a directory, which is made, as a find-links location. It
// gives the directory.
func Write(t testing.TB, dir string, dists ...Dist) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, d := range dists {
		if err := os.WriteFile(filepath.Join(dir, d.Filename()), d.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func must(err error) {
	if err != nil {
		panic("indextest: " + err.Error()) // writing to memory
	}
}
