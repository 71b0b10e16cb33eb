package index

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
)

type jsonFile struct {
	Filename       string            `json:"filename"`
	URL            string            `json:"url"`
	Hashes         map[string]string `json:"hashes"`
	RequiresPython *string           `json:"requires-python"`
	Size           int64             `json:"size"`
	UploadTime     string            `json:"upload-time"`
	Yanked         any               `json:"yanked"`
	Core           any               `json:"core-metadata"`
	DistInfo       any               `json:"dist-info-metadata"`
}

// parseJSON reads a page as PEP 691 has it, with the fields of PEP 700 and 714, as a stream, and
// calls emit for each file.
func parseJSON(r io.Reader, base *url.URL, emit func(*link)) error {
	d := json.NewDecoder(r)
	if err := delim(d, '{'); err != nil {
		return err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		switch key {
		case "meta":
			var meta struct {
				Version string `json:"api-version"`
			}
			if err := d.Decode(&meta); err != nil {
				return err
			}
			if meta.Version != "" && !strings.HasPrefix(meta.Version, "1.") {
				return fmt.Errorf("the page has version %q of the repository API, not 1", meta.Version)
			}
		case "files":
			if err := delim(d, '['); err != nil {
				return err
			}
			for d.More() {
				var f jsonFile
				if err := d.Decode(&f); err != nil {
					return err
				}
				if l := f.link(linker{base}); l != nil {
					emit(l)
				}
			}
			if err := delim(d, ']'); err != nil {
				return err
			}
		default:
			var skip json.RawMessage
			if err := d.Decode(&skip); err != nil {
				return err
			}
		}
	}
	return delim(d, '}')
}

func delim(d *json.Decoder, want json.Delim) error {
	t, err := d.Token()
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	if t != want {
		return errors.New("the page is not the JSON of a project")
	}
	return nil
}

func (f *jsonFile) link(links linker) *link {
	abs, fragment, _, ok := links.resolve(f.URL)
	if !ok || f.Filename == "" {
		return nil
	}
	l := &link{filename: f.Filename, url: abs, hashes: f.Hashes, size: f.Size}
	if len(l.hashes) == 0 {
		l.hashes = fragmentHash(fragment)
	}
	if f.RequiresPython != nil {
		l.requiresPython = *f.RequiresPython
	}
	l.uploaded, _ = time.Parse(time.RFC3339, f.UploadTime)
	switch y := f.Yanked.(type) {
	case bool:
		l.yanked = y
	case string:
		l.yanked, l.reason = true, y
	}
	m := f.Core
	if m == nil {
		m = f.DistInfo
	}
	switch m := m.(type) {
	case bool:
		l.hasMetadata = m
	case map[string]any:
		l.hasMetadata, l.metadataHashes = true, map[string]string{}
		for k, v := range m {
			if s, ok := v.(string); ok {
				l.metadataHashes[k] = s
			}
		}
	}
	return l
}
