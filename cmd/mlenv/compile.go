package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"mlenv/imagebuild/base"
	"mlenv/imagebuild/compile"
)

// confineCommand is the word by which mlenv starts itself to confine a base's Python. It is no command for people: the
// limits must be set in the process that becomes that Python, after it has begun.
const confineCommand = "confine-python"

// confinePython becomes the program args[1:], which can do no more than compile.Confine says. It returns only
// where that fails.
func confinePython(args []string) int {
	printPlain(compile.Confine(args[0], args[1:], os.Environ()))
	return exitFailure
}

// The words of --compile.
const (
	compileNot        = "no"
	compileConfined   = "yes"
	compileUnconfined = "unconfined"
)

// cannotCompileError says that the base's Python cannot be run on this machine, or not safely.
type cannotCompileError struct {
	err  error
	hint string
}

func (e *cannotCompileError) Error() string { return "compiling modules: " + e.err.Error() }
func (e *cannotCompileError) Unwrap() error { return e.err }

// compiler returns what compiles the modules of an image on a base; nil: nothing shall be compiled.
func (r *imageRun) compiler(b *base.Found) (*compile.Compiler, error) {
	if r.layers.compile == compileNot {
		return nil, nil
	}
	c, err := r.app.compiler(b, r.layers.compile, r.layers.jobs)
	if err == nil {
		r.layers.compilers = append(r.layers.compilers, c)
	}
	return c, err
}

// compiler returns what compiles modules with the Python of a base, in one of the ways that the words of
// --compile name, with so many processes at once.
func (a *app) compiler(b *base.Found, how string, jobs int) (*compile.Compiler, error) {
	if runtime.GOOS != "linux" || b.OS != "linux" || b.Arch != runtime.GOARCH {
		return nil, &cannotCompileError{
			fmt.Errorf("the base is for %s, and its Python cannot run here, on %s/%s", b.Platform(), runtime.GOOS, runtime.GOARCH),
			"build it on a machine of that kind; without --compile, --env PYTHONPYCACHEPREFIX=/tmp/.pycache keeps what a container compiles at its start",
		}
	}
	var confine []string
	if how == compileConfined {
		if err := compile.CanConfine(); err != nil {
			return nil, &cannotCompileError{err, "--compile=unconfined runs it with all that you may do yourself: only for a base that you would run anyway"}
		}
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		confine = []string{self, confineCommand}
	}
	dir, err := a.cache()
	if err != nil {
		return nil, err
	}
	room, err := dir.Models()
	if err != nil {
		return nil, fmt.Errorf("making room for compiled modules: %w", err)
	}
	return &compile.Compiler{
		Image: b.Image, Python: b.Python, Minor: int(b.Version.Release()[1]), Dir: room, Jobs: min(jobs, runtime.GOMAXPROCS(0)), Confine: confine, Blobs: dir.Blobs(),
	}, nil
}

// closeCompilers ends what runs, and removes what was compiled.
func (r *imageRun) closeCompilers() error {
	var errs []error
	for _, c := range r.layers.compilers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
