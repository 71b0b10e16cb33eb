package check

import (
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"mlenv/resolve/check/pyimports"
	"mlenv/resolve/finding"
	"mlenv/resolve/model"
	"mlenv/resolve/pattern"
)

// source is one Python file of the model.
type source struct {
	file    string
	imports []pyimports.Import
}

// sourceTree is the model's own Python code.
type sourceTree struct {
	sources []source
	files   map[string]bool   // of the sources
	modules map[string]string // the top-level modules by name, with the path that brings each
}

// Limits on how much code is read. Code beyond them is not checked.
const (
	maxSources    = 5000
	maxSourceSize = 4 << 20 // bytes
)

// code reads the model's code, and checks that Python can import it without hiding something.
func (c *checker) code() {
	c.tree.modules = map[string]string{}
	for _, dir := range c.in.Model.Code {
		c.codeDirectory(dir)
	}
	for _, p := range c.in.Spec.CodePaths {
		if len(p.From) > 0 && p.From[0].File == finding.CommandLine {
			c.tree.modules[strings.TrimSuffix(path.Base(p.Path), ".py")] = p.Path
		}
	}
	if v := c.in.Model.Flavor("python_function").Get("model_code_path"); v.Text != "" {
		c.readSource(path.Base(v.Text))
	}
	c.shadows()
}

// codeDirectory reads one directory that is put on Python's path.
func (c *checker) codeDirectory(dir model.Value) {
	entries, err := fs.ReadDir(c.in.Model.FS, dir.Text)
	if err != nil {
		return // package resolve reports missing directories
	}
	subdirs := c.mlflowBefore("2.1") // its subdirectories are on the path too
	for _, e := range entries {
		c.module(path.Join(dir.Text, e.Name()), e, dir)
		if e.IsDir() && subdirs {
			inner, err := fs.ReadDir(c.in.Model.FS, path.Join(dir.Text, e.Name()))
			if err != nil {
				continue
			}
			for _, i := range inner {
				if name, ok := strings.CutSuffix(i.Name(), ".py"); ok {
					c.tree.modules[name] = path.Join(dir.Text, e.Name(), i.Name())
				}
			}
		}
	}
	err = fs.WalkDir(c.in.Model.FS, dir.Text, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || len(c.tree.sources) >= maxSources:
			return fs.SkipAll
		case d.IsDir() && name != dir.Text && notProduction(d.Name()):
			return fs.SkipDir
		case !d.IsDir() && strings.HasSuffix(name, ".py") && !isTest(d.Name()):
			c.readSource(name)
		}
		return nil
	})
	if err != nil {
		c.fail(err)
	}
}

// identifier matches the names that a module can be imported by.
var identifier = pattern.New(`^[\pL_][\pL\pN_]*$`)

// module reads one entry of a directory on Python's path.
func (c *checker) module(name string, e fs.DirEntry, dir model.Value) {
	base := e.Name()
	stem, isSource := strings.CutSuffix(base, ".py")
	switch {
	case strings.HasPrefix(base, "."):
		return
	case e.IsDir():
		if !c.hasPython(name) {
			return
		}
	case isSource:
	default:
		if i := strings.IndexByte(base, '.'); i > 0 && strings.HasSuffix(base, ".so") {
			c.tree.modules[base[:i]] = name // an extension module: the rest of its name is its ABI
		}
		return
	}
	if !identifier.MatchString(stem) {
		c.find(finding.CodeNotImportable, name, append([]finding.Origin{{File: name}}, c.from(dir)...),
			"%s cannot be imported: %q is not a valid module name in Python", name, stem)
		return
	}
	if stem != "__init__" && stem != "setup" && stem != "conftest" && stem != "__main__" {
		c.tree.modules[stem] = name
	}
}

// hasPython reports whether a directory contains a Python file at any depth.
func (c *checker) hasPython(dir string) bool {
	found := false
	_ = fs.WalkDir(c.in.Model.FS, dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || found {
			return fs.SkipAll
		}
		found = !d.IsDir() && (strings.HasSuffix(name, ".py") || strings.HasSuffix(name, ".so"))
		return nil
	})
	return found
}

// notProduction reports whether a directory holds no code that runs when the model serves.
func notProduction(dir string) bool {
	return dir == "tests" || dir == "test" || strings.HasPrefix(dir, ".")
}

// isTest reports whether a file runs only in tests, or when the code is packaged.
func isTest(base string) bool {
	return base == "conftest.py" || base == "setup.py" || strings.HasPrefix(base, "test_") || strings.HasSuffix(base, "_test.py")
}

// readStart reads a file of the model as far as sources are read.
func (c *checker) readStart(name string) ([]byte, error) {
	f, err := c.in.Model.FS.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSourceSize))
}

// readSource adds a file and its imports to the source tree.
func (c *checker) readSource(name string) {
	data, err := c.readStart(name)
	if err != nil {
		return // modelFiles reports a file that MLmodel names and that is not there
	}
	if c.tree.files == nil {
		c.tree.files = map[string]bool{}
	}
	c.tree.files[name] = true
	c.tree.sources = append(c.tree.sources, source{file: name, imports: pyimports.Scan(data)})
}

// harmless are modules of Python's own that no library imports, so that hiding them does no harm.
var harmless = []string{"test", "turtle", "turtledemo", "idlelib", "this", "antigravity", "lib2to3", "ensurepip", "venv", "tkinter"}

// shadows reports modules of the model that hide others.
func (c *checker) shadows() {
	minor := minorNumber(c.minor())
	have := c.installed()
	for _, module := range slices.Sorted(maps.Keys(c.tree.modules)) {
		file := c.tree.modules[module]
		from := []finding.Origin{{File: file}}
		if l, ok := stdlib()[module]; ok && l.has(minor) && minor > 0 && !slices.Contains(harmless, module) {
			c.find(finding.CodeShadowsStdlib, module, from, "%s hides Python's own module %s", file, module)
			continue
		}
		for _, name := range shadowed(module, have) {
			c.find(finding.CodeShadowsPackage, module, append(from, c.requiredAt(name)...), "%s hides the package %s, which is installed", file, name)
		}
	}
}

// shadowed returns the installed distributions that have a module of that name.
func shadowed(module string, have map[string]bool) []string {
	names, known := providers(module)
	if !known {
		names = names[:1]
	}
	var out []string
	for _, name := range names {
		if have[name] {
			out = append(out, name)
		}
	}
	return out
}
