package base

import (
	"bufio"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// object is one ELF file on the machine.
type object struct {
	file    string // real path
	class   elf.Class
	machine elf.Machine
	needed  []string // DT_NEEDED
	search  []string // DT_RPATH and DT_RUNPATH with $ORIGIN expanded
	interp  string
}

// openObject reads the dynamic section of an ELF file. It returns nil for other files.
func openObject(name string) (*object, error) {
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return nil, err
	}
	file, err := elf.Open(real)
	if err != nil {
		return nil, nil // not ELF
	}
	defer file.Close()
	o := &object{file: real, class: file.Class, machine: file.Machine}
	if o.needed, err = file.ImportedLibraries(); err != nil {
		return nil, fmt.Errorf("reading %s: %w", real, err)
	}
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		values, err := file.DynString(tag)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", real, err)
		}
		for _, v := range values {
			for _, dir := range strings.Split(v, ":") {
				dir = strings.NewReplacer("$ORIGIN", filepath.Dir(real), "${ORIGIN}", filepath.Dir(real)).Replace(dir)
				o.search = append(o.search, dir)
			}
		}
	}
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP && p.Filesz < 4096 {
			text := make([]byte, p.Filesz)
			if _, err := p.ReadAt(text, 0); err != nil {
				return nil, fmt.Errorf("reading %s: %w", real, err)
			}
			o.interp = strings.TrimRight(string(text), "\x00")
		}
	}
	return o, nil
}

// libraries finds shared libraries on the machine like its dynamic loader.
type libraries struct {
	root  string // "" except in tests
	dirs  []string
	found map[string]*object // by the name under which they are loaded
	class elf.Class
	mach  elf.Machine
}

func newLibraries(root string, o *object) *libraries {
	l := &libraries{root: root, found: map[string]*object{}, class: o.class, mach: o.machine}
	l.dirs = ldConf(root, "/etc/ld.so.conf", 0)
	triplet := map[elf.Machine]string{elf.EM_X86_64: "x86_64-linux-gnu", elf.EM_AARCH64: "aarch64-linux-gnu",
		elf.EM_ARM: "arm-linux-gnueabihf", elf.EM_386: "i386-linux-gnu", elf.EM_PPC64: "powerpc64le-linux-gnu",
		elf.EM_S390: "s390x-linux-gnu", elf.EM_RISCV: "riscv64-linux-gnu"}[o.machine]
	if triplet != "" {
		l.dirs = append(l.dirs, "/lib/"+triplet, "/usr/lib/"+triplet)
	}
	l.dirs = append(l.dirs, "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib")
	return l
}

// ldConf returns the directories named in ld.so.conf and the files it includes (ldconfig(8)).
func ldConf(root, name string, depth int) []string {
	file, err := os.Open(root + name)
	if err != nil || depth > 4 {
		return nil // without it there are only the default directories
	}
	defer file.Close()
	var dirs []string
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		switch {
		case len(fields) == 2 && fields[0] == "include":
			pattern := fields[1]
			if !filepath.IsAbs(pattern) {
				pattern = filepath.Join(filepath.Dir(name), pattern)
			}
			matches, _ := filepath.Glob(root + pattern)
			sort.Strings(matches)
			for _, m := range matches {
				dirs = append(dirs, ldConf(root, strings.TrimPrefix(m, root), depth+1)...)
			}
		case len(fields) == 1 && filepath.IsAbs(fields[0]):
			dirs = append(dirs, fields[0])
		}
	}
	return dirs
}

// add adds the libraries that an object needs, and those they need. Missing libraries are ignored:
// whatever needs them does not work on the machine either.
func (l *libraries) add(o *object) error {
	for _, name := range o.needed {
		if err := l.addNamed(name, o.search); err != nil {
			return err
		}
	}
	return nil
}

func (l *libraries) addNamed(name string, search []string) error {
	if l.found[name] != nil || strings.Contains(name, "/") {
		return nil
	}
	for _, dir := range append(append([]string{}, search...), l.dirs...) {
		lib, err := openObject(filepath.Join(l.root+dir, name))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		if lib == nil || lib.class != l.class || lib.machine != l.mach {
			continue
		}
		l.found[name] = lib
		return l.add(lib)
	}
	return nil
}

// wanted are the libraries that compiled wheels rely on: those in the policies of PEP 600 that slim
// images of docker-library have too, those that the C library loads to look up names, and OpenMP,
// which many wheels expect.
var wanted = []string{
	"libc.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0", "libutil.so.1",
	"libresolv.so.2", "libnsl.so.1", "libanl.so.1", "libmvec.so.1", "libcrypt.so.1",
	"libnss_files.so.2", "libnss_dns.so.2", "libgcc_s.so.1", "libstdc++.so.6", "libatomic.so.1",
	"libgomp.so.1", "libz.so.1", "libexpat.so.1", "libffi.so.8", "liblzma.so.5", "libbz2.so.1.0",
}
