package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"mlenv/imagebuild"
	"mlenv/imagebuild/image"
	"mlenv/imagebuild/sink"
	"mlenv/render/printable"
	"mlenv/resolve/cache"
	"mlenv/resolve/fetch"
	"mlenv/resolve/finding"
)

// namedSink is a sink with what the command knows of it.
type namedSink struct {
	sink.Sink
	stdout bool // it is where the references would be printed
}

// to are the sinks alone.
func (r *imageRun) to() []sink.Sink {
	var out []sink.Sink
	for _, s := range r.sinks {
		out = append(out, s.Sink)
	}
	return out
}

// findSinks finds the sinks that the flags name, and makes sure, before anything is built, that they
// can take an image. All that is wrong with them is told at once.
func (r *imageRun) findSinks(ctx context.Context) error {
	wanted, err := r.o.base.platforms()
	if err != nil {
		return err
	}
	name, err := imageName(r.in.opened.Source)
	if err != nil {
		return err
	}
	out := &outputs{imageRun: r, tag: r.imageTag(name), several: len(wanted) > 1, taken: map[string]string{}}
	if err := image.CheckTag(out.tag); err != nil {
		out.fail("--name %w", err)
	}
	for _, ref := range r.o.sinks.push {
		out.push(ref)
	}
	files := r.o.sinks.output
	if len(r.o.sinks.push)+len(files) == 0 && !r.o.sinks.load {
		file := name + ".oci.tar"
		r.progress.tell("none of --push, --output and --load is given: writing %s", file)
		files = []string{"oci-tar:" + file}
	}
	for _, text := range files {
		out.file(text)
	}
	if r.o.sinks.load && len(out.errs) == 0 {
		out.load(ctx)
	}
	r.sinks = out.sinksFound
	return errors.Join(out.errs...)
}

// checkSinks asks the registries whether they can be pushed to, before anything is fetched for them.
func (r *imageRun) checkSinks(ctx context.Context) error {
	var errs []error
	for _, s := range r.sinks {
		if s.Check == nil {
			continue
		}
		r.progress.say("making sure that %s can be pushed to", s.Name)
		errs = append(errs, s.Check(ctx))
	}
	return errors.Join(errs...)
}

// imageTag is the image's name in tarballs and engines.
func (r *imageRun) imageTag(name string) string {
	tag := r.o.sinks.name
	if pushes := r.o.sinks.push; tag == "" && len(pushes) > 0 {
		if _, err := image.ParseReference(pushes[0]); err == nil {
			tag, _, _ = strings.Cut(pushes[0], "@")
		}
	}
	if tag == "" {
		tag = name
	}
	if at := strings.LastIndexAny(tag, ":/"); at < 0 || tag[at] == '/' {
		tag += ":latest"
	}
	return tag
}

// outputs collects sinks, and what is wrong with them.
type outputs struct {
	*imageRun
	tag     string
	several bool              // platforms
	taken   map[string]string // by the path that is written to: the flag that names it
	errs    []error

	sinksFound []namedSink
}

func (o *outputs) fail(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	o.errs = append(o.errs, &usageError{msg: err.Error()})
}

func (o *outputs) push(text string) {
	_, err := image.ParseReference(text)
	if err != nil {
		bad := &usageError{msg: fmt.Sprintf("--push %v", err)}
		if image.Redact(text) != text {
			bad.hint = loginHint
		}
		o.errs = append(o.errs, bad)
		return
	}
	o.sinksFound = append(o.sinksFound, namedSink{Sink: sink.Registry(text, sink.RegistryOptions{
		Remote: o.remote(), Jobs: o.layers.jobs, Mounts: &sink.MountSources{Memo: &o.memos},
	})})
}

func (o *outputs) file(text string) {
	kind, place, _ := strings.Cut(text, ":")
	one := namedSink{}
	find := cache.FileTarget
	switch kind {
	case "oci":
		find, one.Sink = cache.DirTarget, sink.Layout(place, o.tag)
	case "oci-tar":
		one.Sink = sink.OCITar(place, o.tag)
	case "docker-tar":
		one.Sink = sink.DockerTar(place, o.tag)
	}
	if place == "" || one.Send == nil {
		o.fail("--output %q is not oci:DIR, oci-tar:FILE or docker-tar:FILE", text)
		return
	}
	if kind == "docker-tar" && o.several {
		o.errs = append(o.errs, fmt.Errorf("--output %s: %w", text, sink.ErrOnePlatform))
		return
	}
	target, err := find(place)
	if err != nil {
		o.errs = append(o.errs, fmt.Errorf("--output %s: %w", text, err))
		return
	}
	if other, ok := o.taken[target.Path]; ok {
		o.fail("--output %s and --output %s are the same place", other, text)
		return
	}
	o.taken[target.Path] = text
	if packed, err := o.isPacked(target.Path); err != nil || packed != "" {
		if err != nil {
			o.errs = append(o.errs, err)
			return
		}
		o.errs = append(o.errs, &usageError{hint: "choose another place with --output",
			msg: fmt.Sprintf("%s lies in %s, and would become a part of the image", place, packed)})
		return
	}
	one.Once, one.stdout = target.Stream, sameFile(o.stdout, target.Path)
	o.sinksFound = append(o.sinksFound, one)
}

// isPacked gives the directory that goes into the image and has a path in it, "" if none has. An image in
// the model's directory would be a file of the model in the next one, which would be larger each time.
func (o *outputs) isPacked(path string) (string, error) {
	for _, dir := range append([]string{o.in.dir()}, o.o.model.codePaths...) {
		at, err := filepath.Abs(dir)
		if err == nil {
			at, err = filepath.EvalSymlinks(at)
		}
		if err != nil {
			return "", err
		}
		if rel, err := filepath.Rel(at, path); err == nil && filepath.IsLocal(rel) {
			return dir, nil
		}
	}
	return "", nil
}

// sameFile reports whether a path leads to the file that w writes to.
func sameFile(w io.Writer, path string) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	other, err := os.Stat(path)
	return err == nil && os.SameFile(mine, other)
}

func (o *outputs) load(ctx context.Context) {
	if o.several {
		o.errs = append(o.errs, fmt.Errorf("--load: %w", sink.ErrOnePlatform))
		return
	}
	d, err := o.engine(ctx)
	if err != nil {
		o.errs = append(o.errs, err)
		return
	}
	o.sinksFound = append(o.sinksFound, namedSink{Sink: d.Load(o.tag)})
}

// imageReport is what --format json prints. Its keys are an interface: they are added to, and not renamed.
type imageReport struct {
	References []string        `json:"references"`
	Digest     string          `json:"digest,omitempty"` // none where findings kept it from being built
	Size       int64           `json:"size"`             // bytes of all layers, compressed, each once
	BytesSent  int64           `json:"bytesSent"`        // to all sinks
	Source     *fetch.Source   `json:"source,omitempty"` // what the model's URI stood for
	Layers     []reportedLayer `json:"layers"`
	Attached   []attached      `json:"attached,omitempty"`
	Findings   finding.List    `json:"findings"`
}

type reportedLayer struct {
	Platform string `json:"platform,omitempty"` // where there are several
	imagebuild.Layer
	Status string `json:"status"` // base, reused or new
}

// print says what was sent: on stdout, unless the image itself went there.
func (r *imageRun) print(p *imagebuild.Published) error {
	if r.o.format == "json" {
		return r.printReport(p)
	}
	for _, s := range p.Sent {
		if _, err := fmt.Fprintln(r.results(), printable.Line(s.Reference)); err != nil {
			return err
		}
	}
	return nil
}

// results is where references and reports are printed: on stdout, which a script reads, but for an image
// that is written there itself.
func (r *imageRun) results() io.Writer {
	for _, s := range r.sinks {
		if s.stdout {
			return r.stderr
		}
	}
	return r.stdout
}

// printReport prints the report of an image, or with nil that of one that was not built.
func (r *imageRun) printReport(p *imagebuild.Published) error {
	out := imageReport{References: []string{}, Source: r.in.Source, Layers: []reportedLayer{}, Findings: r.findings}
	if out.Findings == nil {
		out.Findings = finding.List{}
	}
	if r.attaching != nil {
		out.Attached = r.attaching.done
	}
	if p != nil {
		if err := out.describe(p); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	_, err = r.results().Write(append(text, '\n'))
	return err
}

// describe takes in what was built and sent.
func (out *imageReport) describe(p *imagebuild.Published) error {
	digest, err := p.Artifact.Digest()
	if err != nil {
		return err
	}
	out.Digest = digest.String()
	for _, s := range p.Sent {
		out.References = append(out.References, s.Reference)
		out.BytesSent += s.Bytes
	}
	seen := map[string]bool{}
	for _, img := range p.Images {
		config, err := img.ConfigFile()
		if err != nil {
			return err
		}
		for _, l := range img.Contents {
			one := reportedLayer{Layer: l, Status: "new"}
			switch {
			case l.Base:
				one.Status = "base"
			case l.Reused:
				one.Status = "reused"
			}
			if len(p.Images) > 1 {
				one.Platform = config.Platform().String()
			}
			out.Layers = append(out.Layers, one)
			if !seen[l.Digest.String()] {
				seen[l.Digest.String()] = true
				out.Size += l.Size
			}
		}
	}
	return nil
}
