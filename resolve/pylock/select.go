package pylock

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// Pick is the file that a target installs for one package of a lock.
type Pick struct {
	Name      pep508.Name
	Version   pep440.Version
	File      File   // its Name is always set
	Index     string // URL of the index that listed it, "" where none did
	DirectURL []byte // direct_url.json (PEP 610) if the lock has the address of the wheel itself
}

// Why is the reason why a target cannot install a package without running its code.
type Why int

// The reasons.
const (
	OnlySource   Why = iota // it only has a source distribution, or an archive of one
	SourceTree              // it is a directory or in version control
	OtherTargets            // its wheels are for other targets
	NotAWheel               // its archive has the suffix of a wheel, but not a wheel's name
	OtherPython             // its Requires-Python excludes the target's
	NoFile                  // the lock has no file of it
)

// Unbuilt is a package without a wheel that the target can install.
type Unbuilt struct {
	Package *Package
	Why     Why
}

// String returns the package and what it has instead: "foo 1.0 (a source distribution)".
func (u Unbuilt) String() string {
	return strings.TrimSpace(string(u.Package.Name)+" "+u.Package.Version.String()) + " (" + u.description() + ")"
}

func (u Unbuilt) description() string {
	p := u.Package
	switch {
	case u.Why == OnlySource:
		return "a source distribution"
	case u.Why == SourceTree && p.VCS != nil:
		return "a source tree in " + p.VCS.Type
	case u.Why == SourceTree:
		return "a source tree"
	case u.Why == OtherTargets && p.Archive != nil:
		return "its wheel " + path.Base(p.Archive.address()) + " does not fit"
	case u.Why == OtherTargets:
		return fmt.Sprintf("its %d wheels are for others", len(p.Wheels))
	case u.Why == NotAWheel:
		return "not a wheel's name: " + path.Base(p.Archive.address())
	case u.Why == OtherPython:
		return "it requires Python " + p.RequiresPython.String()
	}
	return "no file"
}

// UnbuiltError reports packages of a lock that have no wheel for the target. Installing them would
// run their code, which building an image never does.
type UnbuiltError struct {
	Target   dist.Target
	Packages []Unbuilt // in the lock's order
}

func (e *UnbuiltError) Error() string {
	words := make([]string, len(e.Packages))
	for i, u := range e.Packages {
		words[i] = u.String()
	}
	slices.Sort(words)
	return fmt.Sprintf("no wheel for %s: %s", e.Target.Platform(), strings.Join(words, ", "))
}

// Select returns the wheel of every package in the lock that the target needs, sorted by name. It
// returns a *NotForError if the lock is not for the target, and an *UnbuiltError if packages have
// no fitting wheel.
func (l *Lock) Select(t dist.Target) ([]Pick, error) {
	if err := l.isFor(t); err != nil {
		return nil, err
	}
	picks, unbuilt := l.Choose(t)
	if len(unbuilt) > 0 {
		return nil, &UnbuiltError{Target: t, Packages: unbuilt}
	}
	return picks, nil
}

// Choose is like Select but always returns everything: the wheels that fit, sorted by name, and the
// packages without one, even if the lock is not for the target. Of several wheels it takes the one
// whose tags fit best, as installers do (PEP 425), then the one with the greatest build number (PEP
// 427), then the first.
func (l *Lock) Choose(t dist.Target) (picks []Pick, unbuilt []Unbuilt) {
	tags, env := t.TagSet(), t.Environment()
	for i := range l.Packages {
		p := &l.Packages[i]
		if !p.Marker.Eval(env) {
			continue
		}
		file, why, ok := p.choose(t, tags)
		if !ok {
			unbuilt = append(unbuilt, Unbuilt{p, why})
			continue
		}
		picks = append(picks, Pick{Name: p.Name, Version: p.Version, File: file, Index: p.Index, DirectURL: p.directURL()})
	}
	slices.SortStableFunc(picks, func(a, b Pick) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return picks, unbuilt
}

// isFor returns a *NotForError if the lock may not be used on a target.
func (l *Lock) isFor(t dist.Target) error {
	if !t.FitsPython(l.RequiresPython) {
		return &NotForError{What: "Python", Want: []string{l.RequiresPython.String()}, Target: t}
	}
	if len(l.Environments) == 0 {
		return nil
	}
	env := t.Environment()
	var texts []string
	for _, m := range l.Environments {
		if m.Eval(env) {
			return nil
		}
		texts = append(texts, m.String())
	}
	return &NotForError{What: "environment", Want: texts, Target: t}
}

// NotForError reports that a lock may not be used on a target, because of its requires-python or
// its environments.
type NotForError struct {
	What   string   // "Python" or "environment"
	Want   []string // the versions, or the markers one of which must hold
	Target dist.Target
}

func (e *NotForError) Error() string {
	want := strings.Join(e.Want, " or ")
	if e.What == "Python" {
		return fmt.Sprintf("the lock requires Python %s, but the base has %s", want, e.Target.Python)
	}
	return fmt.Sprintf("the lock is for environments where %s, which %s with Python %s is not", want, e.Target.Platform(), e.Target.Python)
}

// choose returns the best wheel of a package, or the reason why there is none.
func (p *Package) choose(t dist.Target, tags dist.TagSet) (best File, why Why, ok bool) {
	files := p.Wheels
	archived := p.Archive != nil && strings.HasSuffix(p.Archive.address(), ".whl")
	if archived {
		files = []File{p.Archive.file()}
	}
	switch {
	case !t.FitsPython(p.RequiresPython):
		return best, OtherPython, false
	case len(files) == 0:
		return best, p.source(), false
	}
	var bestFit dist.Fit
	why = OtherTargets
	for _, f := range files {
		f.Name = f.FileName()
		name, err := dist.ParseWheelName(f.Name)
		if err != nil {
			if archived {
				why = NotAWheel
			}
			continue
		}
		if fit, fits := tags.Fit(name.Tags, name.Build); fits && (!ok || fit.Compare(bestFit) < 0) {
			best, bestFit, ok = f, fit, true
		}
	}
	return best, why, ok
}

// source returns the reason why a package has no wheels: what it has instead.
func (p *Package) source() Why {
	switch {
	case p.Archive != nil, p.Sdist != nil:
		return OnlySource
	case p.VCS != nil, p.Directory != nil:
		return SourceTree
	}
	return NoFile
}

// directURL returns the direct_url.json (PEP 610) of a package that the lock lists by its own URL.
func (p *Package) directURL() []byte {
	if p.Archive == nil || p.Archive.URL == "" {
		return nil
	}
	data, err := json.Marshal(map[string]any{"url": p.Archive.URL, "archive_info": map[string]any{"hashes": p.Archive.Hashes}})
	if err != nil {
		panic("pylock: texts that have no JSON form: " + err.Error())
	}
	return data
}

// file returns the archive as a file with a name.
func (a *Archive) file() File {
	return File{Name: path.Base(a.address()), URL: a.URL, Query: a.Query, Path: a.Path, Size: a.Size, Hashes: a.Hashes}
}

// address returns the path, or else the URL without its query and fragment.
func (a *Archive) address() string { return address(a.Path, a.URL) }

func address(path, url string) string {
	if path != "" {
		return path
	}
	url, _, _ = strings.Cut(url, "#")
	url, _, _ = strings.Cut(url, "?")
	return url
}

// FileName returns the name of the file. If the lock does not give it, that is the last part of the
// path or URL.
func (f File) FileName() string {
	if f.Name != "" {
		return f.Name
	}
	return path.Base(address(f.Path, f.URL))
}
