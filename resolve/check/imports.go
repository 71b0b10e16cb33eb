package check

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"mlenv/resolve"
	"mlenv/resolve/finding"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
)

// condaNames maps conda packages to the distributions they contain, where the names differ.
var condaNames = map[string]string{
	"pytorch": "torch", "pytorch-cpu": "torch", "pytorch-gpu": "torch", "py-opencv": "opencv-python", "opencv": "opencv-python",
	"matplotlib-base": "matplotlib", "py-xgboost": "xgboost", "tensorflow-base": "tensorflow", "dask-core": "dask",
	"python-graphviz": "graphviz", "msgpack-python": "msgpack",
}

// installed returns the distributions that will be installed: the locked ones, or without a lock
// the required ones.
func (c *checker) installed() map[string]bool {
	have := map[string]bool{}
	for _, list := range [][]resolve.Requirement{c.in.Spec.Requirements, c.in.Spec.BuildDependencies} {
		for _, r := range list {
			have[string(r.Name)] = true
		}
	}
	if c.in.Lock != nil {
		// Only what is locked is installed, apart from the build dependencies, which every
		// environment has.
		have = map[string]bool{}
		for _, r := range c.in.Spec.BuildDependencies {
			have[string(r.Name)] = true
		}
		for _, p := range c.in.Lock.Packages {
			have[string(p.Name)] = true
		}
	}
	for _, p := range c.in.Spec.Conda.Packages {
		have[p.Name] = true
		have[condaNames[p.Name]] = true
	}
	delete(have, "")
	return have
}

// requiredAt returns where a distribution is required, or else where it is locked.
func (c *checker) requiredAt(name string) []finding.Origin {
	for _, r := range c.in.Spec.Requirements {
		if string(r.Name) == name {
			return slices.Clone(r.From)
		}
	}
	if c.locked(pep508.Name(name)) != nil {
		return []finding.Origin{c.lockOrigin(pep508.Name(name))}
	}
	return nil
}

// use is a module and the first line that imports it.
type use struct {
	module string
	from   finding.Origin
	// needed says that the model cannot be loaded without it: the import stands at the top of a file that is
	// imported when the model is.
	needed bool
}

// imports reports modules that the model's code imports but that nothing provides.
func (c *checker) imports() {
	have := c.installed()
	unnamed := slices.ContainsFunc(c.in.Spec.Requirements, func(r resolve.Requirement) bool { return r.Name == "" })
	for _, u := range c.uses() {
		switch {
		case c.tree.modules[u.module] != "", isProvided(u.module, have), c.in.Lock == nil && installedAlong(u.module, have):
		case c.ofPython(u):
		case unnamed && c.in.Lock == nil: // a requirement by path or URL may contain any module
		default:
			c.missingImport(u)
		}
	}
}

// ofPython checks a module of Python's standard library. It returns false for other modules.
func (c *checker) ofPython(u use) bool {
	l, ok := stdlib()[u.module]
	if !ok {
		return false
	}
	minor := minorNumber(c.minor())
	if l.has(minor) {
		return true
	}
	what := fmt.Sprintf("no longer has the module %s (Python 3.%d was the last to have it)", u.module, l.last)
	if minor < l.first {
		what = fmt.Sprintf("does not have the module %s yet (Python 3.%d is the first to have it)", u.module, l.first)
	}
	c.find(finding.ImportRemovedFromPython, u.module, []finding.Origin{u.from}, "Python 3.%d %s", minor, what)
	return true
}

// missingImport reports a module that nothing provides: an error where a lock makes that certain, otherwise a
// warning, for a requirement may bring it under another name.
func (c *checker) missingImport(u use) {
	names, known := providers(u.module)
	wanted := strings.TrimSuffix(names[0], "-*")
	hint := ""
	if known && wanted != strings.ToLower(u.module) {
		hint = " (the package is " + wanted + ")"
	}
	// A distribution can contain modules of any name. Where not even a part of a locked name is the
	// module's, it is none of theirs.
	if c.in.Lock != nil && (known || u.needed && !c.mayContain(u.module)) {
		c.find(finding.ImportNotLocked, u.module, []finding.Origin{u.from}, "%s is imported, but nothing in the lock provides it%s", u.module, hint)
		return
	}
	why := "no requirement provides it"
	if c.in.Lock != nil {
		why = "nothing in the lock seems to provide it" // a distribution can contain modules of any name
	}
	c.find(finding.ImportWithoutRequirement, u.module, []finding.Origin{u.from}, "%s is imported, but %s%s", u.module, why, hint)
}

// maxModules is how many modules are asked for. No code that people write imports more.
const maxModules = 10_000

// uses lists the modules that must be there when the code runs, each with its first place.
func (c *checker) uses() []use {
	seen := map[string]bool{}
	var out []use
	add := func(module string, needed bool, from func() finding.Origin) {
		if module != "" && !seen[module] && len(out) < maxModules {
			seen[module] = true
			out = append(out, use{module, from(), needed})
		}
	}
	if v := c.in.Model.Flavor("python_function").Get("loader_module"); v.Text != "" {
		top, _, _ := strings.Cut(v.Text, ".")
		if top != "mlflow" { // what brings mlflow is package resolve's to see to
			add(top, true, func() finding.Origin { return c.from(v)[0] })
		}
	}
	slices.SortStableFunc(c.tree.sources, func(a, b source) int { return cmp.Compare(a.file, b.file) })
	loaded := c.loaded()
	for _, s := range c.tree.sources {
		for _, i := range s.imports {
			if top := i.Top(); !i.Soft && !seen[top] && top != "mlflow" && top != "__future__" && !c.nextTo(s.file, top) {
				add(top, !i.Nested && loaded[s.file], func() finding.Origin { return c.origin(s.file, i.Line) })
			}
		}
	}
	return out
}

// nextTo reports whether a module is in the same directory as the file that imports it. It is not
// on Python's path there, but code that runs as a script or adds its own directory to the path
// finds it.
func (c *checker) nextTo(file, module string) bool {
	i := strings.LastIndexByte(file, '/')
	if i < 0 {
		return false
	}
	return c.tree.files[file[:i+1]+module+".py"] || c.tree.files[file[:i+1]+module+"/__init__.py"]
}

// mlflowBefore reports whether the mlflow that loads the model is known to be older than a version.
func (c *checker) mlflowBefore(version string) bool {
	v, _ := c.mlflow()
	return !v.IsZero() && v.Compare(pep440.MustParse(version)) < 0
}

// loaded lists the files that run when the model is loaded to serve: the code that it was logged from or
// its loader, and what these import at their top, as far as it is the model's own.
func (c *checker) loaded() map[string]bool {
	byFile := map[string]source{}
	for _, s := range c.tree.sources {
		byFile[s.file] = s
	}
	out := map[string]bool{}
	var visit func(file string)
	visit = func(file string) {
		s, ok := byFile[file]
		if !ok || out[file] {
			return
		}
		out[file] = true
		for _, i := range s.imports {
			if i.Soft || i.Nested || i.Level > 0 {
				continue
			}
			c.visitModule(i.Module, visit)
		}
	}
	pyfunc := c.in.Model.Flavor("python_function")
	if v := pyfunc.Get("model_code_path"); v.Text != "" {
		visit(path.Base(v.Text))
	}
	c.visitModule(pyfunc.Get("loader_module").Text, visit)
	return out
}

// visitModule visits the files of the model's code that importing a module runs: those of the packages
// that it is in, and its own.
func (c *checker) visitModule(module string, visit func(file string)) {
	parts := strings.Split(module, ".")
	for _, dir := range c.in.Model.Code {
		for n := range parts {
			at := path.Join(dir.Text, path.Join(parts[:n+1]...))
			visit(at + ".py")
			visit(at + "/__init__.py")
		}
	}
}

// mayContain reports that the name of a locked distribution resembles a module's: one holds the other,
// without separators and what names of either sort often begin or end with.
func (c *checker) mayContain(module string) bool {
	letters := func(name string) string {
		name = strings.ToLower(strings.NewReplacer("-", "", "_", "", ".", "").Replace(name))
		return strings.TrimSuffix(strings.TrimPrefix(name, "py"), "py")
	}
	want := letters(module)
	return slices.ContainsFunc(c.in.Lock.Packages, func(p pylock.Package) bool {
		have := letters(string(p.Name))
		return have != "" && want != "" && (strings.Contains(have, want) || strings.Contains(want, have))
	})
}
