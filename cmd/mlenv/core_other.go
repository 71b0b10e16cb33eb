//go:build !unix

package main

// dumpNoCore has nothing to do: there are no core files.
func dumpNoCore() {}
