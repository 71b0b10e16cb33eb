package compile

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"slices"
	"strings"

	"mlenv/imagebuild/layer"
)

// An Archive is what was kept of compiled files: the name and size of a zip archive among the Compiler's Blobs.
type Archive struct {
	SHA256 string `json:"sha256"` // lower-case hex
	Size   int64  `json:"size"`   // bytes
}

// Keep keeps the compiled files that Files returned, for other runs. That they cannot be kept is no error: the Archive is
// the zero value then.
func (c *Compiler) Keep(files []layer.Entry) (Archive, error) {
	if c.Blobs == nil {
		return Archive{}, nil
	}
	temp, err := os.CreateTemp(c.dir, "archive-")
	if err != nil {
		return Archive{}, err
	}
	defer os.Remove(temp.Name())
	defer temp.Close()
	h := sha256.New()
	if err := write(io.MultiWriter(temp, h), files); err != nil {
		return Archive{}, err
	}
	a := Archive{SHA256: hex.EncodeToString(h.Sum(nil))}
	if a.Size, err = temp.Seek(0, io.SeekCurrent); err != nil {
		return Archive{}, err
	}
	if _, err := temp.Seek(0, io.SeekStart); err != nil {
		return Archive{}, err
	}
	kept := c.Blobs.Keep(a.SHA256, io.NopCloser(temp))
	if _, err := io.Copy(io.Discard, kept); err != nil {
		return Archive{}, err
	}
	return a, kept.Close()
}

// write writes files, compressed as they are, as a zip archive.
func write(to io.Writer, files []layer.Entry) error {
	files = slices.SortedFunc(slices.Values(files), func(a, b layer.Entry) int { return strings.Compare(a.Path, b.Path) })
	z := zip.NewWriter(to)
	for _, f := range files {
		w, err := z.CreateRaw(&zip.FileHeader{
			Name: f.Path, Method: zip.Deflate, CRC32: f.Content.CRC,
			CompressedSize64: uint64(f.Content.Packed), UncompressedSize64: uint64(f.Content.Size),
		})
		if err != nil {
			return err
		}
		r, err := f.Content.Open()
		if err != nil {
			return err
		}
		_, err = io.Copy(w, r)
		if r.Close(); err != nil {
			return err
		}
	}
	return z.Close()
}

// Kept returns the compiled files of an archive, and whether it is there. They can be read until Close.
func (c *Compiler) Kept(a Archive) ([]layer.Entry, bool) {
	file, ok := c.Blobs.Open(a.SHA256, a.Size)
	if !ok {
		return nil, false
	}
	c.mu.Lock()
	c.open = append(c.open, file)
	c.mu.Unlock()
	z, err := zip.NewReader(file, a.Size)
	if err != nil {
		return nil, false
	}
	var out []layer.Entry
	for _, f := range z.File {
		at, err := f.DataOffset()
		if err != nil || f.Method != zip.Deflate || f.UncompressedSize64 > maxCode {
			return nil, false
		}
		packed := int64(f.CompressedSize64)
		out = append(out, layer.Entry{Path: f.Name, Source: "the compiled " + f.Name, Content: layer.Content{
			Size: int64(f.UncompressedSize64), Deflated: true, Packed: packed, CRC: f.CRC32, HasCRC: true,
			Open: func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(file, at, packed)), nil },
		}})
	}
	return out, true
}
