//go:build !linux

package base

import "mlenv/imagebuild/layer"

// stateOf is not implemented for other systems, which have no Linux Python to pack anyway.
func stateOf([]layer.Entry) (string, bool) { return "", false }
