package base

import (
	"context"
	"errors"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/imagebuild/image"
	"mlenv/resolve/dist"
	"mlenv/resolve/finding"
	"mlenv/resolve/pep440"
)

// Request describes the wanted base.
type Request struct {
	Ref       string         // as Open takes it; "" is docker-library's python:VERSION-slim
	Python    pep440.Version // the version that the model needs; zero: any
	Platforms []v1.Platform  // one base is found for each
}

// Found describes a base. Locks, images and Dockerfiles all get their description of the base from
// here, so that they agree.
type Found struct {
	*Base               // what it contains
	Image   v1.Image    // its layers are fetched when they are read
	Wanted  v1.Platform // the requested platform
	Name    string      // full reference; "" if others cannot pull it, as for files and for the machine's own Python
	Named   string      // digest of what Name refers to, which may be an index; without Name, of the image
	request Request
	options Options
}

// Again opens and inspects the base again without using the cache.
func (f *Found) Again(ctx context.Context) (*Found, error) {
	o := f.options
	o.Cache, o.Memo = nil, nil
	again, _, err := find(ctx, f.request, f.Wanted, o)
	return again, err
}

// ErrNoPython reports that the Python version is not known. It is needed to choose the default base
// or a Python on this machine.
var ErrNoPython = errors.New("the model names no Python version")

// PythonError reports that a base has another Python than the required one.
type PythonError struct{ Want, Have pep440.Version }

func (e *PythonError) Error() string {
	return fmt.Sprintf("Python %s is needed, but the base has Python %s", e.Want, e.Have)
}

// UnavailableError reports that a base could not be opened.
type UnavailableError struct {
	Ref string // as requested; "" for the default
	Err error
}

func (e *UnavailableError) Error() string { return e.Err.Error() }
func (e *UnavailableError) Unwrap() error { return e.Err }

// Find finds and inspects a base for every platform. It also returns findings about the choice. A
// base on which no image can be built is always an error, even for a lock or a check, because an
// image is going to be built on it. The errors are ErrNoPython, *UnavailableError, *Error,
// *WrongPlatformError, *OccupiedError and *PythonError.
func Find(ctx context.Context, r Request, o Options) ([]*Found, finding.List, error) {
	var all []*Found
	var findings finding.List
	for _, p := range r.Platforms {
		one, found, err := find(ctx, r, p, o)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, one)
		for _, f := range found { // several platforms have the same findings
			if !slices.ContainsFunc(findings, f.Equal) {
				findings = append(findings, f)
			}
		}
	}
	return all, findings, nil
}

func find(ctx context.Context, r Request, p v1.Platform, o Options) (*Found, finding.List, error) {
	if r.Python.IsZero() && (r.Ref == "" || r.Ref == "host") {
		return nil, nil, ErrNoPython
	}
	o.Python = r.Python
	f := &Found{Wanted: p, request: r, options: o}
	var findings finding.List
	var source *Source
	var err error
	if r.Ref == "" {
		source, findings, err = openDefault(ctx, r.Python, p, o)
	} else {
		source, err = Open(ctx, r.Ref, p, o)
	}
	if err != nil {
		return nil, nil, &UnavailableError{Ref: r.Ref, Err: err}
	}
	f.Image, f.Name, f.Named = source.Image, source.Name, source.Digest
	if f.Base, err = InspectOnce(ctx, f.Image, o.memo()); err != nil {
		ref := r.Ref
		if ref == "" {
			ref = f.Name
		}
		return nil, nil, fmt.Errorf("inspecting the base %s: %w", ref, err)
	}
	if err := f.suits(r.Python); err != nil {
		return nil, nil, err
	}
	if r.Python.IsZero() {
		findings.Add(finding.PythonOfBase, "python", nil, "the model names no Python version; using that of the base, %s", f.Version)
	}
	return f, findings, nil
}

// suits returns an error if the inspected base is not what was requested.
func (f *Found) suits(python pep440.Version) error {
	if err := f.IsFor(f.Wanted); err != nil {
		return err
	}
	if err := f.IsFree(); err != nil {
		return err
	}
	if !python.IsZero() && f.Minor() != python.Minor() {
		return &PythonError{Want: python, Have: f.Version}
	}
	return nil
}

// DefaultRef returns the reference of the default base: docker-library's image of a Python.
func DefaultRef(python string) string { return "python:" + python + "-slim" }

// openDefault opens docker-library's image of the exact version or, if there is none, of the minor
// version.
func openDefault(ctx context.Context, python pep440.Version, p v1.Platform, o Options) (*Source, finding.List, error) {
	exact, near := DefaultRef(python.String()), DefaultRef(python.Minor())
	source, err := Open(ctx, exact, p, o)
	if err == nil || !image.IsNotFound(err) || near == exact {
		return source, nil, err
	}
	if source, err = Open(ctx, near, p, o); err != nil {
		return nil, nil, err
	}
	return source, finding.List{finding.New(finding.BaseNotExact, near, nil,
		"the registry has no %s; built on %s instead, which has another patch release of Python", exact, near)}, nil
}

// Targets returns the targets of the bases, in order.
func Targets(bases []*Found) []dist.Target {
	var out []dist.Target
	for _, b := range bases {
		out = append(out, b.Target())
	}
	return out
}

// Recorded returns what a lock for the bases records about them: the name by which others can pull
// the base, and the digest of the platform's image. With several platforms the digests differ, so
// digest is "".
func Recorded(bases []*Found) (name, digest string) {
	if len(bases) == 0 {
		return "", ""
	}
	name = bases[0].Name
	if len(bases) == 1 {
		digest = bases[0].Digest
	}
	return name, digest
}

// Need is a Debian package that a model needs at run time.
type Need struct{ Package, Reason string }

// Missing returns a finding for each need that one of the bases does not meet.
func Missing(bases []*Found, needs []Need) finding.List {
	var out finding.List
	for _, n := range needs {
		if slices.ContainsFunc(bases, func(b *Found) bool { return !b.Provides(n.Package) }) {
			out.Add(finding.SystemPackageMissing, n.Package, nil, "%s", missingMessage(n, bases[0]))
		}
	}
	return out
}

// missingMessage returns the message for a missing system package, with advice where to find it.
func missingMessage(n Need, b *Found) string {
	instead := "python:" + b.Minor() + " without -slim may have it"
	if NeedsJava(n.Package) {
		instead = "a base with a Java runtime in addition to its Python has it"
	}
	return fmt.Sprintf("the base lacks %s (%s), and building an image installs no system packages; %s, and a Dockerfile can install it",
		n.Package, n.Reason, instead)
}
