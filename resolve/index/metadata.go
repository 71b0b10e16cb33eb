package index

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep508"
)

const (
	// maxMetadata bounds a METADATA file. Long descriptions are tens of kilobytes.
	maxMetadata = 16 << 20
	// maxHeaders bounds the part of it that counts. Packages with hundreds of extras have 100 KB.
	maxHeaders = 1 << 20
	// maxSdist bounds how far a source distribution is inflated in the search for its PKG-INFO.
	maxSdist = 4 << 30
)

// Metadata gives the core metadata of a file, in the cheapest way that there is: the cache (of a file
// that was seen whole its own METADATA, else what this source has said of it), the
// metadata file beside it (PEP 658, verified by its hash), the METADATA entry of the remote wheel
// by range requests, and only then all of it. The value is shared: it must not be changed.
//
// A source distribution without a metadata file of its own is downloaded and its PKG-INFO read; if
// that is older than metadata 2.2 and so promises nothing (PEP 643), the error is ErrNoMetadata.
// Other errors: *HashError, *FormatError, *MetadataError, *NotFoundError, *NetworkError, *OfflineError.
func (c *Client) Metadata(ctx context.Context, f dist.File) (*dist.Metadata, error) {
	f = c.unsigned(f)
	u, err := url.Parse(f.URL)
	if err != nil {
		return nil, fmt.Errorf("reading the metadata of %s: %s is no URL", f.Filename, Redact(f.URL))
	}
	m, err := c.metadata.get(ctx, fileKey(f)+" "+c.claimed(u, f), func(ctx context.Context) (*dist.Metadata, error) {
		m, err := c.readMetadata(listedBy(ctx, f.Index), u, f)
		if err == nil {
			err = c.claims.tell(fileKey(f), m, f)
		}
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

func (c *Client) readMetadata(ctx context.Context, u *url.URL, f dist.File) (*dist.Metadata, error) {
	var records []string // the truth before the claim
	if c.store != nil && u.Scheme != "file" {
		if sha := sha256Of(f); sha != "" {
			records = append(records, trueRecord(sha))
		}
		if _, _, known := strongest(f.Hashes); known != nil {
			records = append(records, "metadata/claimed/"+c.claimed(u, f))
		}
	}
	for _, record := range records {
		if data, err := c.store.Read(record); err == nil {
			if err := c.budget.spend(metadataCost * len(data)); err != nil {
				return nil, err
			}
			if m, err := parseMetadata(data, f); err == nil {
				return m, nil
			}
		}
	}
	data, keep, err := c.getMetadata(ctx, u, f)
	if err != nil {
		return nil, err
	}
	if err := c.budget.spend(metadataCost * len(data)); err != nil {
		return nil, err
	}
	m, err := parseMetadata(data, f)
	if err != nil {
		return nil, err
	}
	// What a URL without any hash gives may be another file tomorrow.
	if keep && len(records) > 0 {
		if err := c.store.Write(records[len(records)-1], data); err != nil {
			c.s.Warn(err.Error())
		}
	}
	return m, nil
}

// claimed names what an index says of a file: by where the file is, and by the hashes that the index
// promises of it and of its metadata.
func (c *Client) claimed(u *url.URL, f dist.File) string {
	hash, want, _ := strongest(f.Hashes)
	metadataHash, metadataWant, _ := strongest(f.MetadataHashes)
	return c.source(u, f.Index, hash, want, sha256Of(f), metadataHash, metadataWant)
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

// getMetadata tries the sources one after the other. keep tells whether the answer may be kept as what
// the file's source says.
func (c *Client) getMetadata(ctx context.Context, u *url.URL, f dist.File) (data []byte, keep bool, err error) {
	if u.Scheme == "file" {
		data, err = c.wholeMetadata(ctx, f)
		return data, false, err
	}
	if c.s.Offline {
		if data, err = c.wholeMetadata(ctx, f); err == nil {
			return data, false, nil
		}
		return nil, false, &OfflineError{What: "the metadata of " + f.Filename}
	}
	if f.HasMetadata {
		at, err := c.complete(ctx, f)
		if err != nil {
			return nil, false, err
		}
		data, keep, err = c.besideFile(ctx, at, f)
		// A signature of the wheel is none of what lies beside it, and object stores say 403 of what they do
		// not have. Whether we may have the wheel, its own server will say.
		if err == nil || !denied(err) && !errors.As(err, new(*NotFoundError)) {
			return data, keep, err
		}
	}
	if f.Wheel {
		err = c.reach(ctx, f, func(at *url.URL) error {
			data, keep, err = c.remoteMetadata(ctx, at, f)
			return err
		})
		if err == nil || !errors.Is(err, errNoRanges) {
			return data, keep, err
		}
	}
	data, err = c.wholeMetadata(ctx, f)
	return data, false, err
}

// besideFile fetches the metadata file that an index offers (PEP 658).
func (c *Client) besideFile(ctx context.Context, u *url.URL, f dist.File) (data []byte, keep bool, err error) {
	at := *u
	at.Path += ".metadata"
	if at.RawPath != "" {
		at.RawPath += ".metadata"
	}
	var sum hash.Hash // of all of it
	err = c.t.do(ctx, request{url: &at, gzip: true, use: func(r *http.Response) (err error) {
		switch r.StatusCode {
		case http.StatusOK:
			keep = c.sameSource(r)
			body := io.Reader(r.Body)
			sum = nil
			if _, _, make := strongest(f.MetadataHashes); make != nil {
				sum = make()
				body = io.TeeReader(body, sum)
			}
			data, err = readHeaders(body)
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
		return nil, false, err
	}
	if sum != nil {
		name, want, _ := strongest(f.MetadataHashes)
		if got := hex.EncodeToString(sum.Sum(nil)); got != want {
			return nil, false, &HashError{URL: redact(&at), Algorithm: name, Want: want, Got: got}
		}
	}
	return data, keep, nil
}

// wholeMetadata reads the metadata out of the downloaded file.
func (c *Client) wholeMetadata(ctx context.Context, f dist.File) ([]byte, error) {
	path, err := c.file(ctx, f)
	if err != nil {
		return nil, err
	}
	var data []byte
	switch {
	case f.Wheel:
		data, err = wheelFileMetadata(path, f.Name)
	case strings.HasSuffix(f.Filename, ".tar.gz"):
		data, err = sdistMetadata(path)
	default:
		return nil, ErrNoMetadata
	}
	if err != nil && !errors.Is(err, ErrNoMetadata) {
		return nil, &FormatError{URL: Redact(f.URL), Err: err}
	}
	return data, err
}

// wheelFileMetadata reads the metadata of a wheel on the disk.
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
	return wheelMetadata(f, info.Size(), name, nil)
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
	for t := tar.NewReader(&bounded{r: z, left: maxSdist}); ; {
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
		data, err := readHeaders(t)
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

// readHeaders reads metadata to its end, but keeps only what is asked for: the fields, and not the
// description, as body or as field, which is most of it.
func readHeaders(r io.Reader) ([]byte, error) {
	in := bufio.NewReaderSize(&bounded{r: r, left: maxMetadata}, 8<<10)
	var out bytes.Buffer
	skipping, begins := false, true
	for {
		part, err := in.ReadSlice('\n') // of a long line only a part
		if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
			return nil, err
		}
		if begins && len(bytes.TrimRight(part, "\r\n")) == 0 {
			_, err := io.Copy(io.Discard, in)
			return out.Bytes(), err
		}
		if begins && part[0] != ' ' && part[0] != '\t' {
			key, _, _ := bytes.Cut(part, []byte(":"))
			skipping = bytes.EqualFold(key, []byte("Description"))
		}
		if !skipping {
			if out.Len()+len(part) > maxHeaders {
				return nil, errTooLarge
			}
			out.Write(part)
		}
		if err == io.EOF {
			return out.Bytes(), nil
		}
		begins = err == nil
	}
}
