package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mlenv/resolve/index/indextest"
	"mlenv/resolve/lock"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// A version that is on an index beside the one that counts is said to be there, with what one can do.
func TestVersionOfAnotherIndex(t *testing.T) {
	main := indextest.New(t, indextest.Parse("requests 2.28.1", "requests 2.32.3")...)
	second := indextest.New(t, indextest.Parse("requests 2.28.1")...)
	model := t.TempDir()
	if err := os.WriteFile(filepath.Join(model, "MLmodel"), []byte("flavors:\n  python_function:\n    loader_module: none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"lock", model, "--python", "3.11", "--serve", "none", "--pip-requirements", "requests==2.32.3", "-o", "-",
		"--index-url", main.URL, "--extra-index-url", second.URL}
	env := map[string]string{"MLENV_CACHE_DIR": t.TempDir()}
	_, errs, code := command(t, env, args...)
	for _, want := range []string{
		"but " + second.URL + " has no such version (its newest is 2.28.1)",
		"try: --index-strategy unsafe-best-match, if you trust all indexes alike: " + main.URL + " has requests 2.32.3",
	} {
		if code != exitFailure || !strings.Contains(errs, want) {
			t.Errorf("exit code %d, without %q:\n%s", code, want, errs)
		}
	}
	if strings.Contains(errs, "instead of") {
		t.Errorf("another version is offered, though the one wanted is there:\n%s", errs)
	}
	if out, errs, code := command(t, env, append(args, "--index-strategy", "unsafe-best-match")...); code != exitOK || !strings.Contains(out, "2.32.3") {
		t.Errorf("what the hint says does not help: exit code %d\n%s", code, errs)
	}
}

// Every kind of hint has its words.
func TestHintWords(t *testing.T) {
	name := []pep508.Name{"torch"}
	root := &lock.Root{Requirement: pep508.Requirement{Name: "torch", Spelling: "torch", Specifier: pep440.MustParseSpecifiers("==2.7.1+cu128")}, From: []string{"requirements.txt:3"}}
	version := pep440.MustParse("2.7.1")
	for kind := lock.OtherVersion; kind <= lock.AdmitWheels; kind++ {
		h := lock.Hint{Kind: kind, Packages: name, Root: root, Version: version, Versions: []pep440.Version{version}, Label: "cu128", Index: "https://index.example/simple/"}
		if text := lockHint(h); !strings.Contains(text, "torch") || strings.Contains(text, "%!") {
			t.Errorf("%v: %q", h, text)
		}
	}
	label := lock.Hint{Kind: lock.WithoutLabel, Packages: name, Root: root, Version: version, Label: "cu128"}
	if got := lockHint(label); !strings.Contains(got, "PyTorch's own index for cu128, from which --torch-backend cu128 takes it") || !strings.HasPrefix(got, "torch==2.7.1, which is there and fits") {
		t.Error(got)
	}
	label.Packages = []pep508.Name{"jaxlib"}
	if got := lockHint(label); strings.Contains(got, "PyTorch") {
		t.Error(got)
	}
}

func TestFolded(t *testing.T) {
	var steps []string
	for i := range 40 {
		steps = append(steps, strings.Repeat("x", i+1))
	}
	if got := folded(steps, true); len(got) != 40 {
		t.Errorf("with everything: %d steps", len(got))
	}
	if got := folded(steps[:mostSteps], false); len(got) != mostSteps {
		t.Errorf("of a short proof %d steps are printed", len(got))
	}
	got := folded(steps, false)
	if len(got) > mostSteps || got[0] != steps[0] || got[len(got)-1] != steps[39] || !strings.Contains(strings.Join(got, "\n"), "(30 more steps") {
		t.Errorf("folded: %q", got)
	}
}
