// Package templates holds the embedded templates: those of Dockerfiles, and the launcher's.
//
// One file per installer is the whole Dockerfile; header and runtime are the parts that all of
// them share. docs/dockerfile-templates.md describes the data that they are given.
package templates

import "embed"

// FS has the templates at its root: uv.tmpl, pip.tmpl, conda.tmpl, header.tmpl, runtime.tmpl.
//
//go:embed *.tmpl
var FS embed.FS

// Launcher is the template of the program that starts the server in an image, a Python file. It is
// given .Python and .Model (paths), .Server (uvicorn, gunicorn or mlserver), .Port and .Workers.
//
//go:embed mlenv-serve.py
var Launcher string

// Deploy has the templates of the manifests that run an image, deploy/PLATFORM.yaml, and what they
// share. Package deploy describes the data that they are given.
//
//go:embed deploy/*.yaml deploy/*.tmpl
var Deploy embed.FS
