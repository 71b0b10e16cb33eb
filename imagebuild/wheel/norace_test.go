//go:build !race

package wheel

// raceEnabled says that memory is that of the race detector, too.
const raceEnabled = false
