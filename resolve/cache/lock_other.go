//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package cache

import (
	"errors"
	"os"
)

const canLock = false

func lock(*os.File, string) (*os.File, error) { return nil, errors.ErrUnsupported }

// removeAbandoned removes nothing: nobody knows whether a file's writer still lives.
func removeAbandoned(string) bool { return false }
