//go:build !linux && !darwin

package main

func programs() map[string]func() { return map[string]func(){"mlenv": main} }
