package index

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// The cache keeps pages parsed. The form is made for opening fast: one read, one string of which
// all others are parts, every version and every row of tags parsed once however many files share
// it, the files already in order, and those of a version decoded when asked for.
//
//	page   = format flags url etag modified fetched fresh body
//	body   = count{table} table... count{groups} (version count length)... file...
//	table  = the strings that files share: versions, tags, Requires-Python, reasons, algorithms
//	file   = flags url filename version size [uploaded] [tags] [build] [requires] [reason] hashes [hashes]
//	hashes = count (algorithm hex)...
//
// Numbers are varints, strings have their length before them, words of the table are numbers.
const codecVersion = 1

const (
	flagWheel  = 1 << iota
	flagSuffix // the file name is the end of the URL and given by its length
	flagYanked
	flagMetadata
	flagRequires
	flagReason
	flagBuild
	flagUploaded
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

func (e *encoder) word(s string) { e.uint(e.number(s)) }

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

func (e *encoder) hashes(m map[string]string) {
	algs := make([]string, 0, len(m))
	for a := range m {
		algs = append(algs, a)
	}
	slices.Sort(algs)
	e.uint(uint64(len(algs)))
	for _, a := range algs {
		e.word(a)
		e.string(m[a])
	}
}

// wheelTags gives the tags of a wheel's file name as they stand there.
func wheelTags(filename string) string {
	s := strings.TrimSuffix(filename, ".whl")
	at := len(s)
	for range 3 {
		at = strings.LastIndexByte(s[:at], '-')
		if at < 0 {
			return ""
		}
	}
	return s[at+1:]
}

func (e *encoder) file(f *dist.File) {
	var flags uint64
	set := func(on bool, flag uint64) {
		if on {
			flags |= flag
		}
	}
	suffix := strings.HasSuffix(f.URL, f.Filename)
	set(f.Wheel, flagWheel)
	set(suffix, flagSuffix)
	set(f.Yanked, flagYanked)
	set(f.HasMetadata, flagMetadata)
	set(f.RequiresPython != "", flagRequires)
	set(f.YankedReason != "", flagReason)
	set(f.Build != "", flagBuild)
	set(!f.UploadTime.IsZero(), flagUploaded)
	e.uint(flags)
	e.string(f.URL)
	if suffix {
		e.uint(uint64(len(f.Filename)))
	} else {
		e.string(f.Filename)
	}
	e.word(f.Version.Text())
	e.int(f.Size)
	if flags&flagUploaded != 0 {
		e.int(f.UploadTime.UnixMicro())
	}
	if f.Wheel {
		e.word(wheelTags(f.Filename))
	}
	if f.Build != "" {
		e.word(f.Build)
	}
	if f.RequiresPython != "" {
		e.word(f.RequiresPython)
	}
	if f.YankedReason != "" {
		e.word(f.YankedReason)
	}
	e.hashes(f.Hashes)
	if f.HasMetadata {
		e.hashes(f.MetadataHashes)
	}
}

// encodeBody puts the files into the cache's form, from which they are decoded henceforth.
func (p *page) encodeBody(name pep508.Name, index string, b *budget) error {
	n := 0
	for _, g := range p.groups {
		n += g.count
	}
	const usual = 400 // bytes of a file, hashes in hexadecimal
	files := &encoder{words: map[string]uint64{}, buf: make([]byte, 0, usual*n)}
	groups := &encoder{words: files.words}
	for i, g := range p.groups {
		from := len(files.buf)
		for j := range g.files {
			files.file(&g.files[j])
		}
		groups.uint(files.number(p.versions[i].Text()))
		groups.uint(uint64(g.count))
		groups.uint(uint64(len(files.buf) - from))
	}
	head := &encoder{buf: make([]byte, 0, len(files.buf)+len(groups.buf)+64*len(files.table)+64)}
	head.uint(uint64(len(files.table)))
	for _, s := range files.table {
		head.string(s)
	}
	head.uint(uint64(len(p.groups)))
	head.buf = append(append(head.buf, groups.buf...), files.buf...)
	return p.setBody(string(head.buf), name, index, b)
}

// cost is what a page takes that nobody has looked into.
func (p *page) cost() int {
	return len(p.body) + groupCost*(len(p.groups)+len(p.decoder.table))
}

// encode gives the cache's form of the page.
func (p *page) encode() []byte {
	head := &encoder{buf: make([]byte, 0, len(p.body)+1024)}
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
	return append(head.buf, p.body...)
}

type decoder struct {
	s        string // what is left
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
	d.bad, d.s = true, ""
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
		d.bad, d.s = true, ""
		return 0
	}
	return int(n)
}

func (d *decoder) string() string {
	n := d.count()
	s := d.s[:n]
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
		a := d.word()
		m[a] = d.string()
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
	f.Yanked = flags&flagYanked != 0
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
func (d *decoder) files(files []dist.File, code string, name pep508.Name, index string) error {
	d.s, d.bad, d.err = code, false, nil
	for i := range files {
		files[i].Name, files[i].Index = name, index
		if d.file(&files[i]); d.bad {
			return cmp.Or(d.err, errCodec)
		}
	}
	if d.s != "" {
		return errCodec
	}
	return nil
}

// decodePage reads what encode gave. name and index are put into every file, and what is decoded later
// is taken of the budget.
func decodePage(data []byte, key pageKey, b *budget) (*page, error) {
	d := &decoder{s: string(data)}
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
	return p, p.setBody(d.s, key.name, key.index, b)
}

// setBody makes an encoded body the page's, and reads its table and versions.
func (p *page) setBody(body string, name pep508.Name, index string, b *budget) error {
	d := &decoder{s: body, budget: b}
	p.body, p.decoder, p.name, p.index = body, d, name, index
	n := d.count()
	d.table = make([]string, n)
	for i := range d.table {
		d.table[i] = d.string()
	}
	d.versions = make([]pep440.Version, n)
	d.tags = make([][]dist.Tag, n)
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
		p.groups[i].code, d.s = d.s[:n], d.s[n:]
	}
	if d.bad || d.s != "" {
		return errCodec
	}
	return nil
}
