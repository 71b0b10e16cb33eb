package index

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// parseJSON reads a page as PEP 691 has it, with the fields of PEP 700 and 714, as a stream, and
// calls emit for each file. The entry is emit's only until it returns.
func parseJSON(page answer, emit func(*entry) error) error {
	p := &jsonParser{s: newScanner(page.r, page.buf), links: linker{page.base}, emit: emit}
	err := p.s.object(func(key []byte) error {
		switch string(key) {
		case "meta":
			return p.meta()
		case "files":
			return p.s.array(p.file)
		}
		return p.s.skip()
	})
	if err != nil {
		return err
	}
	return p.s.finish()
}

const maxHashes = 16 // of one file

type jsonParser struct {
	s     *scanner
	links linker
	emit  func(*entry) error

	e       entry // the file that is being read
	href    []byte
	entries int
}

func (p *jsonParser) meta() error {
	return p.s.object(func(key []byte) error {
		if string(key) != "api-version" {
			return p.s.skip()
		}
		v, err := p.text()
		if err == nil && !bytes.HasPrefix(v, []byte("1.")) {
			err = fmt.Errorf("the page has version %q of the repository API, not 1", v)
		}
		return err
	})
}

// text takes a string; anything else is passed over and gives nil.
func (p *jsonParser) text() ([]byte, error) {
	c, err := p.s.peek()
	if err != nil {
		return nil, err
	}
	if c != '"' {
		return nil, p.s.skip()
	}
	return p.s.string()
}

// file takes one element of "files".
func (p *jsonParser) file() error {
	if p.entries++; p.entries > maxEntries {
		return errTooLarge
	}
	c, err := p.s.peek()
	if err != nil {
		return err
	}
	if c != '{' {
		return p.s.skip()
	}
	if err := p.s.whole(p.fields); err != nil {
		return err
	}
	e := &p.e
	if len(p.href) == 0 || len(e.filename) == 0 {
		return nil
	}
	if e.url = p.href; !plainURL(p.href) {
		at, ok := p.links.resolve(string(p.href))
		if !ok {
			return nil
		}
		e.url, e.query = []byte(at.url), at.query
		e.set(at.query != "", flagSigned)
		if len(e.hashes) == 0 {
			e.hashes = textHashes(fragmentHash(at.fragment))
		}
	}
	return p.emit(e)
}

// fields takes the fields of a file.
func (p *jsonParser) fields() error {
	e := &p.e
	*e = entry{hashes: e.hashes[:0], metadataHashes: e.metadataHashes[:0]}
	p.href = nil
	core := false
	return p.s.object(func(key []byte) (err error) {
		has := false
		switch string(key) {
		case "filename":
			e.filename, err = p.text()
		case "url":
			p.href, err = p.text()
		case "hashes":
			_, e.hashes, err = p.hashes(e.hashes)
		case "requires-python":
			e.requiresPython, err = p.text()
		case "size":
			e.size, err = p.number()
		case "upload-time":
			e.uploaded, has, err = p.time()
			e.set(has, flagUploaded)
		case "yanked":
			has, e.reason, err = p.yanked()
			e.set(has, flagYanked)
		case "core-metadata":
			core = true
			has, e.metadataHashes, err = p.hashes(e.metadataHashes)
			e.set(has, flagMetadata)
		case "dist-info-metadata":
			if core {
				return p.s.skip()
			}
			has, e.metadataHashes, err = p.hashes(e.metadataHashes)
			e.set(has, flagMetadata)
		default:
			err = p.s.skip()
		}
		return err
	})
}

// hashes takes an object of hashes into a list; or true or false, as the metadata fields may have it.
func (p *jsonParser) hashes(list []textHash) (is bool, _ []textHash, err error) {
	list = list[:0]
	c, err := p.s.peek()
	switch {
	case err != nil:
		return false, list, err
	case c == 't' || c == 'f':
		w, err := p.s.word()
		return string(w) == "true", list, err
	case c != '{':
		return false, list, p.s.skip()
	}
	err = p.s.object(func(algorithm []byte) error {
		hex, err := p.text()
		if len(hex) > 0 && len(list) < maxHashes {
			list = append(list, textHash{algorithm, hex})
		}
		return err
	})
	return true, list, err
}

// yanked takes true, false, or the reason (PEP 592).
func (p *jsonParser) yanked() (bool, []byte, error) {
	c, err := p.s.peek()
	if err != nil {
		return false, nil, err
	}
	if c == '"' {
		reason, err := p.s.string()
		return true, reason, err
	}
	if c == 't' {
		_, err = p.s.word()
		return true, nil, err
	}
	return false, nil, p.s.skip()
}

func (p *jsonParser) number() (int64, error) {
	if c, err := p.s.peek(); err != nil || c < '0' || c > '9' {
		if err != nil {
			return 0, err
		}
		return 0, p.s.skip()
	}
	w, err := p.s.word()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(w), 10, 64)
	if err != nil {
		return 0, nil // 1e3 or 1.5, which is no size
	}
	return n, nil
}

// time takes a time, in microseconds since 1970. Of what is no time it reports false.
func (p *jsonParser) time() (micros int64, ok bool, err error) {
	b, err := p.text()
	if err != nil {
		return 0, false, err
	}
	if t, ok := utcTime(b); ok {
		return t.UnixMicro(), true, nil
	}
	t, err := time.Parse(time.RFC3339, string(b))
	if err != nil || t.IsZero() {
		return 0, false, nil
	}
	return t.UnixMicro(), true, nil
}

// utcTime reads times as the large indexes write them, "2025-03-17T00:02:54.770630Z": of tens of thousands.
func utcTime(b []byte) (t time.Time, ok bool) {
	const form = "0000-00-00T00:00:00"
	if len(b) < len(form)+1 || b[len(b)-1] != 'Z' {
		return t, false
	}
	number := func(from, to int) (n int) {
		for _, c := range b[from:to] {
			n = n*10 + int(c-'0')
		}
		return n
	}
	for i := range form {
		if digit := b[i] >= '0' && b[i] <= '9'; form[i] == '0' && !digit || form[i] != '0' && b[i] != form[i] {
			return t, false
		}
	}
	micros := 0
	if fraction := b[len(form) : len(b)-1]; len(fraction) > 0 {
		if len(fraction) != len(".000000") || fraction[0] != '.' || len(bytes.Trim(fraction[1:], "0123456789")) > 0 {
			return t, false
		}
		micros = number(len(form)+1, len(b)-1)
	}
	year, month, day := number(0, 4), time.Month(number(5, 7)), number(8, 10)
	hour, minute, second := number(11, 13), number(14, 16), number(17, 19)
	t = time.Date(year, month, day, hour, minute, second, micros*1000, time.UTC)
	// What is out of its range, such as the 30th of February, would be another time.
	return t, t.Month() == month && t.Day() == day && t.Hour() == hour && t.Minute() == minute && t.Second() == second && year > 0
}
