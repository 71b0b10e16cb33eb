package index

import (
	"fmt"
	"sync/atomic"
)

// maxMemory is what all pages and metadata that a client holds may take, in bytes. A lock of 300
// packages takes a tenth of it; a page that is made to fill the memory, compressed a thousandfold
// perhaps, is refused before it has.
const maxMemory = 256 << 20

// What things take beside their texts: measured, and rounded up.
const (
	fileCost     = 1024 // a file that was understood
	rowCost      = 128  // one that is only encoded, while the page is read and sorted
	headCost     = 512  // the beginning of a file name, which others share
	tagCost      = 48   // one tag of a wheel
	groupCost    = 256  // a version of a page, and a word that its files share
	metadataCost = 8    // metadata that was understood, per byte of its text
)

// A budget bounds the memory that what came from outside takes, however many servers send it at once.
// What waits for others to finish could wait for ever, so that what does not fit is an error; and so is
// all that follows, lest one answer after the other fill the memory in vain.
type budget struct {
	spent    atomic.Int64
	exceeded atomic.Bool
}

// spend takes so many bytes. The error is a *MemoryError.
func (b *budget) spend(n int) error {
	if b == nil {
		return nil
	}
	if b.exceeded.Load() || b.spent.Load()+int64(n) > maxMemory {
		b.exceeded.Store(true)
		return &MemoryError{}
	}
	b.spent.Add(int64(n))
	return nil
}

// refund gives bytes back.
func (b *budget) refund(n int) { b.spent.Add(-int64(n)) }

// A MemoryError says that pages and metadata together are larger than any environment needs.
type MemoryError struct{}

func (e *MemoryError) Error() string {
	return fmt.Sprintf("with it, what indexes list takes more than %d MB of memory", maxMemory>>20)
}

// An account is what one page or answer takes of a budget.
type account struct {
	budget *budget
	spent  int
}

// spend takes so many bytes; of no account it takes nothing.
func (a *account) spend(n int) error {
	if a == nil {
		return nil
	}
	if err := a.budget.spend(n); err != nil {
		return err
	}
	a.spent += n
	return nil
}

// close gives back all but what is kept.
func (a *account) close(kept int) {
	a.budget.refund(a.spent - kept)
	a.spent = kept
}

// cost is what a link takes.
func (l *link) cost() int {
	n := fileCost + len(l.filename) + len(l.url) + len(l.requiresPython) + len(l.reason)
	if l.query != "" {
		n += queryCost + len(l.query)
	}
	for _, hashes := range []map[string]string{l.hashes, l.metadataHashes} {
		for k, v := range hashes {
			n += 64 + len(k) + len(v)
		}
	}
	return n
}
