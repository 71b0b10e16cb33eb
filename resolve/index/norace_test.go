//go:build !race

package index_test

// raceDetector says that memory is that of the race detector, too.
const raceDetector = false
