// Package basetest makes tiny base images for tests: laid out like those that people use, with ELF
// files that hold what is read of them and nothing that could run.
package basetest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"mlenv/imagebuild/layer"
)

// ELF makes a 64-bit ELF file with a loader ("" for a library) and a payload: strings that a
// compiler would have put into .rodata.
func ELF(machine elf.Machine, interp string, payload ...string) []byte {
	const headerSize, progSize = 64, 56
	text := interp + "\x00"
	head := elf.Header64{
		Ident:     [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:      uint16(elf.ET_DYN),
		Machine:   uint16(machine),
		Version:   uint32(elf.EV_CURRENT),
		Phoff:     headerSize,
		Ehsize:    headerSize,
		Phentsize: progSize,
		Phnum:     1,
		Shentsize: 64,
	}
	prog := elf.Prog64{Type: uint32(elf.PT_NULL)}
	if interp != "" {
		prog = elf.Prog64{Type: uint32(elf.PT_INTERP), Off: headerSize + progSize, Filesz: uint64(len(text)), Memsz: uint64(len(text))}
	}
	var b bytes.Buffer
	for _, part := range []any{head, prog} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			panic(err) // of fixed-size structs into memory
		}
	}
	b.WriteString(text)
	for _, p := range payload {
		b.WriteString("\x00" + p + "\x00")
	}
	return b.Bytes()
}

// Exe is an executable file.
func Exe(name string, content []byte) layer.Entry {
	return layer.Entry{Path: name, Mode: 0o755, Content: layer.Bytes(content)}
}

// Text is a plain file.
func Text(name, content string) layer.Entry {
	return layer.Entry{Path: name, Content: layer.Bytes([]byte(content))}
}

// Link is a symbolic link.
func Link(name, target string) layer.Entry {
	return layer.Entry{Path: name, Kind: layer.Symlink, Link: target}
}

// Image makes an image of layers, for linux and an architecture ("" for none).
func Image(arch string, config v1.Config, annotations map[string]string, layers ...[]layer.Entry) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, entries := range layers {
		var err error
		if img, err = With(img, entries...); err != nil {
			return nil, err
		}
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", arch, config
	if img, err = mutate.ConfigFile(img, file); err != nil {
		return nil, err
	}
	if len(annotations) > 0 {
		img = mutate.Annotations(img, annotations).(v1.Image)
	}
	return img, nil
}

// With puts one more layer on an image.
func With(img v1.Image, entries ...layer.Entry) (v1.Image, error) {
	roots := map[string]bool{}
	for _, e := range entries {
		root, _, _ := strings.Cut(e.Path, "/")
		roots[root] = true
	}
	for root := range roots {
		entries = layer.WithParents(entries, root)
	}
	l, err := layer.New(entries, layer.Options{})
	if err != nil {
		return nil, err
	}
	return mutate.Append(img, mutate.Addendum{Layer: l, MediaType: types.OCILayer})
}

// machine is what an architecture's files have in common.
type machine struct {
	elf            elf.Machine
	loader, libDir string
}

var machines = map[string]machine{
	"amd64": {elf.EM_X86_64, "/lib64/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu"},
	"arm64": {elf.EM_AARCH64, "/lib/ld-linux-aarch64.so.1", "usr/lib/aarch64-linux-gnu"},
}

// Glibc is a C library with its loader on a merged /usr, as Debian has it, for amd64.
func Glibc(version string) []layer.Entry { return machines["amd64"].glibc(version) }

func (m machine) glibc(version string) []layer.Entry {
	return []layer.Entry{
		Link("bin", "usr/bin"), Link("lib", "usr/lib"), Link("lib64", "usr/lib64"),
		Exe("usr"+m.loader, ELF(m.elf, "")),
		Exe(m.libDir+"/libc.so.6", ELF(m.elf, m.loader, "GNU C Library (Debian GLIBC) stable release version "+version+".")),
		Text("etc/ssl/certs/ca-certificates.crt", "-----BEGIN CERTIFICATE-----\n"),
		Link("usr/lib/ssl/certs", "/etc/ssl/certs"),
		{Path: "opt", Kind: layer.Dir},
	}
}

// Slim is laid out like docker-library's python:<version>-slim on Debian 12, for amd64.
func Slim(version string) (v1.Image, error) { return slim(version, "amd64") }

func slim(version, arch string) (v1.Image, error) {
	m := machines[arch]
	parts := strings.SplitN(version, ".", 3)
	minor := parts[0] + "." + parts[1]
	config := v1.Config{
		Env:        []string{"PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "PYTHON_VERSION=" + version, "PYTHON_SHA256=00"},
		Cmd:        []string{"python3"},
		WorkingDir: "/",
	}
	python := []layer.Entry{
		Exe("usr/local/bin/python"+minor, ELF(m.elf, m.loader)),
		Link("usr/local/bin/python3", "python"+minor), Link("usr/local/bin/python", "python3"),
		Exe("usr/local/lib/libpython"+minor+".so.1.0", ELF(m.elf, "", version)),
		Text("usr/local/lib/python"+minor+"/os.py", "# os\n"),
	}
	status := Text("var/lib/dpkg/status", "Package: libc6\nStatus: install ok installed\nVersion: 2.36-9+deb12u10\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: tzdata\nStatus: install ok installed\nVersion: 2025b\n")
	return Image(arch, config, nil, append(m.glibc("2.36"), status), python)
}

// Index is Slim for several architectures, amd64 and arm64.
func Index(version string, archs ...string) (v1.ImageIndex, error) {
	var adds []mutate.IndexAddendum
	for _, arch := range archs {
		img, err := slim(version, arch)
		if err != nil {
			return nil, err
		}
		adds = append(adds, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	return mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), adds...), nil
}
