package index

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"mlenv/resolve/cache"
	"mlenv/resolve/dist"
)

// Fetch gives the path of the file's content: from the cache, verified, or from where its URL
// says, verified against its hashes and its size. A file of a file: URL is used where it lies. A
// file without any hash in f is trusted on its first download and asked for again by ETag later.
//
// Errors: *HashError, *MetadataError, *NotFoundError, *NetworkError, *OfflineError.
func (c *Client) Fetch(ctx context.Context, f dist.File) (path string, err error) {
	path, err = c.file(ctx, c.unsigned(f))
	if err != nil {
		return "", fmt.Errorf("fetching %s: %w", f.Filename, err)
	}
	return path, nil
}

// file fetches a file once, and compares it with what was said of it.
func (c *Client) file(ctx context.Context, f dist.File) (string, error) {
	return c.files.get(ctx, fileKey(f), func(ctx context.Context) (string, error) {
		path, err := c.fetch(listedBy(ctx, f.Index), f)
		if err == nil {
			err = c.compare(path, f)
		}
		return path, err
	})
}

// fileKey tells files apart: by their hash where there is one, else by URL.
func fileKey(f dist.File) string {
	if sha := f.Hashes["sha256"]; sha != "" {
		return "sha256/" + strings.ToLower(sha) + "/" + f.Filename
	}
	return "url/" + f.URL
}

func (c *Client) fetch(ctx context.Context, f dist.File) (string, error) {
	u, err := url.Parse(f.URL)
	if err != nil {
		return "", fmt.Errorf("%s is no URL", Redact(f.URL))
	}
	if u.Scheme == "file" {
		path := filePath(u)
		if err := verifyFile(path, f); err != nil {
			return "", err
		}
		c.done(f)
		return path, nil
	}
	if c.store == nil {
		return "", errors.New("files need a cache directory to be kept in")
	}
	known := f.Hashes["sha256"]
	record := "origins/" + c.source(u, f.Index)
	var last origin
	if known == "" {
		last = c.lastOrigin(record)
		known = last.sha
	}
	path, err := c.store.File(strings.ToLower(known), f.Filename)
	have := err == nil && (f.Hashes["sha256"] != "" || verifyFile(path, f) == nil)
	switch {
	case have && (f.Hashes["sha256"] != "" || c.s.Offline):
		c.done(f)
		return path, nil
	case c.s.Offline:
		return "", &OfflineError{What: f.Filename}
	case !have || c.t.guard(u, f.Index) == unchecked: // whoever sent it chose its ETag too
		last = origin{}
	}
	err = c.reach(ctx, f, func(at *url.URL) error {
		path, err = (&download{c: c, f: f, last: last, record: record, sha: sha256.New()}).from(ctx, at)
		return err
	})
	if err == nil {
		c.done(f)
	}
	return path, err
}

func (c *Client) done(f dist.File) {
	c.s.Progress(Event{Kind: FileDone, Name: f.Filename, Bytes: f.Size, Total: f.Size})
}

// verifyFile compares a file on disk with what is known of it.
func verifyFile(path string, f dist.File) error {
	file, err := os.Open(path)
	if err != nil {
		if isMissing(err) {
			return &NotFoundError{File: Redact(f.URL)}
		}
		return err
	}
	defer file.Close()
	name, want, make := strongest(f.Hashes)
	if make == nil {
		return nil
	}
	h := make()
	if _, err := io.Copy(h, file); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return &HashError{URL: Redact(f.URL), Algorithm: name, Want: want, Got: got}
	}
	return nil
}

// origin is what a URL without a hash gave the last time.
type origin struct{ sha, etag, modified string }

func (c *Client) lastOrigin(record string) (o origin) {
	data, err := c.store.Read(record)
	if err != nil {
		return o
	}
	if part := strings.Split(string(data), "\n"); len(part) == 3 {
		o = origin{part[0], part[1], part[2]}
	}
	return o
}

// download is one transfer, in as many pieces as the network makes of it.
type download struct {
	c      *Client
	f      dist.File
	last   origin // to be confirmed, if its sha is set
	record string // of the origin, in the cache
	temp   *cache.Temp
	sha    hash.Hash
	other  hash.Hash // where the promised hash is not SHA-256; else nil
	n      int64     // bytes written
	found  int64     // bytes of them that an earlier run wrote
	header http.Header
	same   bool // the server says that last still holds
	own    bool // what was received is the URL's own, see sameSource
}

// from fetches the file from an address.
func (d *download) from(ctx context.Context, at *url.URL) (string, error) {
	if most := d.c.s.MaxFile; d.f.Size > most {
		return "", &SizeError{URL: Redact(d.f.URL), Size: d.f.Size, Most: most}
	}
	if err := d.begin(); err != nil {
		return "", err
	}
	path, err := d.run(ctx, at)
	var wrong *HashError
	if d.found > 0 && errors.As(err, &wrong) {
		// Most likely what an earlier run left was not the beginning of this file.
		if err = d.restart(nil); err == nil {
			path, err = d.run(ctx, at)
		}
	}
	d.end(ctx, err)
	return path, err
}

// run fetches what is lacking and keeps the file.
func (d *download) run(ctx context.Context, at *url.URL) (string, error) {
	if !d.complete() {
		if err := d.c.t.do(ctx, request{url: at, prepare: d.prepare, use: d.receive}); err != nil {
			return "", err
		}
	}
	if d.same {
		return d.c.store.File(d.last.sha, d.f.Filename)
	}
	sum := hex.EncodeToString(d.sha.Sum(nil))
	if err := d.verify(sum); err != nil {
		return "", err
	}
	path, err := d.temp.Keep(sum, d.f.Filename)
	if err != nil {
		return "", err
	}
	if d.f.Hashes["sha256"] == "" && d.own {
		o := strings.Join([]string{sum, d.header.Get("ETag"), d.header.Get("Last-Modified")}, "\n")
		if err := d.c.store.Write(d.record, []byte(o)); err != nil {
			d.c.s.Warn(err.Error())
		}
	}
	return path, nil
}

// prepare asks for the rest of what has been received, provided that it is still the same file.
func (d *download) prepare(h http.Header) {
	if d.n > 0 {
		if tag := validator(d.header); tag != "" {
			h.Set("Range", "bytes="+strconv.FormatInt(d.n, 10)+"-")
			h.Set("If-Range", tag)
		}
		return
	}
	if d.last.etag != "" {
		h.Set("If-None-Match", d.last.etag)
	} else if d.last.modified != "" {
		h.Set("If-Modified-Since", d.last.modified)
	}
}

// validator gives what If-Range takes: a strong ETag or, without one, a date.
func validator(h http.Header) string {
	if tag := h.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return tag
	}
	return h.Get("Last-Modified")
}

// receive writes the body of an answer behind what there is already, or from the start if the
// server sends all of it.
func (d *download) receive(r *http.Response) error {
	switch r.StatusCode {
	case http.StatusOK:
		if err := d.restart(r.Header); err != nil {
			return err
		}
		d.own = d.c.sameSource(r)
	case http.StatusPartialContent:
		d.own = d.own && d.c.sameSource(r)
		if from, _, ok := contentRange(r.Header); !ok || from != d.n {
			return d.again(r.StatusCode)
		}
	case http.StatusRequestedRangeNotSatisfiable:
		return d.again(r.StatusCode)
	case http.StatusNotModified:
		d.same = d.last.sha != ""
		if d.same {
			return nil
		}
		return &statusError{code: r.StatusCode, after: -1}
	case http.StatusNotFound, http.StatusGone:
		return &NotFoundError{File: Redact(d.f.URL)}
	default:
		return &statusError{code: r.StatusCode, after: -1}
	}
	buf := make([]byte, 1<<17)
	for {
		n, err := r.Body.Read(buf)
		if n > 0 {
			if werr := d.write(buf[:n]); werr != nil {
				return werr
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// again starts over after an answer that does not continue what there is.
func (d *download) again(code int) error {
	if d.n == 0 {
		return &statusError{code: code, after: -1}
	}
	if err := d.restart(nil); err != nil {
		return err
	}
	return &transferError{err: fmt.Errorf("the server answered %d to a request for the rest", code)}
}

func (d *download) restart(h http.Header) error {
	d.header = h
	d.found = 0
	d.reset()
	if _, err := d.temp.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("writing to the cache: %w", err)
	}
	if err := d.temp.Truncate(0); err != nil {
		return fmt.Errorf("writing to the cache: %w", err)
	}
	return d.temp.Remember(d.note())
}

// reset begins the hashes anew.
func (d *download) reset() {
	d.n = 0
	d.sha.Reset()
	d.other = nil
	if name, _, make := strongest(d.f.Hashes); make != nil && name != "sha256" {
		d.other = make()
	}
}

// maxFile bounds a file where the user sets no bound, whatever its index says of it or leaves out: a
// server that sends without end would fill the disk. The largest wheels have 4 GB.
const maxFile = 16 << 30

func (d *download) write(p []byte) error {
	if most := d.c.s.MaxFile; d.n+int64(len(p)) > most {
		return &SizeError{URL: Redact(d.f.URL), Most: most}
	}
	if d.f.Size > 0 && d.n+int64(len(p)) > d.f.Size {
		return d.wrongSize(fmt.Sprintf("more than %d", d.f.Size))
	}
	if _, err := d.temp.Write(p); err != nil {
		return fmt.Errorf("writing to the cache: %w", err)
	}
	d.add(p)
	d.c.s.Progress(Event{Kind: FileBytes, Name: d.f.Filename, Bytes: d.n, Total: d.f.Size})
	return nil
}

// add takes bytes of the file into account.
func (d *download) add(p []byte) {
	d.sha.Write(p)
	if d.other != nil {
		d.other.Write(p)
	}
	d.n += int64(len(p))
}

func (d *download) wrongSize(got string) error {
	return &HashError{URL: Redact(d.f.URL), Algorithm: "size", Want: strconv.FormatInt(d.f.Size, 10), Got: got}
}

// verify compares what has been received with all that was promised of it.
func (d *download) verify(sum string) error {
	if d.f.Size > 0 && d.n != d.f.Size {
		return d.wrongSize(strconv.FormatInt(d.n, 10))
	}
	if want := strings.ToLower(d.f.Hashes["sha256"]); want != "" && want != sum {
		return &HashError{URL: Redact(d.f.URL), Algorithm: "sha256", Want: want, Got: sum}
	}
	if d.other != nil {
		name, want, _ := strongest(d.f.Hashes)
		if got := hex.EncodeToString(d.other.Sum(nil)); got != want {
			return &HashError{URL: Redact(d.f.URL), Algorithm: name, Want: want, Got: got}
		}
	}
	return nil
}

// contentRange reads "bytes 10-99/100" (RFC 9110, section 14.4). total is negative if unknown.
func contentRange(h http.Header) (from, total int64, ok bool) {
	s, ok := strings.CutPrefix(h.Get("Content-Range"), "bytes ")
	if !ok {
		return 0, 0, false
	}
	span, size, ok1 := strings.Cut(s, "/")
	first, _, ok2 := strings.Cut(span, "-")
	from, err := strconv.ParseInt(strings.TrimSpace(first), 10, 64)
	if !ok1 || !ok2 || err != nil || from < 0 {
		return 0, 0, false
	}
	total, err = strconv.ParseInt(strings.TrimSpace(size), 10, 64)
	if err != nil {
		total = -1
	}
	return from, total, true
}
