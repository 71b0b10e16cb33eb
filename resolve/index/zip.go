package index

import (
	"errors"
	"io"
	"strings"

	"mlenv/resolve/internal/zipdir"
	"mlenv/resolve/pep508"
)

// wheelMetadata reads the fields of the METADATA of a wheel of that many bytes: of its one .dist-info
// directory or, should it carry others, of the one that has the project's name. scanned is called once
// the directory was read; it may be nil.
func wheelMetadata(r io.ReaderAt, size int64, name pep508.Name, scanned func()) ([]byte, error) {
	var found zipdir.File
	matches, others := 0, 0
	err := zipdir.Files(r, size, func(f zipdir.File) error {
		info, ok := strings.CutSuffix(f.Name, ".dist-info/METADATA")
		if !ok || strings.Contains(info, "/") {
			return nil
		}
		project, _, _ := strings.Cut(info, "-")
		switch {
		case matches > 0 && f.Name == found.Name && f.CRC == found.CRC && f.Size == found.Size: // twice the same
		case pep508.NormalizeName(project) == name || name == "":
			matches++
			found = f
		case matches == 0:
			others++
			found = f
		}
		return nil
	})
	if scanned != nil {
		scanned()
	}
	if err != nil {
		return nil, err
	}
	if matches != 1 && (matches > 1 || others != 1) {
		return nil, errors.New("the wheel has no METADATA of its own")
	}
	content, err := found.Open(r, size)
	if err != nil {
		return nil, err
	}
	return readHeaders(content)
}
