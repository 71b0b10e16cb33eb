package main

import (
	"context"
	"errors"
	"strings"

	"mlenv/imagebuild"
	"mlenv/imagebuild/image"
	"mlenv/imagebuild/memo"
)

// memoOptions say what is believed of layers beside the cache on disk.
type memoOptions struct {
	off    bool
	from   []string
	repo   string // of notes; "": that of MLENV_MEMO
	read   string // of notes, to which nothing is written
	verify int    // percent
}

func (o *memoOptions) bind(s *flagSet) {
	s.on(&o.off, "no-memo", "believe nothing about layers but what the cache of this machine has")
	s.list(&o.from, "memo-from", "believe the image `REF` about its layers, as the image that --push replaces and its repository's latest are believed")
	s.text(&o.repo, "memo", "look up layers in the `REPOSITORY` of notes, and note there what is new (default: MLENV_MEMO)")
	s.text(&o.read, "memo-read", "look up layers in the `REPOSITORY` of notes, and write nothing there")
	s.number(&o.verify, "verify-memo", "make `PERCENT` of the known layers all the same, and fail if one of them differs")
}

// check refuses what has no meaning.
func (o *memoOptions) check() error {
	if o.verify < 0 || o.verify > 100 {
		return &usageError{msg: "--verify-memo is a percentage, from 0 to 100"}
	}
	if o.off && (len(o.from) > 0 || o.repo != "" || o.read != "") {
		return &usageError{msg: "--no-memo contradicts --memo, --memo-read and --memo-from"}
	}
	for _, ref := range o.from {
		if _, err := image.ParseReference(ref); err != nil {
			return &usageError{msg: "--memo-from " + err.Error()}
		}
	}
	return nil
}

// memos are where notes about layers are looked for, and which repositories get those of this build.
type memos struct {
	memo.Chain
	saveTo []*memo.Repository
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
	if err := r.openImageNotes(ctx); err != nil {
		return err
	}
	return errors.Join(r.openRepository(ctx, "--memo-read", r.o.memo.read, true), r.openRepository(ctx, "--memo", r.memoRepository(), false))
}

// memoRepository is the repository of notes that is read and written; "": there is none.
func (r *imageRun) memoRepository() string {
	if r.o.memo.repo == "" && r.o.memo.read == "" {
		return r.env("MLENV_MEMO")
	}
	return r.o.memo.repo
}

// openImageNotes reads the notes that images carry.
func (r *imageRun) openImageNotes(ctx context.Context) (err error) {
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

// openRepository opens a repository of notes, if one is named.
func (r *imageRun) openRepository(ctx context.Context, flag, name string, readOnly bool) error {
	if name == "" {
		return nil
	}
	repo, err := memo.NewRepository(ctx, name, r.remote(), memo.RepositoryOptions{ReadOnly: readOnly, Warn: r.warnMemo})
	if err != nil {
		return &usageError{msg: flag + " " + err.Error()}
	}
	r.memos.Add(repo)
	r.memos.saveTo = append(r.memos.saveTo, repo)
	return nil
}

// save notes in the repositories what was sent.
func (r *imageRun) save(ctx context.Context, p *imagebuild.Published) {
	for _, repo := range r.memos.saveTo {
		repo.Save(ctx, p.Images, r.o.sinks.push)
	}
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
