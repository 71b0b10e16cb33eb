//go:build !unix

package imagebuild_test

// setUmask does nothing: there is no file mode creation mask here.
func setUmask(int) (undo func()) { return func() {} }
