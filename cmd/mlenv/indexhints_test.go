package main

import (
	"fmt"
	"strings"
	"testing"

	"mlenv/resolve/index"
)

func TestIndexHints(t *testing.T) {
	for want, err := range map[string]error{
		"--extra-index-url":        &index.NotFoundError{Name: "nunpy"},
		"without --offline":        &index.OfflineError{What: "the page of numpy"},
		"changed on its way":       &index.HashError{},
		"/simple/":                 &index.FormatError{Err: fmt.Errorf("x")},
		"another index":            &index.MetadataError{},
		"~/.netrc":                 &index.NetworkError{Status: 401},
		"HTTPS_PROXY and PIP_CERT": &index.NetworkError{Status: 503},
	} {
		if got := hint(fmt.Errorf("locking: %w", err)); !strings.Contains(got, want) {
			t.Errorf("%v: %q does not say %q", err, got, want)
		}
	}
}
