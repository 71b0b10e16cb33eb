package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"mlenv/imagebuild"
	"mlenv/imagebuild/sink"
	"mlenv/resolve/dist"
	"mlenv/resolve/finding"
	"mlenv/resolve/index"
	"mlenv/resolve/model"
	"mlenv/resolve/pylock"
	"mlenv/resolve/serving"
)

// imageRun is one run of the image command.
type imageRun struct {
	*app
	c        *cli.Context
	flags    imageFlags
	in       *inputs
	sinks    []namedSink
	progress *progress

	bases    []*openedBase // one for each platform
	client   *index.Client
	lock     *pylock.Lock
	lockText []byte
	lockDir  string // to which the lock's paths are relative
	findings finding.List
	layers   []reportedLayer // of what was built last
	notes    []string        // of wheels, each said once
}

// needsBuilding says that the model needs what only running commands can bring.
type needsBuilding struct{ msg string }

func (e *needsBuilding) Error() string { return e.msg }

// prepare does all that comes before the first layer: it finds the bases and the lock, and makes
// sure that they and the model go together.
func (r *imageRun) prepare(ctx context.Context) error {
	if packages := r.in.Spec.Conda.Packages; len(packages) > 0 {
		var names []string
		for _, p := range packages {
			names = append(names, p.Name)
		}
		return &needsBuilding{"the model needs conda packages, which only conda can install: " + strings.Join(names, ", ")}
	}
	wanted, err := platforms(r.c)
	if err != nil {
		return err
	}
	r.findings = slices.Clone(r.in.Spec.Findings)
	for _, p := range wanted {
		r.progress.say("looking into the base for %s", p)
		b, err := r.openBase(ctx, r.c.String("base"), r.in.Spec.Python.Version.String(), p)
		if err != nil {
			return err
		}
		r.bases = append(r.bases, b)
		for _, f := range b.Findings { // of several platforms each has its own, in the same words
			if !slices.ContainsFunc(r.findings, func(o finding.Finding) bool { return o.Message == f.Message }) {
				r.findings = append(r.findings, f)
			}
		}
	}
	if r.client, err = r.indexClient(r.c, r.in.Spec, r.progress.index); err != nil {
		return err
	}
	if err := r.findLock(ctx); err != nil {
		return err
	}
	r.findings = append(r.findings, r.systemFindings()...)
	r.progress.pause()
	return r.report(r.findings, r.c.Bool("strict"))
}

// reopenBases opens the bases again, believing nothing that is remembered of them.
func (r *imageRun) reopenBases(ctx context.Context) error {
	for i, b := range r.bases {
		again, err := r.openBaseWith(ctx, r.c.String("base"), r.in.Spec.Python.Version.String(), b.Platform, nil)
		if err != nil {
			return err
		}
		r.bases[i] = again
	}
	return nil
}

// systemFindings reports the system packages that the model needs and a base lacks.
func (r *imageRun) systemFindings() finding.List {
	var out finding.List
	for _, p := range r.in.Spec.SystemPackages {
		for _, b := range r.bases {
			if b.Base.Provides(p.Name) {
				continue
			}
			out.Add(finding.SystemPackageMissing, p.Name, nil, "%s", lacksMessage(p, b.Base))
			break
		}
	}
	return out
}

func (r *imageRun) targets() ([]dist.Target, error) {
	var out []dist.Target
	for _, b := range r.bases {
		t, err := b.Base.Target()
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// picksFor gives the wheels of one platform.
func (r *imageRun) picksFor(b *openedBase) ([]pylock.Pick, error) {
	target, err := b.Base.Target()
	if err != nil {
		return nil, err
	}
	if targets := r.lock.Tool.Targets; len(targets) == 1 {
		if err := b.Base.Fit(targets[0]); err != nil {
			return nil, err
		}
	}
	return r.lock.Select(target)
}

// built is the images of all platforms.
type built struct {
	images   []*imagebuild.Image
	artifact sink.Artifact
}

func (b *built) close() error {
	var errs []error
	for _, img := range b.images {
		errs = append(errs, img.Close())
	}
	b.images = nil
	return errors.Join(errs...)
}

// build builds the image of every platform.
func (r *imageRun) build(ctx context.Context, fresh bool) (*built, error) {
	dir, err := r.cache()
	if err != nil {
		return nil, err
	}
	builder := &imagebuild.Builder{Memo: dir.Memos(), Jobs: r.flags.jobs, Fresh: fresh, Progress: r.progress.layer}
	out := &built{}
	var annotations map[string]string
	for _, b := range r.bases {
		recipe, err := r.recipe(b)
		if err != nil {
			return nil, errors.Join(err, out.close())
		}
		img, err := builder.Build(ctx, recipe)
		if err != nil {
			return nil, errors.Join(err, out.close())
		}
		out.images, annotations = append(out.images, img), recipe.Annotations
	}
	r.sayNotes(out)
	if r.layers, err = describe(out); err != nil {
		return nil, errors.Join(err, out.close())
	}
	if len(out.images) == 1 {
		out.artifact = sink.Artifact{Image: out.images[0].Image}
		return out, nil
	}
	out.artifact.Index, err = imagebuild.Index(out.images, withoutBase(annotations))
	if err != nil {
		return nil, errors.Join(err, out.close())
	}
	return out, nil
}

// sayNotes says what is odd about wheels: what pip would pass over in silence.
func (r *imageRun) sayNotes(b *built) {
	for _, img := range b.images {
		for _, note := range img.Notes {
			if slices.Contains(r.notes, note) {
				continue
			}
			r.notes = append(r.notes, note)
			r.progress.pause()
			fmt.Fprintf(r.stderr, "%s %s\n", r.painter(r.stderr)(yellow, "warning:"), note)
		}
	}
}

// withoutBase leaves out what differs between the images of an index.
func withoutBase(annotations map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range annotations {
		if k != "org.opencontainers.image.base.digest" {
			out[k] = v
		}
	}
	return out
}

// recipe puts together what the image of one platform is made of.
func (r *imageRun) recipe(b *openedBase) (imagebuild.Recipe, error) {
	picks, err := r.picksFor(b)
	if err != nil {
		return imagebuild.Recipe{}, err
	}
	wheels, err := r.wheels(picks)
	if err != nil {
		return imagebuild.Recipe{}, err
	}
	contract, err := r.in.contract(r.c, r.flags.servingValues, r.lock)
	if err != nil {
		return imagebuild.Recipe{}, err
	}
	labels := map[string]string{}
	for _, v := range serving.Labels(r.facts(b, contract.Facts)) {
		labels[v.Name] = v.Value
	}
	recipe := imagebuild.Recipe{
		Base: b.Base, BaseImage: b.Image, BaseName: b.Name,
		Wheels: wheels, Lock: r.lockText,
		Model: r.in.Model.FS, Runtime: contract.Runtime, Created: contract.Created,
		Labels: merged(labels, r.flags.labels), Annotations: merged(labels, r.flags.annotations),
		Compression: r.flags.compression, MaxLayer: r.flags.maxLayer,
	}
	for _, code := range r.in.Model.Code {
		recipe.Code = append(recipe.Code, code.Text)
	}
	for _, name := range r.c.StringSlice("code-paths") {
		abs, err := filepath.Abs(name)
		if err != nil {
			return recipe, err
		}
		recipe.Extra = append(recipe.Extra, imagebuild.Tree{FS: model.Files(os.DirFS(filepath.Dir(abs))), Root: filepath.Base(abs)})
	}
	return recipe, nil
}

func merged(below, above map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range []map[string]string{below, above} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

func (r *imageRun) wheels(picks []pylock.Pick) ([]imagebuild.Wheel, error) {
	var out []imagebuild.Wheel
	for _, p := range picks {
		file := dist.File{Name: p.Name, Filename: p.File.Name, URL: p.File.URL, Size: p.File.Size, Hashes: p.File.Hashes, Wheel: true}
		if p.File.Path != "" {
			at := filepath.FromSlash(p.File.Path)
			if !filepath.IsAbs(at) {
				at = filepath.Join(r.lockDir, at)
			}
			file.URL = (&url.URL{Scheme: "file", Path: filepath.ToSlash(at)}).String()
		}
		out = append(out, imagebuild.Wheel{
			Filename: p.File.Name, Name: string(p.Name), SHA256: strings.ToLower(p.File.Hashes["sha256"]), Size: p.File.Size,
			Requested: slices.Contains(r.lock.Tool.Requested, p.Name), DirectURL: p.DirectURL,
			Path: func(ctx context.Context) (string, error) { return r.client.Fetch(ctx, file) },
		})
	}
	return out, nil
}

func (r *imageRun) facts(b *openedBase, f serving.Facts) serving.Facts {
	sum := sha256.Sum256(r.lockText)
	f.LockDigest = "sha256:" + hex.EncodeToString(sum[:])
	f.BaseName, f.BaseDigest = b.Name, b.Base.Digest
	return f
}

// send sends the artifact to every sink. One that fails does not keep the others from theirs.
func (r *imageRun) send(ctx context.Context, b *built) ([]sink.Sent, error) {
	var out []sink.Sent
	var errs []error
	artifact := b.artifact
	artifact.Progress = r.progress.sent
	for i, s := range r.sinks {
		r.progress.sending(s.name)
		if s.begun {
			errs = append(errs, fmt.Errorf("sending to %s: it has a part of the image that was not to be trusted; run the command again", s.name))
			continue
		}
		r.sinks[i].begun = s.stream
		sent, err := s.send(ctx, artifact)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, sent)
	}
	return out, errors.Join(errs...)
}
