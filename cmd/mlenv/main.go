// Command mlenv turns an MLflow Model into its environment: one merged spec, a lock, a
// Dockerfile, or an OCI image.
package main

import (
	"context"
	"io"
	"os"
)

func main() {
	ctx, stop := interruptible(context.Background())
	code := run(ctx, os.Args[1:], os.LookupEnv, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
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
