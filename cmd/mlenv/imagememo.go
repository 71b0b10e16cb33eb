package main

import (
	"context"
	"strings"

	"mlenv/imagebuild"
	"mlenv/imagebuild/image"
	"mlenv/imagebuild/memo"
)

// memoOptions say what is believed of layers beside the cache on disk.
type memoOptions struct {
	off    bool
	from   []string
	verify int // percent
}

func (o *memoOptions) bind(s *flagSet) {
	s.on(&o.off, "no-memo", "believe nothing about layers but what the cache of this machine has")
	s.list(&o.from, "memo-from", "believe the image `REF` about its layers, as the image that --push replaces and its repository's latest are believed")
	s.number(&o.verify, "verify-memo", "make `PERCENT` of the known layers all the same, and fail if one of them differs")
}

// check refuses what has no meaning.
func (o *memoOptions) check() error {
	if o.verify < 0 || o.verify > 100 {
		return &usageError{msg: "--verify-memo is a percentage, from 0 to 100"}
	}
	if o.off && len(o.from) > 0 {
		return &usageError{msg: "--no-memo and --memo-from contradict each other"}
	}
	for _, ref := range o.from {
		if _, err := image.ParseReference(ref); err != nil {
			return &usageError{msg: "--memo-from " + err.Error()}
		}
	}
	return nil
}

// openMemos opens what is remembered of layers: by this machine, and unless that is not wanted by the
// images that are there.
func (r *imageRun) openMemos(ctx context.Context) error {
	dir, err := r.cache()
	if err != nil {
		return err
	}
	r.memos.Add(dir.Memos())
	if r.o.memo.off {
		return nil
	}
	q := memo.Request{Targets: r.o.sinks.push, Others: r.o.memo.from}
	if q.Platforms, err = r.o.base.platforms(); err != nil || len(q.Targets)+len(q.Others) == 0 {
		return err
	}
	r.progress.say("asking which layers are there already")
	images, errs := memo.ReadImages(ctx, r.remote(), q)
	for _, err := range errs {
		r.warnMemo(err)
	}
	r.memos.Add(images)
	return ctx.Err()
}

// warnMemo tells of a memo that costs time for not being there.
func (r *imageRun) warnMemo(err error) {
	r.progress.tell("warning: building without some notes about layers: %v", err)
}

// tellUnmounted says once of every registry what it cost that it does not mount layers.
func (r *imageRun) tellUnmounted(p *imagebuild.Published) {
	for _, s := range p.Sent {
		if registry, _, _ := strings.Cut(s.Reference, "/"); s.Unmounted > 0 {
			r.progress.tell("%s has not mounted layers that another of its repositories should have: %s were sent again", registry, bytesText(s.Unmounted))
		}
	}
}
