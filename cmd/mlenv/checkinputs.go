package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/imagebuild/base"
	"mlenv/imagebuild/image"
	"mlenv/resolve/check"
	"mlenv/resolve/check/gather"
	"mlenv/resolve/dist"
	"mlenv/resolve/finding"
	"mlenv/resolve/index"
	"mlenv/resolve/lock"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/serving"
)

// gather adds what the check knows beyond the model: targets, the base, and the index.
func (r *checkRun) gather(ctx context.Context, in *inputs) error {
	bases, err := r.targets(ctx, in)
	if err != nil {
		return err
	}
	if r.in.Lock == nil && !r.o.online {
		return nil
	}
	if r.in.Lock != nil {
		r.o.model.index.keep(r.in.Lock.Lock)
	}
	client, err := r.app.indexClient(r.o.model.index, in, nil)
	if err != nil {
		return err
	}
	if r.in.Lock == nil {
		solved, err := r.solve(ctx, lockRequest{in: in, client: client, index: r.o.model.index, bases: bases, dir: "."})
		if err != nil || !solved {
			return err
		}
	}
	if err := r.upgrades(ctx, in, client); err != nil {
		return err
	}
	if r.in.Libraries != nil {
		dir := in.lockDir(filepath.FromSlash(r.in.Lock.Name))
		if r.in.Libraries.Wheels, err = gather.Libraries(ctx, client, r.in.Lock.Lock, dir, r.in.Targets[0]); err != nil {
			return err
		}
	}
	if !r.o.online {
		return nil
	}
	p := r.in.Policy
	answers, err := gather.Ask(ctx, client, r.in.Lock.Lock, p != nil && len(p.Licences.Allow)+len(p.Licences.Deny) > 0)
	if err == nil {
		r.in.Releases, r.in.Licences = answers.Releases, answers.Licences
	}
	return err
}

// upgrades tries what locking the vulnerable packages anew gives, and nothing else, as mlenv lock
// --upgrade-package does. That it cannot be solved is what mlenv lock would say.
func (r *checkRun) upgrades(ctx context.Context, in *inputs, client *index.Client) error {
	l := r.in.Lock.Lock
	names := r.in.Advisories.Vulnerable(l)
	if !r.o.online || len(names) == 0 || len(l.Tool.Targets) == 0 {
		return nil
	}
	req := lockRequest{in: in, client: client, index: r.o.model.index, dir: in.lockDir(r.in.Lock.Name), keep: lock.Keep{Lock: l, Upgrade: names}}
	for _, t := range l.Tool.Targets {
		t.Python = l.Tool.Python
		req.targets = append(req.targets, t)
	}
	made, err := r.o.lock.solve(ctx, req)
	var none *lock.NoSolutionError
	var refused *lock.RefusedError
	if errors.As(err, &none) || errors.As(err, &refused) {
		return nil
	}
	if err != nil {
		return err
	}
	r.in.Upgrades = map[pep508.Name]pep440.Version{}
	for _, n := range names {
		r.in.Upgrades[n] = pep440.Version{}
	}
	for _, p := range made.Packages {
		if _, ok := r.in.Upgrades[p.Name]; ok {
			r.in.Upgrades[p.Name] = p.Version
		}
	}
	return nil
}

// solve makes a lock for the check alone, and tells whether there is one. That there is none is a
// finding, for it is something about the model; that the index could not be asked is an error.
func (r *checkRun) solve(ctx context.Context, req lockRequest) (bool, error) {
	req.targets = slices.Clone(r.in.Targets)
	if len(req.targets) == 0 {
		t, err := r.targetOf(v1.Platform{OS: "linux", Architecture: "amd64"})
		if err != nil {
			return false, err
		}
		req.targets = append(req.targets, t)
	}
	for i := range req.targets {
		if req.targets[i].Python.IsZero() {
			if req.targets[i].Python = req.in.Spec.Python.Version; req.targets[i].Python.IsZero() {
				return false, nil // package resolve has said that the Python is not known
			}
		}
	}
	made, err := r.o.lock.solve(ctx, req)
	var none *lock.NoSolutionError
	var refused *lock.RefusedError
	switch {
	case errors.As(err, &none):
		r.in.NoSolution = r.app.noSolutionText(ctx, none)
		return false, nil
	case errors.As(err, &refused):
		r.in.NoSolution = refused.Error()
		return false, nil
	case err != nil:
		return false, err
	}
	r.in.Lock = &check.Lock{Lock: made}
	return true, nil
}

// targets are the platforms asked for: the base's own, or those of --platform with the C library
// that the lock was made for.
func (r *checkRun) targets(ctx context.Context, in *inputs) ([]*base.Found, error) {
	if r.o.base.ref == "" {
		if len(r.o.base.names) == 0 {
			return nil, nil
		}
		wanted, err := r.o.base.platforms()
		if err != nil {
			return nil, err
		}
		for _, p := range wanted {
			t, err := r.targetOf(p)
			if err != nil {
				return nil, err
			}
			r.in.Targets = append(r.in.Targets, t)
		}
		return nil, nil
	}
	bases, _, err := r.app.openBases(ctx, r.o.base, in.Spec.Python.Version)
	if err != nil {
		return nil, err
	}
	r.in.BaseName = r.o.base.ref
	r.in.Libraries = &check.Libraries{Base: r.o.base.ref, Bring: bases[0].Sonames} // of several platforms, the first is looked into
	r.in.Targets = base.Targets(bases)
	return bases, nil
}

// targetOf is a platform with the C library that the lock names for it, else the default one: to check a
// lock for musl as one for glibc would find all its wheels wrong.
func (r *checkRun) targetOf(p v1.Platform) (dist.Target, error) {
	t, err := dist.NewTarget(p.OS, p.Architecture, pep440.Version{}, "")
	if err != nil || r.in.Lock == nil {
		return t, err
	}
	for _, recorded := range r.in.Lock.Tool.Targets {
		if recorded.Platform() == t.Platform() && recorded.Libc.Kind != "" {
			t.Libc = recorded.Libc
		}
	}
	return t, nil
}

// refused says what the platform of --target would refuse of the image that mlenv image --target
// makes of the model.
func (r *checkRun) refused() (finding.List, error) {
	if r.target == nil {
		return nil, nil
	}
	arch, err := r.o.base.architectures()
	if err != nil {
		return nil, err
	}
	user := r.target.User
	if user == "" {
		user = serving.DefaultUser
	}
	return r.target.Refuses(serving.Shape{
		Architectures: arch, Docker: r.target.Docker, Index: len(arch) > 1, Port: serving.DefaultPort, User: user,
		Serves: r.o.lock.serve != string(serving.None),
	}), nil
}

// isImage reports whether the argument names an image, which can only be meant together with --target.
func (r *checkRun) isImage() bool {
	if r.target == nil {
		return false
	}
	if image.IsFile(r.model) {
		return true
	}
	_, err := os.Stat(r.model)
	return errors.Is(err, fs.ErrNotExist) && looksLikeReference(r.model)
}

// checkImage compares an image with what the platform takes.
func (r *checkRun) checkImage(ctx context.Context) (*check.Report, error) {
	img, err := image.Open(ctx, r.model, nil, r.app.remote())
	if err != nil {
		return nil, err
	}
	shape, err := img.Shape()
	if err != nil {
		return nil, err
	}
	return check.Image(r.target.Refuses(shape), r.in.Policy, r.in.Today), nil
}
