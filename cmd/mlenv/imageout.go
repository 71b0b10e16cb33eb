package main

import (
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
	"mlenv/resolve/cache"
	"mlenv/resolve/finding"
)

// namedSink is a sink with what to call it in messages.
type namedSink struct {
	name   string
	send   sink.Sink
	stream bool // what was sent cannot be taken back or sent again
	begun  bool // with stream: something was sent
	stdout bool // it is where the references would be printed
}

// findSinks finds the sinks that the flags name, and makes sure, before anything is built, that they
// can take an image.
func (r *imageRun) findSinks() error {
	wanted, err := platforms(r.c)
	if err != nil {
		return err
	}
	name, err := imageName(r.in.Path)
	if err != nil {
		return err
	}
	out := &outputs{imageRun: r, tag: r.imageTag(name), several: len(wanted) > 1, taken: map[string]string{}}
	if err := image.CheckTag(out.tag); err != nil {
		out.fail("--name %w", err)
	}
	for _, ref := range r.c.StringSlice("push") {
		out.push(ref)
	}
	files := r.c.StringSlice("output")
	if len(r.c.StringSlice("push"))+len(files) == 0 && !r.c.Bool("load") {
		file := name + ".oci.tar"
		r.progress.tell("none of --push, --output and --load is given: writing %s", file)
		files = []string{"oci-tar:" + file}
	}
	for _, text := range files {
		out.file(text)
	}
	if r.c.Bool("load") && len(out.errs) == 0 {
		out.load()
	}
	r.sinks = out.sinks
	return errors.Join(out.errs...)
}

// imageTag is the image's name in tarballs and engines.
func (r *imageRun) imageTag(name string) string {
	tag := r.c.String("name")
	if pushes := r.c.StringSlice("push"); tag == "" && len(pushes) > 0 {
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
	sinks   []namedSink
	errs    []error
}

func (o *outputs) fail(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	o.errs = append(o.errs, &usageError{msg: err.Error(), command: o.c.Command.Name})
}

func (o *outputs) push(text string) {
	ref, err := image.ParseReference(text)
	if err != nil {
		bad := &usageError{msg: fmt.Sprintf("--push %v", err), command: o.c.Command.Name}
		if image.Redact(text) != text {
			bad.hint = loginHint
		}
		o.errs = append(o.errs, bad)
		return
	}
	dir, err := o.cache()
	if err != nil {
		o.errs = append(o.errs, err)
		return
	}
	o.sinks = append(o.sinks, namedSink{name: ref.String(), send: sink.Registry(text, sink.RegistryOptions{
		Remote: o.remote(), Jobs: o.flags.jobs, Mounts: &sink.MountSources{Memos: dir.Memos()},
	})})
}

func (o *outputs) file(text string) {
	kind, place, _ := strings.Cut(text, ":")
	one := namedSink{name: text}
	find := cache.FileTarget
	switch kind {
	case "oci":
		find, one.send = cache.DirTarget, sink.Layout(place, o.tag)
	case "oci-tar":
		one.send = sink.OCITar(place, o.tag)
	case "docker-tar":
		one.send = sink.DockerTar(place, o.tag)
	}
	if place == "" || one.send == nil {
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
		o.errs = append(o.errs, &usageError{command: o.c.Command.Name, hint: "choose another place with --output",
			msg: fmt.Sprintf("%s lies in %s, and would become a part of the image", place, packed)})
		return
	}
	one.stream, one.stdout = target.Stream, sameFile(o.stdout, target.Path)
	o.sinks = append(o.sinks, one)
}

// isPacked gives the directory that goes into the image and has a path in it, "" if none has.
func (o *outputs) isPacked(path string) (string, error) {
	for _, dir := range append([]string{o.in.dir()}, o.c.StringSlice("code-paths")...) {
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

// sameFile tells whether a path leads to the file that w writes to.
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

func (o *outputs) load() {
	if o.several {
		o.errs = append(o.errs, fmt.Errorf("--load: %w", sink.ErrOnePlatform))
		return
	}
	d, err := o.engine(o.c.Context)
	if err != nil {
		o.errs = append(o.errs, err)
		return
	}
	o.sinks = append(o.sinks, namedSink{name: "the engine at " + d.String(), send: d.Load(o.tag)})
}

// imageReport is what --format json prints.
type imageReport struct {
	References []string          `json:"references"`
	Digest     string            `json:"digest,omitempty"` // none where findings kept it from being built
	Size       int64             `json:"size"`             // bytes of all layers, compressed, each once
	BytesSent  int64             `json:"bytesSent"`        // to all sinks
	Layers     []reportedLayer   `json:"layers"`
	Findings   []finding.Finding `json:"findings"`
	Notes      []string          `json:"notes,omitempty"` // on wheels that are odd
}

type reportedLayer struct {
	Platform string `json:"platform,omitempty"` // where there are several
	imagebuild.Layer
	Status string `json:"status"` // base, reused or new
}

// print says what was sent: on stdout, unless the image itself went there.
func (r *imageRun) print(b *built, sent []sink.Sent) error {
	if r.c.String("format") == "json" {
		digest, err := b.artifact.Digest()
		if err != nil {
			return err
		}
		return r.printReport(digest.String(), sent)
	}
	for _, s := range sent {
		if _, err := fmt.Fprintln(r.results(), s.Reference); err != nil {
			return err
		}
	}
	return nil
}

func (r *imageRun) results() io.Writer {
	for _, s := range r.sinks {
		if s.stdout {
			return r.stderr
		}
	}
	return r.stdout
}

// printReport prints the report of an image, or without a digest that of one that was not built.
func (r *imageRun) printReport(digest string, sent []sink.Sent) error {
	out := imageReport{Digest: digest, References: []string{}, Layers: r.layers, Findings: r.findings, Notes: r.notes}
	for _, s := range sent {
		out.References = append(out.References, s.Reference)
		out.BytesSent += s.Bytes
	}
	seen := map[string]bool{}
	for _, l := range r.layers {
		if !seen[l.Digest.String()] {
			seen[l.Digest.String()] = true
			out.Size += l.Size
		}
	}
	if out.Layers == nil {
		out.Layers = []reportedLayer{}
	}
	if out.Findings == nil {
		out.Findings = []finding.Finding{}
	}
	text, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	_, err = r.results().Write(append(text, '\n'))
	return err
}

// describe notes what the images' layers are.
func describe(b *built) ([]reportedLayer, error) {
	var out []reportedLayer
	for _, img := range b.images {
		config, err := img.ConfigFile()
		if err != nil {
			return nil, err
		}
		for _, l := range img.Contents {
			one := reportedLayer{Layer: l, Status: "new"}
			switch {
			case l.Base:
				one.Status = "base"
			case l.Reused:
				one.Status = "reused"
			}
			if len(b.images) > 1 {
				one.Platform = config.Platform().String()
			}
			out = append(out, one)
		}
	}
	return out, nil
}
