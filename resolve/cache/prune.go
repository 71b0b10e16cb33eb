package cache

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// tempAge is how old a temporary file must be before it counts as left behind by a dead process.
const tempAge = 24 * time.Hour

// rule says for how long Prune keeps an entry.
type rule int

const (
	whileUsed      rule = iota // as long as it was written or read lately
	whileConfirmed             // as long as it was written lately
	whileWritten               // a day from the last change, and as long as its writer lives
	never
)

// entries are files of a section that have the same rule.
type entries struct {
	path *regexp.Regexp // of the path below the section, with slashes
	rule rule
}

func files(pattern string, r rule) entries {
	return entries{regexp.MustCompile("^(?:" + pattern + ")$"), r}
}

// sectionsOf gives the entries of every section, those in older formats included. The paths tell
// mlenv's files from others that lie in the same directory.
func sectionsOf() map[string][]entries {
	const sha, hashed = `[0-9a-f]{64}`, `[0-9a-f]{2}/[0-9a-f]{62}`
	return map[string][]entries{
		IndexFormat: {
			files(PagesDir+`/[0-9a-f]+/[^/]+`, whileConfirmed),
			files(`(metadata|origins)/([0-9a-z]+/)*[0-9a-f]+`, whileUsed),
			files(filesDir+`/[0-9a-f]{2}/`+sha+`/[^/]+`, whileUsed),
			files(tempDir+`/p-[0-9a-f]+(\.note)?`, whileWritten),
			files(saltName, whileUsed),
		},
		MemosFormat:   {files(`[a-z]+/`+hashed, whileUsed)},
		BlobsFormat:   {files(`sha256/`+sha, whileUsed)},
		FetchedFormat: {files(`sha256/`+sha, whileUsed)},
		// Whatever a model calls its files.
		ModelsFormat: {files(`model-[0-9]+/(?:model|parts)/.*`, whileWritten), files(`python-[0-9]+/.*`, whileWritten)},

		"index-v1": {
			files(`pages/[0-9a-f]+/[^/]+|(metadata|origins)/([0-9a-z]+/)*[0-9a-f]+|files/[0-9a-f]{2}/`+sha+`/[^/]+`, never),
			files(`tmp/(p-[0-9a-f]+(\.note)?|w-[0-9]+)`, never), // w-: as it was named once
		},
		"layers-v1": {files(`(layers|unions|outlines|sizes|files)/([0-9a-f]{2}/[0-9a-f]{62}\.json|[0-9a-f]{2}/\.tmp-[0-9]+)`, never)},
		"bases-v1":  {files(`(bases|host)/`+sha+`\.json|blobs/sha256/`+sha+`|(bases|host|blobs/sha256)/\.tmp-[0-9]+`, never)},
		"places-v1": {files(`[^/]+/`+hashed+`\.json`, never)},
	}
}

// ruleOf gives the rule of a file, and tells whether it is one of the section's.
func ruleOf(section []entries, rel string) (rule, bool) {
	if isTemp(filepath.Base(rel)) {
		return whileWritten, true
	}
	for _, e := range section {
		if e.path.MatchString(rel) {
			return e.rule, true
		}
	}
	return never, false
}

// Removed counts what Prune or Clean removed.
type Removed struct {
	Files int
	Bytes int64
}

// Prune removes what was not used or confirmed since a time, as the package's comment says of each
// section, what dead writers left behind more than a day before now, and sections in older formats.
// It may run beside processes that use the cache. A directory that does not exist has nothing to
// remove.
func (d *Dir) Prune(now, since time.Time) (Removed, error) {
	return d.remove(func(path string, info fs.FileInfo, r rule) (bool, error) {
		gone := true
		switch r {
		case whileUsed:
			gone = lastUse(info).Before(since.Add(-useStep))
		case whileConfirmed:
			gone = info.ModTime().Before(since)
		case whileWritten:
			if info.ModTime().Before(now.Add(-tempAge)) {
				return removeTemp(path)
			}
			return false, nil
		}
		if !gone {
			return false, nil
		}
		return true, os.Remove(path)
	})
}

// Clean removes everything that mlenv keeps in the directory, but for what another process is writing
// just now. Other files are left alone, and so is the directory itself unless that leaves it empty.
func (d *Dir) Clean() (Removed, error) {
	r, err := d.remove(func(path string, _ fs.FileInfo, r rule) (bool, error) {
		if r == whileWritten {
			return removeTemp(path)
		}
		return true, os.Remove(path)
	})
	if d == nil || err != nil {
		return r, err
	}
	name := filepath.Join(d.path, tagName)
	if data, err := os.ReadFile(name); err == nil && string(data) == tag {
		if err := os.Remove(name); ignoreMissing(err) != nil {
			return r, err
		}
	}
	os.Remove(d.path) // succeeds only on an empty directory
	return r, nil
}

// removeTemp removes a temporary file whose writer is dead, as far as that can be known, and tells
// whether it did.
func removeTemp(path string) (bool, error) {
	if canLock {
		return removeAbandoned(path), nil
	}
	return true, os.Remove(path)
}

// remove calls try for every file of every section, which removes it and tells so, and then removes
// the directories that are empty. Files that another process has removed do not count.
func (d *Dir) remove(try func(path string, info fs.FileInfo, r rule) (bool, error)) (r Removed, err error) {
	if d == nil {
		return r, nil
	}
	for name, section := range sectionsOf() {
		root := filepath.Join(d.path, name)
		var dirs []string
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return ignoreMissing(err)
			}
			if e.IsDir() {
				dirs = append(dirs, path)
				return nil
			}
			rel := strings.TrimPrefix(filepath.ToSlash(path[len(root):]), "/")
			rule, ours := ruleOf(section, rel)
			info, err := e.Info()
			if err != nil || !ours || !info.Mode().IsRegular() {
				return ignoreMissing(err)
			}
			removed, err := try(path, info, rule)
			if removed && err == nil {
				r.Files++
				r.Bytes += info.Size()
			}
			return ignoreMissing(err)
		})
		if err != nil {
			return r, err
		}
		for _, dir := range slices.Backward(dirs) {
			os.Remove(dir) // succeeds only on an empty directory
		}
	}
	return r, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
