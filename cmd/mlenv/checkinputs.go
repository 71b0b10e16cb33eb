package main

import (
	"archive/zip"
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"mlenv/resolve"
	"mlenv/resolve/check"
	"mlenv/resolve/dist"
	"mlenv/resolve/index"
	"mlenv/resolve/lock"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
)

// readAdvisories reads the folders and archives of --osv.
func readAdvisories(names []string) (*check.Advisories, error) {
	if len(names) == 0 {
		return nil, nil
	}
	all := &check.Advisories{}
	for _, name := range names {
		one, err := readAdvisory(name)
		if err != nil {
			return nil, fmt.Errorf("reading --osv %s: %w", name, err)
		}
		if one.Count == 0 {
			return nil, fmt.Errorf("reading --osv %s: it holds no record for PyPI", name)
		}
		all.Add(one)
	}
	return all, nil
}

func readAdvisory(name string) (*check.Advisories, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return check.ReadAdvisories(os.DirFS(name))
	}
	archive, err := zip.OpenReader(name)
	if err != nil {
		return nil, err
	}
	defer archive.Close()
	return check.ReadAdvisories(archive)
}

// surroundings adds what the check knows beyond the model: targets, the base, and the index.
func (r *checkRun) surroundings(ctx context.Context, in *inputs) error {
	spec := in.Spec
	if err := r.targets(ctx, spec); err != nil {
		return err
	}
	if !r.c.Bool("online") && (r.in.Lock == nil || r.in.Libraries == nil) {
		return nil
	}
	client, err := r.app.indexClient(r.c, spec, nil)
	if err != nil {
		return err
	}
	if r.in.Lock == nil {
		if err := r.solve(ctx, client, in); err != nil || r.in.Lock == nil {
			return err
		}
	}
	if r.in.Libraries != nil {
		if err := r.libraries(ctx, client); err != nil {
			return err
		}
	}
	if r.c.Bool("online") {
		return r.online(ctx, client)
	}
	return nil
}

// solve makes a lock for the check alone. That there is none is a finding.
func (r *checkRun) solve(ctx context.Context, client *index.Client, in *inputs) error {
	targets := slices.Clone(r.in.Targets)
	if len(targets) == 0 {
		t, err := r.targetOf(v1.Platform{OS: "linux", Architecture: "amd64"})
		if err != nil {
			return err
		}
		targets = append(targets, t)
	}
	for i := range targets {
		if targets[i].Python.IsZero() {
			if targets[i].Python = in.Spec.Python.Version; targets[i].Python.IsZero() {
				return nil // package resolve has said that the Python is not known
			}
		}
	}
	made, err := r.app.lockModel(ctx, r.c, lockRequest{Inputs: in, Targets: targets, BaseName: r.in.BaseName, Dir: ".", Client: client})
	var none *lock.NoSolution
	var refused *lock.Refused
	switch {
	case errors.As(err, &none), errors.As(err, &refused):
		r.in.NoSolution = strings.TrimSpace(err.Error())
		return nil
	case err != nil:
		return err
	}
	r.in.Lock = &check.Lock{Lock: made}
	return nil
}

// targets are the platforms asked for: the base's own, or those of --platform with the C library
// that the lock was made for.
func (r *checkRun) targets(ctx context.Context, spec *resolve.Spec) error {
	ref := r.c.String("base")
	if ref == "" && len(r.c.StringSlice("platform")) == 0 {
		return nil
	}
	wanted, err := platforms(r.c)
	if err != nil {
		return err
	}
	for _, p := range wanted {
		if ref == "" {
			t, err := r.targetOf(p)
			if err != nil {
				return err
			}
			r.in.Targets = append(r.in.Targets, t)
			continue
		}
		opened, err := r.app.openBase(ctx, ref, spec.Python.Version.String(), p)
		if err != nil {
			return err
		}
		t, err := opened.Base.Target()
		if err != nil {
			return err
		}
		r.in.BaseName = ref
		r.in.Targets = append(r.in.Targets, t)
		if r.in.Libraries == nil { // of several platforms, the first is looked into
			r.in.Libraries = &check.Libraries{Base: ref, Bring: opened.Base.Sonames}
		}
	}
	return nil
}

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

// online asks the index about the locked packages: whether their files are still there, and, if
// the policy speaks of licences, for their metadata.
func (r *checkRun) online(ctx context.Context, client *index.Client) error {
	r.in.Releases = map[pep508.Name][]dist.File{}
	licences := r.in.Policy != nil && len(r.in.Policy.Licences.Allow)+len(r.in.Policy.Licences.Deny) > 0
	if licences {
		r.in.Licences = map[pep508.Name]string{}
	}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for _, p := range r.in.Lock.Packages {
		if p.Index == "" || len(p.Wheels) == 0 {
			continue
		}
		group.Go(func() error {
			a, err := askAbout(ctx, client, p, licences)
			if err != nil {
				return fmt.Errorf("asking for %s: %w", p.Name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			r.in.Releases[p.Name] = a.files
			if a.asked {
				r.in.Licences[p.Name] = a.licence
			}
			return nil
		})
	}
	return group.Wait()
}

// answer is what an index says of a locked package.
type answer struct {
	files   []dist.File
	licence string
	asked   bool // for the licence
}

func askAbout(ctx context.Context, client *index.Client, p pylock.Package, licences bool) (a answer, err error) {
	a.files, err = client.VersionFiles(ctx, p.Name, p.Version)
	var gone *index.NotFoundError
	if err != nil && !errors.As(err, &gone) {
		return a, err
	}
	i := slices.IndexFunc(a.files, func(f dist.File) bool { return f.Filename == p.Wheels[0].Name })
	if !licences || i < 0 {
		return a, nil
	}
	m, err := client.Metadata(ctx, a.files[i])
	if err != nil {
		return a, err
	}
	a.licence, a.asked = check.Licence(m), true
	return a, nil
}

// libraries reads the ELF files of the locked wheels that the base would get.
func (r *checkRun) libraries(ctx context.Context, client *index.Client) error {
	dir := filepath.Dir(filepath.FromSlash(r.in.Lock.Name))
	picks, _ := r.in.Lock.Choose(r.in.Targets[0]) // the rule on wheels speaks of packages that have none
	for _, p := range picks {
		name := filepath.FromSlash(p.File.Path)
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		if p.File.Path == "" {
			f, err := dist.NewFile(p.Name, p.File.Name, p.File.URL)
			if err != nil {
				return err
			}
			f.Hashes, f.Size = p.File.Hashes, p.File.Size
			if name, err = client.Fetch(ctx, f); err != nil {
				return fmt.Errorf("fetching %s: %w", p.File.Name, err)
			}
		}
		files, err := readELF(name)
		if err != nil {
			return fmt.Errorf("reading %s: %w", p.File.Name, err)
		}
		r.in.Libraries.Wheels = append(r.in.Libraries.Wheels, check.WheelLibraries{Name: p.Name, Files: files})
	}
	return nil
}

// maxELF is the largest library that is looked into; it is read into memory.
const maxELF = 2 << 30

// readELF reads what the shared libraries of a wheel need.
func readELF(name string) ([]check.ELFFile, error) {
	archive, err := zip.OpenReader(name)
	if err != nil {
		return nil, err
	}
	defer archive.Close()
	var out []check.ELFFile
	for _, entry := range archive.File {
		base := entry.Name[strings.LastIndexByte(entry.Name, '/')+1:]
		if !strings.HasSuffix(base, ".so") && !strings.Contains(base, ".so.") || entry.UncompressedSize64 > maxELF {
			continue
		}
		one, err := readELFEntry(entry)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", entry.Name, err)
		}
		if one != nil {
			out = append(out, *one)
		}
	}
	return out, nil
}

// readELFEntry gives nil for what only looks like a library by its name.
func readELFEntry(entry *zip.File) (*check.ELFFile, error) {
	r, err := entry.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	object, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, nil
	}
	needed, err := object.ImportedLibraries()
	if err != nil {
		return nil, err
	}
	one := &check.ELFFile{Path: entry.Name, Needed: needed}
	sonames, err := object.DynString(elf.DT_SONAME)
	if err != nil {
		return nil, err
	}
	if len(sonames) > 0 {
		one.Soname = sonames[0]
	}
	return one, nil
}
