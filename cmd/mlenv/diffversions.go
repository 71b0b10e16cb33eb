package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"mlenv/resolve/fetch"
)

// bothSides gives OLD and NEW. With NEW alone, a registered model, OLD is another version of it: that
// of --against, else the one before.
func (a *app) bothSides(ctx context.Context, args []string, o *diffOptions) ([]string, error) {
	switch {
	case len(args) > 2:
		return nil, &usageError{msg: fmt.Sprintf("diff takes OLD and NEW, but there is also %q", args[2])}
	case len(args) == 2 && o.against != "":
		return nil, &usageError{msg: "--against names what NEW is compared with, and so does OLD: give one of them"}
	case len(args) == 2:
		return args, nil
	case len(args) == 0 || fetch.Scheme(args[0]) != "models":
		return nil, &usageError{msg: "OLD and NEW are needed, but for a registered model (models:/NAME/VERSION)"}
	}
	if o.against != "" {
		old, err := fetch.OtherVersion(args[0], o.against)
		return []string{old, args[0]}, err
	}
	old, err := a.versionBefore(ctx, args[0], o.fetch)
	return []string{old, args[0]}, err
}

// fewDeleted is how many numbers in a row may be those of versions that were deleted.
const fewDeleted = 20

// versionBefore is the version before the one that a URI names, those that were deleted aside.
func (a *app) versionBefore(ctx context.Context, uri string, o fetchOptions) (string, error) {
	settings, err := a.fetchSettings(o)
	if err != nil {
		return "", err
	}
	now, err := fetch.Locate(ctx, uri, settings)
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(now.Version)
	if err != nil {
		return "", &usageError{msg: uri + " is no version of a registered model: OLD and NEW are both needed"}
	}
	for before := n - 1; before > 0 && before >= n-fewDeleted; before-- {
		old, err := fetch.OtherVersion(uri, strconv.Itoa(before))
		if err != nil {
			return "", err
		}
		_, err = fetch.Locate(ctx, old, settings)
		var missing *fetch.Error
		if err == nil || !errors.As(err, &missing) || missing.Kind != fetch.NotFound {
			return old, err
		}
	}
	return "", &noSide{uri, fmt.Sprintf("is version %d of %s, and no version before it is left", n, now.Name)}
}
