package imagebuild

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"mlenv/imagebuild/image"
	"mlenv/imagebuild/layer"
	"mlenv/imagebuild/sink"
	"mlenv/resolve/finding"
)

// Published is what became of images that were built and sent.
type Published struct {
	Images   []*Image      // in the order of the recipes; closed
	Artifact sink.Artifact // the only image, or the index of all
	Sent     []sink.Sent   // by the sinks that succeeded, in their order
	Findings finding.List  // what is odd about the wheels or the layers, each once
}

// Publish builds the image of every recipe, joins several to an image index in their order, and
// sends the whole to every sink. A sink that fails keeps no other from its image: the error joins
// those of all, and Published tells what was sent. No sink shows an image before it is whole. A sink
// that can be found to take no image at all ends it before anything is built.
//
// Where it turns out on the way that what was remembered of a layer is wrong, everything is built
// once more without believing any of it. A *ChangedError says that a file of the model, or of the
// code that goes with it, was written to meanwhile: no image of it would be of one state.
func Publish(ctx context.Context, b *Builder, recipes []Recipe, to ...sink.Sink) (_ *Published, err error) {
	for _, s := range to {
		if s.Check == nil {
			continue
		}
		if err := s.Check(ctx); err != nil {
			return &Published{}, err
		}
	}
	p := &publisher{Builder: *b, recipes: slices.Clone(recipes), sinks: to, out: &Published{}}
	defer func() { err = errors.Join(err, p.close()) }()
	err = p.try(ctx)
	err = whyContent(ctx, p.files(), err)
	if !errors.Is(err, layer.ErrChanged) {
		return p.out, err
	}
	if changed := firstChanged(ctx, p.files()); changed != nil {
		return p.out, changed
	}
	p.tell(Event{Again: true})
	if err := errors.Join(p.close(), p.reopen(ctx)); err != nil {
		return p.out, err
	}
	p.Fresh = true
	err = p.try(ctx)
	return p.out, whyContent(ctx, p.files(), err)
}

// publisher is one run of Publish.
type publisher struct {
	Builder
	recipes []Recipe
	sinks   []sink.Sink
	begun   []bool // by sink: it was sent a part that it cannot take back
	out     *Published
}

// try builds and sends.
func (p *publisher) try(ctx context.Context) error {
	p.out.Images, p.out.Findings, p.out.Sent = nil, nil, nil
	for _, r := range p.recipes {
		img, err := p.Build(ctx, r)
		if err != nil {
			return err
		}
		p.out.Images = append(p.out.Images, img)
		for _, f := range img.Findings {
			if !slices.ContainsFunc(p.out.Findings, f.Equal) {
				p.out.Findings = append(p.out.Findings, f)
			}
		}
	}
	if p.Review != nil {
		if err := p.Review(p.out.Findings); err != nil {
			return err
		}
	}
	if err := p.join(); err != nil {
		return err
	}
	if err := p.send(ctx); err != nil {
		return err
	}
	if p.Save != nil {
		p.Save(ctx, p.out)
	}
	return nil
}

// join makes the artifact of the images.
func (p *publisher) join() (err error) {
	p.out.Artifact, err = join(p.out.Images, p.recipes[0].Manifest, p.recipes[0].Annotations)
	return err
}

// join makes one artifact of images whose manifests have such annotations.
func join(images []*Image, form Manifest, annotations map[string]string) (sink.Artifact, error) {
	if len(images) == 1 {
		return sink.Artifact{Image: images[0].Image}, nil
	}
	shared := map[string]string{}
	for k, v := range annotations {
		if k != image.BaseDigest { // which differs between the images
			shared[k] = v
		}
	}
	index, err := Index(images, form, shared)
	return sink.Artifact{Index: index}, err
}

func (p *publisher) send(ctx context.Context) error {
	artifact := p.out.Artifact
	artifact.Progress = func(s sink.Step) { p.tell(Event{Step: s}) }
	if p.begun == nil {
		p.begun = make([]bool, len(p.sinks))
	}
	var errs []error
	for i, to := range p.sinks {
		p.tell(Event{Sending: to.Name})
		if p.begun[i] {
			errs = append(errs, fmt.Errorf("sending to %s: it has a part of an image that was not to be trusted; begin again", to.Name))
			continue
		}
		p.begun[i] = to.Once
		sent, err := to.Send(ctx, artifact)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p.out.Sent = append(p.out.Sent, sent)
	}
	return errors.Join(errs...)
}

// reopen opens the bases again, believing nothing that is remembered of them.
func (p *publisher) reopen(ctx context.Context) error {
	for i := range p.recipes {
		again, err := p.recipes[i].Base.Again(ctx)
		if err != nil {
			return err
		}
		p.recipes[i].Base = again
	}
	return nil
}

// files are those that the images were made of and that somebody may write to.
func (p *publisher) files() []source {
	var out []source
	for _, img := range p.out.Images {
		out = append(out, img.files...)
	}
	return out
}

func (p *publisher) close() error {
	var errs []error
	for _, img := range p.out.Images {
		errs = append(errs, img.Close())
	}
	return errors.Join(errs...)
}

// ChangedError says that a file was written to while an image was made of it.
type ChangedError struct {
	Path string // in the model, or of the code that goes with it
}

func (e *ChangedError) Error() string {
	return e.Path + " was changed while it was read; nothing may write to the model while its image is built"
}
