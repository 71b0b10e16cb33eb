package fetch

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Memory keeps files that were fetched for the next run. What it gives back is used only once the store has proved that
// its file is still the one that was kept; see "Again costs nothing" in the package's comment. It may be used by many
// goroutines at once.
type Memory interface {
	// Find gives the SHA-256 of the file that was kept under a key, in hexadecimal, and the note left with the key.
	Find(ctx context.Context, key string) (sha, note string, ok bool)
	// Open opens the file of that SHA-256 and size, whose bytes it has compared, under a name that can be linked.
	Open(sha string, size int64) (*os.File, bool)
	// Keep keeps the file at a path, which nobody writes to any more, and leaves a note under each of the keys.
	Keep(ctx context.Context, path, sha string, notes map[string]string)
}

// Named is a Store that can name its files for ever: two files of one name, with one size and one Tag, have the same
// content. Without a name nothing is remembered of a file.
type Named interface {
	// Name is the address of the file, without credentials and whatever else may change; "" where there is none.
	Name(f File) string
}

// nameOf names a file of a store.
func nameOf(s Store, f File) string {
	if n, ok := s.(Named); ok {
		return n.Name(f)
	}
	return ""
}

// keyOf is the key of a file by its name. The note under it is the Tag that the file had.
func keyOf(name string, size int64) string {
	return memoryKey("name", name, strconv.FormatInt(size, 10))
}

// sumKey is the key of a file by what its store says is a hash of the content, whatever the file is called. It is
// believed of the same store alone.
func sumKey(name, sum string, size int64) string {
	u, err := url.Parse(name)
	if err != nil || sum == "" {
		return ""
	}
	return memoryKey("sum", u.Scheme+"://"+u.Host, sum, strconv.FormatInt(size, 10))
}

func memoryKey(parts ...string) string {
	data, _ := json.Marshal(parts) // strings always can be
	return string(data)
}

// recall puts a file in its place that an earlier run has fetched, if the store proves that it is still the same, and
// reports whether it did.
func (s *spool) recall(ctx context.Context, f File) bool {
	name := nameOf(s.store, f)
	if s.memory == nil || name == "" || f.Size < 0 {
		return false
	}
	sha, tag, ok := s.memory.Find(ctx, keyOf(name, f.Size))
	switch {
	case !ok:
	case f.Tag != "":
		ok = tag == f.Tag
	default:
		ok = tag != "" && f.Size >= worthKeeping && s.stillHas(ctx, f, tag)
	}
	return ok && s.restore(f, sha) || s.recallSum(ctx, f)
}

// recallSum is recall by what the store says is a hash of the content.
func (s *spool) recallSum(ctx context.Context, f File) bool {
	name := nameOf(s.store, f)
	if s.memory == nil || name == "" || f.Size < 0 || f.Sum == "" {
		return false
	}
	sha, _, ok := s.memory.Find(ctx, sumKey(name, f.Sum, f.Size))
	return ok && s.restore(f, sha)
}

// restore puts a kept file in its place, and reports whether it did.
func (s *spool) restore(f File, sha string) bool {
	in, ok := s.memory.Open(sha, f.Size)
	if !ok {
		return false
	}
	defer in.Close()
	return s.place(in, s.path(f.Path)) == nil
}

// stillHas asks the store for the last byte of a file, if the file still has a tag. Only an answer of that very byte with
// that very tag says so: of a file that has changed, a server begins to send all.
func (s *spool) stillHas(ctx context.Context, f File, tag string) bool {
	f.Tag = tag
	body, err := s.store.Open(ctx, f, f.Size-1)
	if err != nil {
		return false // fetching the file will say what is wrong
	}
	defer body.Close()
	return body.Begins == f.Size-1 && body.Tag == tag && body.Size == f.Size
}

// place makes a kept file one of the model: the same file by another name, or a copy of it where the directory is the user's,
// who may write to it, or where files have one name only.
func (s *spool) place(in *os.File, name string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if !s.resume && os.Link(in.Name(), name) == nil {
		return nil
	}
	out, err := os.CreateTemp(s.parts, "")
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if e := out.Chmod(0o644); err == nil {
		err = e
	}
	if e := out.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(out.Name(), name)
	}
	if err != nil {
		os.Remove(out.Name()) // which the directory's end would do as well
	}
	return err
}

// remember keeps a file that was fetched whole, if its store has a tag for it. What the store says is a hash of the
// content is remembered only if the content has it.
func (s *spool) remember(ctx context.Context, f File) {
	name := nameOf(s.store, f)
	if s.memory == nil || name == "" || f.Tag == "" || f.Size < 0 || s.resume {
		return
	}
	path := s.path(f.Path)
	sums := sumsLike(f.Sum, f.Size)
	sha, err := hashAll(path, sums)
	if err != nil {
		return // then it is fetched again next time
	}
	notes := map[string]string{keyOf(name, f.Size): f.Tag}
	for _, sum := range sums {
		if sum.text() == f.Sum {
			notes[sumKey(name, f.Sum, f.Size)] = ""
		}
	}
	s.memory.Keep(ctx, path, sha, notes)
}

// md5Tag is an MD5 as ETags of S3 have it, of an object or of the MD5s of its parts.
var md5Tag = regexp.MustCompile(`^"?([0-9a-f]{32}(?:-[0-9]{1,5})?)"?$`)

// SumOf gives the Sum that an ETag may be, "" for one that cannot be any.
func SumOf(tag string) string {
	if m := md5Tag.FindStringSubmatch(tag); m != nil {
		return "md5:" + m[1]
	}
	return ""
}

// hashAll reads a file once, and gives its SHA-256.
func hashAll(path string, sums []*partSum) (string, error) {
	in, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer in.Close()
	sha := sha256.New()
	into := []io.Writer{sha}
	for _, s := range sums {
		into = append(into, s)
	}
	if _, err := io.CopyBuffer(io.MultiWriter(into...), struct{ io.Reader }{in}, make([]byte, 256<<10)); err != nil {
		return "", err
	}
	return hex.EncodeToString(sha.Sum(nil)), nil
}

// partSum is the MD5 of a file, or with parts the MD5 of the MD5s of its parts, as S3 makes an ETag of an object that was
// uploaded in parts.
type partSum struct {
	size  int64 // of a part; 0: there are none
	left  int64 // of the part that is being hashed
	part  hash.Hash
	whole hash.Hash
	parts int
}

// partSizes are those in which programs upload to S3, in MiB. 8 is boto3's, and so MLflow's; 10 is that of MLflow's uploads
// through its server; the others are those of Amazon's and other tools.
var partSizes = []int64{8, 10, 5, 16, 64, 15, 20, 25, 32, 50, 100, 128, 256, 512}

// sumsLike are the hashes that a file might have such as a store says of it: one MD5, or one for each size of parts that
// gives so many of them.
func sumsLike(sum string, size int64) []*partSum {
	_, count, inParts := strings.Cut(sum, "-")
	switch {
	case sum == "":
		return nil
	case !inParts:
		return []*partSum{{part: md5.New()}}
	}
	var out []*partSum
	for _, mib := range partSizes {
		part := mib << 20
		if strconv.FormatInt((size+part-1)/part, 10) == count && len(out) < 3 {
			out = append(out, &partSum{size: part, left: part, part: md5.New(), whole: md5.New()})
		}
	}
	return out
}

// Write implements io.Writer.
func (p *partSum) Write(data []byte) (int, error) {
	n := len(data)
	for p.size > 0 && int64(len(data)) > p.left {
		p.part.Write(data[:p.left]) // never fails
		data = data[p.left:]
		p.end()
	}
	p.part.Write(data) // never fails
	p.left -= int64(len(data))
	return n, nil
}

// end ends a part.
func (p *partSum) end() {
	p.whole.Write(p.part.Sum(nil)) // never fails
	p.part.Reset()
	p.left = p.size
	p.parts++
}

// text is the sum as File.Sum has it. Nothing is written after it.
func (p *partSum) text() string {
	if p.size == 0 {
		return "md5:" + hex.EncodeToString(p.part.Sum(nil))
	}
	p.end()
	return fmt.Sprintf("md5:%s-%d", hex.EncodeToString(p.whole.Sum(nil)), p.parts)
}
