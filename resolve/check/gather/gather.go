// Package gather collects the inputs of a check beyond the model itself: what an index says about
// the locked files, which shared libraries their wheels need, and advisories in files. It is
// separate from package check so that check itself touches neither network nor disk.
package gather

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

	"golang.org/x/sync/errgroup"

	"mlenv/resolve/check"
	"mlenv/resolve/dist"
	"mlenv/resolve/index"
	"mlenv/resolve/internal/zipdir"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
)

// Advisories reads the records of known vulnerabilities in folders and zip archives, in the format
// of the Open Source Vulnerability schema. One without a record for PyPI is an error, as it is most
// likely the wrong one. Without names the result is nil.
func Advisories(names []string) (*check.Advisories, error) {
	if len(names) == 0 {
		return nil, nil
	}
	all := &check.Advisories{}
	for _, name := range names {
		one, err := advisoriesIn(name)
		if err != nil {
			return nil, fmt.Errorf("reading the advisories in %s: %w", name, err)
		}
		if one.Count == 0 {
			return nil, fmt.Errorf("reading the advisories in %s: it holds no record for PyPI", name)
		}
		all.Add(one)
	}
	return all, nil
}

func advisoriesIn(name string) (*check.Advisories, error) {
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

// Answers is what an index says about the packages in a lock.
type Answers struct {
	Releases map[pep508.Name][]dist.File // the files it lists for the locked version
	Licences map[pep508.Name]string      // by package; nil if no licences were asked for
}

// Ask asks the index which files it lists for the locked packages and, if licences is true, for the
// licences in their metadata.
func Ask(ctx context.Context, client *index.Client, l *pylock.Lock, licences bool) (*Answers, error) {
	out := &Answers{Releases: map[pep508.Name][]dist.File{}}
	if licences {
		out.Licences = map[pep508.Name]string{}
	}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for _, p := range l.Packages {
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
			out.Releases[p.Name] = a.files
			if a.asked {
				out.Licences[p.Name] = a.licence
			}
			return nil
		})
	}
	return out, group.Wait()
}

// answer is what an index says about one package.
type answer struct {
	files   []dist.File
	licence string
	asked   bool // the licence was asked for
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

// Libraries reads the shared libraries in the wheels of a lock that a target would install. dir is
// the directory of the lock, to which its paths are relative. Packages without a fitting wheel are
// skipped, because other rules report them.
func Libraries(ctx context.Context, client *index.Client, l *pylock.Lock, dir string, t dist.Target) ([]check.WheelLibraries, error) {
	var out []check.WheelLibraries
	picks, _ := l.Choose(t)
	for _, p := range picks {
		name := filepath.FromSlash(p.File.Path)
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		if p.File.Path == "" {
			f, err := dist.NewFile(p.Name, p.File.Name, p.File.Address())
			if err != nil {
				return nil, err
			}
			f.Hashes, f.Size, f.Index = p.File.Hashes, p.File.Size, p.Index
			if name, err = client.Fetch(ctx, f); err != nil {
				return nil, fmt.Errorf("fetching %s: %w", p.File.Name, err)
			}
		}
		files, err := readELF(name)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", p.File.Name, err)
		}
		out = append(out, check.WheelLibraries{Name: p.Name, Files: files})
	}
	return out, nil
}

const (
	// maxELF is the size of the largest library that is examined.
	maxELF = 4 << 30
	// inMemory is the size up to which a library is held in memory. Larger ones are written to a
	// temporary file, for little of them is read, but that in any order.
	inMemory = 32 << 20
	// maxRead is how much of a library is read: its directory, and the names that it links. The names in
	// PyTorch's have 50 MB.
	maxRead = 128 << 20
)

// readELF returns the shared libraries in a wheel with what they need.
func readELF(name string) ([]check.ELFFile, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var out []check.ELFFile
	err = zipdir.Files(f, info.Size(), func(entry zipdir.File) error {
		base := entry.Name[strings.LastIndexByte(entry.Name, '/')+1:]
		if !strings.HasSuffix(base, ".so") && !strings.Contains(base, ".so.") || entry.Size > maxELF {
			return nil
		}
		content, err := entry.Open(f, info.Size())
		if err != nil {
			return fmt.Errorf("%s: %w", entry.Name, err)
		}
		one, err := readELFEntry(entry, content)
		if err != nil {
			return fmt.Errorf("%s: %w", entry.Name, err)
		}
		if one != nil {
			out = append(out, *one)
		}
		return nil
	})
	return out, err
}

// spool makes what a stream holds readable in any order. done releases it.
func spool(r io.Reader) (at io.ReaderAt, done func(), err error) {
	head, err := io.ReadAll(io.LimitReader(r, inMemory))
	if err != nil || len(head) < inMemory {
		return bytes.NewReader(head), func() {}, err
	}
	f, err := os.CreateTemp("", "mlenv-library-*")
	if err != nil {
		return nil, nil, err
	}
	done = func() {
		f.Close()
		os.Remove(f.Name())
	}
	if _, err = io.Copy(f, io.MultiReader(bytes.NewReader(head), r)); err != nil {
		done()
	}
	return f, done, err
}

// limited is a reader that gives so many bytes at most.
type limited struct {
	r    io.ReaderAt
	left int64
}

func (l *limited) ReadAt(p []byte, off int64) (int, error) {
	if l.left -= int64(len(p)); l.left < 0 {
		return 0, errors.New("more is to be read of the library than is in any")
	}
	return l.r.ReadAt(p, off)
}

// readELFEntry returns nil for a file that is not an ELF file despite its name.
func readELFEntry(entry zipdir.File, content io.Reader) (*check.ELFFile, error) {
	r, done, err := spool(content)
	if err != nil {
		return nil, err
	}
	defer done()
	object, err := elf.NewFile(&limited{r, maxRead})
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
