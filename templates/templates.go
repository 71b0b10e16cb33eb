// Package templates contains the embedded templates of Dockerfiles and of the launcher.
//
// There is one Dockerfile template per installer. header.tmpl and runtime.tmpl are the parts they
// share. docs/dockerfile-templates.md describes the data they get.
package templates

import "embed"

// FS has the templates at its root: uv.tmpl, pip.tmpl, conda.tmpl, header.tmpl, runtime.tmpl.
//
//go:embed *.tmpl
var FS embed.FS

// Launcher is the template of the program that starts the server in an image, a Python file. Its
// data is .Python and .Model (paths), .Server (uvicorn, gunicorn or mlserver), .Port and .Workers.
//
//go:embed mlenv-serve.py
var Launcher string

// Deploy has the templates of the manifests that run an image, deploy/PLATFORM.yaml, and their
// shared parts. Package deploy describes the data they get.
//
//go:embed deploy/*.yaml deploy/*.tmpl
var Deploy embed.FS
