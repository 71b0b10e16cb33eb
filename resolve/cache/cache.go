// Package cache is the one directory on disk in which mlenv remembers things, and the one way in
// which mlenv replaces a file. Losing any of it, or all, costs time and changes no result.
//
// # Sections
//
// Each section is a directory that is named after what it holds and the version of its format. When
// a format changes, so does the name, and Prune removes the old one.
//
//	section   holds                              keyed by                         kept
//	index-v2  pages/: what an index said         source of the index, project     while confirmed
//	          metadata/true/: what a file holds  SHA-256 of the file's bytes      while used
//	          metadata/claimed/: what was said   source and promised hashes       while used
//	          origins/: what a URL gave          source                           while used
//	          files/: packages                   SHA-256 of the bytes             while used
//	          tmp/: downloads that broke off     SHA-256 and URL of the file      for a day
//	          salt: 32 random bytes                                               while used
//	memos-v1  small JSON values (Memos)          kind and key, see below          while used
//	blobs-v1  layers of base images, modules     SHA-256 of the bytes             while used
//	models-v1 files of a model that is fetched   nothing: each run has its own    while it runs
//	fetched-v1 files of models (Fetched)         SHA-256 of the bytes             while used, 16 GiB at most
//
// A source is a URL, the credentials that went with the request, and whether the server's certificate
// was checked. The credentials are part of it as an HMAC with the salt, of which nobody can try passwords
// by the names of files alone.
//
//	memo      remembers                          keyed by
//	layers    digests and sizes of the layers    what they are made of
//	unions    that wheels go together            the wheels, and where they are installed
//	compiled  a wheel's compiled modules, a blob  the wheel, and the base's Python
//	pythons   hash of a base's interpreter        its digest
//	outlines  hashes of a wheel's paths          the wheel, and where it is installed
//	sizes     the size of a wheel                its SHA-256
//	files     the SHA-256 of a large file        its device, inode, size and times
//	bases     what was found in a base image     its digest
//	host      a layer of this machine's Python   the state of its files
//	mounts    the repository that has a blob     registry and digest
//	fetched   the SHA-256 of a model's file      what its store says of it, see package fetch
//
// The directory itself has a CACHEDIR.TAG, by which backup programs leave it out.
//
// # What Prune keeps
//
// "While confirmed" means that a page is kept if it was fetched or confirmed by its index since a
// given time; reading it does not count, since an old page has to be confirmed anyway. "While used"
// means that an entry is kept if it was written or read since then. What is in use is not counted
// by references: whoever reads a base's layers has read or written the memo of the base, so the
// layers never outlive it by more than one such period.
//
// When an entry was read last is its access time. The kernel does not always keep that (noatime),
// or keeps it to the day (relatime), so reading sets it by itself, once an hour: on the way to an
// entry this costs nothing but a comparison. The modification time stays that of writing.
//
// Prune also removes what a writer that was killed left behind, once it is a day old, and sections
// in older formats. Prune and Clean remove regular files alone, and only those whose path is one
// that mlenv gives: whatever else lies in the directory stays.
//
// # Writing and reading
//
// Nothing is written in place. A file is written under a temporary name and renamed when it is whole,
// so any number of processes may share a cache, and one that is killed leaves a temporary file at
// most. What is read is checked: a record of the index by its CRC-32C, a memo by the SHA-256 of its
// key and value, a package or layer by its own SHA-256. What fails is absent, and is written anew.
//
// # Who is trusted
//
// One cache serves many models, and any of them may be hostile, as may be the indexes that it names and
// whoever sits on the way to a host whose certificate it says not to check. What they say must not change
// what another model is locked to, or what goes into its image. So there are two kinds of entries:
//
//   - What was computed from bytes at hand, and is named by the hash of those bytes: packages, the
//     metadata within them, layers, and what is known of layers. It is true whoever brought the bytes, and
//     is shared by all.
//   - What somebody said: pages, metadata beside a package, the state of a URL without a hash. It is
//     named by its source, and is found only by those who would ask the same URL, with the same
//     credentials, over a connection of the same kind, and so be told the same. No page is believed for
//     longer than an hour without asking again (package index says more).
//
// A hash that somebody promises names nothing until the bytes were hashed. What index-v1 held was named by
// such promises, and is not read.
//
// The checks find damage, not forgery: whoever may write to the directory can write an entry whose
// check fits. So nobody may write there who may not change the images that are built with it. mlenv
// writes what the user's indexes and registries sent, and what those sent that a model names. Packages
// and layers are checked before they are kept, so nobody can put others under their SHA-256. Core
// metadata is not, if it was sent beside the package: it is kept under the SHA-256 that the index
// says the package has. An index that lies about it is believed for every model that needs the same
// file; so resolve what nobody vouches for with a cache of its own.
//
// What is found out of a forged entry:
//
//   - A package or layer whose bytes are not those of its SHA-256 is never used.
//   - A memo of layers that cannot be true (another media type, the same layer twice) is not used.
//     One with another digest, size or number of layers is found out when the bytes are made, or when
//     a registry is asked for a blob and has one of another size; the image is built anew.
//   - Not found out: the digest of another layer that the registry has, and another diffID, for which
//     the layer would have to be inflated. The first gives an image of other content; the second one
//     that engines refuse, since they compare diffIDs when they unpack.
//   - A forged page, core metadata, or memo of a base or of a file decides what is locked or built,
//     and is not found out. A lock's hashes hold whatever the cache says.
//   - A wrong mount source costs one request.
package cache

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The names of the sections.
const (
	IndexFormat   = "index-v2"
	MemosFormat   = "memos-v1"
	BlobsFormat   = "blobs-v1"
	ModelsFormat  = "models-v1"
	FetchedFormat = "fetched-v1"
)

// A Dir is a cache directory. It may be used by many goroutines and processes at once. The nil Dir
// remembers nothing, and neither do its sections.
type Dir struct {
	path string
	now  func() time.Time
}

// Open gives the cache in the directory of that path, which need not exist: the first write makes it.
// The path "" remembers nothing. now is by what Prune will know what was used lately; nil leaves that
// to the file system.
func Open(path string, now func() time.Time) *Dir {
	if path == "" {
		return nil
	}
	return &Dir{path: path, now: now}
}

// Index is the section of pages, metadata and packages. It is nil if nothing is remembered.
func (d *Dir) Index() *Store {
	if d == nil {
		return nil
	}
	return &Store{dir: d, root: filepath.Join(d.path, IndexFormat)}
}

// Memos is the section of small values.
func (d *Dir) Memos() *Memos {
	if d == nil {
		return nil
	}
	return &Memos{dir: d, root: filepath.Join(d.path, MemosFormat)}
}

// Blobs is the section of base layers.
func (d *Dir) Blobs() *Blobs {
	if d == nil {
		return nil
	}
	return &Blobs{dir: d, root: filepath.Join(d.path, BlobsFormat)}
}

// Models makes the directory in which each run makes one for the files of the model that it fetches, and
// removes it at its end. What a run that was killed left there goes with Prune.
func (d *Dir) Models() (string, error) {
	d.mark()
	dir := filepath.Join(d.path, ModelsFormat)
	return dir, os.MkdirAll(dir, 0o755)
}

// tag tells backup programs to leave the directory out (bford.info/cachedir).
const tag = "Signature: 8a477f597d28d172789f06886806bc55\n# This directory is mlenv's cache.\n"

const tagName = "CACHEDIR.TAG"

// mark puts the tag into the cache's directory. One that is cut short, as older versions left it on a
// full disk, is written again. Where that fails nothing is lost, and what follows tells why.
func (d *Dir) mark() {
	name := filepath.Join(d.path, tagName)
	info, err := os.Stat(name)
	if err == nil && info.Size() > int64(strings.IndexByte(tag, '\n')) {
		return
	}
	_ = Replace(name, Options{}, func(w io.Writer) error {
		_, err := io.WriteString(w, tag)
		return err
	})
}

// create opens a temporary file for an entry of the cache. It makes the directories.
func (d *Dir) create(target string) (*temp, error) {
	d.mark()
	return createTemp(target, 0o644)
}

// read reads a file of the cache, and notes that it was used. What it gives is to be checked.
func (d *Dir) read(name string) ([]byte, fs.FileInfo, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	data, err := readAll(f, info)
	if err != nil {
		return nil, nil, err
	}
	d.used(name, info)
	return data, info, nil
}

// useStep is how exactly the time of use is kept.
const useStep = time.Hour

// used notes that a file of the cache was used, unless that was noted within the last useStep. Where
// it cannot be noted, as in a cache that belongs to somebody else, it is not.
func (d *Dir) used(name string, info fs.FileInfo) {
	if d.now == nil {
		return
	}
	if now := d.now(); now.Sub(lastUse(info)) > useStep {
		os.Chtimes(name, now, time.Time{}) // the zero time leaves the time of modification alone
	}
}

// lastUse is when a file was written or read last.
func lastUse(info fs.FileInfo) time.Time {
	if t := accessTime(info); t.After(info.ModTime()) {
		return t
	}
	return info.ModTime()
}
