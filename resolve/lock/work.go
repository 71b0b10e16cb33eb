package lock

import (
	"errors"
	"sync"
	"sync/atomic"
)

// known is what one call of Solve has read of its index: pages by the names of their projects, metadata by
// the names of files. The index remembers it, so that to read it again costs nothing.
type known struct {
	mu   sync.Mutex
	read map[string]bool
}

// first reports whether something is read for the first time, and notes it.
func (k *known) first(what string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.read[what] {
		return false
	}
	if k.read == nil {
		k.read = map[string]bool{}
	}
	k.read[what] = true
	return true
}

// count is how much was read.
func (k *known) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.read)
}

// work bounds searches that nobody must wait for. The nil work is no bound.
type work struct {
	reads atomic.Int64 // pages and metadata that may still be read for the first time
	steps atomic.Int64 // versions that may still be tried
}

// errEnough ends a search for which there is no work left.
var errEnough = errors.New("the bound of work is reached")

// read takes one thing off what may be read for the first time.
func (w *work) read() error {
	if w != nil && w.reads.Add(-1) < 0 {
		return errEnough
	}
	return nil
}

// step takes one version off those that may be tried.
func (w *work) step() error {
	if w != nil && w.steps.Add(-1) < 0 {
		return errEnough
	}
	return nil
}

// done reports whether there is nothing left to be done.
func (w *work) done() bool { return w != nil && (w.reads.Load() <= 0 || w.steps.Load() <= 0) }
