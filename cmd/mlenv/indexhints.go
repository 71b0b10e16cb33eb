package main

import (
	"errors"
	"net/http"
	"strings"

	"mlenv/resolve/index"
)

// indexHint says what helps against an error of asking package indexes.
func indexHint(err error) string {
	var (
		missing *index.NotFoundError
		offline *index.OfflineError
		hash    *index.HashError
		claim   *index.MetadataError
		format  *index.FormatError
		network *index.NetworkError
	)
	switch {
	case errors.As(err, &missing) && missing.Name != "":
		return "check the spelling; name a private index with --extra-index-url, or a folder with its wheel with --find-links"
	case errors.As(err, &offline):
		return "run it once without --offline, or give the package's wheel with --find-links"
	case errors.As(err, &hash):
		return "it was changed on its way, or replaced on the index since it was locked: find out which before going on"
	case errors.As(err, &claim):
		return "the index, or whoever answers in its name, says something else of the package than the package itself: take it from another index"
	case errors.As(err, new(*index.SizeError)):
		return "if the package is meant to be that large, say so with --max-file-size"
	case errors.As(err, &format) && !strings.HasPrefix(format.URL, "file:"):
		return "check that the index URL is that of a Simple API, usually ending in /simple/"
	case errors.As(err, &network) && (network.Status == http.StatusUnauthorized || network.Status == http.StatusForbidden):
		return "put the user and password of this host into ~/.netrc, or into the URL in PIP_INDEX_URL or PIP_EXTRA_INDEX_URL"
	case errors.As(err, &network):
		return "check the network, and HTTPS_PROXY and PIP_CERT if this machine needs them; mlenv reads pip's settings"
	}
	return ""
}
