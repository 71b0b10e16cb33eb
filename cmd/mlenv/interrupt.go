package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// interruption is the cause of a context that a signal ended.
type interruption struct{ signal syscall.Signal }

func (e *interruption) Error() string { return "interrupted; nothing was left half done" }

// Is implements the interface of errors.Is: whoever asks a cause whether it is a cancellation, as package
// net/http gives it, finds one.
func (e *interruption) Is(target error) bool { return target == context.Canceled }

// code is the exit code by which shells know that a process was ended by the signal.
func (e *interruption) code() int { return 128 + int(e.signal) }

// interruptible gives a context that Ctrl-C and SIGTERM end, with an *interruption as its cause. The
// first signal ends the work in good order; the second one ends the process as it always would.
func interruptible(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals)
			cause, _ := s.(syscall.Signal) // on every system that Go knows
			cancel(&interruption{cause})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// interrupted gives what is to be said of a command's error after a signal: the interruption, after
// what else went wrong. What only follows from the interruption is left out.
func interrupted(ctx context.Context, err error) error {
	var why *interruption
	if err == nil || !errors.As(context.Cause(ctx), &why) {
		return err
	}
	all := split(err)
	if len(all) == 1 && exitCode(err) == exitFindings {
		return err // the command had done its work before the signal came
	}
	all = slices.DeleteFunc(all, func(e error) bool {
		return errors.Is(e, context.Canceled) || exitCode(e) == exitFindings
	})
	return errors.Join(append(all, why)...)
}
