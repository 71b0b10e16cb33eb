package wheel

import (
	"archive/tar"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"mlenv/imagebuild/layer"
)

// TestAgainstPip installs wheels with pip and compares the trees, file by file, with mode and bytes, RECORD included.
// It wants MLENV_PYTHON, an interpreter with pip 26 or later, and MLENV_WHEELS, a directory of wheels that fit it.
func TestAgainstPip(t *testing.T) {
	python, dir := os.Getenv("MLENV_PYTHON"), os.Getenv("MLENV_WHEELS")
	if python == "" || dir == "" {
		t.Skip("set MLENV_PYTHON and MLENV_WHEELS to compare with pip")
	}
	wheels, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil || len(wheels) == 0 {
		t.Fatalf("no wheels in %s: %v", dir, err)
	}
	venv := filepath.Join(t.TempDir(), "venv")
	run := func(args ...string) string {
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run(python, "-m", "venv", "--without-pip", venv)
	minor := run(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
	before := tree(t, venv)
	args := []string{python, "-m", "pip", "--python", venv, "install", "--quiet", "--no-deps", "--no-index", "--no-compile"}
	run(append(args, wheels...)...)
	after := tree(t, venv)
	got := map[string]installed{}
	for _, name := range wheels {
		unpack(t, name, Scheme{Prefix: venv, Minor: minor}, got)
	}
	differ := 0
	for _, p := range paths(after, got) {
		a, inPip := after[p]
		b, inOurs := got[p]
		if _, old := before[p]; old && !inOurs {
			continue
		}
		switch {
		case !inOurs:
			t.Errorf("%s: only pip has it", p)
		case !inPip:
			t.Errorf("%s: only we have it", p)
		case a.mode != b.mode:
			t.Errorf("%s: mode %o, pip %o", p, b.mode, a.mode)
		case a.body != b.body:
			t.Errorf("%s: other bytes, %d and pip's %d\n%s", p, len(b.body), len(a.body), firstDifference(b.body, a.body))
		default:
			continue
		}
		if differ++; differ > 50 {
			t.Fatal("and more")
		}
	}
	t.Logf("%d wheels, %d files compared", len(wheels), len(got))
}

type installed struct {
	mode fs.FileMode
	body string
}

func tree(t *testing.T, root string) map[string]installed {
	out := map[string]installed{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(p)
		out[p] = installed{fi.Mode().Perm(), string(b)}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// unpack installs a wheel as pip would say it did, by way of the layer.
func unpack(t *testing.T, name string, s Scheme, into map[string]installed) {
	w, err := Open(name)
	if err != nil {
		t.Error(err)
		return
	}
	defer w.Close()
	url, err := os.ReadFile(filepath.Join(s.Prefix, "lib/python"+s.Minor+"/site-packages", w.DistInfo(), "direct_url.json"))
	if err != nil {
		t.Error(err)
	}
	for _, n := range w.Notes {
		t.Logf("%s: %s: %s", filepath.Base(name), n.Path, n.Text)
	}
	l, err := w.Layer(s, Options{Requested: true, DirectURL: url, Installer: "pip"}, layer.Options{})
	if err != nil {
		t.Error(err)
		return
	}
	if _, err := l.Digest(); err != nil {
		t.Error(err)
		return
	}
	r, err := l.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			into["/"+h.Name] = installed{fs.FileMode(h.Mode), string(b)}
		}
	}
}

func paths(maps ...map[string]installed) []string {
	seen := map[string]bool{}
	var out []string
	for _, m := range maps {
		for p := range m {
			if !seen[p] {
				seen[p] = true
				out = append(out, p)
			}
		}
	}
	sort.Strings(out)
	return out
}

func firstDifference(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return "  " + as[i] + "\n  " + bs[i]
		}
	}
	return ""
}
