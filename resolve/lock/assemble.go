package lock

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
)

// entry is one package of the lock: a project in one version, for some of the targets.
type entry struct {
	name    pep508.Name
	version pep440.Version
	targets []int
	wheels  []dist.File
	best    []string // file names of the wheels that the targets would install
	direct  *Root
	needs   []pep508.Name
}

// assemble writes the choices of all targets into one lock.
func (s *session) assemble(all []*picks) (*pylock.Lock, error) {
	entries := merge(all)
	if err := s.hash(entries); err != nil {
		return nil, err
	}
	l := &pylock.Lock{LockVersion: pylock.Version, CreatedBy: "mlenv", Tool: s.p.Tool}
	l.Tool.Python = s.p.Targets[0].Python
	l.Tool.Targets, l.Tool.ExcludeNewer = nil, s.p.Limits.Cutoff.UTC()
	for _, t := range s.p.Targets {
		t.Python = l.Tool.Python // of two patch releases, a lock names the first
		l.Tool.Targets = append(l.Tool.Targets, t)
	}
	slices.SortFunc(l.Tool.Targets, func(a, b dist.Target) int { return strings.Compare(a.String(), b.String()) })
	markers, err := environments(l, all)
	if err != nil {
		return nil, err
	}
	l.Tool.Requested = s.p.requested(entries)
	l.Tool.Yanked = yanked(entries)
	s.warnOf(all, l.Tool.Yanked)
	byName := map[pep508.Name][]*entry{}
	for _, e := range entries {
		byName[e.name] = append(byName[e.name], e)
	}
	l.Tool.SignedURLs = false
	for _, e := range entries {
		p, err := s.pkg(e, byName)
		if err != nil {
			return nil, err
		}
		l.Tool.SignedURLs = l.Tool.SignedURLs || slices.ContainsFunc(e.wheels, func(f dist.File) bool { return f.Signed })
		if len(e.targets) < len(all) {
			p.Marker = anyOf(markers, e.targets)
			if err := distinct(e, byName[e.name], markers); err != nil {
				return nil, err
			}
		}
		l.Packages = append(l.Packages, p)
	}
	return l, errors.Join(s.verify(l), s.checkLocal(l))
}

// yanked lists the entries that their projects have withdrawn.
func yanked(entries []*entry) []pylock.Yanked {
	var out []pylock.Yanked
	for _, e := range entries {
		for _, f := range e.wheels {
			if f.Yanked && slices.Contains(e.best, f.Filename) {
				out = append(out, pylock.Yanked{Name: e.name, Version: e.version, Reason: printable(f.YankedReason)})
				break
			}
		}
	}
	return out
}

// warnOf says what is odd with a lock. This waits for the end, for not every solution that is found
// on the way is the one that counts.
func (s *session) warnOf(all []*picks, withdrawn []pylock.Yanked) {
	for _, p := range all {
		for _, over := range p.over {
			s.note(over)
		}
		for _, odd := range p.odd {
			s.warn("%s", odd)
		}
	}
	for _, y := range withdrawn {
		reason := ""
		if y.Reason != "" {
			reason = ": " + y.Reason
		}
		s.warn("%s %s was yanked%s", y.Name, y.Version, reason)
	}
}

// environments notes where the lock may be used: on which platforms, and with which patch releases of
// Python. It gives the marker of each choice.
func environments(l *pylock.Lock, all []*picks) ([]pep508.Marker, error) {
	minor := l.Tool.Python.Minor()
	type machineHolds struct {
		machine pep508.Marker
		holds   patches
	}
	var machines []machineHolds // one for each machine; the patch releases of one follow each other
	markers := make([]pep508.Marker, len(all))
	whole := all[0].holds
	for i, p := range all {
		m, err := pep508.ParseMarker(fmt.Sprintf("platform_machine == %q and sys_platform == %q", p.view.env.PlatformMachine, p.view.env.SysPlatform))
		if err != nil {
			return nil, err
		}
		k := slices.IndexFunc(machines, func(o machineHolds) bool { return o.machine.Equal(m) })
		if k < 0 {
			k = len(machines)
			machines = append(machines, machineHolds{m, p.holds})
		}
		machines[k].holds.from, machines[k].holds.to = min(machines[k].holds.from, p.holds.from), max(machines[k].holds.to, p.holds.to)
		whole.from, whole.to = min(whole.from, p.holds.from), max(whole.to, p.holds.to)
		markers[i] = m
		if _, exact := patchOf(p.view.target); !exact {
			python, err := p.holds.marker(minor)
			if err != nil {
				return nil, err
			}
			markers[i] = m.And(python)
		}
	}
	for _, o := range machines {
		m := o.machine
		if o.holds != whole {
			python, err := o.holds.marker(minor)
			if err != nil {
				return nil, err
			}
			m = m.And(python)
		}
		l.Environments = append(l.Environments, m)
	}
	var err error
	l.RequiresPython, err = whole.specifiers(minor)
	return markers, err
}

// requested lists the roots that are in the lock, by name.
func (p *Problem) requested(entries []*entry) []pep508.Name {
	roots := map[pep508.Name]bool{}
	for i := range p.Roots {
		roots[p.Roots[i].Name] = true
	}
	var out []pep508.Name
	for _, e := range entries {
		if roots[e.name] {
			out = append(out, e.name)
		}
	}
	return slices.Compact(out) // entries are sorted
}

// merge joins the choices of all targets into entries, by name and version.
func merge(all []*picks) []*entry {
	var entries []*entry
	byName := map[pep508.Name][]*entry{}
	seen := map[*entry]map[string]bool{} // the wheels' file names
	for i, p := range all {
		for _, x := range p.list {
			same := byName[x.name]
			k := slices.IndexFunc(same, func(e *entry) bool { return e.version.Equal(x.candidate.version) })
			if k < 0 {
				k = len(same)
				same = append(same, &entry{name: x.name, version: x.candidate.version, direct: x.project.direct})
				byName[x.name], entries = same, append(entries, same[k])
				seen[same[k]] = map[string]bool{}
			}
			e := same[k]
			e.targets = append(e.targets, i)
			e.needs = append(e.needs, x.needs...)
			e.best = append(e.best, x.candidate.wheels[0].Filename)
			for _, f := range x.candidate.wheels {
				if !seen[e][f.Filename] {
					seen[e][f.Filename] = true
					e.wheels = append(e.wheels, *f)
				}
			}
		}
	}
	for _, e := range entries {
		slices.Sort(e.needs)
		e.needs = slices.Compact(e.needs)
	}
	slices.SortFunc(entries, func(a, b *entry) int {
		if a.name != b.name {
			return strings.Compare(string(a.name), string(b.name))
		}
		return a.version.Compare(b.version)
	})
	return entries
}

// anyOf is the marker that holds on some of the targets.
func anyOf(markers []pep508.Marker, targets []int) pep508.Marker {
	m := markers[targets[0]]
	for _, i := range targets[1:] {
		if !m.Equal(markers[i]) {
			m = m.Or(markers[i])
		}
	}
	return m
}

// distinct reports an error if markers cannot tell an entry from another of its name: they know
// the machine, but not the C library.
func distinct(e *entry, named []*entry, markers []pep508.Marker) error {
	for _, o := range named {
		if o == e {
			continue
		}
		for _, i := range e.targets {
			for _, k := range o.targets {
				if markers[i].Equal(markers[k]) {
					return fmt.Errorf("%s must be %s for one C library and %s for another, and one lock cannot tell these apart: make one lock for each",
						e.name, e.version, o.version)
				}
			}
		}
	}
	return nil
}

func (s *session) pkg(e *entry, byName map[pep508.Name][]*entry) (pylock.Package, error) {
	p := pylock.Package{Name: e.name, Version: e.version}
	for _, n := range e.needs {
		for _, o := range byName[n] {
			if !slices.ContainsFunc(o.targets, func(i int) bool { return slices.Contains(e.targets, i) }) {
				continue
			}
			d := pylock.Dependency{Name: n}
			if len(byName[n]) > 1 {
				d.Version = o.version
			}
			p.Dependencies = append(p.Dependencies, d)
		}
	}
	if e.wheels[0].RequiresPython != "" {
		if set, err := dist.ParseRequiresPython(e.wheels[0].RequiresPython); err == nil {
			p.RequiresPython = set
		}
	}
	if e.direct != nil {
		f, err := s.location(e.wheels[0])
		p.Archive = &pylock.Archive{URL: f.URL, Path: f.Path, Size: f.Size, UploadTime: f.UploadTime, Hashes: f.Hashes}
		return p, err
	}
	p.Index = e.wheels[0].Index
	for _, w := range e.wheels {
		f, err := s.location(w)
		if err != nil {
			return p, err
		}
		p.Wheels = append(p.Wheels, f)
	}
	return p, nil
}

// location describes a file; one on this machine by its path from the lock's directory.
func (s *session) location(f dist.File) (pylock.File, error) {
	out := pylock.File{Name: f.Filename, URL: f.URL, Size: f.Size, UploadTime: f.UploadTime.UTC(), Hashes: maps.Clone(f.Hashes)}
	if f.UploadTime.IsZero() {
		out.UploadTime = f.UploadTime
	}
	if u, err := url.Parse(f.URL); err == nil && u.Scheme == "file" {
		rel, err := filepath.Rel(s.p.Dir, filepath.FromSlash(u.Path))
		if err != nil {
			return out, fmt.Errorf("naming %s from the lock's directory: %w", u.Path, err)
		}
		if s.p.DirIsTemporary && !filepath.IsLocal(rel) {
			rel = filepath.FromSlash(u.Path)
		}
		out.URL, out.Path = "", filepath.ToSlash(rel)
	}
	return out, nil
}

// hash makes sure that every wheel has a SHA-256. Where nobody has said it the wheel that would be
// installed is downloaded, and the others are left out.
func (s *session) hash(entries []*entry) error {
	g, ctx := errgroup.WithContext(s.ctx)
	g.SetLimit(8)
	for _, e := range entries {
		e.wheels = slices.DeleteFunc(e.wheels, func(f dist.File) bool {
			return f.SHA256() == "" && !slices.Contains(e.best, f.Filename)
		})
		for i := range e.wheels {
			f := &e.wheels[i]
			if f.SHA256() != "" {
				continue
			}
			g.Go(func() error {
				path, err := s.index.Fetch(ctx, *f)
				if err != nil {
					return err
				}
				sum, size, err := sha256File(path)
				hashes := map[string]string{"sha256": sum}
				maps.Copy(hashes, f.Hashes)
				f.Hashes, f.Size = hashes, size
				return err
			})
		}
	}
	return g.Wait()
}

func sha256File(path string) (sum string, size int64, err error) {
	r, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer r.Close()
	h := sha256.New()
	if size, err = io.Copy(h, r); err != nil {
		return "", 0, fmt.Errorf("hashing %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}

// ChangedError is the error of a file that is no longer what the previous lock says.
type ChangedError struct {
	File, Was, Is string // file name and SHA-256
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s has sha256 %s on the index, but the lock says %s: somebody replaced a published file. "+
		"If that was meant, lock anew without the old lock", e.File, e.Is, e.Was)
}

// verify compares hashes with the previous lock's: a published file must not change.
func (s *session) verify(l *pylock.Lock) error {
	if s.p.Keep.Lock == nil {
		return nil
	}
	was := map[string]string{}
	for i := range s.p.Keep.Lock.Packages {
		p := &s.p.Keep.Lock.Packages[i]
		for _, f := range p.Wheels {
			was[p.Index+" "+f.Name] = f.Hashes["sha256"]
		}
	}
	for i := range l.Packages {
		for _, f := range l.Packages[i].Wheels {
			if w := was[l.Packages[i].Index+" "+f.Name]; w != "" && w != f.Hashes["sha256"] {
				return &ChangedError{File: f.Name, Was: w, Is: f.Hashes["sha256"]}
			}
		}
	}
	return nil
}
