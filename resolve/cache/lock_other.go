//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package cache

import (
	"errors"
	"os"
)

func lock(*os.File, string) (*os.File, error) { return nil, errors.ErrUnsupported }
