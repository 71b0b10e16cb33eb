package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mlenv/imagebuild"
	"mlenv/imagebuild/base"
	"mlenv/resolve"
	"mlenv/resolve/finding"
	"mlenv/resolve/index"
	"mlenv/resolve/lock"
	"mlenv/resolve/model"
	"mlenv/resolve/serving"
)

// imageRun is one run of the image command.
type imageRun struct {
	*app
	o        *imageOptions
	target   *serving.Target // nil: none was given
	box      container
	layers   layering
	in       *inputs
	sinks    []namedSink
	memos    memos
	progress *progress

	bases    []*base.Found // one for each platform
	client   *index.Client
	onIndex  onIndex
	besides  besides
	locked   imagebuild.Locked
	findings finding.List

	attaching *attacher // nil: nothing is attached
}

// needsBuilding says that the model needs what only running commands can bring. It is a failure and no
// finding: no severity and no policy makes an image without it right.
type needsBuilding struct{ msg string }

func (e *needsBuilding) Error() string { return e.msg }

// do builds the images and sends them.
func (r *imageRun) do(ctx context.Context) error {
	if err := r.prepare(ctx); err != nil {
		if exitCode(err) == exitFindings && r.o.format == "json" {
			return errors.Join(r.printReport(nil), err)
		}
		return err
	}
	recipes, err := r.recipes()
	if err != nil {
		return err
	}
	if err := r.forecast(ctx); err != nil {
		return err
	}
	builder := &imagebuild.Builder{
		Memo: &r.memos.Chain, Blobs: &r.memos.Chain, Verify: r.o.memo.verify,
		Jobs: r.layers.jobs, Progress: r.progress.build, Review: r.review, Save: r.save,
	}
	published, err := imagebuild.Publish(ctx, builder, recipes, r.to()...)
	r.tellUnmounted(published)
	if r.attaching != nil && len(published.Sent) > 0 {
		err = errors.Join(err, r.attaching.attach(ctx, published, recipes))
	}
	r.progress.close()
	if err == nil || len(published.Sent) > 0 {
		// What was sent stays where it is, whatever became of the other sinks.
		err = errors.Join(r.print(published), err)
	}
	return err
}

// forecast tells how much there is to do.
func (r *imageRun) forecast(ctx context.Context) error {
	if r.o.out.quiet {
		return nil
	}
	// Without a client: to ask the index for sizes that a lock does not have costs more than it tells.
	f := forecaster{lock: r.locked.Lock, dir: r.locked.Dir, in: r.in}
	for _, b := range r.bases {
		one, err := f.of(ctx, b.Target(), b)
		if err != nil {
			return fmt.Errorf("finding the sizes: %w", err)
		}
		r.progress.tell("%s", one)
	}
	return nil
}

// prepare does all that comes before the first layer: it finds the bases and the lock, and makes
// sure that they and the model go together.
func (r *imageRun) prepare(ctx context.Context) (err error) {
	// What the model itself is refused for needs no network.
	if found := r.in.Spec.Findings.Sorted(); r.stops(found) {
		return r.judgeAll(found)
	}
	if packages := r.in.Spec.Conda.Packages; len(packages) > 0 {
		var names []string
		for _, p := range packages {
			names = append(names, p.Name)
		}
		return &needsBuilding{"the model needs conda packages, which only conda can install: " + strings.Join(names, ", ")}
	}
	found := r.in.Spec.Findings.Sorted()
	wanted, err := r.o.base.platforms()
	if err != nil {
		return err
	}
	for _, p := range wanted {
		r.progress.say("inspecting the base for %s", p)
	}
	var ofBase finding.List
	if r.bases, ofBase, err = r.findBases(ctx, r.o.base, r.in.Spec.Python.Version, &r.memos.Chain); err != nil {
		return err
	}
	r.findings = append(found, ofBase...)
	r.onIndex.set(r.progress.index)
	if file := r.o.lockFile; file != "" {
		if given, _, err := readLock(file); err == nil { // else findLock says what is wrong
			r.o.model.index.keep(given)
		}
	}
	if r.client, err = r.indexClient(r.o.model.index, r.in, r.onIndex.event); err != nil {
		return err
	}
	if err := r.findLock(ctx); err != nil {
		return err
	}
	if err := lock.Loadable(ctx, r.client, r.locked.Lock, r.locked.Dir, base.Targets(r.bases)); err != nil {
		return err
	}
	var needs []base.Need
	for _, p := range r.in.Spec.SystemPackages {
		needs = append(needs, base.Need{Package: p.Name, Reason: p.Reason})
	}
	r.findings = append(r.findings, base.Missing(r.bases, needs)...)
	r.findings = append(r.findings, resolve.VariableFindings(r.in.Model)...)
	r.findings = append(r.findings, r.refused()...)
	return r.judgeAll(r.findings)
}

// stops reports whether some of the findings end the command. What a policy excepts until some day depends
// on today, in UTC, so that it ends at the same moment everywhere.
func (r *imageRun) stops(found finding.List) bool {
	threshold := r.o.out.threshold()
	return threshold != "" && r.o.out.rules.Judge(found, time.Now().UTC()).AtLeast(threshold) > 0
}

// judgeAll prints findings, and keeps them for the report. The flag --quiet is of the progress alone.
func (r *imageRun) judgeAll(found finding.List) error {
	o := r.o.out
	o.quiet = false
	r.findings = o.rules.Judge(found, time.Now().UTC())
	r.progress.pause()
	return r.judge(o, found)
}

// refused says what the platform of --target would not take of what the flags ask for.
func (r *imageRun) refused() finding.List {
	if r.target == nil {
		return nil
	}
	s := serving.Shape{
		Docker: r.layers.manifest == imagebuild.Docker, Index: len(r.bases) > 1, Port: r.o.container.port, User: r.o.container.user,
		Serves: r.box.choices.Kind != serving.None || len(r.o.container.entrypoint) > 0,
	}
	for _, b := range r.bases {
		s.Architectures = append(s.Architectures, b.Arch)
	}
	return r.target.Refuses(s)
}

// review says what was found in the wheels and the layers, before anything is sent: what a threshold
// forbids must not be in a registry, where others may pull it meanwhile.
func (r *imageRun) review(found finding.List) error {
	before := r.findings
	err := r.judgeAll(found)
	r.findings = append(before, r.findings...)
	return err
}

// recipes puts together what the image of every platform is made of.
func (r *imageRun) recipes() ([]imagebuild.Recipe, error) {
	contract, err := serving.ForModel(r.in.Model, r.in.Spec, r.locked.Lock, r.box.choices)
	if err != nil {
		return nil, err
	}
	in := imagebuild.Inputs{
		Locked: r.locked, Model: imagebuild.Model{FS: r.in.Model.FS, Code: r.in.Model.CodeDirs()}, Contract: contract,
		Labels: r.box.labels, Annotations: r.box.annotations,
		Manifest: r.layers.manifest, Compression: r.layers.compression, MaxLayer: r.layers.max,
		Compiled: r.layers.compile != compileNot,
	}
	if r.in.signed != nil {
		in.Model.Sums = r.in.signed.Files
	}
	for _, p := range r.in.Spec.SystemPackages {
		in.Needs = append(in.Needs, p.Name)
	}
	for _, name := range r.o.model.codePaths {
		abs, err := filepath.Abs(name)
		if err != nil {
			return nil, err
		}
		in.Model.Extra = append(in.Model.Extra, imagebuild.Tree{FS: model.Files(os.DirFS(filepath.Dir(abs))), Root: filepath.Base(abs)})
	}
	if r.attaching != nil {
		r.attaching.settings = in.Settings()
	}
	var out []imagebuild.Recipe
	for _, b := range r.bases {
		recipe, err := in.Recipe(b)
		if err != nil {
			return nil, err
		}
		if recipe.Compiler, err = r.compiler(b); err != nil {
			return nil, err
		}
		out = append(out, recipe)
	}
	return out, nil
}
