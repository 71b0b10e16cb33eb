// Package templates holds the embedded Dockerfile templates.
//
// One file per installer is the whole Dockerfile; header and runtime are the parts that all of
// them share. docs/dockerfile-templates.md describes the data that they are given.
package templates

import "embed"

// FS has the templates at its root: uv.tmpl, pip.tmpl, conda.tmpl, header.tmpl, runtime.tmpl.
//
//go:embed *.tmpl
var FS embed.FS
