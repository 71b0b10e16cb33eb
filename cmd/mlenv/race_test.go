//go:build race

package main

// raceDetector tells that the race detector makes everything slow.
const raceDetector = true
