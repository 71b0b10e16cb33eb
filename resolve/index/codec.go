package index

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"math/bits"
	"strings"
	"time"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// The cache keeps pages parsed. The form is made for opening fast: one read, every version and every row
// of tags parsed once however many files share it, the files already in order, and those of a version
// decoded when asked for. It is also made for writing fast, straight from an index's answer.
//
//	page   = format flags url etag modified fetched fresh body
//	body   = count{table} length{table} table... count{groups} (version count length)... file...
//	table  = the strings that files share: versions, tags, Requires-Python, reasons, algorithms
//	file   = flags url filename version size [uploaded] [tags] [build] [requires] [reason] hashes [hashes]
//	hashes = count (algorithm hex)..., in upper or lower case
//
// Numbers are varints, strings have their length before them, words of the table are numbers.
const codecVersion = 3

const (
	flagWheel  = 1 << iota
	flagSuffix // the file name is the end of the URL and given by its length
	flagYanked
	flagMetadata
	flagRequires
	flagReason
	flagBuild
	flagUploaded
	flagSigned
)

const flagMissing = 1 // of a page

var errCodec = errors.New("damaged page in the cache")

type encoder struct {
	buf   []byte
	words map[string]uint64
	table []string
}

func (e *encoder) uint(n uint64) { e.buf = binary.AppendUvarint(e.buf, n) }

func (e *encoder) int(n int64) { e.buf = binary.AppendVarint(e.buf, n) }

func (e *encoder) string(s string) {
	e.uint(uint64(len(s)))
	e.buf = append(e.buf, s...)
}

func (e *encoder) bytes(b []byte) {
	e.uint(uint64(len(b)))
	e.buf = append(e.buf, b...)
}

// word encodes a word of the table. Of what is new to it alone a copy is made.
func (e *encoder) word(b []byte) {
	n, ok := e.words[string(b)]
	if !ok {
		n = e.number(string(b))
	}
	e.uint(n)
}

// number gives the number of a word of the table.
func (e *encoder) number(s string) uint64 {
	n, ok := e.words[s]
	if !ok {
		n = uint64(len(e.table))
		e.words[s] = n
		e.table = append(e.table, s)
	}
	return n
}

func (e *encoder) hashes(list []textHash) {
	e.uint(uint64(len(list)))
	for _, h := range list {
		e.word(h.algorithm)
		e.bytes(h.hex)
	}
}

// file encodes an entry whose file name says what h does.
func (e *encoder) file(f *entry, h *head, tags uint64) row {
	r := row{version: uint32(h.version), from: uint32(len(e.buf))}
	flags := f.has | h.has
	if bytes.HasSuffix(f.url, f.filename) {
		flags |= flagSuffix
	}
	if len(f.requiresPython) > 0 {
		flags |= flagRequires
	}
	if len(f.reason) > 0 {
		flags |= flagReason
	}
	e.uint(flags)
	e.bytes(f.url)
	if flags&flagSuffix != 0 {
		r.nameTo = uint32(len(e.buf))
		e.uint(uint64(len(f.filename)))
	} else {
		e.bytes(f.filename)
		r.nameTo = uint32(len(e.buf))
	}
	r.name = r.nameTo - uint32(len(f.filename))
	e.uint(h.version)
	e.int(f.size)
	if flags&flagUploaded != 0 {
		e.int(f.uploaded)
	}
	if flags&flagWheel != 0 {
		e.uint(tags)
	}
	if flags&flagBuild != 0 {
		e.uint(h.build)
	}
	if flags&flagRequires != 0 {
		e.word(f.requiresPython)
	}
	if flags&flagReason != 0 {
		e.word(f.reason)
	}
	e.hashes(f.hashes)
	if flags&flagMetadata != 0 {
		e.hashes(f.metadataHashes)
	}
	r.to = uint32(len(e.buf))
	return r
}

// uvarintSize is how many bytes a number takes.
func uvarintSize(n int) int { return (bits.Len(uint(n)|1) + 6) / 7 }

// cost is what a page takes that nobody has looked into.
func (p *page) cost() int {
	if p.decoder == nil {
		return 0
	}
	return len(p.body) + groupCost*(len(p.groups)+len(p.decoder.table))
}

// encode gives what stands before the body in the cache's form of a page.
func (p *page) encode() []byte {
	head := &encoder{}
	head.uint(codecVersion)
	var flags uint64
	if p.Missing {
		flags |= flagMissing
	}
	head.uint(flags)
	head.string(p.URL)
	head.string(p.ETag)
	head.string(p.Modified)
	head.int(p.Fetched.Unix())
	head.int(int64(p.Fresh / time.Second))
	return head.buf
}

type decoder struct {
	s        []byte // what is left
	bad      bool
	table    []string
	versions []pep440.Version // by word, parsed when first met
	tags     [][]dist.Tag     // by word, expanded when first met
	budget   *budget          // that all this is taken of; nil: not counted
	err      error            // of the budget
}

func (d *decoder) uint() uint64 {
	var n uint64
	for shift := 0; shift < 64 && shift/7 < len(d.s); shift += 7 {
		c := d.s[shift/7]
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			d.s = d.s[shift/7+1:]
			return n
		}
	}
	d.bad, d.s = true, nil
	return 0
}

func (d *decoder) int() int64 {
	n := d.uint()
	return int64(n>>1) ^ -int64(n&1)
}

// count reads the number of things that each take at least one byte.
func (d *decoder) count() int {
	n := d.uint()
	if n > uint64(len(d.s)) {
		d.bad, d.s = true, nil
		return 0
	}
	return int(n)
}

func (d *decoder) string() string {
	n := d.count()
	s := string(d.s[:n])
	d.s = d.s[n:]
	return s
}

func (d *decoder) wordNumber() int {
	n := d.uint()
	if n >= uint64(len(d.table)) {
		d.bad = true
		return -1
	}
	return int(n)
}

func (d *decoder) word() string {
	if n := d.wordNumber(); n >= 0 {
		return d.table[n]
	}
	return ""
}

func (d *decoder) version() pep440.Version {
	n := d.wordNumber()
	if n < 0 {
		return pep440.Version{}
	}
	if d.versions[n].IsZero() {
		v, err := pep440.Parse(d.table[n])
		if err != nil {
			d.bad = true
			return v
		}
		d.versions[n] = v
	}
	return d.versions[n]
}

func (d *decoder) wheelTags() []dist.Tag {
	n := d.wordNumber()
	if n < 0 {
		return nil
	}
	if d.tags[n] == nil {
		w, err := dist.WheelName{}, errCodec
		if fewTags(d.table[n]) {
			w, err = dist.ParseWheelName("x-0-" + d.table[n] + ".whl")
		}
		if err != nil {
			d.bad = true
			return nil
		}
		if d.err = d.budget.spend(tagCost * len(w.Tags)); d.err != nil {
			d.bad = true
			return nil
		}
		d.tags[n] = w.Tags
	}
	return d.tags[n]
}

func (d *decoder) hashes() map[string]string {
	n := d.count()
	if n == 0 {
		return nil
	}
	m := make(map[string]string, n)
	for range n {
		a := strings.ToLower(d.word())
		m[a] = strings.ToLower(d.string())
	}
	return m
}

func (d *decoder) file(f *dist.File) {
	flags := d.uint()
	f.URL = d.string()
	if flags&flagSuffix != 0 {
		n := int(d.uint())
		if n < 0 || n > len(f.URL) {
			d.bad = true
			return
		}
		f.Filename = f.URL[len(f.URL)-n:]
	} else {
		f.Filename = d.string()
	}
	f.Version = d.version()
	f.Size = d.int()
	if flags&flagUploaded != 0 {
		f.UploadTime = time.UnixMicro(d.int()).UTC()
	}
	if flags&flagWheel != 0 {
		f.Wheel = true
		f.Tags = d.wheelTags()
	}
	if flags&flagBuild != 0 {
		f.Build = d.word()
	}
	if flags&flagRequires != 0 {
		f.RequiresPython = d.word()
	}
	f.Yanked, f.Signed = flags&flagYanked != 0, flags&flagSigned != 0
	if flags&flagReason != 0 {
		f.YankedReason = d.word()
	}
	f.Hashes = d.hashes()
	if flags&flagMetadata != 0 {
		f.HasMetadata = true
		f.MetadataHashes = d.hashes()
	}
}

// files decodes the files of a group into the slice.
func (d *decoder) files(files []dist.File, code []byte, name pep508.Name, index string) error {
	d.s, d.bad, d.err = code, false, nil
	for i := range files {
		files[i].Name, files[i].Index = name, index
		if d.file(&files[i]); d.bad {
			return cmp.Or(d.err, errCodec)
		}
	}
	if len(d.s) > 0 {
		return errCodec
	}
	return nil
}

// decodePage reads what encode gave. name and index are put into every file, and what is decoded later
// is taken of the budget.
func decodePage(data []byte, key pageKey, b *budget) (*page, error) {
	d := &decoder{s: data}
	if d.uint() != codecVersion {
		return nil, errCodec
	}
	flags := d.uint()
	p := &page{Missing: flags&flagMissing != 0, URL: d.string(), ETag: d.string(), Modified: d.string()}
	p.Fetched = time.Unix(d.int(), 0)
	p.Fresh = time.Duration(d.int()) * time.Second
	if d.bad {
		return nil, errCodec
	}
	if p.Missing {
		return p, nil
	}
	return p, p.setBody(d.s, key, b, nil)
}

// setBody makes an encoded body the page's, and reads its table and versions. The versions are those of
// the table, by word, if they are known.
func (p *page) setBody(body []byte, key pageKey, b *budget, versions []pep440.Version) error {
	d := &decoder{s: body, budget: b, versions: versions}
	p.body, p.decoder, p.name, p.index = body, d, key.name, key.index
	d.readTable()
	p.groups = make([]group, d.count())
	p.versions = make([]pep440.Version, len(p.groups))
	lengths := make([]int, len(p.groups))
	for i := range p.groups {
		p.versions[i] = d.version()
		p.groups[i].count, lengths[i] = d.count(), d.count()
	}
	for i, n := range lengths {
		if n > len(d.s) || p.groups[i].count > n {
			return errCodec
		}
		p.groups[i].code, d.s = d.s[:n:n], d.s[n:]
	}
	if d.bad || len(d.s) > 0 {
		return errCodec
	}
	return nil
}

// readTable reads the words, all of which are parts of one string.
func (d *decoder) readTable() {
	n, length := d.count(), d.count()
	rest := d.s[min(length, len(d.s)):]
	d.s = d.s[:len(d.s)-len(rest)]
	text := string(d.s)
	d.table = make([]string, n)
	for i := range d.table {
		size := d.count()
		from := len(text) - len(d.s)
		d.table[i], d.s = text[from:from+size], d.s[size:]
	}
	d.bad = d.bad || len(d.s) > 0 || n > 0 && length == 0
	d.s = rest
	d.tags = make([][]dist.Tag, n)
	d.versions = append(d.versions, make([]pep440.Version, max(n-len(d.versions), 0))...)
}
