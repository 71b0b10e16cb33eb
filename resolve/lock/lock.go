// Package lock decides every package of an environment: it applies Python's rules (extras,
// markers, pre-releases, yanked files, wheel tags, Requires-Python, direct references,
// constraints, hashes) on top of package pubgrub, and gives a Lock or says why there is none.
//
// The choices are those of pip and uv: the newest version that fits, pre-releases and yanked
// versions only where they are asked for or nothing else will do. A Lock is for an image that is
// put together without running anything, so only wheels count: a version that has none for the
// target does not exist here.
package lock

import (
	"context"
	"sync"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
)

// Index is where distributions come from. It must be safe for use by many goroutines at once, and
// remember what it has said: the same question is asked more than once.
type Index interface {
	// Versions lists the versions of a project, ascending and distinct. A name that is not
	// known is an *index.NotFoundError.
	Versions(ctx context.Context, name pep508.Name) ([]pep440.Version, error)
	// VersionFiles lists the files of one of them. The slice is not changed.
	VersionFiles(ctx context.Context, name pep508.Name, v pep440.Version) ([]dist.File, error)
	// Metadata gives the core metadata of a wheel. A wheel that is broken or gone is an
	// *index.NotFoundError or *index.FormatError and rules out its version.
	Metadata(ctx context.Context, f dist.File) (*dist.Metadata, error)
	// Fetch downloads a file and gives its path. It is asked only for wheels whose SHA-256
	// nobody has said.
	Fetch(ctx context.Context, f dist.File) (path string, err error)
}

// Root is a requirement that somebody wrote.
type Root struct {
	pep508.Requirement // Name may be "" beside a URL to a wheel, whose file name then tells it

	// From says where it was written, for explanations: "requirements.txt:3".
	From []string
	// Hashes are those that were written beside it, "sha256:…". If there are any, no other file
	// will do.
	Hashes []string
	// Editable and Source mark a requirement for a source tree, Text is how it was written.
	Editable bool
	Source   bool
	Text     string
	// Soft: the package is wanted in whatever version fits, best in one that the specifier
	// admits, and left out if it cannot be had.
	Soft bool
}

// Problem is what is to be locked.
type Problem struct {
	Roots       []Root
	Constraints []Root        // limits on packages, should they be needed
	Targets     []dist.Target // at least one; the first one's choices are preferred for the others
	Dir         string        // absolute directory of the lock, to which local files are relative
	// DirIsTemporary is as in Options.
	DirIsTemporary bool

	Limits Limits
	Keep   Keep
	Tool   pylock.Tool  // what else is to be recorded; Python, Targets and Requested are filled in
	Warn   func(string) // may be nil
	Note   func(string) // told of newer versions that were passed over, and why; may be nil

	prereleases map[pep508.Name]bool // admitted because packages ask for them; false: never for that
	yanked      map[pep508.Name]bool
	built       []pep508.Name // left out, because something else builds them
}

// Solve gives the Lock of a problem, the same for the same problem and index. The error is
// *NoSolutionError if the requirements cannot be met, *RefusedError if some of them are of a kind that a
// lock for an image cannot hold, and otherwise what kept the index from answering.
func Solve(ctx context.Context, index Index, p Problem) (*pylock.Lock, error) {
	l, _, err := p.solve(ctx, index)
	return l, err
}

func (p Problem) solve(ctx context.Context, index Index) (*pylock.Lock, []pep508.Requirement, error) {
	if err := p.refuse(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &session{ctx: ctx, index: index, p: &p, warned: map[string]bool{}, prefetches: &sync.WaitGroup{}, known: &known{}}
	defer s.prefetches.Wait()
	defer cancel()
	picks, err := s.solveAll()
	if err != nil {
		return nil, nil, err
	}
	l, err := s.assemble(picks)
	return l, builds(picks), err
}
