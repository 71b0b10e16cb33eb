package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/urfave/cli/v2"

	"mlenv/imagebuild"
	"mlenv/imagebuild/base"
	"mlenv/imagebuild/image"
	"mlenv/imagebuild/sink"
	"mlenv/render/printable"
	"mlenv/resolve/pep440"
)

// rebaseOptions are the flags of rebase.
type rebaseOptions struct {
	base   string
	check  bool
	push   []string
	tag    string
	format string
	jobs   int
	quiet  bool
}

func rebaseCommand(a *app) *cli.Command {
	s, o := &flagSet{}, &rebaseOptions{jobs: 4}
	s.text(&o.base, "base", "put the image on `IMAGE`: a reference, oci:DIR, oci-tar:FILE or docker-tar:FILE")
	s.on(&o.check, "check", "only say whether the image fits")
	s.list(&o.push, "push", "push to `REGISTRY/NAME:TAG`")
	s.text(&o.tag, "tag", "push to the repository of the image under `TAG`")
	s.oneOf(&o.format, "format", "what is printed on stdout", "text", "json")
	s.number(&o.jobs, "jobs", "send `N` layers at once")
	s.on(&o.quiet, "quiet, q", "no progress output")
	a.bindNetwork(s)
	return &cli.Command{
		Name:      "rebase",
		Usage:     "put an image on another base, without its model and its wheels",
		ArgsUsage: "IMAGE",
		Description: "Puts IMAGE, which mlenv built, on another base, such as one with a fixed system library. The image is\n" +
			"the very one that mlenv image builds on that base with the lock of IMAGE. Only what tells of the base is\n" +
			"written anew; neither the model nor a wheel is fetched. Of an index, the images of all platforms are put\n" +
			"on the base. Prints the digest of IMAGE and where the new image is. What is attached to IMAGE, such as\n" +
			"signatures, is about its digest, and not about the new one.\n" +
			"Exits with 2, and says why, if the image does not fit: for another minor version of Python, another C\n" +
			"library, other wheels, or if the base lacks libraries that the image found in the old one.",
		Flags:  s.flags,
		Action: s.action(func(ctx context.Context, args []string) error { return a.rebase(ctx, args, o) }),
	}
}

// rebaseReport is what --format json prints.
type rebaseReport struct {
	Image      string   `json:"image"`
	Old        string   `json:"old"`              // digest of what Image names
	Digest     string   `json:"digest,omitempty"` // none where it does not fit
	Base       string   `json:"base"`
	Fits       bool     `json:"fits"`
	Reasons    []string `json:"reasons"` // why it does not
	References []string `json:"references"`
	BytesSent  int64    `json:"bytesSent"`
}

func (a *app) rebase(ctx context.Context, args []string, o *rebaseOptions) error {
	name, err := oneArgument(args, "rebase", "IMAGE")
	if err != nil {
		return err
	}
	to, err := o.targets(name)
	if err != nil {
		return err
	}
	show := a.newProgress(o.quiet)
	defer show.close()
	var sinks []sink.Sink
	for _, ref := range to {
		sinks = append(sinks, sink.Registry(ref, sink.RegistryOptions{Remote: a.remote(), Jobs: o.jobs}))
	}
	show.say("reading the image")
	old, err := image.OpenAll(ctx, name, a.remote())
	if err != nil {
		return err
	}
	r := rebaseReport{Image: printable.Line(name), Old: old[0].Named, Base: printable.Line(o.base), Reasons: []string{}, References: []string{}}
	if r.Old == "" {
		r.Old = old[0].Digest
	}
	artifact, err := a.rebaseAll(ctx, old, o.base, show)
	if reasons := unfitReasons(err); reasons != nil {
		r.Reasons = reasons
		show.close()
		return errors.Join(a.printRebase(o, r), &findingsError{count: len(reasons)})
	}
	if err != nil {
		return err
	}
	digest, err := artifact.Digest()
	if err != nil {
		return err
	}
	r.Fits, r.Digest = true, digest.String()
	for _, s := range sinks {
		show.say("sending to %s", s.Name)
		sent, err := s.Send(ctx, artifact)
		if err != nil {
			return err
		}
		r.References = append(r.References, sent.Reference)
		r.BytesSent += sent.Bytes
	}
	show.close()
	return a.printRebase(o, r)
}

// targets are the references that are pushed to.
func (o *rebaseOptions) targets(name string) ([]string, error) {
	out := o.push
	if o.base == "" || o.base == "host" {
		return nil, &usageError{msg: "rebase needs --base IMAGE"}
	}
	if o.tag != "" {
		ref, err := image.ParseReference(name)
		if err != nil || image.IsFile(name) {
			return nil, &usageError{msg: "--tag needs an IMAGE in a registry; --push says where another goes"}
		}
		out = append(out, ref.Context().Name()+":"+o.tag)
	}
	switch {
	case o.check && len(out) > 0:
		return nil, &usageError{msg: "--check pushes nothing: leave out --push and --tag"}
	case !o.check && len(out) == 0:
		return nil, &usageError{msg: "say where the image goes with --push or --tag, or give --check"}
	}
	for _, ref := range out {
		if _, err := image.ParseReference(ref); err != nil {
			return nil, &usageError{msg: err.Error()}
		}
	}
	return out, nil
}

// rebaseAll puts the images of all platforms on their bases.
func (a *app) rebaseAll(ctx context.Context, old []*image.Image, ref string, show *progress) (sink.Artifact, error) {
	var all []*imagebuild.Rebased
	for _, img := range old {
		config, err := img.ConfigFile()
		if err != nil {
			return sink.Artifact{}, err
		}
		platform := v1.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant}
		show.say("inspecting the base for %s", platform)
		bases, _, err := a.openBases(ctx, baseOptions{ref: ref, names: []string{platform.String()}}, pep440.Version{})
		if err != nil {
			return sink.Artifact{}, err
		}
		one, err := imagebuild.Rebase(ctx, img, bases[0])
		if err != nil {
			return sink.Artifact{}, err
		}
		all = append(all, one)
	}
	return imagebuild.JoinRebased(all)
}

// unfitReasons says why an image does not fit a base, nil where an error says something else.
func unfitReasons(err error) []string {
	var (
		unfit    *imagebuild.UnfitError
		occupied *base.OccupiedError
		platform *base.WrongPlatformError
		none     *image.NoPlatformError
	)
	switch {
	case errors.As(err, &unfit):
		return unfit.Reasons
	case errors.As(err, &occupied), errors.As(err, &platform), errors.As(err, &none):
		return []string{err.Error()}
	}
	if e, ok := base.IsError(err); ok { // it has no Python, or none that can be told
		return []string{e.Error()}
	}
	return nil
}

// printRebase says what became of the image: the old digest, and where the new one is.
func (a *app) printRebase(o *rebaseOptions, r rebaseReport) error {
	if o.format == "json" {
		text, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		_, err = a.stdout.Write(append(text, '\n'))
		return err
	}
	s := a.console()
	for _, reason := range r.Reasons {
		s.print("%s %s", s.paint(red, "does not fit:"), printable.Line(reason))
	}
	if !r.Fits {
		return nil
	}
	places := r.References
	if len(places) == 0 {
		places = []string{r.Digest}
	}
	for _, place := range places {
		if _, err := fmt.Fprintf(a.stdout, "%s %s\n", r.Old, printable.Line(place)); err != nil {
			return err
		}
	}
	return nil
}
