// Command mlenv turns an MLflow Model into its environment: one merged spec, a lock, a
// Dockerfile, or an OCI image.
//
// This package binds flags to plain structs, supplies what libraries never touch themselves (environment,
// clock, network, terminal, files outside the model), chooses words, and says by the exit code how it went.
// What a command does lies in the libraries, one function for each step; a command that needs to decide
// something about models, locks or images here is a sign that a library lacks it.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime/debug"
	"time"
)

func main() {
	if len(os.Args) > 3 && os.Args[1] == confineCommand {
		os.Exit(confinePython(os.Args[2:]))
	}
	// The runtime ends a process that panics or gets no more memory with 2, which means findings here:
	// a pipeline that goes on with findings must not go on with that. As a crash it ends with SIGABRT.
	// It must leave no core, which would hold every password that the process knows.
	debug.SetTraceback("crash")
	dumpNoCore()
	ctx, stop := interruptible(context.Background())
	done := make(chan int, 1)
	go func() { done <- run(ctx, os.Args[1:], os.LookupEnv, os.Stdin, os.Stdout, os.Stderr) }()
	code := 0
	select {
	case code = <-done:
	case <-ctx.Done():
		code = grace(ctx, done)
	}
	stop()
	os.Exit(code)
}

// graceTime is how long a command may take to end in good order after a signal. What waits outside
// every context, such as the opening of a pipe that nobody writes to, does not end by itself.
const graceTime = 5 * time.Second

// grace gives the exit code of a command that a signal ended.
func grace(ctx context.Context, done <-chan int) int {
	select {
	case code := <-done:
		return code
	case <-time.After(graceTime):
	}
	var why *interruption
	if errors.As(context.Cause(ctx), &why) {
		return why.code()
	}
	return exitFailure
}

// run is the whole program: it runs the command line args and gives the exit code. Everything
// that a command may know of the outside world comes through its parameters.
func run(ctx context.Context, args []string, lookup func(string) (string, bool),
	stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{lookup: lookup, stdin: stdin, stdout: stdout, stderr: stderr}
	a.began = a.clock()
	err := interrupted(ctx, a.run(ctx, args))
	a.printError(ctx, err)
	return exitCode(err)
}
