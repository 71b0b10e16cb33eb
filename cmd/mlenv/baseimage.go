package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/urfave/cli/v2"

	"mlenv/imagebuild/base"
	"mlenv/imagebuild/image"
	"mlenv/resolve"
	"mlenv/resolve/cache"
	"mlenv/resolve/finding"
)

// baseFlags are the flags by which a base image is chosen.
func baseFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "base", Usage: "build on `IMAGE`: a reference, oci:DIR, oci-tar:FILE, docker-tar:FILE, or host for this machine's own Python (default: python:<version>-slim)"},
		&cli.StringSliceFlag{Name: "platform", Usage: "build for `OS/ARCH`; several make an image index (default: linux/amd64) (repeatable)"},
	}
}

// platforms gives the platforms that --platform names.
func platforms(c *cli.Context) ([]v1.Platform, error) {
	names := c.StringSlice("platform")
	if len(names) == 0 {
		// A constant, not the machine's own, so that the same command gives the same image.
		names = []string{"linux/amd64"}
	}
	var out []v1.Platform
	for _, name := range names {
		p, err := v1.ParsePlatform(name)
		if err != nil || p.OS != "linux" || p.Architecture == "" {
			return nil, &usageError{msg: fmt.Sprintf("--platform %s is not of the form linux/ARCH", name), command: c.Command.Name}
		}
		if p.Architecture == "arm64" && p.Variant == "v8" {
			p.Variant = "" // every arm64 is; many an index does not say so
		}
		for _, other := range out {
			if other.Equals(*p) {
				return nil, &usageError{msg: "--platform " + name + " is given twice", command: c.Command.Name}
			}
		}
		out = append(out, *p)
	}
	return out, nil
}

// openedBase is a base that was found and looked into.
type openedBase struct {
	*base.Source
	Base     *base.Base
	Platform v1.Platform // as it was asked for
	Findings finding.List
}

// noBase says that the base could not be had.
type noBase struct {
	ref     string
	unasked bool // it is the default
	err     error
}

func (e *noBase) Error() string { return e.err.Error() }
func (e *noBase) Unwrap() error { return e.err }

// errNoPython says that nothing tells which Python is needed. A base that is named has its own; the
// default and this machine's have to be chosen by it.
var errNoPython = errors.New("the model names no Python version")

// otherPython says that a base has not the Python that the model or --python wants.
type otherPython struct{ want, have string }

func (e *otherPython) Error() string {
	return fmt.Sprintf("Python %s is needed, but the base has Python %s", e.want, e.have)
}

// openBase finds the base that ref names, "" for the default, and looks into it. One on which no
// image could be built is an error, whoever asks: what is locked or checked for a base is to be
// built on it.
func (a *app) openBase(ctx context.Context, ref, python string, p v1.Platform) (*openedBase, error) {
	dir, err := a.cache()
	if err != nil {
		return nil, err
	}
	return a.openBaseWith(ctx, ref, python, p, dir)
}

// openBaseWith is openBase with another cache; nil remembers nothing.
func (a *app) openBaseWith(ctx context.Context, ref, python string, p v1.Platform, dir *cache.Dir) (*openedBase, error) {
	opts := base.Options{
		Remote: a.remote(),
		Cache:  dir, HostDirs: a.pythonDirs(), Python: python,
	}
	if python == "" && (ref == "" || ref == "host") {
		return nil, errNoPython
	}
	out := &openedBase{Platform: p}
	var err error
	if ref == "" {
		out.Source, out.Findings, err = openDefault(ctx, python, p, opts)
	} else {
		out.Source, err = base.Open(ctx, ref, p, opts)
	}
	if err != nil {
		return nil, &noBase{ref: ref, unasked: ref == "", err: err}
	}
	if out.Base, err = base.InspectOnce(ctx, out.Image, opts.Cache); err != nil {
		if ref == "" {
			ref = out.Name
		}
		return nil, fmt.Errorf("looking into the base %s: %w", ref, err)
	}
	if err := out.suits(python); err != nil {
		return nil, err
	}
	if python == "" {
		out.Findings = append(out.Findings, finding.New(finding.PythonOfBase, "python", nil,
			"the model names no Python version; the base's is taken, %s", out.Base.Version))
	}
	return out, nil
}

// suits tells whether a base that was looked into is what was asked for.
func (b *openedBase) suits(python string) error {
	if err := b.Base.IsFor(b.Platform); err != nil {
		return err
	}
	if err := b.Base.IsFree(); err != nil {
		return err
	}
	if have := b.Base.Minor(); python != "" && have != minor(python) {
		return &otherPython{want: python, have: b.Base.Version}
	}
	return nil
}

// openDefault opens docker-library's image of the exact version, or, where there is none, that of
// the minor version.
func openDefault(ctx context.Context, python string, p v1.Platform, opts base.Options) (*base.Source, finding.List, error) {
	exact := "python:" + python + "-slim"
	source, err := base.Open(ctx, exact, p, opts)
	if err == nil || !image.IsNotFound(err) || minor(python) == python {
		return source, nil, err
	}
	near := "python:" + minor(python) + "-slim"
	if source, err = base.Open(ctx, near, p, opts); err != nil {
		return nil, nil, err
	}
	return source, finding.List{finding.New(finding.BaseNotExact, near, nil,
		"the registry has no %s; built on %s instead, which has another patch release of Python", exact, near)}, nil
}

// lacksMessage says that a base lacks a system package, and what may have it.
func lacksMessage(p resolve.SystemPackage, b *base.Base) string {
	instead := "choose a --base that has it, as python:" + b.Minor() + " without -slim may"
	if base.NeedsJava(p.Name) {
		instead = "choose a --base that has a Java runtime beside its Python"
	}
	return fmt.Sprintf("the base lacks %s (%s), and building an image installs no system packages; %s, or use mlenv dockerfile",
		p.Name, p.Reason, instead)
}

func minor(python string) string {
	parts := strings.SplitN(python, ".", 3)
	if len(parts) < 2 {
		return python
	}
	return parts[0] + "." + parts[1]
}

// pythonDirs are where this machine may have its Pythons: on the PATH, in the usual places, and
// among pyenv's and uv's.
func (a *app) pythonDirs() []string {
	dirs := filepath.SplitList(a.env("PATH"))
	dirs = append(dirs, "/usr/local/bin", "/usr/bin")
	var patterns []string
	if root := a.env("PYENV_ROOT"); root != "" {
		patterns = append(patterns, filepath.Join(root, "versions/*/bin"))
	}
	if home := a.env("HOME"); home != "" {
		patterns = append(patterns, filepath.Join(home, ".pyenv/versions/*/bin"), filepath.Join(home, ".local/share/uv/python/*/bin"))
	}
	for _, p := range append(patterns, "/opt/python/*/bin") {
		found, err := filepath.Glob(p)
		if err != nil {
			continue // a home directory whose name is a malformed pattern has no Pythons for us
		}
		dirs = append(dirs, found...)
	}
	return dirs
}

// remote is how registries are spoken to.
func (a *app) remote() image.Remote {
	return image.Remote{Keychain: a.keychain(), Transport: a.registryTransport(), UserAgent: userAgent(), Backoff: a.backoff}
}

// registryTransport trusts the certificates that Docker and podman are told to trust.
func (a *app) registryTransport() *image.CertTransport {
	dirs := []string{"/etc/containers/certs.d", "/etc/docker/certs.d"}
	if home := a.env("HOME"); home != "" {
		dirs = append([]string{filepath.Join(home, ".config/containers/certs.d"), filepath.Join(home, ".docker/certs.d")}, dirs...)
	}
	next := a.transport
	if next == nil {
		next = remote.DefaultTransport
	}
	return &image.CertTransport{Dirs: dirs, Next: next}
}
