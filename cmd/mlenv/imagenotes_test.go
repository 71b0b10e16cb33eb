package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mlenv/resolve/finding"
	"mlenv/resolve/index/indextest"
)

// TestImageFindsOddWheels holds that what is odd about a wheel is said, also when the wheel is not read again.
func TestImageFindsOddWheels(t *testing.T) {
	w := newImageWorld(t)
	w.index.Remove("deep")
	w.index.Add(indextest.Dist{Name: "deep", Version: "0.1", Files: map[string]string{"deep/A.py": "1", "deep/a.py": "1"}})
	args := []string{"-q", "-o", "oci:" + filepath.Join(t.TempDir(), "x")}
	const want = "warning: deep-0.1-py3-none-any.whl: deep/a.py: its name differs from deep/A.py by case only [wheel-names-by-case]\n"
	for _, what := range []string{"at first", "again"} {
		if _, errs, code := command(t, w.env, w.args(args...)...); code != 0 || strings.Count(errs, want) != 1 {
			t.Errorf("%s: exit code %d\n%s", what, code, errs)
		}
	}
	r := w.image(t, args...)
	if found := r.Findings[slices.IndexFunc(r.Findings, func(f finding.Finding) bool { return f.Rule == finding.WheelNamesByCase }):]; len(found) != 1 || found[0].Subject != "deep-0.1-py3-none-any.whl" {
		t.Errorf("findings %+v", r.Findings)
	}
}
