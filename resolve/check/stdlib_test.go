package check

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestStdlib(t *testing.T) {
	for _, test := range []struct {
		module string
		minor  int
		want   bool
	}{
		{"os", 8, true}, {"os", 14, true}, {"os", 15, true}, {"os", 0, true}, {"tomllib", 10, false}, {"tomllib", 11, true},
		{"imp", 11, true}, {"imp", 12, false}, {"compression", 13, false}, {"compression", 14, true}, {"numpy", 11, false},
	} {
		l, ok := stdlib()[test.module]
		if got := ok && l.has(test.minor); got != test.want {
			t.Errorf("%s in Python 3.%d: %v", test.module, test.minor, got)
		}
	}
}

// The table has what a real Python says of itself.
func TestStdlibOfPython(t *testing.T) {
	python := os.Getenv("MLENV_PYTHON")
	if python == "" {
		t.Skip("MLENV_PYTHON names no Python")
	}
	const script = `import sys; print(sys.version_info[1], *getattr(sys, "stdlib_module_names", ()))`
	out, err := exec.Command(python, "-c", script).Output()
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(string(out))
	minor := minorNumber("3." + words[0])
	if len(words) < 100 || minor > newestListed {
		t.Skipf("Python 3.%d is not in the table or does not know its modules", minor)
	}
	for _, name := range words[1:] {
		if l, ok := stdlib()[name]; (!ok || !l.has(minor)) && !strings.HasPrefix(name, "_") && name != "this" && name != "antigravity" {
			t.Errorf("Python 3.%d has %s", minor, name)
		}
	}
}

// Modules in the tables are written as they are imported, distributions as they are normalized.
func TestModuleTables(t *testing.T) {
	for module, names := range distributions {
		if strings.ContainsAny(module, ".- ") || len(names) == 0 {
			t.Errorf("the module %q", module)
		}
		for _, name := range names {
			if name != strings.ToLower(name) || strings.ContainsAny(name, "_. ") {
				t.Errorf("the distribution %q of %s", name, module)
			}
		}
		if l, ok := stdlib()[module]; ok && l.last == newestListed {
			t.Errorf("%s is Python's own", module)
		}
	}
	for name := range installsAlso {
		if name != strings.ToLower(name) || strings.ContainsAny(name, "_. ") {
			t.Errorf("the distribution %q", name)
		}
	}
}
