package lock

import (
	"fmt"

	"mlenv/resolve/pylock"
)

// BackendError says that a lock's PyTorch is not built for what was asked for.
type BackendError struct {
	Want string // "cu128"
	Have string // that of the lock; "" where it was made without one
}

func (e *BackendError) Error() string {
	if e.Have == "" {
		return fmt.Sprintf("the lock was made without a backend of PyTorch, not for %s", e.Want)
	}
	return fmt.Sprintf("the lock was made for PyTorch's backend %s, not for %s", e.Have, e.Want)
}

// ForBackend makes sure that a lock was made for a backend of PyTorch, where one is asked for; the error
// is a *BackendError.
func ForBackend(l *pylock.Lock, backend string) error {
	if backend == "" || l.Tool.TorchBackend == backend {
		return nil
	}
	return &BackendError{Want: backend, Have: l.Tool.TorchBackend}
}
