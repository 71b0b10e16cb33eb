//go:build race

package layer

// raceEnabled says that memory is that of the race detector, too.
const raceEnabled = true
