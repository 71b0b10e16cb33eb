package main

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"mlenv/resolve/envfile"
	"mlenv/resolve/lock"
	"mlenv/resolve/model"
)

// The exit codes. A signal's is 128 and its number, as shells have it. Findings have a code of their own so
// that a pipeline can go on with them, and never with a failure.
const (
	exitOK       = 0
	exitFailure  = 1 // could not do it
	exitFindings = 2 // findings at or above the threshold
)

// usageError is a command line that cannot be understood.
type usageError struct {
	msg     string
	hint    string
	command string // the command's path, "" for the root
}

func (e *usageError) Error() string { return e.msg }

// findingsError ends a command that did its work but found too much. The findings have been
// printed already.
type findingsError struct{ count int }

func (e *findingsError) Error() string {
	return plural(e.count, "finding") + " at or above the threshold"
}

// exitCode gives the code of the error that a command ended with. A signal comes before all else: what else
// went wrong then mostly did because of it.
func exitCode(err error) int {
	var findings *findingsError
	var signal *interruption
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &signal):
		return signal.code()
	case errors.As(err, &findings):
		return exitFindings
	default:
		return exitFailure
	}
}

// printError prints err on stderr: each of several joined errors on its own line, with its hint
// below it.
func (a *app) printError(ctx context.Context, err error) {
	if err == nil || exitCode(err) == exitFindings {
		return
	}
	s := a.console()
	var last string
	for _, e := range split(err) {
		if signal, ok := e.(*interruption); ok {
			s.print("%s", signal)
			continue
		}
		if none := noSolution(e); none != nil {
			a.printNoSolution(ctx, strings.TrimSuffix(e.Error(), none.Error()), none)
			continue
		}
		s.print("%s %s", s.paint(red, "error:"), strings.TrimRight(e.Error(), "\n"))
		if h := hint(e); h != "" && h != last {
			s.print("  %s %s", s.paint(cyan, "hint:"), h)
			last = h
		}
	}
}

// split takes errors that were joined apart, however deeply they are wrapped.
func split(err error) []error {
	for e := err; e != nil; e = errors.Unwrap(e) {
		if joined, ok := e.(interface{ Unwrap() []error }); ok {
			var all []error
			for _, one := range joined.Unwrap() {
				all = append(all, split(one)...)
			}
			return all
		}
	}
	return []error{err}
}

// hint says what the user can do about err, "" where there is nothing to say. All hints that are
// not part of a parse error live here.
func hint(err error) string {
	var (
		usage   *usageError
		refused *lock.RefusedError
		inEnv   *envfile.Error
		inModel *model.Error
	)
	switch {
	case errors.As(err, &usage):
		see := strings.TrimSpace("run mlenv help " + usage.command)
		if usage.hint == "" {
			return see
		}
		return usage.hint + " (" + see + ")"
	case errors.As(err, &inEnv):
		return inEnv.Hint
	case errors.As(err, &inModel):
		return inModel.Hint
	case errors.As(err, &refused):
		return refusedHint(refused)
	case errors.Is(err, fs.ErrPermission):
		return "check that the file can be read by this user"
	}
	if h := fetchHint(err); h != "" {
		return h
	}
	if h := indexHint(err); h != "" {
		return h
	}
	return imageHint(err)
}
