package index

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// entry is one file as a page lists it, before its name is understood. Its texts belong to whoever reads
// the page: they are good until the next entry is read.
type entry struct {
	filename       []byte
	url            []byte // absolute, without credentials and fragment, and without query if that is a secret
	query          string // a secret, see queries
	requiresPython []byte
	reason         []byte // for which it is yanked
	hashes         []textHash
	metadataHashes []textHash
	size           int64
	uploaded       int64 // microseconds since 1970
	has            uint64
}

// textHash is a hash as a page gives it, in upper or lower case.
type textHash struct{ algorithm, hex []byte }

// entry gives a link in the form in which it is encoded.
func (l *link) entry() *entry {
	e := &entry{filename: []byte(l.filename), url: []byte(l.url), requiresPython: []byte(l.requiresPython), reason: []byte(l.reason),
		hashes: textHashes(l.hashes), metadataHashes: textHashes(l.metadataHashes), size: l.size}
	e.set(l.yanked, flagYanked)
	e.set(l.hasMetadata, flagMetadata)
	e.query = l.query
	e.set(l.query != "", flagSigned)
	if !l.uploaded.IsZero() {
		e.set(true, flagUploaded)
		e.uploaded = l.uploaded.UnixMicro()
	}
	return e
}

func textHashes(m map[string]string) []textHash {
	var out []textHash
	for k, v := range m {
		out = append(out, textHash{[]byte(k), []byte(v)})
	}
	slices.SortFunc(out, func(a, b textHash) int { return bytes.Compare(a.algorithm, b.algorithm) })
	return out
}

// link is the reverse of the link's entry.
func (e *entry) link() *link {
	l := &link{filename: string(e.filename), url: string(e.url), requiresPython: string(e.requiresPython), reason: string(e.reason),
		hashes: hashMap(e.hashes), metadataHashes: hashMap(e.metadataHashes), size: e.size,
		yanked: e.has&flagYanked != 0, hasMetadata: e.has&flagMetadata != 0, query: e.query}
	if e.has&flagUploaded != 0 {
		l.uploaded = time.UnixMicro(e.uploaded).UTC()
	}
	return l
}

func hashMap(list []textHash) map[string]string {
	if len(list) == 0 {
		return nil
	}
	m := make(map[string]string, len(list))
	for _, h := range list {
		m[strings.ToLower(string(h.algorithm))] = strings.ToLower(string(h.hex))
	}
	return m
}

// set notes that the file has what a flag of the cache's form says.
func (e *entry) set(on bool, flag uint64) {
	if on {
		e.has |= flag
	}
}

// cost is what the encoded entry takes at most: every text may be a new word.
func (e *entry) cost() int {
	n := rowCost + len(e.filename) + len(e.url) + len(e.requiresPython) + len(e.reason)
	for _, list := range [][]textHash{e.hashes, e.metadataHashes} {
		for _, h := range list {
			n += len(h.algorithm) + len(h.hex) + 64
		}
	}
	if e.query != "" {
		n += queryCost + len(e.url) + len(e.query)
	}
	return n
}

// A builder makes a page of the files that an index lists. It encodes each as it comes: a large page has
// tens of thousands, of which a run looks at a few, so that none is made a value before it is asked for.
// Of a wheel's file name it parses the part before the tags, and the tags, only once: a large page has few
// of either.
type builder struct {
	project pep508.Name
	account *account // what all this takes; may be nil
	memory  *memory  // for chunks
	files   encoder  // into the last chunk
	chunks  [][]byte // those before
	rows    []row
	passed  bool              // over a file that looks like a distribution
	queries map[string]string // that give access, by the URLs of files

	heads    map[string]*head
	tags     map[string]uint64 // those that are valid, as words
	versions []pep440.Version  // by word
	lastName []byte            // that head was asked for
	last     *head             // that it gave
}

// head is what a file name says before the tags.
type head struct {
	version uint64 // a word
	build   uint64 // a word, if it has one
	has     uint64 // flags
}

// row is one encoded file: where it lies, and what it is sorted by.
type row struct {
	version      uint32 // a word
	chunk        uint32
	from, to     uint32 // within the chunk
	name, nameTo uint32 // of the file name
}

func newBuilder(project pep508.Name, m *memory, a *account) *builder {
	return &builder{project: project, memory: m, account: a, files: encoder{words: map[string]uint64{}}, heads: map[string]*head{}, tags: map[string]uint64{}}
}

// add takes an entry. It passes over what is no distribution of the project: eggs, installers,
// signatures, names and versions outside of the standards, other projects. The error is a *MemoryError.
func (b *builder) add(e *entry) error {
	if err := b.account.spend(0); err != nil {
		return err // another page has taken all that there is
	}
	h, tags, err := b.named(e.filename)
	if err != nil {
		return err
	}
	if h == nil {
		b.passed = b.passed || dist.LikelyFile(string(e.filename))
		return nil
	}
	n := e.cost()
	if err := b.account.spend(n); err != nil {
		return err
	}
	if cap(b.files.buf)-len(b.files.buf) < n {
		b.nextChunk(n)
	}
	r := b.files.file(e, h, tags)
	r.chunk = uint32(len(b.chunks))
	b.rows = append(b.rows, r)
	if e.query != "" {
		if b.queries == nil {
			b.queries = map[string]string{}
		}
		b.queries[string(e.url)] = e.query
	}
	return nil
}

// nextChunk goes on with another chunk, in which at least so many bytes fit.
func (b *builder) nextChunk(n int) {
	if b.files.buf != nil {
		b.chunks = append(b.chunks, b.files.buf)
	}
	if n > chunkSize {
		b.files.buf = make([]byte, 0, n)
	} else {
		b.files.buf = b.memory.chunk()[:0]
	}
}

// release gives the memory back that other pages can be made in.
func (b *builder) release() {
	for _, c := range append(b.chunks, b.files.buf) {
		b.memory.keepChunk(c)
	}
	b.chunks, b.files.buf, b.rows = nil, nil, nil
}

// named gives what a file name says: nothing if it is not one of a distribution of the project.
func (b *builder) named(filename []byte) (h *head, tags uint64, err error) {
	stem, wheel := bytes.CutSuffix(filename, []byte(".whl"))
	at := len(stem)
	if wheel {
		at = tagsAt(stem)
		if h = b.head(stem[:at]); h != nil {
			if tags, known := b.tags[string(stem[at:])]; known {
				return h, tags, nil
			}
		}
	}
	if len(filename) > maxFilename || !fewTags(string(stem[at:])) {
		return nil, 0, nil
	}
	f, err := dist.NewFile(b.project, string(filename), "")
	if err != nil {
		return nil, 0, nil
	}
	if err := b.account.spend(headCost + 2*len(filename)); err != nil {
		return nil, 0, err
	}
	h = &head{version: b.version(f.Version)}
	if f.Wheel {
		h.has |= flagWheel
		if f.Build != "" {
			h.build, h.has = b.files.number(f.Build), h.has|flagBuild
		}
		tags = b.files.number(string(stem[at:]))
		b.heads[string(stem[:at])], b.tags[string(stem[at:])] = h, tags
	}
	return h, tags, nil
}

// head gives what is known of wheels whose names begin so. Most follow another one of the same version.
func (b *builder) head(name []byte) *head {
	if !bytes.Equal(name, b.lastName) || b.last == nil {
		b.lastName, b.last = append(b.lastName[:0], name...), b.heads[string(name)]
	}
	return b.last
}

// tagsAt tells where the tags of a wheel's file name begin, which is given without its ending.
func tagsAt(stem []byte) int {
	at := len(stem)
	for range 3 {
		if at = bytes.LastIndexByte(stem[:at], '-'); at < 0 {
			return len(stem)
		}
	}
	return at + 1
}

// version gives the word of a version.
func (b *builder) version(v pep440.Version) uint64 {
	word := b.files.number(v.Text())
	for uint64(len(b.versions)) <= word {
		b.versions = append(b.versions, pep440.Version{})
	}
	if b.versions[word].IsZero() {
		b.versions[word] = v
	}
	return word
}

// finish gives a page the files, sorted by version and then file name; where both are equal the order
// stays.
func (b *builder) finish(p *page, key pageKey) error {
	rows, counts := b.sorted()
	words, size := 0, 0
	for _, s := range b.files.table {
		words += uvarintSize(len(s)) + len(s)
	}
	chunks := append(b.chunks, b.files.buf)
	for _, c := range chunks {
		size += len(c)
	}
	const number = binary.MaxVarintLen32
	e := &encoder{buf: make([]byte, 0, 3*number+words+3*number*len(counts)+size)}
	e.uint(uint64(len(b.files.table)))
	e.uint(uint64(words))
	for _, s := range b.files.table {
		e.string(s)
	}
	e.uint(uint64(len(counts)))
	for from := 0; len(counts) > 0; counts = counts[1:] {
		to, length := from+counts[0], 0
		for _, r := range rows[from:to] {
			length += int(r.to - r.from)
		}
		e.uint(uint64(rows[from].version))
		e.uint(uint64(counts[0]))
		e.uint(uint64(length))
		from = to
	}
	for _, r := range rows {
		e.buf = append(e.buf, chunks[r.chunk][r.from:r.to]...)
	}
	var budget *budget
	if b.account != nil {
		budget = b.account.budget
	}
	return p.setBody(e.buf, key, budget, b.versions)
}

// sorted gives the rows in the order of a page, and how many each version has.
func (b *builder) sorted() (rows []row, counts []int) {
	var words []uint32 // of versions, in their order
	seen := make([]int, len(b.versions))
	for _, r := range b.rows {
		if seen[r.version]++; seen[r.version] == 1 {
			words = append(words, r.version)
		}
	}
	compare := func(i, j uint32) int { return b.versions[i].Compare(b.versions[j]) }
	slices.SortFunc(words, compare)
	group := make([]int, len(b.versions))
	for i, w := range words {
		// Versions that are equal, such as 1.0 and 1.0.0, are one.
		if i == 0 || compare(words[i-1], w) != 0 {
			counts = append(counts, 0)
		}
		group[w] = len(counts) - 1
		counts[group[w]] += seen[w]
	}
	next := make([]int, len(counts)) // where the next row of a group goes
	for g := 1; g < len(counts); g++ {
		next[g] = next[g-1] + counts[g-1]
	}
	rows = make([]row, len(b.rows))
	for _, r := range b.rows {
		g := group[r.version]
		rows[next[g]] = r
		next[g]++
	}
	chunks := append(b.chunks, b.files.buf)
	name := func(r *row) []byte { return chunks[r.chunk][r.name:r.nameTo] }
	byName := func(x, y row) int {
		return cmp.Or(bytes.Compare(name(&x), name(&y)), cmp.Compare(x.chunk, y.chunk), cmp.Compare(x.from, y.from))
	}
	for g, n := range counts {
		if of := rows[next[g]-n : next[g]]; !slices.IsSortedFunc(of, byName) {
			slices.SortFunc(of, byName)
		}
	}
	return rows, counts
}
