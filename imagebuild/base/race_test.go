//go:build race

package base

const raceDetector = true
