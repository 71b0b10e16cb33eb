package imagebuild

import (
	"context"
	"fmt"
	"io"
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
			make: func(ctx context.Context) (contents, error) {
				c, err := w.wheels.takeAll(ctx, group, w.paths)
				if err != nil {
					return contents{}, err
				}
				return w.compile(ctx, modules(c.entries, w.recipe.Compiler.Minor), w.paths.venv)
			},
		})
	}
	if own := modules(w.code, w.recipe.Compiler.Minor); len(own) > 0 {
		parts = append(parts, w.compiledCode(own, key))
	}
	return parts, nil
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
		make: func(ctx context.Context) (contents, error) { return w.compile(ctx, own, w.paths.model, w.paths.code) },
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
	return w.compile(ctx, sources)
}

// compile gives the compiled files of sources, with the directories below the roots.
func (w *work) compile(ctx context.Context, entries []layer.Entry, roots ...string) (contents, error) {
	var sources []compile.Source
	for _, e := range entries {
		sources = append(sources, compile.Source{Path: e.Path, Open: func() (io.ReadCloser, error) { return e.Content.Plain() }})
	}
	files, err := w.recipe.Compiler.Files(ctx, sources)
	if err != nil {
		return contents{}, err
	}
	return contents{entries: layer.WithParents(files, roots...)}, nil
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
