package imagebuild

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"mlenv/imagebuild/compile"
	"mlenv/imagebuild/layer"
	"mlenv/imagebuild/pyc"
)

// Layers of compiled files, in images that have any. They are beside the others, so that a wheel's own
// layer is the same with them and without.
const (
	compiledWheels = 4                  // layers of the wheels' modules, by the hash of the wheel's name
	forCompiled    = compiledWheels + 2 // and one each for the standard library's and the model's
)

// aside is how many layers compiled files may take.
func (r *Recipe) aside() int {
	if r.Compiler == nil {
		return 0
	}
	return forCompiled
}

// InterpretersMemo remembers which interpreter a base has, as far as compiled files depend on it.
const InterpretersMemo = "pythons"

// CompiledMemo remembers where the compiled modules of a wheel are kept on this machine: of no use on another.
const CompiledMemo = "compiled"

// compiledKey is what a layer of compiled files depends on.
type compiledKey struct {
	Compiled    string // pyc.Format
	Interpreter string
	Of          any
}

// interpreter returns the key of the base's interpreter. What is remembered of the base saves unpacking it.
func (w *work) interpreter(ctx context.Context) (string, error) {
	type of struct{ Base, Format string }
	digest, err := w.recipe.Base.Image.Digest()
	if err != nil {
		return "", err
	}
	id, key := of{digest.String(), pyc.Format}, ""
	if _, ok, err := w.recall(ctx, InterpretersMemo, id, &key); err != nil || !ok || !hexSHA256.MatchString(key) {
		if err != nil {
			return "", err
		}
		i, err := w.recipe.Compiler.Interpreter(ctx)
		if err != nil {
			return "", err
		}
		key = i.Key
		if err := w.remember(ctx, InterpretersMemo, id, key); err != nil {
			return "", err
		}
	}
	return key, w.carry(InterpretersMemo, id, key)
}

// compiledParts are the layers of compiled files: of the standard library, where the base has none, of the
// wheels, and of the model's code.
func (w *work) compiledParts(ctx context.Context) ([]part, error) {
	if w.recipe.Compiler == nil {
		return nil, nil
	}
	interpreter, err := w.interpreter(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking for the base's Python: %w", err)
	}
	digest, err := w.recipe.Base.Image.Digest()
	if err != nil {
		return nil, err
	}
	key := func(of any) compiledKey { return compiledKey{pyc.Format, interpreter, of} }
	parts := []part{{holds: "compiled modules of Python itself", key: key(digest.String()), make: w.compiledLibrary}}
	sorted := slices.Clone(w.recipe.Wheels)
	slices.SortFunc(sorted, func(a, b Wheel) int { return strings.Compare(a.Name, b.Name) })
	for _, group := range inBuckets(sorted, compiledWheels, func(one Wheel) string { return one.Name }) {
		parts = append(parts, part{
			holds: fmt.Sprintf("compiled modules of %d wheels", len(group)), key: key(w.wheelsKey(group)),
			make: func(ctx context.Context) (contents, error) { return w.compiledGroup(ctx, group, key) },
		})
	}
	if own := modules(w.code, w.recipe.Compiler.Minor); len(own) > 0 {
		parts = append(parts, w.compiledCode(own, key))
	}
	return parts, nil
}

// compiledGroup has the compiled modules of some wheels, which are sorted by name. Of two wheels that hold the
// same module it takes the last one's, whose source is installed too.
func (w *work) compiledGroup(ctx context.Context, group []Wheel, key func(any) compiledKey) (contents, error) {
	files := map[string]layer.Entry{}
	for _, one := range group {
		of, err := w.compiledWheel(ctx, one, key)
		if err != nil {
			return contents{}, err
		}
		for _, f := range of {
			files[f.Path] = f
		}
	}
	return contents{entries: layer.WithParents(slices.Collect(maps.Values(files)), w.paths.venv)}, nil
}

// compiledWheel gives the compiled modules of one wheel, which are kept: a wheel more or less in its group makes
// another layer, but compiles nothing else.
func (w *work) compiledWheel(ctx context.Context, one Wheel, key func(any) compiledKey) ([]layer.Entry, error) {
	of := key(w.wheelsKey([]Wheel{one}))
	var known compile.Archive
	_, ok, err := w.recall(ctx, CompiledMemo, of, &known)
	if err != nil {
		return nil, err
	}
	if ok {
		if files, ok := w.recipe.Compiler.Kept(known); ok {
			return files, nil
		}
	}
	o, err := w.wheels.take(ctx, one)
	if err != nil {
		return nil, err
	}
	files, err := w.compile(ctx, modules(o.entries, w.recipe.Compiler.Minor))
	if err != nil {
		return nil, err
	}
	if known, err = w.recipe.Compiler.Keep(files); err != nil || known.SHA256 == "" {
		return files, err
	}
	return files, w.remember(ctx, CompiledMemo, of, known)
}

// compiledCode is the part of the model's own modules, which is remembered by their content.
func (w *work) compiledCode(own []layer.Entry, key func(any) compiledKey) part {
	type id struct{ Path, SHA256 string }
	return part{
		holds: "compiled modules of the model",
		prepare: func(ctx context.Context) (any, error) {
			var of []id
			for _, e := range own {
				sum, err := hashFile(ctx, e.Content.Open)
				if err != nil {
					return nil, fmt.Errorf("reading %s: %w", e.Source, err)
				}
				of = append(of, id{e.Path, sum})
			}
			return key(of), nil
		},
		make: func(ctx context.Context) (contents, error) {
			files, err := w.compile(ctx, own)
			return contents{entries: layer.WithParents(files, w.paths.model, w.paths.code)}, err
		},
	}
}

// compiledLibrary has the standard library's modules that the base has not compiled. docker-library's images
// have none.
func (w *work) compiledLibrary(ctx context.Context) (contents, error) {
	i, err := w.recipe.Compiler.Interpreter(ctx)
	if err != nil {
		return contents{}, err
	}
	var sources []layer.Entry
	for _, m := range i.Missing {
		content, err := layer.FromFile(m.File)
		if err != nil {
			return contents{}, err
		}
		sources = append(sources, layer.Entry{Path: strings.TrimPrefix(w.paths.base.Resolve(m.Path), "/"), Content: content})
	}
	files, err := w.compile(ctx, sources)
	return contents{entries: layer.WithParents(files)}, err
}

// compile gives the compiled files of sources.
func (w *work) compile(ctx context.Context, entries []layer.Entry) ([]layer.Entry, error) {
	var sources []compile.Source
	for _, e := range entries {
		sources = append(sources, compile.Source{Path: e.Path, Open: func() (io.ReadCloser, error) { return e.Content.Plain() }})
	}
	return w.recipe.Compiler.Files(ctx, sources)
}

// modules are the sources among files that shall be compiled: all but those of tests, which no server imports,
// and those whose compiled file is there already.
func modules(files []layer.Entry, minor int) []layer.Entry {
	there := map[string]bool{}
	for _, e := range files {
		there[e.Path] = true
	}
	var out []layer.Entry
	for _, e := range files {
		if e.Kind == layer.File && strings.HasSuffix(e.Path, ".py") && !ofTests(e.Path) && !there[compile.Cached(e.Path, minor)] {
			out = append(out, e)
		}
	}
	return out
}

func ofTests(name string) bool {
	return slices.ContainsFunc(strings.Split(path.Dir(name), "/"), func(dir string) bool { return dir == "tests" || dir == "test" })
}
