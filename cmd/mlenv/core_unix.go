//go:build unix

package main

import "syscall"

// dumpNoCore keeps a crash from writing the process's memory to disk. That it cannot be done is no
// reason not to go on: most systems write none anyway.
func dumpNoCore() {
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
}
