//go:build !race

package base

const raceDetector = false
