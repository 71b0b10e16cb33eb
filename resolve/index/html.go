package index

import (
	"fmt"
	"io"
	"net/url"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// maxToken bounds one HTML tag or text.
const maxToken = 1 << 20

// parseHTML reads a page as PEP 503 has it, with the attributes of PEP 592, 658 and 714, and calls
// emit for each link. Any HTML page with links will do: find-links pages are read with it too.
func parseHTML(r io.Reader, base *url.URL, emit func(*link) error) error {
	z := html.NewTokenizer(r)
	z.SetMaxBuf(maxToken)
	links := linker{base: base}
	based, entries := false, 0
	for {
		switch z.Next() {
		case html.ErrorToken:
			if z.Err() == io.EOF {
				return nil
			}
			return z.Err()
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			switch atom.Lookup(name) {
			case atom.Base:
				if u := baseRef(z, more, base); u != nil && !based {
					links.base, based = u, true
				}
			case atom.A:
				if entries++; entries > maxEntries {
					return errTooLarge
				}
				if l := anchor(z, more, links); l != nil {
					if err := emit(l); err != nil {
						return err
					}
				}
			case atom.Meta:
				if v := metaVersion(z, more); v != "" && !strings.HasPrefix(v, "1.") {
					return fmt.Errorf("the page has version %q of the repository API, not 1", v)
				}
			}
		}
	}
}

// baseRef gives the URL of a <base href>. A remote page cannot make itself a local one.
func baseRef(z *html.Tokenizer, more bool, page *url.URL) *url.URL {
	var base *url.URL
	attributes(z, more, func(key, val string) {
		if key != "href" || base != nil {
			return
		}
		u, err := page.Parse(strings.TrimSpace(val))
		if err == nil && (u.Scheme == "http" || u.Scheme == "https" || page.Scheme == "file" && u.Scheme == "file") {
			u.User = nil
			base = u
		}
	})
	return base
}

// metaVersion gives the content of <meta name="pypi:repository-version"> (PEP 629).
func metaVersion(z *html.Tokenizer, more bool) string {
	var name, content string
	attributes(z, more, func(key, val string) {
		switch key {
		case "name":
			name = val
		case "content":
			content = val
		}
	})
	if strings.HasSuffix(name, ":repository-version") {
		return content
	}
	return ""
}

// anchor reads one <a>. It gives nil where there is no usable href.
func anchor(z *html.Tokenizer, more bool, links linker) *link {
	var l link
	var at reference
	ok := false
	core := false
	attributes(z, more, func(key, val string) {
		switch key {
		case "href":
			if !ok {
				at, ok = links.resolve(val)
			}
		case "data-requires-python":
			l.requiresPython = strings.TrimSpace(val)
		case "data-yanked":
			l.yanked, l.reason = true, val
		case "data-core-metadata":
			core = true
			l.hasMetadata, l.metadataHashes = metadataAttribute(val)
		case "data-dist-info-metadata":
			if !core {
				l.hasMetadata, l.metadataHashes = metadataAttribute(val)
			}
		}
	})
	if !ok || at.filename == "" {
		return nil
	}
	l.filename, l.url, l.query = at.filename, at.url, at.query
	l.hashes = fragmentHash(at.fragment)
	return &l
}

// metadataAttribute reads the value of data-core-metadata: "true" or a hash (PEP 658).
func metadataAttribute(val string) (bool, map[string]string) {
	val = strings.TrimSpace(val)
	if strings.EqualFold(val, "false") {
		return false, nil
	}
	return true, fragmentHash(val)
}

func attributes(z *html.Tokenizer, more bool, f func(key, val string)) {
	for more {
		var k, v []byte
		k, v, more = z.TagAttr()
		f(string(k), string(v))
	}
}
