package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"mlenv/imagebuild/base/basetest"
	"mlenv/resolve/index/indextest"
)

// sharedLibrary makes an ELF file that needs libraries: a dynamic section and its strings, which
// is all that is read of one.
func sharedLibrary(soname string, needed ...string) []byte {
	strs := []byte{0}
	var dynamic bytes.Buffer
	add := func(tag elf.DynTag, text string) {
		_ = binary.Write(&dynamic, binary.LittleEndian, elf.Dyn64{Tag: int64(tag), Val: uint64(len(strs))})
		strs = append(append(strs, text...), 0)
	}
	add(elf.DT_SONAME, soname)
	for _, name := range needed {
		add(elf.DT_NEEDED, name)
	}
	_ = binary.Write(&dynamic, binary.LittleEndian, elf.Dyn64{})
	const names = "\x00.dynstr\x00.dynamic\x00.shstrtab\x00"
	const header = 64
	at := func(parts ...int) (n uint64) {
		for n = header; len(parts) > 0; parts = parts[1:] {
			n += uint64(parts[0])
		}
		return n
	}
	strAt, dynAt, nameAt := at(), at(len(strs)), at(len(strs), dynamic.Len())
	sections := []elf.Section64{
		{},
		{Name: 1, Type: uint32(elf.SHT_STRTAB), Off: strAt, Size: uint64(len(strs))},
		{Name: 9, Type: uint32(elf.SHT_DYNAMIC), Off: dynAt, Size: uint64(dynamic.Len()), Link: 1, Entsize: 16},
		{Name: 18, Type: uint32(elf.SHT_STRTAB), Off: nameAt, Size: uint64(len(names))},
	}
	h := elf.Header64{
		Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: header,
		Shoff: at(len(strs), dynamic.Len(), len(names)), Shentsize: 64, Shnum: uint16(len(sections)), Shstrndx: 3,
	}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	var b bytes.Buffer
	_ = binary.Write(&b, binary.LittleEndian, h)
	b.Write(strs)
	b.Write(dynamic.Bytes())
	b.WriteString(names)
	_ = binary.Write(&b, binary.LittleEndian, sections)
	return b.Bytes()
}

// onlineCase is a model with a lock of what an index has.
func onlineCase(t *testing.T, dists ...indextest.Dist) (dir string, env map[string]string) {
	t.Helper()
	x := indextest.New(t, dists...)
	dir = t.TempDir()
	requirements := ""
	lock := "lock-version = \"1.0\"\ncreated-by = \"mlenv\"\n"
	for _, d := range dists {
		requirements += d.Name + "==" + d.Version + "\n"
		lock += fmt.Sprintf("\n[[packages]]\nname = %q\nversion = %q\nindex = %q\nwheels = [{name = %q, url = %q, hashes = {sha256 = %q}}]\n",
			d.Name, d.Version, x.URL, d.Filename(), x.FileURL(d), d.SHA256())
	}
	for name, text := range map[string]string{
		"model/MLmodel": "flavors:\n  python_function: {loader_module: mlflow.pyfunc.model, env: {virtualenv: python_env.yaml}}\n" +
			"mlflow_version: 2.9.2\nsignature: {inputs: '[{\"type\": \"long\", \"name\": \"a\"}]'}\n",
		"model/python_env.yaml":  "python: 3.11.7\ndependencies: [-r requirements.txt]\n",
		"model/requirements.txt": requirements,
		"pylock.toml":            lock,
	} {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir, map[string]string{"PIP_INDEX_URL": x.URL, "MLENV_CACHE_DIR": filepath.Join(dir, "cache")}
}

var mlflowDist = indextest.Dist{Name: "mlflow", Version: "2.9.2"}

func TestCheckOnline(t *testing.T) {
	dir, env := onlineCase(t, mlflowDist,
		indextest.Dist{Name: "a", Version: "1.0", Yanked: true, YankedReason: "leaks"},
		indextest.Dist{Name: "b", Version: "1.0", Metadata: "Metadata-Version: 2.4\nName: b\nVersion: 1.0\nLicense-Expression: GPL-3.0-only\n"})
	policy := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(policy, []byte("licences: {deny: [GPL-3.0-only]}\nrules: {licence-unknown: off}\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	args := []string{"check", "--date", "2026-01-01", "--lock", filepath.Join(dir, "pylock.toml"), "--policy", policy, filepath.Join(dir, "model")}
	out, errs, code := command(t, env, append(args, "--online")...)
	if code != exitFindings || !strings.Contains(out, "a 1.0 was yanked: leaks [yanked-release]") ||
		!strings.Contains(out, "b 1.0 has the licence GPL-3.0-only, which the policy does not allow [licence-not-allowed]") {
		t.Errorf("exit code %d, stderr %q, stdout\n%s", code, errs, out)
	}
	if out, errs, code = command(t, env, args...); code != exitOK || strings.Contains(out, "yanked") {
		t.Errorf("without --online: exit code %d, stderr %q, stdout\n%s", code, errs, out)
	}
}

// Without a lock, --online makes one for the check alone.
func TestCheckSolves(t *testing.T) {
	dir, env := onlineCase(t, mlflowDist, indextest.Dist{Name: "a", Version: "1.0", Requires: []string{"mlflow>=3"}})
	args := []string{"check", "--date", "2026-01-01", "--serve", "none", "--online", filepath.Join(dir, "model")}
	out, errs, code := command(t, env, args...)
	if code != exitFindings || !strings.Contains(out, "[unsatisfiable-environment]") || !strings.Contains(out, "mlflow") {
		t.Errorf("exit code %d, stderr %q, stdout\n%s", code, errs, out)
	}
	dir, env = onlineCase(t, mlflowDist, indextest.Dist{Name: "a", Version: "1.0", Yanked: true, YankedReason: "leaks"})
	args[len(args)-1] = filepath.Join(dir, "model")
	out, errs, code = command(t, env, args...)
	if code != exitOK || !strings.Contains(out, "a 1.0 was yanked: leaks [yanked-release]") {
		t.Errorf("exit code %d, stderr %q, stdout\n%s", code, errs, out)
	}
}

func TestCheckNativeLibraries(t *testing.T) {
	const tag = "cp311-cp311-manylinux_2_17_x86_64"
	dir, env := onlineCase(t, mlflowDist,
		indextest.Dist{Name: "a", Version: "1.0", Tags: tag, Files: map[string]string{
			"a/_native.so":          string(sharedLibrary("_native.so", "libc.so.6", "libinside.so.1", "libnowhere.so.3")),
			"a.libs/libinside.so.1": string(sharedLibrary("libinside.so.1", "libc.so.6")),
			"a/text.so":             "not a library",
		}})
	out, errs, code := checkOnBase(t, dir, env)
	const want = "_native.so of a needs libnowhere.so.3, which neither oci:"
	if code != exitFindings || strings.Count(out, "[native-library-missing]") != 1 || !strings.Contains(out, want) {
		t.Errorf("exit code %d, stderr %q, stdout\n%s", code, errs, out)
	}
}

// checkOnBase checks the model and the lock of a directory against a base that it lays out there.
func checkOnBase(t *testing.T, dir string, env map[string]string) (stdout, stderr string, code int) {
	t.Helper()
	img, err := basetest.Slim("3.11.7")
	if err != nil {
		t.Fatal(err)
	}
	path, err := layout.Write(filepath.Join(dir, "base"), empty.Index)
	if err == nil {
		err = path.AppendImage(img)
	}
	if err != nil {
		t.Fatal(err)
	}
	return command(t, env, "check", "--date", "2026-01-01", "--lock", filepath.Join(dir, "pylock.toml"),
		"--base", "oci:"+filepath.Join(dir, "base"), filepath.Join(dir, "model"))
}

// TestCheckReadsTheInstalledWheel holds that the libraries are those of the wheel that an image would
// get: of several the one whose tags fit best, then the one with the greatest build number, whatever
// their order, and of a package by URL or path the wheel that it is.
func TestCheckReadsTheInstalledWheel(t *testing.T) {
	dir, env := onlineCase(t, mlflowDist)
	needing := func(name, build, tags, library string) indextest.Dist {
		return indextest.Dist{Name: name, Version: "1.0", Build: build, Tags: tags,
			Files: map[string]string{name + "/x.so": string(sharedLibrary("x.so", library))}}
	}
	const native, stable = "cp311-cp311-manylinux_2_17_x86_64", "cp311-abi3-manylinux_2_17_x86_64"
	packages := [][]indextest.Dist{
		{needing("build", "1", native, "liblow.so"), needing("build", "10", native, "libhigh.so"), needing("build", "9", native, "libmiddle.so")},
		{needing("first", "", native, "libbest.so"), needing("first", "5", stable, "libworse.so")},
		{needing("last", "5", stable, "libworse.so"), needing("last", "", native, "libbest.so")},
		{needing("archive", "", native, "libdirect.so")},
	}
	lock := "lock-version = \"1.0\"\ncreated-by = \"mlenv\"\n"
	for _, dists := range packages {
		lock += fmt.Sprintf("\n[[packages]]\nname = %q\nversion = \"1.0\"\n", dists[0].Name)
		var files []string
		for _, d := range dists {
			files = append(files, fmt.Sprintf("{name = %q, path = \"wheels/%s\", hashes = {sha256 = %q}}", d.Filename(), d.Filename(), d.SHA256()))
		}
		if dists[0].Name == "archive" {
			lock += "archive = " + files[0] + "\n"
		} else {
			lock += "wheels = [" + strings.Join(files, ", ") + "]\n"
		}
		indextest.Write(t, filepath.Join(dir, "wheels"), dists...)
	}
	if err := os.WriteFile(filepath.Join(dir, "pylock.toml"), []byte(lock), 0o666); err != nil {
		t.Fatal(err)
	}
	out, errs, _ := checkOnBase(t, dir, env)
	var got []string
	for _, m := range regexp.MustCompile(`x\.so of (\S+) needs (\S+),`).FindAllStringSubmatch(out, -1) {
		got = append(got, m[1]+" "+m[2])
	}
	slices.Sort(got)
	want := []string{"archive libdirect.so", "build libhigh.so", "first libbest.so", "last libbest.so"}
	if !slices.Equal(got, want) {
		t.Errorf("missing libraries %q, want %q; stderr %q, stdout\n%s", got, want, errs, out)
	}
}

// Findings end with 2, what cannot be done with 1.
func TestCheckExitCodes(t *testing.T) {
	for want, args := range map[int][]string{
		exitOK:       {"check", "--date", "2026-01-01", "../../examples/sklearn"},
		exitFindings: {"check", "--date", "2026-01-01", "../../examples/disagree"},
		exitFailure:  {"check", "../../examples/nowhere"},
	} {
		if _, _, code := command(t, nil, args...); code != want {
			t.Errorf("mlenv %s: exit code %d, want %d", strings.Join(args, " "), code, want)
		}
	}
}
