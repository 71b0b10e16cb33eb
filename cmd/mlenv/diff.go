package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/urfave/cli/v2"

	"mlenv/imagebuild/image"
	"mlenv/render/changes"
	"mlenv/resolve"
	"mlenv/resolve/diff"
	"mlenv/resolve/fetch"
	"mlenv/resolve/model"
	"mlenv/resolve/pylock"
	"mlenv/resolve/serving"
)

// diffOptions are the flags of diff.
type diffOptions struct {
	format   string
	exitCode bool
	platform string
	against  string
	fetch    fetchOptions
}

func diffCommand(a *app) *cli.Command {
	s, o := &flagSet{}, &diffOptions{}
	s.oneOf(&o.format, "format", "output format", changes.Formats...)
	s.on(&o.exitCode, "exit-code", "exit with 2 if the environments differ")
	s.text(&o.platform, "platform", "compare the images for `OS/ARCH` (default: the only one, else linux/amd64)")
	a.bindNetwork(s)
	s.text(&o.against, "against", "with NEW alone, a registered model: compare with the version that has the alias or the number `VERSION` (default: the one before)")
	o.fetch.bind(s)
	return &cli.Command{
		Name:      "diff",
		Usage:     "say what a new version of a model changes",
		ArgsUsage: "[OLD] NEW",
		Description: "Compares two environments. Each of OLD and NEW is a model (a directory, its MLmodel file or a URI), a lock\n" +
			"(pylock.toml), or an image: a registry's REFERENCE, oci:DIR, oci-tar:FILE or docker-tar:FILE. Of an\n" +
			"image, the lock and the model's small files are read; nothing is run. Sides of different kinds are\n" +
			"compared in what both have. With --exit-code it exits with 0 if they are the same and with 2, not\n" +
			"with 1 as git diff does, if they differ: 1 is for what could not be done.",
		Flags:  s.flags,
		Action: s.action(func(ctx context.Context, args []string) error { return a.diff(ctx, args, o) }),
	}
}

func (a *app) diff(ctx context.Context, args []string, o *diffOptions) error {
	args, err := a.bothSides(ctx, args, o)
	if err != nil {
		return err
	}
	var platform *v1.Platform
	if o.platform != "" {
		if platform, err = v1.ParsePlatform(o.platform); err != nil || platform.OS == "" || platform.Architecture == "" {
			return &usageError{msg: fmt.Sprintf("--platform %s is not of the form OS/ARCH", o.platform)}
		}
	}
	r := &sideReader{app: a, platform: platform, fetch: o.fetch}
	r.fetch.quiet = true // the sides' names say it
	old, errOld := r.read(ctx, args[0])
	now, errNew := r.read(ctx, args[1])
	if err := errors.Join(errOld, errNew); err != nil {
		return err
	}
	found := diff.Compare(old, now)
	data, err := changes.Format(found, o.format, a.changesPaint())
	if err != nil {
		return err
	}
	if _, err := a.stdout.Write(data); err != nil {
		return err
	}
	if o.exitCode && !found.Same {
		return &findingsError{count: 1}
	}
	return nil
}

// changesPaint gives the styles of a text of changes their colours.
func (a *app) changesPaint() changes.Paint {
	paint := a.painter(a.stdout)
	colours := map[changes.Style]colour{changes.Heading: bold, changes.Good: green, changes.Bad: red,
		changes.Doubtful: yellow, changes.Faint: faint}
	return func(s changes.Style, text string) string { return paint(colours[s], text) }
}

// noSide says that an argument names nothing that could be compared.
type noSide struct{ name, why string }

func (e *noSide) Error() string { return e.name + " " + e.why }

// sideReader reads what is compared.
type sideReader struct {
	*app
	platform *v1.Platform
	fetch    fetchOptions
}

// read reads what an argument names.
func (a *sideReader) read(ctx context.Context, name string) (diff.Side, error) {
	if image.IsFile(name) {
		return a.imageSide(ctx, name, a.platform)
	}
	info, err := os.Stat(name)
	switch {
	case fetch.Scheme(name) != "":
		return a.modelSide(ctx, name)
	case err == nil && info.IsDir():
		if _, err := os.Stat(filepath.Join(name, "MLmodel")); err != nil {
			if _, err := os.Stat(filepath.Join(name, "oci-layout")); err == nil {
				return a.imageSide(ctx, "oci:"+name, a.platform)
			}
		}
		return a.modelSide(ctx, name)
	case err == nil && filepath.Base(name) == "MLmodel":
		return a.modelSide(ctx, name)
	case err == nil:
		return lockSide(name)
	case !errors.Is(err, fs.ErrNotExist):
		return diff.Side{}, err
	case looksLikeReference(name):
		return a.imageSide(ctx, name, a.platform)
	}
	return diff.Side{}, &noSide{name, "is neither a file nor a directory, and an image's reference has a tag or a digest"}
}

// looksLikeReference tells an image from a path that was mistyped. To ask a registry for "modell/" would
// say "unauthorized" of what is a missing directory.
func looksLikeReference(name string) bool {
	if strings.HasPrefix(name, ".") || filepath.IsAbs(name) || strings.HasSuffix(name, ".toml") || strings.Contains(name, `\`) {
		return false
	}
	host, rest, ok := strings.Cut(name, "/")
	if ok && (strings.ContainsAny(host, ".:") || host == "localhost") {
		return true
	}
	if !ok {
		rest = name
	}
	return strings.ContainsAny(rest, ":@")
}

// sideErrors says of each of several errors which side's it is: both may have a file of that name, and
// mostly do, since they are two versions of one model.
func sideErrors(name string, err error) error {
	var out []error
	for _, e := range split(err) {
		if bad := (*model.Error)(nil); errors.As(e, &bad) && strings.HasPrefix(bad.File, name) {
			out = append(out, e) // it says so itself
			continue
		}
		if bad := (*fetch.Error)(nil); errors.As(e, &bad) {
			out = append(out, e) // it names the URI
			continue
		}
		out = append(out, fmt.Errorf("reading %s: %w", name, e))
	}
	return errors.Join(out...)
}

// modelSide reads a model: a directory, or what a URI names.
func (a *sideReader) modelSide(ctx context.Context, name string) (_ diff.Side, err error) {
	opened, err := a.openModel(ctx, name, a.fetch)
	name = fetch.Shown(name)
	if err != nil {
		return diff.Side{}, sideErrors(name, err)
	}
	m := opened.Model
	defer func() { err = errors.Join(err, opened.Close()) }()
	if s := opened.Source; s.Version != "" && !strings.HasSuffix(name, "/"+s.Version) {
		name += " (version " + s.Version + ")"
	}
	spec, err := resolve.Model(m, resolve.Options{})
	if failed := opened.Failed(); failed != nil {
		err = failed
	}
	if err != nil {
		return diff.Side{}, sideErrors(name, err)
	}
	size, errSize := modelSize(m.FS)
	files, errFiles := resolve.CodeFiles(m)
	return diff.Side{
		Name: filepath.ToSlash(name), Kind: diff.Model, Spec: spec, Signature: &m.Signature, Model: m, Size: size, CodeFiles: files,
	}, errors.Join(errSize, errFiles)
}

// modelSize adds up the files that an image of the model would have.
func modelSize(fsys fs.FS) (sum int64, err error) {
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := fs.Stat(fsys, name)
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return sum, err
}

// lockSide reads a lock.
func lockSide(name string) (diff.Side, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return diff.Side{}, err
	}
	l, err := pylock.Parse(name, data)
	if err != nil {
		return diff.Side{}, err
	}
	return diff.Side{
		Name: filepath.ToSlash(name), Kind: diff.Lock, Lock: l, Size: lockSize(l),
		BaseName: l.Tool.BaseName, BaseDigest: l.Tool.BaseDigest,
	}, nil
}

// lockSize adds up what is downloaded for the first of the lock's platforms; 0 where a size is not
// known.
func lockSize(l *pylock.Lock) (sum int64) {
	for _, p := range l.Packages {
		var size int64
		switch {
		case len(p.Wheels) > 0:
			size = p.Wheels[0].Size
		case p.Sdist != nil:
			size = p.Sdist.Size
		case p.Archive != nil:
			size = p.Archive.Size
		}
		if size == 0 {
			return 0
		}
		sum += size
	}
	return sum
}

// imageSide reads what an image holds.
func (a *app) imageSide(ctx context.Context, name string, p *v1.Platform) (side diff.Side, err error) {
	img, err := image.Open(ctx, name, p, a.remote())
	if err != nil {
		return side, err
	}
	in, err := image.Read(img)
	if err != nil {
		return side, fmt.Errorf("reading %s: %w", name, err)
	}
	labels := in.Config.Config.Labels
	side = diff.Side{
		Name: name, Kind: diff.Image, Digest: img.Digest, Size: in.Size, Env: map[string]string{},
		BaseName: labels["org.opencontainers.image.base.name"], BaseDigest: labels["org.opencontainers.image.base.digest"],
	}
	for _, v := range in.Config.Config.Env {
		key, value, _ := strings.Cut(v, "=")
		side.Env[key] = value
	}
	if in.Lock == nil && in.Model == nil {
		return side, &noSide{name, "holds neither a lock (" + serving.LockPath + ") nor a model (" + serving.ModelPath + ")"}
	}
	if in.Lock != nil {
		if side.Lock, err = pylock.Parse("the lock of "+name, in.Lock); err != nil {
			return side, err
		}
	}
	if in.Model == nil {
		return side, nil
	}
	m, err := model.Read(in.Model)
	if err == nil {
		side.Spec, err = resolve.Model(m, resolve.Options{})
	}
	if err != nil {
		return side, sideErrors(name, err)
	}
	side.Signature, side.Model, side.NoCode = &m.Signature, m, noCode(name, m, in)
	if side.NoCode == "" {
		side.CodeFiles, err = resolve.CodeFiles(m)
	}
	return side, err
}

// noCode says why the code of a model in an image was not read as a whole, "" if it was.
func noCode(name string, m *model.Model, in *image.Contents) string {
	for _, code := range m.Code {
		if _, err := fs.Stat(m.FS, code.Text); err != nil {
			return "the code of " + name + " is in a layer that was not read"
		}
		for _, f := range in.Skipped {
			if f == code.Text || strings.HasPrefix(f, code.Text+"/") {
				return f + " of " + name + " is too large to be read"
			}
		}
	}
	return ""
}
