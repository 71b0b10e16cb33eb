package imagebuild

import (
	"encoding/json"
	"fmt"
	"path"
	"sort"
	"strings"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
)

// Pick is the file of one package of a lock that the target gets.
type Pick struct {
	Name      pep508.Name
	Version   string
	File      pylock.File
	DirectURL []byte // direct_url.json (PEP 610) where the lock has the wheel's own address
}

// Unbuilt says that a lock holds packages that have no wheel for the target. Their installation
// would run code, which building an image never does.
type Unbuilt struct {
	Target   dist.Target
	Packages []string // "foo 1.0 (a source distribution)", sorted
}

func (u *Unbuilt) Error() string {
	return fmt.Sprintf("no wheel for %s: %s", u.Target.Platform(), strings.Join(u.Packages, ", "))
}

// Select gives the wheel of every package of the lock that the target needs, sorted by name: of
// several the one whose tags fit best, as installers choose (PEP 425). A lock that is not for the
// target is an error, and so are packages without a fitting wheel, an *Unbuilt.
func Select(l *pylock.Lock, t dist.Target) ([]Pick, error) {
	env := t.Environment()
	if err := fits(l, t, env); err != nil {
		return nil, err
	}
	tags := t.TagSet()
	var picks []Pick
	unbuilt := &Unbuilt{Target: t}
	for i := range l.Packages {
		p := &l.Packages[i]
		if !p.Marker.Eval(env) {
			continue
		}
		pick, why := choose(p, tags)
		if why != "" {
			unbuilt.Packages = append(unbuilt.Packages, strings.TrimSpace(string(p.Name)+" "+p.Version.String())+" ("+why+")")
			continue
		}
		picks = append(picks, pick)
	}
	if len(unbuilt.Packages) > 0 {
		sort.Strings(unbuilt.Packages)
		return nil, unbuilt
	}
	sort.Slice(picks, func(i, j int) bool { return picks[i].Name < picks[j].Name })
	return picks, nil
}

func fits(l *pylock.Lock, t dist.Target, env pep508.Environment) error {
	if !t.FitsPython(l.RequiresPython) {
		return fmt.Errorf("the lock requires Python %s, but the base has %s", l.RequiresPython, t.Python)
	}
	if len(l.Environments) == 0 {
		return nil
	}
	var texts []string
	for _, m := range l.Environments {
		if m.Eval(env) {
			return nil
		}
		texts = append(texts, m.String())
	}
	return fmt.Errorf("the lock is for environments where %s, which %s with Python %s is not", strings.Join(texts, " or "), t.Platform(), t.Python)
}

// choose gives a package's best wheel, or says what there is instead.
func choose(p *pylock.Package, tags dist.TagSet) (Pick, string) {
	pick := Pick{Name: p.Name, Version: p.Version.String()}
	best := -1
	var build string
	for _, f := range p.Wheels {
		name, err := dist.ParseWheelName(fileName(f))
		if err != nil {
			continue
		}
		at, ok := tags.Rank(name.Tags)
		if !ok || best >= 0 && (at > best || at == best && dist.CompareBuild(name.Build, build) <= 0) {
			continue
		}
		best, build, pick.File = at, name.Build, f
		pick.File.Name = fileName(f)
	}
	switch {
	case best >= 0:
		return pick, ""
	case p.Archive != nil && strings.HasSuffix(addressOf(p.Archive), ".whl"):
		return chooseArchive(pick, p.Archive, tags)
	case p.Archive != nil, p.Sdist != nil && len(p.Wheels) == 0:
		return pick, "a source distribution"
	case p.VCS != nil:
		return pick, "a source tree in " + p.VCS.Type
	case p.Directory != nil:
		return pick, "a source tree"
	case len(p.Wheels) > 0:
		return pick, fmt.Sprintf("its %d wheels are for others", len(p.Wheels))
	}
	return pick, "no file"
}

func chooseArchive(pick Pick, a *pylock.Archive, tags dist.TagSet) (Pick, string) {
	filename := path.Base(addressOf(a))
	name, err := dist.ParseWheelName(filename)
	if err != nil {
		return pick, "no wheel's name: " + filename
	}
	if _, ok := tags.Rank(name.Tags); !ok {
		return pick, "its wheel " + filename + " does not fit"
	}
	pick.File = pylock.File{Name: filename, URL: a.URL, Path: a.Path, Size: a.Size, Hashes: a.Hashes}
	if a.URL != "" {
		direct := map[string]any{"url": a.URL, "archive_info": map[string]any{"hashes": a.Hashes}}
		if pick.DirectURL, err = json.Marshal(direct); err != nil {
			return pick, err.Error()
		}
	}
	return pick, ""
}

func addressOf(a *pylock.Archive) string {
	if a.Path != "" {
		return a.Path
	}
	address, _, _ := strings.Cut(a.URL, "#")
	address, _, _ = strings.Cut(address, "?")
	return address
}

func fileName(f pylock.File) string {
	if f.Name != "" {
		return f.Name
	}
	return path.Base(addressOf(&pylock.Archive{URL: f.URL, Path: f.Path}))
}
