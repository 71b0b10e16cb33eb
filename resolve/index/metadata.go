package index

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep508"
)

// maxMetadata bounds a METADATA file. Long descriptions are tens of kilobytes.
const maxMetadata = 16 << 20

// Metadata gives the core metadata of a file, in the cheapest way that there is: the cache, the
// metadata file beside it (PEP 658, verified by its hash), the METADATA entry of the remote wheel
// by range requests, and only then all of it. The value is shared: it must not be changed.
//
// A source distribution without a metadata file of its own is downloaded and its PKG-INFO read; if
// that is older than metadata 2.2 and so promises nothing (PEP 643), the error is ErrNoMetadata.
// Other errors: *HashError, *FormatError, *NotFoundError, *NetworkError, *OfflineError.
func (c *Client) Metadata(ctx context.Context, f dist.File) (*dist.Metadata, error) {
	m, err := c.metadata.get(ctx, fileKey(f), func(ctx context.Context) (*dist.Metadata, error) {
		m, err := c.readMetadata(ctx, f)
		if err == nil {
			c.s.Progress(Event{Kind: MetadataRead, Name: string(f.Name)})
		}
		return m, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the metadata of %s: %w", f.Filename, err)
	}
	return m, nil
}

func (c *Client) readMetadata(ctx context.Context, f dist.File) (*dist.Metadata, error) {
	u, err := url.Parse(f.URL)
	if err != nil {
		return nil, fmt.Errorf("%s is no URL", Redact(f.URL))
	}
	local := u.Scheme == "file"
	record := metadataRecord(f)
	if c.store != nil && !local {
		if data, err := c.store.Read(record); err == nil {
			if m, err := parseMetadata(data, f); err == nil {
				return m, nil
			}
		}
	}
	data, err := c.getMetadata(ctx, u, f)
	if err != nil {
		return nil, err
	}
	data = headers(data)
	m, err := parseMetadata(data, f)
	if err != nil {
		return nil, err
	}
	if c.store != nil && !local {
		if err := c.store.Write(record, data); err != nil {
			c.s.Warn(err.Error())
		}
	}
	return m, nil
}

// metadataRecord names the record of a file's metadata by its content where that is known.
func metadataRecord(f dist.File) string {
	if sha := strings.ToLower(f.Hashes["sha256"]); len(sha) == 64 && strings.Trim(sha, "0123456789abcdef") == "" {
		return "metadata/" + sha[:2] + "/" + sha[2:]
	}
	sum := sha256.Sum256([]byte(f.URL))
	return "metadata/url/" + hex.EncodeToString(sum[:])
}

// parseMetadata reads metadata and checks that it is of the file.
func parseMetadata(data []byte, f dist.File) (*dist.Metadata, error) {
	m, err := dist.ParseMetadata(data)
	if err != nil {
		return nil, &FormatError{URL: Redact(f.URL), Err: err}
	}
	if f.Name != "" && m.Name != f.Name {
		return nil, &FormatError{URL: Redact(f.URL), Err: fmt.Errorf("its metadata is of %s", m.Name)}
	}
	if !f.Version.IsZero() && m.Version.Compare(f.Version) != 0 {
		return nil, &FormatError{URL: Redact(f.URL), Err: fmt.Errorf("its metadata is of version %s", m.Version)}
	}
	return m, nil
}

// getMetadata tries the sources one after the other.
func (c *Client) getMetadata(ctx context.Context, u *url.URL, f dist.File) ([]byte, error) {
	if u.Scheme == "file" {
		return c.wholeMetadata(ctx, f)
	}
	if c.s.Offline {
		if data, err := c.wholeMetadata(ctx, f); err == nil {
			return data, nil
		}
		return nil, &OfflineError{What: "the metadata of " + f.Filename}
	}
	if f.HasMetadata {
		data, err := c.besideFile(ctx, u, f)
		var missing *NotFoundError
		if err == nil || !errors.As(err, &missing) {
			return data, err
		}
	}
	if f.Wheel {
		data, err := c.remoteMetadata(ctx, u, f)
		if err == nil || !errors.Is(err, errNoRanges) {
			return data, err
		}
	}
	return c.wholeMetadata(ctx, f)
}

// besideFile fetches the metadata file that an index offers (PEP 658).
func (c *Client) besideFile(ctx context.Context, u *url.URL, f dist.File) ([]byte, error) {
	at := *u
	at.Path += ".metadata"
	if at.RawPath != "" {
		at.RawPath += ".metadata"
	}
	var data []byte
	err := c.t.do(ctx, request{url: &at, gzip: true, use: func(r *http.Response) (err error) {
		switch r.StatusCode {
		case http.StatusOK:
			data, err = io.ReadAll(&bounded{r: r.Body, left: maxMetadata})
			if errors.Is(err, errTooLarge) {
				return &FormatError{URL: redact(&at), Err: err}
			}
			return err
		case http.StatusNotFound, http.StatusGone:
			return &NotFoundError{File: redact(&at)}
		}
		return &statusError{code: r.StatusCode, after: -1}
	}})
	if err != nil {
		return nil, err
	}
	return data, checkHash(at.String(), data, f.MetadataHashes)
}

// wholeMetadata reads the metadata out of the downloaded file.
func (c *Client) wholeMetadata(ctx context.Context, f dist.File) ([]byte, error) {
	file, err := c.files.get(ctx, fileKey(f), func(ctx context.Context) (string, error) { return c.fetch(ctx, f) })
	if err != nil {
		return nil, err
	}
	var data []byte
	switch {
	case f.Wheel:
		data, err = wheelFileMetadata(file, f.Name)
	case strings.HasSuffix(f.Filename, ".tar.gz"):
		data, err = sdistMetadata(file)
	default:
		return nil, ErrNoMetadata
	}
	if err != nil && !errors.Is(err, ErrNoMetadata) {
		return nil, &FormatError{URL: Redact(f.URL), Err: err}
	}
	return data, err
}

func wheelFileMetadata(file string, name pep508.Name) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	z, err := zip.NewReader(f, info.Size())
	if err != nil {
		return nil, err
	}
	return zipMetadata(z, name)
}

// zipMetadata reads the METADATA of a wheel: of its one .dist-info directory or, should it carry
// others, of the one that has the project's name.
func zipMetadata(z *zip.Reader, name pep508.Name) ([]byte, error) {
	var found *zip.File
	others := false
	for _, f := range z.File {
		dir, ok := strings.CutSuffix(f.Name, ".dist-info/METADATA")
		if !ok || strings.Contains(dir, "/") {
			continue
		}
		project, _, _ := strings.Cut(dir, "-")
		if pep508.NormalizeName(project) == name || name == "" {
			found, others = f, false
			break
		}
		others = found != nil
		found = f
	}
	if found == nil || others {
		return nil, errors.New("the wheel has no METADATA of its own")
	}
	r, err := found.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(&bounded{r: r, left: maxMetadata})
}

// sdistMetadata reads the PKG-INFO at the top of a source distribution, if it can be relied on.
func sdistMetadata(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if err == io.EOF {
			return nil, ErrNoMetadata
		}
		if err != nil {
			return nil, err
		}
		dir, base := path.Split(path.Clean(h.Name))
		if base != "PKG-INFO" || strings.Count(dir, "/") != 1 {
			continue
		}
		data, err := io.ReadAll(&bounded{r: t, left: maxMetadata})
		if err != nil {
			return nil, err
		}
		return data, reliable(data)
	}
}

// reliable reports, as an error, metadata that may change when the distribution is built.
func reliable(data []byte) error {
	m, err := dist.ParseMetadata(data)
	if err != nil {
		return err
	}
	var major, minor int
	if _, err := fmt.Sscanf(m.MetadataVersion, "%d.%d", &major, &minor); err != nil || major < 2 || major == 2 && minor < 2 {
		return ErrNoMetadata
	}
	for _, field := range m.Dynamic {
		if f := strings.ToLower(field); f == "requires-dist" || f == "requires-python" || f == "provides-extra" {
			return ErrNoMetadata
		}
	}
	return nil
}

// headers leaves out of metadata what is most of it and never asked for: the description, as body
// or as field.
func headers(data []byte) []byte {
	var out bytes.Buffer
	skipping := false
	for line := range bytes.Lines(data) {
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			break
		}
		if line[0] != ' ' && line[0] != '\t' {
			key, _, _ := bytes.Cut(line, []byte(":"))
			skipping = bytes.EqualFold(key, []byte("Description"))
		}
		if !skipping {
			out.Write(line)
		}
	}
	return out.Bytes()
}
