package index

import (
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// parseJSON reads a page as PEP 691 has it, with the fields of PEP 700 and 714, as a stream, and
// calls emit for each file. The link is emit's only until it returns.
func parseJSON(r io.Reader, base *url.URL, emit func(*link) error) error {
	p := &jsonParser{s: newScanner(r), links: linker{base}, shared: map[string]string{}, emit: emit}
	err := p.s.object(func(key string) error {
		switch key {
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

const (
	maxShared = 10_000 // strings that are remembered since other files may have them too
	maxHashes = 16     // of one file
)

type jsonParser struct {
	s      *scanner
	links  linker
	shared map[string]string // strings that many files have
	block  strings.Builder   // where the others lie, many in one allocation
	emit   func(*link) error

	entries int
}

func (p *jsonParser) meta() error {
	return p.s.object(func(key string) error {
		if key != "api-version" {
			return p.s.skip()
		}
		v, err := p.text()
		if err == nil && !strings.HasPrefix(v, "1.") {
			err = fmt.Errorf("the page has version %q of the repository API, not 1", v)
		}
		return err
	})
}

// text takes a string and keeps it. Anything else is passed over and gives "".
func (p *jsonParser) text() (string, error) {
	b, err := p.bytes()
	return p.keep(b), err
}

// keep copies a string to where it lasts.
func (p *jsonParser) keep(b []byte) string {
	const block = 32 << 10
	if len(b) > block/8 {
		return string(b)
	}
	if p.block.Cap()-p.block.Len() < len(b) {
		p.block = strings.Builder{}
		p.block.Grow(block)
	}
	from := p.block.Len()
	p.block.Write(b)
	return p.block.String()[from:]
}

// share is text for what many files have in common.
func (p *jsonParser) share() (string, error) {
	b, err := p.bytes()
	if err != nil || len(b) == 0 {
		return "", err
	}
	v, ok := p.shared[string(b)]
	if !ok {
		v = string(b)
		if len(p.shared) < maxShared {
			p.shared[v] = v
		}
	}
	return v, nil
}

// bytes takes a string; anything else is passed over and gives nil.
func (p *jsonParser) bytes() ([]byte, error) {
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
	if c, err := p.s.peek(); err != nil || c != '{' {
		if err != nil {
			return err
		}
		return p.s.skip()
	}
	var l link
	var href string
	core := false
	err := p.s.object(func(key string) (err error) {
		switch key {
		case "filename":
			l.filename, err = p.text()
		case "url":
			href, err = p.text()
		case "hashes":
			_, l.hashes, err = p.hashes()
		case "requires-python":
			l.requiresPython, err = p.share()
		case "size":
			l.size, err = p.number()
		case "upload-time":
			l.uploaded, err = p.time()
		case "yanked":
			l.yanked, l.reason, err = p.yanked()
		case "core-metadata":
			core = true
			l.hasMetadata, l.metadataHashes, err = p.hashes()
		case "dist-info-metadata":
			if core {
				return p.s.skip()
			}
			l.hasMetadata, l.metadataHashes, err = p.hashes()
		default:
			err = p.s.skip()
		}
		return err
	})
	if err != nil {
		return err
	}
	abs, fragment, _, ok := p.links.resolve(href)
	if !ok || href == "" || l.filename == "" {
		return nil
	}
	l.url = abs
	if strings.HasSuffix(abs, l.filename) {
		l.filename = abs[len(abs)-len(l.filename):]
	}
	if len(l.hashes) == 0 {
		l.hashes = fragmentHash(fragment)
	}
	return p.emit(&l)
}

// hashes takes an object of hashes; or true or false, as the metadata fields may have it.
func (p *jsonParser) hashes() (is bool, m map[string]string, err error) {
	c, err := p.s.peek()
	switch {
	case err != nil:
		return false, nil, err
	case c == 't' || c == 'f':
		w, err := p.s.word()
		return string(w) == "true", nil, err
	case c != '{':
		return false, nil, p.s.skip()
	}
	err = p.s.object(func(key string) error {
		v, err := p.text()
		if v != "" && len(m) < maxHashes {
			if m == nil {
				m = make(map[string]string, 1)
			}
			m[strings.ToLower(key)] = strings.ToLower(v)
		}
		return err
	})
	return true, m, err
}

// yanked takes true, false, or the reason (PEP 592).
func (p *jsonParser) yanked() (bool, string, error) {
	c, err := p.s.peek()
	if err != nil {
		return false, "", err
	}
	if c == '"' {
		reason, err := p.share()
		return true, reason, err
	}
	if c == 't' {
		_, err = p.s.word()
		return true, "", err
	}
	return false, "", p.s.skip()
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

func (p *jsonParser) time() (time.Time, error) {
	b, err := p.bytes()
	if err != nil || len(b) == 0 {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339, string(b))
	if err != nil {
		return time.Time{}, nil
	}
	return t.UTC().Truncate(time.Microsecond), nil
}
