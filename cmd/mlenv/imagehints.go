package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"mlenv/imagebuild"
	"mlenv/imagebuild/base"
	"mlenv/imagebuild/image"
	"mlenv/imagebuild/sink"
	"mlenv/imagebuild/verify"
	"mlenv/resolve/dist"
	"mlenv/resolve/lock"
	"mlenv/resolve/pylock"
	"mlenv/resolve/serving"
)

// imageHint says what helps against an error of building or sending an image. Hints are here and not with
// the errors, because they name flags: a program that uses the libraries has others. The error tells what is
// wrong by its type and never by its words, which may change.
func imageHint(err error) string {
	var (
		noBase    *base.UnavailableError
		building  *needsBuilding
		unbuilt   *pylock.UnbuiltError
		collision *imagebuild.CollisionError
		tooLarge  *imagebuild.TooLargeError
		tooMany   *imagebuild.TooManyLayersError
		misfit    *base.MisfitError
		platform  *base.WrongPlatformError
		occupied  *base.OccupiedError
		python    *base.PythonError
		engine    *noEngine
		unnamed   *imagebuild.ManifestError
		notFor    *pylock.NotForError
		compiling *cannotCompileError
	)
	switch {
	case errors.As(err, &compiling):
		return compiling.hint
	case errors.Is(err, verify.ErrCompiled):
		return "--compile allows it, confined as it was when the image was built"
	case errors.As(err, &building):
		return "--conda-as-pip installs those by pip that are Python packages; mlenv dockerfile writes a Dockerfile, which can run conda"
	case errors.As(err, &unbuilt):
		return "give wheels with --find-links, choose another --python or --base, or let mlenv dockerfile write a Dockerfile, which can build them"
	case errors.As(err, &collision):
		return "pip would fail, or mix the two: require only one of the two packages"
	case errors.As(err, &tooLarge):
		return "give a larger --max-layer-size: layers are split between files, never within one"
	case errors.As(err, &tooMany):
		return "give a larger --max-layer-size, so that less is split"
	case errors.As(err, &misfit), errors.As(err, &notFor):
		return "give a --base that fits, another --python, or make the lock for this base with mlenv lock --base"
	case errors.Is(err, base.ErrNoPython):
		return "give one with --python, or an image that has one with --base"
	case errors.As(err, &platform):
		return fmt.Sprintf("give a --base that has an image for %s, or --platform %s", platform.Want, platform.Have)
	case errors.As(err, &occupied):
		return "choose another --base, one that was not built by mlenv: what to build on has nothing in " + serving.Venv + " and " + serving.ModelPath
	case errors.As(err, &python):
		return "give a --base that has it, or another --python"
	case errors.As(err, &noBase):
		return baseHint(noBase)
	case errors.As(err, &engine):
		return "start one, or name it in DOCKER_HOST (unix:// or tcp://); --output docker-tar:FILE writes what docker load reads"
	case errors.Is(err, sink.ErrOnePlatform):
		return "give one --platform, or push the image index, or write it with --output oci:DIR"
	case errors.As(err, &unnamed):
		return "choose a --base whose layers are packed by gzip, or write --manifest oci"
	}
	if hint := heldLockHint(err); hint != "" {
		return hint
	}
	return registryHint(err)
}

// heldLockHint says what helps where the lock that was given does not do; "" for other errors.
func heldLockHint(err error) string {
	var (
		unmet    *imagebuild.UnmetError
		unserved *lock.UnservedError
		symbols  *dist.SymbolsError
		backend  *lock.BackendError
		newer    *lock.NewerError
	)
	switch {
	case errors.As(err, &unmet):
		return "the index, or whoever answered in its name, said something else of the wheel when it was locked: lock it again, from another index"
	case errors.As(err, &unserved):
		return "lock again with mlenv lock --serve " + string(unserved.Serve) + ", or give the --serve of the lock"
	case errors.As(err, &symbols):
		return "build the wheel in a container of the base, or of one with an older C library (docs/sources.md has the commands); or give a --base with a newer one"
	case errors.As(err, &backend):
		return "lock again with mlenv lock --torch-backend " + backend.Want
	case errors.As(err, &newer):
		return "lock again with mlenv lock --exclude-newer, with the same time"
	}
	return ""
}

// registryHint says what helps against a registry's answer. What registries say themselves is mostly
// "unauthorized" or "unknown", for a missing login as well as for a misspelt name.
func registryHint(err error) string {
	var (
		denied *image.DeniedError
		answer *transport.Error
	)
	switch {
	case !errors.As(err, &answer):
		return ""
	case refusesManifest(answer):
		return "the registry may know no OCI manifests: try --manifest docker"
	case errors.As(err, &denied) && denied.Found:
		return "ask whoever runs the registry whether this user may do that, or use other credentials: " + loginHint
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return loginHint
	case http.StatusRequestEntityTooLarge:
		return "the registry, or a proxy in front of it, takes no layers of that size: give a smaller --max-layer-size, such as 100MB"
	case http.StatusTooManyRequests:
		return "try again later; many registries allow more to users who log in: " + loginHint
	}
	return ""
}

// refusesManifest reports whether a registry has refused a manifest for its form, as those do that take
// Docker's alone: with 415, or with one of the codes of the distribution specification. 404 and
// MANIFEST_UNKNOWN are such an answer only where a manifest was sent.
func refusesManifest(e *transport.Error) bool {
	if e.Request != nil && e.Request.Method != http.MethodPut {
		return false
	}
	return e.StatusCode == http.StatusUnsupportedMediaType || slices.ContainsFunc(e.Errors, func(d transport.Diagnostic) bool {
		return d.Code == transport.ManifestInvalidErrorCode || d.Code == transport.ManifestUnknownErrorCode || d.Code == transport.UnsupportedErrorCode
	})
}

const loginHint = "log in with docker login, podman login or crane auth login: mlenv uses their credentials"

// baseHint says what helps where a base cannot be had.
func baseHint(e *base.UnavailableError) string {
	if _, ok := base.IsError(e.Err); ok && e.Ref == "host" {
		return "install that Python, or give another --python or --base"
	}
	if e.Ref == "" {
		return "give an image that can be pulled with --base, one on disk with --base oci:DIR, oci-tar:FILE or docker-tar:FILE, or pack this machine's own Python with --base host"
	}
	if base.IsFile(e.Ref) {
		return "--base reads oci:DIR and oci-tar:FILE, with :NAME or @sha256:… after it where there are several images, and docker-tar:FILE with one"
	}
	return "check the name, and the credentials of docker login or podman login; --base oci:DIR, oci-tar:FILE, docker-tar:FILE and host need no registry"
}
