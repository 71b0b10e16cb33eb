package pep440

import (
	"math/bits"
	"strconv"
	"strings"
	"unicode"
)

// parts holds the segments of a version. Numbers are strings of decimal digits without leading
// zeros, because PEP 440 does not limit their size.
type parts struct {
	epoch   string // "" for none
	release []string
	pre     byte // 'a', 'b', 'r' (rc), 0 for none
	preN    string
	post    string // "" for none
	dev     string // "" for none
	local   string // as written, "" for none
}

// The spellings of segment names. Where one is a prefix of another, the longer one comes first.
var (
	preLetters = []struct {
		word string
		pre  byte
	}{
		{"alpha", 'a'}, {"a", 'a'}, {"beta", 'b'}, {"b", 'b'},
		{"preview", 'r'}, {"pre", 'r'}, {"c", 'r'}, {"rc", 'r'},
	}
	postLetters = []string{"post", "rev", "r"}
)

// scan reads the longest version at the start of s and also returns its length, 0 if there is none.
// It never backtracks: each optional segment is read completely or not at all. The release is
// stored in room if it fits, which saves an allocation for almost every version.
func scan(s string, room []string) (p parts, i int) {
	if p.epoch, p.release, i = scanRelease(s, room); i == 0 {
		return p, 0
	}
	i += p.scanPre(s[i:])
	i += p.scanPost(s[i:])
	if n := separator(s[i:]); hasFold(s[i+n:], "dev") {
		i += n + len("dev")
		i += implicitNumber(s[i:], &p.dev)
	}
	i += p.scanLocal(s[i:])
	return p, i
}

// scanRelease reads the epoch and the release, with the "v" that PEP 440 lets precede them ("Preceding v
// character"), and returns how many bytes they are; 0: there is no release. A dot that no digit follows is left.
func scanRelease(s string, room []string) (epoch string, release []string, i int) {
	if s != "" && lower(s[0]) == 'v' {
		i++
	}
	n := digits(s[i:])
	if i+n < len(s) && s[i+n] == '!' && n > 0 {
		epoch = number(s[i : i+n])
		i += n + 1
		n = digits(s[i:])
	}
	if n == 0 {
		return "", nil, 0
	}
	release = append(room, number(s[i:i+n]))
	i += n
	for i < len(s) && s[i] == '.' {
		if n = digits(s[i+1:]); n == 0 {
			break
		}
		release = append(release, number(s[i+1:i+1+n]))
		i += 1 + n
	}
	return epoch, release, i
}

// scanPre reads a pre-release segment, in any spelling: "alpha" and "preview" are "a" and "rc".
func (p *parts) scanPre(s string) int {
	i := separator(s)
	for _, l := range preLetters {
		if hasFold(s[i:], l.word) {
			p.pre = l.pre
			i += len(l.word)
			return i + implicitNumber(s[i:], &p.preN)
		}
	}
	return 0
}

// scanPost reads a post-release segment. "1.0-1" is one too ("Implicit post releases").
func (p *parts) scanPost(s string) int {
	if len(s) > 1 && s[0] == '-' {
		if n := digits(s[1:]); n > 0 {
			p.post = number(s[1 : 1+n])
			return 1 + n
		}
	}
	i := separator(s)
	for _, word := range postLetters {
		if hasFold(s[i:], word) {
			i += len(word)
			return i + implicitNumber(s[i:], &p.post)
		}
	}
	return 0
}

func (p *parts) scanLocal(s string) int {
	if len(s) < 2 || s[0] != '+' || !alnum(s[1]) {
		return 0
	}
	i := 1
	for i < len(s) && (alnum(s[i]) || separator(s[i:]) == 1 && i+1 < len(s) && alnum(s[i+1])) {
		i++
	}
	p.local = s[1:i]
	return i
}

// isRelease reports whether p has no segments after the release.
func (p *parts) isRelease() bool { return p.pre == 0 && p.post == "" && p.dev == "" && p.local == "" }

// implicitNumber reads the optional separator and number after a segment's letters and returns
// their length. A missing number means 0.
func implicitNumber(s string, to *string) int {
	i := separator(s)
	n := digits(s[i:])
	*to = number(s[i : i+n])
	return i + n
}

// appendNormal appends the normalized form (PEP 440, "Normalization").
func (p *parts) appendNormal(b []byte) []byte {
	if p.epoch != "" && p.epoch != "0" {
		b = append(append(b, p.epoch...), '!')
	}
	for i, r := range p.release {
		if i > 0 {
			b = append(b, '.')
		}
		b = append(b, r...)
	}
	if p.pre != 0 {
		b = append(b, p.pre)
		if p.pre == 'r' {
			b = append(b, 'c')
		}
		b = append(b, p.preN...)
	}
	if p.post != "" {
		b = append(append(b, ".post"...), p.post...)
	}
	if p.dev != "" {
		b = append(append(b, ".dev"...), p.dev...)
	}
	for i, rest := 0, p.local; rest != ""; i++ {
		var segment string
		segment, rest = localSegment(rest)
		b = append(b, "+."[min(i, 1)])
		for j := range len(segment) {
			b = append(b, lower(segment[j]))
		}
	}
	return b
}

// localSegment splits off the first segment of a local label. A numeric segment loses its leading
// zeros.
func localSegment(s string) (segment, rest string) {
	segment = s
	if i := strings.IndexAny(s, ".-_"); i >= 0 {
		segment, rest = s[:i], s[i+1:]
	}
	if digits(segment) == len(segment) {
		segment = number(segment)
	}
	return segment, rest
}

// The marker bytes of a key. A number starts with keyNumber or a greater byte, so that keyEnd sorts
// before any number and keyAfter sorts after.
const (
	keyEnd    = 0x01 // ends the release and each alphabetic segment
	keyLocal  = 0x02 // starts a local label
	keyNumber = 0x10
	keyLong   = 0xd0 // plus the number of bytes that follow
	keyHuge   = 0xe0 // followed by the number of digits and the digits
	keyAfter  = "\xff"

	rankDevOnly = 0x10 // 1.0.dev1, before 1.0a1
	rankFinal   = 0x14 // after a, b, rc
	rankNo      = 0x10 // not a post release
	rankYes     = 0x11 // a post release; also: not a dev release
)

// key returns a byte string that sorts in PEP 440's order; see the package comment.
func (p *parts) key() string {
	var room [64]byte
	b := p.appendSuffix(p.appendPre(room[:0]))
	for rest := p.local; rest != ""; {
		if rest == p.local {
			b = append(b, keyLocal)
		}
		var segment string
		segment, rest = localSegment(rest)
		if digits(segment) == len(segment) {
			b = appendNumber(append(b, rankYes), segment)
			continue
		}
		b = append(b, rankNo)
		for j := range len(segment) {
			b = append(b, lower(segment[j]))
		}
		b = append(b, keyEnd)
	}
	return string(b)
}

// appendRelease appends the key's epoch and the given numbers.
func (p *parts) appendRelease(b []byte, release []string) []byte {
	epoch := p.epoch
	if epoch == "" {
		epoch = "0"
	}
	b = appendNumber(b, epoch)
	for _, r := range release {
		b = appendNumber(b, r)
	}
	return b
}

// appendPre appends the key up to and including the pre-release segment. It drops trailing zeros of
// the release, so that 1.0 and 1.0.0 get the same key.
func (p *parts) appendPre(b []byte) []byte {
	end := len(p.release)
	for end > 0 && p.release[end-1] == "0" {
		end--
	}
	b = append(p.appendRelease(b, p.release[:end]), keyEnd)
	switch {
	case p.pre == 0 && p.post == "" && p.dev != "":
		return append(b, rankDevOnly)
	case p.pre == 0:
		return append(b, rankFinal)
	case p.pre == 'r':
		return appendNumber(append(b, rankDevOnly+3), p.preN)
	}
	return appendNumber(append(b, rankDevOnly+1+p.pre-'a'), p.preN)
}

// appendSuffix appends the key's post and dev segments.
func (p *parts) appendSuffix(b []byte) []byte {
	if p.post == "" {
		b = append(b, rankNo)
	} else {
		b = appendNumber(append(b, rankYes), p.post)
	}
	if p.dev == "" {
		return append(b, rankYes)
	}
	return appendNumber(append(b, rankNo), p.dev)
}

// appendNumber appends a number such that bytes sort like the numbers they encode, and no encoding
// is a prefix of another.
func appendNumber(b []byte, s string) []byte {
	if len(s) > 18 {
		n := len(s)
		b = append(b, keyHuge, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
		return append(b, s...)
	}
	var n uint64
	for i := range len(s) {
		n = n*10 + uint64(s[i]-'0')
	}
	if n < keyLong-keyNumber {
		return append(b, keyNumber+byte(n))
	}
	count := (bits.Len64(n) + 7) / 8
	b = append(b, keyLong+byte(count))
	for i := count - 1; i >= 0; i-- {
		b = append(b, byte(n>>(8*i)))
	}
	return b
}

// increment adds one to a number.
func increment(s string) string {
	if n, err := strconv.ParseUint(s, 10, 63); err == nil {
		return strconv.FormatUint(n+1, 10)
	}
	b := []byte(s)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] != '9' {
			b[i]++
			return string(b)
		}
		b[i] = '0'
	}
	return "1" + string(b)
}

// digits returns how many decimal digits s starts with.
func digits(s string) int {
	i := 0
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	return i
}

// number strips leading zeros; "" becomes "0".
func number(s string) string {
	for len(s) > 1 && s[0] == '0' {
		s = s[1:]
	}
	if s == "" {
		return "0"
	}
	return s
}

// separator returns the length of the separator (one of ".-_") at the start of s: 1 or 0.
func separator(s string) int {
	if s != "" && (s[0] == '.' || s[0] == '-' || s[0] == '_') {
		return 1
	}
	return 0
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

func alnum(c byte) bool {
	c = lower(c)
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z'
}

// hasFold reports whether s starts with word, ignoring the case of ASCII letters. word is lower
// case.
func hasFold(s, word string) bool {
	return len(s) >= len(word) && equalFold(s[:len(word)], word)
}

// equalFold reports whether s and t are equal, ignoring the case of ASCII letters.
func equalFold(s, t string) bool {
	if len(s) != len(t) {
		return false
	}
	for i := range len(s) {
		if lower(s[i]) != lower(t[i]) {
			return false
		}
	}
	return true
}

// trimSpace trims what Python's str.strip does: Unicode white space and the four ASCII separator
// control characters.
func trimSpace(s string) string { return strings.TrimFunc(s, IsSpace) }

// IsSpace reports whether r is white space to Python: to str.strip and to \s in a regular expression.
func IsSpace(r rune) bool { return unicode.IsSpace(r) || 0x1c <= r && r <= 0x1f }
