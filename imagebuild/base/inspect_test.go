package base_test

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"mlenv/imagebuild/base"
	"mlenv/imagebuild/base/basetest"
	"mlenv/imagebuild/layer"
	"mlenv/resolve/cache"
	"mlenv/resolve/dist"
	"mlenv/resolve/pep440"
)

const x86Loader = "/lib64/ld-linux-x86-64.so.2"

func image(t *testing.T, arch string, config v1.Config, annotations map[string]string, layers ...[]layer.Entry) v1.Image {
	t.Helper()
	img, err := basetest.Image(arch, config, annotations, layers...)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func slim(t *testing.T, version string) v1.Image {
	t.Helper()
	img, err := basetest.Slim(version)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func debian(t *testing.T) v1.Image {
	return image(t, "amd64", v1.Config{Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}}, nil,
		basetest.Glibc("2.36"),
		[]layer.Entry{
			basetest.Exe("usr/bin/python3.11", basetest.ELF(elf.EM_X86_64, x86Loader, "3.11.2")),
			basetest.Link("usr/bin/python3", "python3.11"),
			basetest.Text("usr/lib/python3.11/os.py", ""),
			basetest.Exe("usr/lib/x86_64-linux-gnu/libgomp.so.1.0.0", basetest.ELF(elf.EM_X86_64, "")),
			basetest.Link("usr/lib/x86_64-linux-gnu/libgomp.so.1", "libgomp.so.1.0.0"),
			basetest.Text("var/lib/dpkg/status", "Package: python3.11-minimal\nStatus: install ok installed\nVersion: 3.11.2-6+deb12u6\n"),
		})
}

// distroless has no shell, no PATH to speak of, one database file a package, and an annotation.
func distroless(t *testing.T) v1.Image {
	return image(t, "amd64", v1.Config{
		Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"},
		Entrypoint: []string{"/usr/bin/python3.13"}, User: "nonroot",
	}, map[string]string{"com.google.distroless.python.version": "3.13.5"},
		basetest.Glibc("2.41"),
		[]layer.Entry{
			basetest.Exe("usr/bin/python3.13", basetest.ELF(elf.EM_X86_64, x86Loader)),
			basetest.Text("usr/lib/python3.13/os.py", ""),
			basetest.Text("var/lib/dpkg/status.d/libc6", "Package: libc6\nVersion: 2.41-12\n"),
			basetest.Text("var/lib/dpkg/status.d/libc6.md5sums", "Package: nonsense\n"),
		})
}

// ubi is laid out like Red Hat's S2I image: a virtual environment on PATH, alternatives, no
// database that could be read, the minor version alone in PYTHON_VERSION.
func ubi(t *testing.T) v1.Image {
	return image(t, "amd64", v1.Config{Env: []string{"PATH=/opt/app-root/bin:/usr/bin", "PYTHON_VERSION=3.9"}}, nil,
		[]layer.Entry{
			basetest.Link("bin", "usr/bin"), basetest.Link("lib64", "usr/lib64"), basetest.Link("lib", "usr/lib"),
			basetest.Exe("usr/lib64/ld-linux-x86-64.so.2", basetest.ELF(elf.EM_X86_64, "")),
			basetest.Exe("usr/lib64/libc.so.6", basetest.ELF(elf.EM_X86_64, x86Loader, "GLIBC_2.2.5", "GLIBC_2.34", "GLIBC_2.9", "GLIBC_PRIVATE")),
			basetest.Text("etc/pki/tls/certs/ca-bundle.crt", "-----BEGIN"),
		},
		[]layer.Entry{
			basetest.Exe("usr/bin/python3.9", basetest.ELF(elf.EM_X86_64, x86Loader)),
			basetest.Exe("usr/lib64/libpython3.9.so.1.0", basetest.ELF(elf.EM_X86_64, "", "build/Python-3.9.21")),
			basetest.Link("usr/bin/python3", "/etc/alternatives/python3"),
			basetest.Link("etc/alternatives/python3", "/usr/bin/python3.9"),
			basetest.Text("opt/app-root/pyvenv.cfg", "home = /usr/bin\n"),
			basetest.Link("opt/app-root/bin/python3", "/usr/bin/python3"),
		})
}

func platformPython(t *testing.T) v1.Image {
	return image(t, "amd64", v1.Config{}, nil, basetest.Glibc("2.28"), []layer.Entry{
		basetest.Exe("usr/libexec/platform-python3.6", basetest.ELF(elf.EM_X86_64, x86Loader, "3.6.8")),
		basetest.Link("usr/libexec/platform-python", "platform-python3.6"),
	})
}

func alpine(t *testing.T) v1.Image {
	const loader = "/lib/ld-musl-x86_64.so.1"
	return image(t, "amd64", v1.Config{Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin", "PYTHON_VERSION=3.12.13"}}, nil,
		[]layer.Entry{
			basetest.Exe("lib/ld-musl-x86_64.so.1", basetest.ELF(elf.EM_X86_64, "", "1.2.5")),
			basetest.Link("lib/libc.musl-x86_64.so.1", "ld-musl-x86_64.so.1"),
			basetest.Text("etc/ssl/cert.pem", "-----BEGIN"),
			basetest.Text("lib/apk/db/installed", "C:Q1=\nP:musl\nV:1.2.5-r10\n\nC:Q1=\nP:libgcc\nV:14.2.0-r6\n"),
		},
		[]layer.Entry{
			basetest.Exe("usr/local/bin/python3.12", basetest.ELF(elf.EM_X86_64, loader)),
			basetest.Link("usr/local/bin/python3", "python3.12"),
		})
}

func conda(t *testing.T) v1.Image {
	return image(t, "arm64", v1.Config{Env: []string{"PATH=/opt/conda/bin:/usr/bin"}}, nil,
		[]layer.Entry{
			basetest.Exe("lib/ld-linux-aarch64.so.1", basetest.ELF(elf.EM_AARCH64, "")),
			basetest.Exe("lib/aarch64-linux-gnu/libc.so.6", basetest.ELF(elf.EM_AARCH64, "/lib/ld-linux-aarch64.so.1", "stable release version 2.35, by")),
			basetest.Exe("opt/conda/bin/python3.10", basetest.ELF(elf.EM_AARCH64, "/lib/ld-linux-aarch64.so.1")),
			basetest.Link("opt/conda/bin/python3", "python3.10"),
			basetest.Text("opt/conda/conda-meta/python-3.10.14-hd12c33a_0_cpython.json", "{}"),
		})
}

func TestInspect(t *testing.T) {
	tests := map[string]struct {
		image                           v1.Image
		python, version, libc, arch, ca string
		dirs                            []string
		has, lacks                      string // Debian packages
	}{
		"docker-library":  {slim(t, "3.11.9"), "/usr/local/bin/python3.11", "3.11.9", "glibc:2.36", "amd64", "", []string{"/opt"}, "tzdata", "libgomp1"},
		"Debian":          {debian(t), "/usr/bin/python3.11", "3.11.2", "glibc:2.36", "amd64", "", []string{"/opt"}, "libgomp1", "gone"},
		"distroless":      {distroless(t), "/usr/bin/python3.13", "3.13.5", "glibc:2.41", "amd64", "", []string{"/opt"}, "libc6", "nonsense"},
		"UBI":             {ubi(t), "/usr/bin/python3.9", "3.9.21", "glibc:2.34", "amd64", "/etc/pki/tls/certs/ca-bundle.crt", []string{"/opt"}, "libc6", "libgomp1"},
		"platform-python": {platformPython(t), "/usr/libexec/platform-python3.6", "3.6.8", "glibc:2.28", "amd64", "", []string{"/opt"}, "libc6", "libgomp1"},
		"Alpine":          {alpine(t), "/usr/local/bin/python3.12", "3.12.13", "musl:1.2", "amd64", "", []string{}, "musl", "libgomp1"},
		"conda":           {conda(t), "/opt/conda/bin/python3.10", "3.10.14", "glibc:2.35", "arm64", "", []string{"/opt"}, "libc6", "libgomp1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b, err := base.Inspect(tt.image)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{b.Python, b.Version.String(), b.Libc.String(), b.Arch, b.CABundle}
			want := []string{tt.python, tt.version, tt.libc, tt.arch, tt.ca}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.dirs, b.Dirs); diff != "" {
				t.Error("directories:", diff)
			}
			if !b.Provides(tt.has) || b.Provides(tt.lacks) {
				t.Errorf("provides %s: %v, %s: %v", tt.has, b.Provides(tt.has), tt.lacks, b.Provides(tt.lacks))
			}
		})
	}
}

func TestInspectRefuses(t *testing.T) {
	python := basetest.Exe("usr/bin/python3.11", basetest.ELF(elf.EM_X86_64, x86Loader, "3.11.2"))
	link := basetest.Link("usr/bin/python3", "python3.11")
	tests := map[string]struct {
		image v1.Image
		want  string
	}{
		"no Python": {image(t, "amd64", v1.Config{}, nil, basetest.Glibc("2.36")), "no Python 3"},
		"a script":  {image(t, "amd64", v1.Config{}, nil, []layer.Entry{basetest.Exe("usr/bin/python3", []byte("#!/bin/sh\n"))}), "no Python 3"},
		"a dangling link": {image(t, "amd64", v1.Config{}, nil, []layer.Entry{basetest.Link("usr/bin/python3", "python3.11")}),
			"no Python 3"},
		"a loop":       {image(t, "amd64", v1.Config{}, nil, []layer.Entry{basetest.Link("usr/bin/python3", "python3")}), "no Python 3"},
		"no libc":      {image(t, "amd64", v1.Config{}, nil, []layer.Entry{python, link}), "C library"},
		"static":       {image(t, "amd64", v1.Config{}, nil, []layer.Entry{basetest.Exe("usr/bin/python3.11", basetest.ELF(elf.EM_X86_64, "", "3.11.2")), link}), "statically"},
		"another arch": {image(t, "arm64", v1.Config{}, nil, append(basetest.Glibc("2.36"), python, link)), "arm64"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := base.Inspect(tt.image)
			if e, ok := base.IsError(err); !ok || !strings.Contains(e.Msg, tt.want) {
				t.Errorf("got %v, want something about %q", err, tt.want)
			}
		})
	}
}

// rawLayer makes a layer of what package layer refuses to write.
func rawLayer(t *testing.T, headers []tar.Header, contents []string) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i, h := range headers {
		h.Size = int64(len(contents[i]))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, contents[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return static.NewLayer(b.Bytes(), types.OCIUncompressedLayer)
}

func TestWhiteouts(t *testing.T) {
	lower := append(basetest.Glibc("2.36"),
		basetest.Exe("usr/bin/python3.11", basetest.ELF(elf.EM_X86_64, x86Loader, "3.11.2")),
		basetest.Link("usr/bin/python3", "python3.11"),
		basetest.Exe("usr/lib/extra/libgomp.so.1", basetest.ELF(elf.EM_X86_64, "")))
	lib := string(basetest.ELF(elf.EM_X86_64, ""))
	upper := rawLayer(t, []tar.Header{
		{Name: "usr/bin/.wh.python3.11"},
		{Name: "usr/bin/python3.12", Mode: 0o755},
		{Name: "usr/bin/python3", Typeflag: tar.TypeSymlink, Linkname: "python3.12"},
		{Name: "usr/lib/extra/.wh..wh..opq"},
		{Name: "usr/lib/extra/libmine.so.1"},
		{Name: "usr/lib/extra/libhard.so.1", Typeflag: tar.TypeLink, Linkname: "usr/lib/extra/libmine.so.1"},
	}, []string{"", string(basetest.ELF(elf.EM_X86_64, x86Loader, "3.12.3")), "", "", lib, ""})
	img, err := mutate.AppendLayers(image(t, "amd64", v1.Config{}, nil, lower), upper)
	if err != nil {
		t.Fatal(err)
	}
	b, err := base.Inspect(img)
	if err != nil {
		t.Fatal(err)
	}
	if b.Version.String() != "3.12.3" || !b.Provides("libhard1") || b.Provides("libgomp1") || !b.Provides("libmine1") {
		t.Errorf("version %s, libgomp1 %v, libmine1 %v", b.Version, b.Provides("libgomp1"), b.Provides("libmine1"))
	}
}

func TestResolve(t *testing.T) {
	img := image(t, "amd64", v1.Config{}, nil, append(basetest.Glibc("2.36")[:7],
		basetest.Exe("usr/bin/python3.11", basetest.ELF(elf.EM_X86_64, x86Loader, "3.11.2")),
		basetest.Link("usr/bin/python3", "python3.11"),
		basetest.Link("opt", "var/opt"), layer.Entry{Path: "var/opt", Kind: layer.Dir}))
	b, err := base.Inspect(img)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Resolve("/opt/venv"); got != "/var/opt/venv" {
		t.Errorf("/opt/venv lies at %s", got)
	}
	if diff := cmp.Diff([]string{"/var/opt/ml"}, b.Parents("/var/opt/ml/model")); diff != "" {
		t.Error(diff)
	}
}

// with puts one more layer on docker-library's image.
func with(t *testing.T, entries ...layer.Entry) v1.Image {
	t.Helper()
	img, err := basetest.With(slim(t, "3.11.9"), entries...)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// TestIsFree looks for what would get mixed with an image's own files.
func TestIsFree(t *testing.T) {
	dir := func(name string) layer.Entry { return layer.Entry{Path: name, Kind: layer.Dir} }
	removed, err := mutate.AppendLayers(with(t, basetest.Text("opt/venv/pyvenv.cfg", "")),
		rawLayer(t, []tar.Header{{Name: "opt/venv/.wh..wh..opq"}}, []string{""}))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		image      v1.Image
		path, file string // "": it is free
	}{
		"nothing":              {slim(t, "3.11.9"), "", ""},
		"empty directories":    {with(t, dir("opt/venv/lib"), dir("opt/ml/model")), "", ""},
		"files beside":         {with(t, basetest.Text("opt/venv2/x", ""), basetest.Text("opt/ml/codes/x", "")), "", ""},
		"files that went":      {removed, "", ""},
		"an environment":       {with(t, basetest.Text("opt/venv/pyvenv.cfg", "")), "/opt/venv", "/opt/venv/pyvenv.cfg"},
		"a link alone":         {with(t, basetest.Link("opt/venv/bin/python", "/usr/local/bin/python3")), "/opt/venv", "/opt/venv/bin/python"},
		"a model":              {with(t, dir("opt/venv"), basetest.Text("opt/ml/model/MLmodel", "")), "/opt/ml/model", "/opt/ml/model/MLmodel"},
		"code":                 {with(t, basetest.Text("opt/ml/code/train.py", "")), "/opt/ml/code", "/opt/ml/code/train.py"},
		"behind a link":        {with(t, basetest.Link("opt/venv", "/srv/venv"), basetest.Text("srv/venv/x", "")), "/opt/venv", "/srv/venv/x"},
		"a file, no directory": {with(t, basetest.Text("opt/venv", "")), "/opt/venv", "/opt/venv"},
		"its own Python": {image(t, "amd64", v1.Config{Env: []string{"PATH=/opt/venv/bin"}}, nil, basetest.Glibc("2.36"), []layer.Entry{
			basetest.Exe("opt/venv/bin/python3.11", basetest.ELF(elf.EM_X86_64, x86Loader, "3.11.2")),
			basetest.Link("opt/venv/bin/python3", "python3.11"),
		}), "/opt/venv", "/opt/venv/bin/python3"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := base.InspectOnce(t.Context(), tt.image, cache.Open(t.TempDir(), nil).Memos())
			if err != nil {
				t.Fatal(err)
			}
			err = b.IsFree()
			var occupied *base.OccupiedError
			switch {
			case tt.path == "":
				if err != nil {
					t.Error(err)
				}
			case !errors.As(err, &occupied) || *occupied != base.OccupiedError{Path: tt.path, File: tt.file}:
				t.Errorf("got %v, want %s in %s", err, tt.file, tt.path)
			}
		})
	}
}

// TestProvides asks for what models need by Debian's names, of bases of all kinds.
func TestProvides(t *testing.T) {
	const java, status = "default-jre-headless", "var/lib/dpkg/status"
	jvm := basetest.Exe("usr/lib/jvm/17/bin/java", basetest.ELF(elf.EM_X86_64, x86Loader))
	dpkg := func(names ...string) layer.Entry {
		text := ""
		for _, n := range names {
			text += "Package: " + n + "\nStatus: install ok installed\nVersion: 1\n\n"
		}
		return basetest.Text(status, text)
	}
	lib := func(name string) layer.Entry { return basetest.Exe("usr/lib64/"+name, basetest.ELF(elf.EM_X86_64, "")) }
	home := image(t, "amd64", v1.Config{Env: []string{"PATH=/usr/bin", "JAVA_HOME=/usr/lib/jvm/17"}}, nil, append(basetest.Glibc("2.36"),
		basetest.Exe("usr/bin/python3.11", basetest.ELF(elf.EM_X86_64, x86Loader, "3.11.2")), basetest.Link("usr/bin/python3", "python3.11"), jvm))
	for name, tt := range map[string]struct {
		image  v1.Image
		debian string
		want   bool
	}{
		"no Java":                  {slim(t, "3.11.9"), java, false},
		"Java on PATH":             {with(t, jvm, basetest.Link("usr/bin/java", "/usr/lib/jvm/17/bin/java")), java, true},
		"a dangling java":          {with(t, basetest.Link("usr/bin/java", "/usr/lib/jvm/17/bin/java")), java, false},
		"java that cannot run":     {with(t, basetest.Text("usr/bin/java", "")), java, false},
		"Java beside PATH":         {with(t, jvm), java, false},
		"Java in JAVA_HOME":        {home, java, true},
		"Debian's OpenJDK":         {with(t, dpkg("libc6", "openjdk-17-jre-headless")), java, true},
		"Temurin":                  {with(t, dpkg("temurin-21-jre")), java, true},
		"Red Hat's name":           {with(t, dpkg("java-17-openjdk-headless")), java, true},
		"the package itself":       {with(t, dpkg(java)), java, true},
		"documentation":            {with(t, dpkg("openjdk-17-doc", "java-common")), java, false},
		"a library by its package": {with(t, dpkg("libglib2.0-0")), "libglib2.0-0", true},
		"since time_t has 64 bits": {with(t, dpkg("libglib2.0-0t64")), "libglib2.0-0", true},
		"a library with a dash":    {with(t, lib("libglib-2.0.so.0")), "libglib2.0-0", true},
		"a library in capitals":    {with(t, lib("libGL.so.1")), "libgl1", true},
		"another version of it":    {with(t, lib("libGL.so.2")), "libgl1", false},
	} {
		b, err := base.Inspect(tt.image)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.Provides(tt.debian); got != tt.want {
			t.Errorf("%s: provides %s: %v, want %v", name, tt.debian, got, tt.want)
		}
	}
}

func TestInspectOnce(t *testing.T) {
	dir := t.TempDir()
	img := slim(t, "3.11.9")
	first, err := base.InspectOnce(t.Context(), img, cache.Open(dir, nil).Memos())
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, cache.MemosFormat, "bases", "*", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("remembered in %v, %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"untouched": string(data),
		"truncated": string(data[:len(data)/2]),
		"changed":   strings.Replace(string(data), "3.11.9", "3.11.8", 1),
		"empty":     "",
	} {
		if err := os.WriteFile(files[0], []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		again, err := base.InspectOnce(t.Context(), img, cache.Open(dir, nil).Memos())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first, again); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestFit(t *testing.T) {
	b, err := base.Inspect(slim(t, "3.11.9"))
	if err != nil {
		t.Fatal(err)
	}
	target := func(python, arch, libc string) dist.Target {
		l, err := dist.ParseLibc(libc)
		if err != nil {
			t.Fatal(err)
		}
		return dist.Target{Python: pep440.MustParse(python), OS: "linux", Arch: arch, Libc: l}
	}
	for what, tt := range map[string]struct {
		target dist.Target
		want   string // in the error; "": it fits
	}{
		"the same":          {target("3.11.9", "amd64", "glibc:2.36"), ""},
		"another patch":     {target("3.11.2", "amd64", "glibc:2.36"), ""},
		"an older libc":     {target("3.11", "amd64", "glibc:2.17"), ""},
		"a newer libc":      {target("3.11", "amd64", "glibc:2.39"), "C library glibc:2.39"},
		"another libc":      {target("3.11", "amd64", "musl:1.2"), "musl:1.2"},
		"another minor":     {target("3.12.9", "amd64", "glibc:2.36"), "Python 3.12.9"},
		"another processor": {target("3.11.9", "arm64", "glibc:2.36"), "linux/arm64"},
	} {
		err := b.Fit(tt.target)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestInspectFindsTheSystem looks at what an inventory of a base needs beyond names and versions.
func TestInspectFindsTheSystem(t *testing.T) {
	release := basetest.Text("usr/lib/os-release", "PRETTY_NAME=\"Some Linux\"\nID=debian\nVERSION_ID=\"12\"\n")
	link := basetest.Link("etc/os-release", "../usr/lib/os-release")
	python := basetest.Exe("usr/local/bin/python3.11", basetest.ELF(elf.EM_X86_64, x86Loader, "3.11.9"))
	start := []layer.Entry{python, basetest.Link("usr/local/bin/python3", "python3.11"), basetest.Text("usr/local/lib/python3.11/os.py", ""),
		basetest.Text("usr/local/lib/python3.11/site-packages/Some_Tool-1.0.dist-info/METADATA", "Name: Some.Tool\n")}
	for what, tt := range map[string]struct {
		files []layer.Entry
		want  base.System
	}{
		"dpkg": {[]layer.Entry{release, link, basetest.Text("var/lib/dpkg/status",
			"Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9\n\nPackage: tzdata\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n"+
				"Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n")},
			base.System{ID: "debian", Version: "12", Database: base.Dpkg, Arches: map[string]string{"libc6": "amd64", "tzdata": "all"}}},
		"apk": {[]layer.Entry{basetest.Text("etc/os-release", "ID='alpine'\nVERSION_ID=3.20.1\n"), basetest.Text("lib/apk/db/installed", "P:busybox\nV:1.36-r2\nA:x86_64\n\n")},
			base.System{ID: "alpine", Version: "3.20.1", Database: base.Apk, Arches: map[string]string{"busybox": "x86_64"}}},
		"rpm":  {[]layer.Entry{basetest.Text("var/lib/rpm/rpmdb.sqlite", "SQLite")}, base.System{Database: base.RPM}},
		"none": {nil, base.System{}},
	} {
		img := image(t, "amd64", v1.Config{Env: []string{"PATH=/usr/local/bin:/usr/bin"}}, nil, basetest.Glibc("2.36"), append(tt.files, start...))
		b, err := base.Inspect(img)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		tt.want.Dists = map[string]string{"some-tool": "1.0"}
		if d := cmp.Diff(tt.want, b.System); d != "" {
			t.Errorf("%s: %s", what, d)
		}
	}
}
