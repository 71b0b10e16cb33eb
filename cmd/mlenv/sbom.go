package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/urfave/cli/v2"

	"mlenv/imagebuild/base"
	"mlenv/imagebuild/image"
	"mlenv/render/sbom"
	"mlenv/resolve"
	"mlenv/resolve/check/gather"
	"mlenv/resolve/dist"
	"mlenv/resolve/fetch"
	"mlenv/resolve/index"
	"mlenv/resolve/model"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pylock"
	"mlenv/resolve/serving"
)

// sbomOptions are the flags of sbom.
type sbomOptions struct {
	model modelOptions
	lock  lockOptions
	base  baseOptions
	out   outputOptions

	format   string
	output   string
	lockFile string
}

func sbomCommand(a *app) *cli.Command {
	s, o := &flagSet{}, &sbomOptions{output: "-"}
	s.oneOf(&o.format, "format", "form of the document", sbom.Formats()...)
	s.text(&o.output, "output, o", "write to `FILE`, - for stdout")
	s.text(&o.lockFile, "lock", "with MODEL: take its packages from the lock `FILE`, resolving nothing")
	o.out.bind(s)
	o.base.bind(s)
	o.lock.bind(s, &o.model.index)
	o.model.bind(s, "sbom")
	a.bindNetwork(s)
	return &cli.Command{
		Name:      "sbom",
		Usage:     "list all that an environment is made of, for auditors and scanners",
		ArgsUsage: "MODEL|LOCK|IMAGE",
		Description: "Prints a software bill of materials in SPDX 2.3 or CycloneDX 1.6: every wheel with its URL, SHA-256,\n" +
			"licence and what it needs, the packages of the base, and the model. MODEL is a directory or a URI,\n" +
			"whose image mlenv image would build; LOCK a pylock.toml, to which --base adds a base; IMAGE a\n" +
			"registry's REFERENCE, oci:DIR, oci-tar:FILE or docker-tar:FILE. The same input gives the same bytes.",
		Flags:  s.flags,
		Action: s.action(func(ctx context.Context, args []string) error { return a.sbom(ctx, args, o) }),
	}
}

// sbomRun is one run of sbom.
type sbomRun struct {
	*app
	o        *sbomOptions
	platform v1.Platform
	in       sbom.Input
	dir      string // of the lock
	show     *lockProgress
	inputs   *inputs // of a model; else empty, for the index client
}

func (a *app) sbom(ctx context.Context, args []string, o *sbomOptions) (err error) {
	name, err := oneArgument(args, "sbom", "MODEL, LOCK or IMAGE")
	if err != nil {
		return err
	}
	platforms, err := o.base.platforms()
	if err != nil {
		return err
	}
	if len(platforms) > 1 {
		return &usageError{msg: "a document is of one --platform", hint: "run mlenv sbom once for each"}
	}
	if err := o.out.read(&o.model); err != nil {
		return err
	}
	r := &sbomRun{app: a, o: o, platform: platforms[0], inputs: &inputs{Spec: &resolve.Spec{}}, show: a.lockProgress(o.out)}
	defer r.show.end()
	a.say = r.show.say
	r.in = sbom.Input{
		Subject: sbom.Subject{Platform: r.platform.String()}, Public: index.IsDefault, Tool: sbom.Tool{Name: "mlenv", Version: versionNumber()},
	}
	// As mlenv diff tells its sides apart: what exists is a file, and a reference has a tag or a digest.
	info, statErr := os.Stat(name)
	switch {
	case image.IsFile(name):
		err = r.ofImage(ctx, name)
	case fetch.Scheme(name) != "", statErr == nil && (info.IsDir() || filepath.Base(name) == "MLmodel"):
		err = r.ofModel(ctx, args)
		defer func() { err = errors.Join(err, r.close()) }()
	case statErr == nil:
		err = r.ofLock(ctx, name)
	case looksLikeReference(name):
		err = r.ofImage(ctx, name)
	default:
		err = &noSide{name, "is neither a file nor a directory, and an image's reference has a tag or a digest"}
	}
	if err != nil {
		return err
	}
	return r.write(ctx)
}

// close releases the model, if there is one.
func (r *sbomRun) close() error {
	if r.inputs.opened == nil {
		return nil
	}
	return r.inputs.Close()
}

// write reads the licences, and writes the document.
func (r *sbomRun) write(ctx context.Context) error {
	if r.in.Lock != nil {
		if err := r.licences(ctx); err != nil {
			return err
		}
	}
	if unread := r.in.Base; unread != nil && unread.System.Unread != "" {
		r.show.warn("the base's packages are in a database of " + unread.System.Unread + ", which mlenv does not read; they are not listed")
	}
	text, err := sbom.Document(r.in, sbom.Format(r.o.format))
	if err != nil {
		return err
	}
	if r.o.output == "-" {
		_, err = r.stdout.Write(text)
		return err
	}
	return writeOutput(ctx, r.o.output, text)
}

// licences reads the metadata of the packages, which is in the cache if they were locked on this machine.
func (r *sbomRun) licences(ctx context.Context) error {
	r.o.model.index.keep(r.in.Lock)
	client, err := r.indexClient(r.o.model.index, r.inputs, r.show.event)
	if err != nil {
		return err
	}
	found, missing, err := gather.Metadata(ctx, client, r.in.Lock, r.dir, r.in.Target)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		r.show.warn("not known here, and so without a licence: " + strings.Join(texts(missing), ", "))
	}
	r.in.Metadata = found
	return nil
}

// ofLock describes what a lock installs.
func (r *sbomRun) ofLock(ctx context.Context, name string) error {
	l, _, err := mustReadLock(name)
	if err != nil {
		return err
	}
	r.dir, r.in.Lock = filepath.Dir(name), l
	r.in.Subject.Name = filepath.Base(name)
	if r.in.Created, err = r.sourceDate(); err != nil {
		return err
	}
	// A lock does not say when it was made, and the time of this run would make every document another.
	if r.in.Created.IsZero() {
		r.in.Created = serving.Epoch
	}
	if r.o.base.ref == "" {
		r.in.Target = targetIn(l, r.platform)
		return nil
	}
	return r.openBase(ctx, l.Tool.Python)
}

// targetIn is the target of a lock for a platform. A lock that does not say what it is for is read
// as one for the default C library.
func targetIn(l *pylock.Lock, p v1.Platform) dist.Target {
	t := dist.Target{OS: p.OS, Arch: p.Architecture}
	for _, one := range l.Tool.Targets {
		if one.OS == p.OS && one.Arch == p.Architecture {
			t = one
		}
	}
	if t.Python = l.Tool.Python; t.Libc.Kind == "" {
		if libc, err := dist.ParseLibc(dist.DefaultLibc); err == nil {
			t.Libc = libc
		}
	}
	return t
}

// openBase adds the base that --base names.
func (r *sbomRun) openBase(ctx context.Context, python pep440.Version) error {
	bases, _, err := r.openBases(ctx, r.o.base, python)
	if err != nil {
		return err
	}
	r.setBase(bases[0].Base, bases[0].Name)
	return nil
}

// setBase takes over what was found in a base.
func (r *sbomRun) setBase(b *base.Base, name string) {
	r.in.Target, r.in.Base = b.Target(), baseOfBill(b, name)
}

// baseOfBill is what a bill of materials lists of a base.
func baseOfBill(b *base.Base, name string) *sbom.Base {
	out := &sbom.Base{
		Name: name, Digest: b.Digest, Python: b.Version.String(), Arch: b.Arch, Install: b.System.Dists,
		System: sbom.System{ID: b.System.ID, Version: b.System.Version, Packages: b.Packages, Arches: b.System.Arches},
	}
	switch b.System.Database {
	case base.Dpkg:
		out.System.PURL = "deb"
	case base.Apk:
		out.System.PURL = "apk"
	case base.RPM:
		out.System.Unread = "RPM"
	}
	return out
}

// ofModel describes the image that would be built of a model.
func (r *sbomRun) ofModel(ctx context.Context, args []string) (err error) {
	if r.inputs, err = r.o.model.open(ctx, r.app, args); err != nil {
		r.inputs = &inputs{}
		return err
	}
	in := r.inputs
	if err := r.reportForLock(r.o.out, in.Spec.Findings); err != nil {
		return err
	}
	bases, _, err := r.openBases(ctx, r.o.base, in.Spec.Python.Version)
	if err != nil {
		return err
	}
	r.setBase(bases[0].Base, bases[0].Name)
	if file := r.o.lockFile; file != "" {
		r.dir = in.lockDir(file)
		r.in.Lock, _, err = mustReadLock(file)
	} else {
		r.dir = in.dir()
		client, failed := r.indexClient(r.o.model.index, in, r.show.event)
		if failed != nil {
			return failed
		}
		r.in.Lock, err = r.o.lock.solve(ctx, lockRequest{in: in, client: client, index: r.o.model.index, targets: base.Targets(bases), bases: bases, dir: r.dir, warn: r.show.warn})
	}
	if err != nil {
		return err
	}
	choices := serving.Choices{}
	if choices.Created, err = r.sourceDate(); err != nil {
		return err
	}
	contract, err := serving.ForModel(in.Model, in.Spec, r.in.Lock, choices)
	if err != nil {
		return err
	}
	r.in.Created = contract.Created
	if r.in.Subject.Name, err = imageName(in.opened.Source); err != nil {
		return err
	}
	r.in.Model = modelOfBill(in.Model, in.Spec)
	return nil
}

// modelOfBill is what a bill of materials says of a model.
func modelOfBill(m *model.Model, s *resolve.Spec) *sbom.Model {
	return &sbom.Model{
		Name: m.RegisteredName.Text, Version: m.RegisteredVersion.Text, ID: s.Model.ModelID, RunID: s.Model.RunID,
		MLflowVersion: s.Model.MLflowVersion, Flavors: s.Model.Flavors,
		Inputs: m.Signature.Inputs.Text, Outputs: m.Signature.Outputs.Text,
	}
}

// ofImage describes an image. Of its layers those of the base are read, and the ones with the lock
// and the model's small files.
func (r *sbomRun) ofImage(ctx context.Context, name string) error {
	var platform *v1.Platform
	if len(r.o.base.names) > 0 {
		platform = &r.platform
	}
	img, err := image.Open(ctx, name, platform, r.remote())
	if err != nil {
		return err
	}
	in, err := image.Read(img)
	if err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	if in.Lock == nil {
		return &noSide{name, "holds no lock (" + serving.LockPath + ")"}
	}
	if r.in.Lock, err = pylock.Parse("the lock of "+name, in.Lock); err != nil {
		return err
	}
	// The base need not be pulled, or even be there any more: its layers are in the image.
	below, err := image.Below(img)
	if err != nil {
		return err
	}
	b, err := base.Inspect(below)
	if err != nil {
		return fmt.Errorf("inspecting the base of %s: %w", name, err)
	}
	labels := in.Config.Config.Labels
	b.Digest = labels["org.opencontainers.image.base.digest"] // Inspect has given it the image's own
	r.setBase(b, labels["org.opencontainers.image.base.name"])
	r.in.Subject = imageSubject(img, in.Config)
	if r.in.Subject.Name == "" {
		r.in.Subject.Name = path.Base(filepath.ToSlash(name))
	}
	r.dir, r.in.Created = ".", in.Config.Created.UTC()
	// Other tools leave the time out, which reads as the year 1.
	if r.in.Created.Before(time.Unix(0, 0)) {
		r.in.Created = serving.Epoch
	}
	if in.Model == nil {
		return nil
	}
	m, err := model.Read(in.Model)
	if err != nil {
		return sideErrors(name, err)
	}
	spec, err := resolve.Model(m, resolve.Options{})
	if err != nil {
		return sideErrors(name, err)
	}
	r.in.Model = modelOfBill(m, spec)
	return nil
}

// imageSubject names an image by its repository and digest.
func imageSubject(img *image.Image, config *v1.ConfigFile) sbom.Subject {
	s := sbom.Subject{Name: img.Name, Digest: img.Digest, Platform: config.Platform().String()}
	s.Name, _, _ = strings.Cut(s.Name, "@")
	if at := strings.LastIndexByte(s.Name, ':'); at > strings.LastIndexByte(s.Name, '/') {
		s.Name, s.Tag = s.Name[:at], s.Name[at+1:]
	}
	return s
}
