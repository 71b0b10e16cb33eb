//go:build !linux || (!amd64 && !arm64)

package compile

// Confine always fails here: confining a process is known only for Linux on amd64 and arm64.
func Confine(string, []string, []string) error { return ErrCannotConfine }

// CanConfine says that this machine cannot confine a process.
func CanConfine() error { return ErrCannotConfine }
