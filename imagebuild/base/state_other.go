//go:build !linux

package base

import "mlenv/imagebuild/layer"

// stateOf knows nothing of files elsewhere, where there is no Linux Python to be packed either.
func stateOf([]layer.Entry) (string, bool) { return "", false }
