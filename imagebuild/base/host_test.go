package base

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"mlenv/resolve/cache"
	"mlenv/resolve/dist"
	"mlenv/resolve/pep440"
)

// machinePython returns a CPython of this machine, or skips.
func machinePython(t *testing.T) string {
	t.Helper()
	dirs := append(filepath.SplitList(os.Getenv("PATH")), "/usr/local/bin", "/usr/bin")
	for _, minor := range []string{"3.13", "3.12", "3.11", "3.10"} {
		if name, err := FindHost(pep440.MustParse(minor), dirs); err == nil {
			return name
		}
	}
	t.Skip("no CPython on this machine's PATH")
	return ""
}

func TestHost(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("packing the machine's Python takes seconds, and minutes under the race detector, with nothing going on at once")
	}
	python := machinePython(t)
	cache := cache.Open(t.TempDir(), nil)
	img, err := Host(context.Background(), python, cache)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Inspect(img)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.Python, "/usr/local/bin/python3.") || !strings.Contains(filepath.Base(python), b.Minor()) {
		t.Errorf("%s became %s", python, b.Python)
	}
	if len(b.Version.Release()) != 3 || b.Getenv("PYTHON_VERSION") != b.Version.String() {
		t.Errorf("version %q, PYTHON_VERSION %q", b.Version, b.Getenv("PYTHON_VERSION"))
	}
	if b.Libc == (dist.Libc{}) || b.Arch == "" {
		t.Errorf("libc %q, architecture %q", b.Libc, b.Arch)
	}
	assertNothingOfTheMachine(t, img)

	again, err := Host(context.Background(), python, cache)
	if err == nil {
		err = validate.Image(again) // which reads what was remembered
	}
	if err != nil {
		t.Fatal(err)
	}
	one, _ := img.Digest()
	two, _ := again.Digest()
	if one != two {
		t.Errorf("packed twice: %s and %s", one, two)
	}

	elsewhere := v1.Platform{OS: "linux", Architecture: "s390x"}
	_, err = Open(context.Background(), "host", elsewhere, Options{Cache: cache, HostDirs: []string{filepath.Dir(python)}, Python: b.Version})
	if want := fmt.Sprintf("is for linux/%s, not for linux/s390x", b.Arch); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("for another platform: %v, want %q", err, want)
	}
}

func assertNothingOfTheMachine(t *testing.T, img v1.Image) {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	tree, err := readTree(layers)
	if err != nil {
		t.Fatal(err)
	}
	for name := range tree.nodes {
		for _, part := range strings.Split(name, "/") {
			if leftOut[part] && part != "site-packages" {
				t.Errorf("%s is in the base", name)
			}
		}
		if strings.Contains(name, "site-packages/") {
			t.Errorf("%s is in the base", name)
		}
	}
	if n, _ := tree.file("/etc/passwd"); n == nil {
		t.Error("no /etc/passwd")
	}
	if n := tree.nodes["/tmp"]; n == nil || n.mode != 0o1777 {
		t.Errorf("/tmp is %+v", n)
	}
}
