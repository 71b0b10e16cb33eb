package index

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"mlenv/resolve/dist"
)

const (
	// tailSize is what is asked for first: the directory and the .dist-info, which good builders
	// write last, of most wheels.
	tailSize = 64 << 10
	// maxRemote bounds what is read of a remote wheel in parts, and maxRequests in how many: of a wheel
	// that takes more, all is downloaded, which needs no memory. The directory of 80,000 files is 8 MB.
	maxRemote   = 8 << 20
	maxRequests = 16
)

// errNoRanges says that a wheel cannot be read in parts and must be downloaded.
var errNoRanges = errors.New("the server does not send parts of files")

// remoteMetadata reads METADATA out of a remote wheel: its tail, then the rest of the zip directory
// and the entry if they are not in the tail. Wheels of the usual shape take one request, large ones
// two or three. errNoRanges says that the server would not.
func (c *Client) remoteMetadata(ctx context.Context, u *url.URL, f dist.File) (data []byte, keep bool, err error) {
	r := &remoteFile{ctx: ctx, c: c, url: u, own: true}
	defer r.release()
	if err := r.fetch(-tailSize, 0); err != nil {
		return nil, false, err
	}
	if f.Size > 0 && r.size != f.Size {
		return nil, false, &HashError{URL: redact(u), Algorithm: "size", Want: fmt.Sprint(f.Size), Got: fmt.Sprint(r.size)}
	}
	account := account{budget: &c.budget}
	defer account.close(0)
	r.account = &account
	data, err = wheelMetadata(r, r.size, f.Name, func() { r.directoryRead = true })
	if r.err != nil { // what the network said, in the words of who was reading
		return nil, false, r.err
	}
	if err != nil {
		return nil, false, &FormatError{URL: redact(u), Err: err}
	}
	return data, r.own, nil
}

// span is a part of a remote file that is known.
type span struct {
	from int64
	data []byte
}

func (s span) end() int64 { return s.from + int64(len(s.data)) }

// remoteFile is an io.ReaderAt over a file that a server sends in parts. What it misses it fetches
// with a good deal around it.
type remoteFile struct {
	ctx   context.Context
	c     *Client
	url   *url.URL
	size  int64
	etag  string
	spans []span            // sorted, apart from one another
	tails []*[tailSize]byte // of spans
	err   error
	own   bool // every part is the URL's own, see sameSource

	account  *account // for the spans; nil until there is one
	read     int64    // bytes of all spans
	requests int

	directoryRead bool // what is read from now on are entries
}

// ReadAt reads from what is known, after fetching what is not.
func (r *remoteFile) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) && off+int64(n) < r.size {
		at := off + int64(n)
		i := slices.IndexFunc(r.spans, func(s span) bool { return s.from <= at && at < s.end() })
		if i >= 0 {
			n += copy(p[n:], r.spans[i].data[at-r.spans[i].from:])
			continue
		}
		if err := r.fetch(at, r.until(at, int64(len(p)-n))); err != nil {
			r.err = err
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// until says how far to fetch from at: while the directory is read, to the tail that it leads up
// to; for an entry, a piece that is worth a request.
func (r *remoteFile) until(at, need int64) int64 {
	end := min(at+max(need, tailSize), r.size)
	for _, s := range r.spans {
		if s.from <= at {
			continue
		}
		if !r.directoryRead && s.from-at <= maxRemote {
			return s.from
		}
		return min(end, s.from)
	}
	return end
}

// afford makes sure that another part of at most n bytes stays within the bounds.
func (r *remoteFile) afford(n int64) error {
	r.requests++
	r.read += n
	if r.requests > maxRequests || r.read > maxRemote {
		return errNoRanges
	}
	if r.account == nil {
		return nil // the tail, which is small
	}
	return r.account.spend(int(n))
}

// receive reads the body of an answer, which may have at most so many bytes.
func (r *remoteFile) receive(resp *http.Response, most int64) ([]byte, error) {
	var data []byte
	switch {
	case resp.ContentLength > most:
		return nil, errNoRanges
	case most == tailSize:
		tail := r.c.memory.tail()
		r.tails, data = append(r.tails, tail), tail[:]
	case resp.ContentLength >= 0:
		data = make([]byte, resp.ContentLength)
	default:
		data = make([]byte, most)
	}
	n, err := io.ReadFull(resp.Body, data)
	if err == nil && int64(n) == most {
		var more [1]byte
		if n, _ := io.ReadFull(resp.Body, more[:]); n > 0 {
			return nil, errNoRanges
		}
	}
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	return data[:n], nil
}

// release gives the memory back that other wheels can be read with.
func (r *remoteFile) release() {
	for _, tail := range r.tails {
		r.c.memory.tails.Put(tail)
	}
}

// fetch adds the bytes [from, to) to what is known; a negative from stands for the last -from
// bytes of the file.
func (r *remoteFile) fetch(from, to int64) error {
	spec, most := fmt.Sprintf("bytes=%d-%d", from, to-1), to-from
	if from < 0 {
		spec, most = fmt.Sprintf("bytes=%d", from), -from
	}
	if err := r.afford(most); err != nil {
		return err
	}
	var s span
	err := r.c.t.do(r.ctx, request{
		url: r.url,
		prepare: func(h http.Header) {
			h.Set("Range", spec)
			if r.etag != "" {
				h.Set("If-Match", r.etag)
			}
		},
		use: func(resp *http.Response) error {
			switch resp.StatusCode {
			case http.StatusPartialContent:
			case http.StatusNotFound, http.StatusGone:
				return &NotFoundError{File: redact(r.url)}
			case http.StatusUnauthorized, http.StatusForbidden:
				return &statusError{code: resp.StatusCode, after: -1}
			default: // the whole file, a complaint about the range, or a file that has changed
				return errNoRanges
			}
			at, total, ok := contentRange(resp.Header)
			if !ok || total <= 0 || r.size != 0 && total != r.size || from >= 0 && at != from || at >= total {
				return errNoRanges
			}
			if tag := resp.Header.Get("ETag"); tag != "" && tag[0] == '"' {
				r.etag = tag
			}
			data, err := r.receive(resp, most)
			if err != nil {
				return err
			}
			if len(data) == 0 || at+int64(len(data)) > total || from < 0 && at+int64(len(data)) != total {
				return errNoRanges
			}
			s, r.size = span{at, data}, total
			r.own = r.own && r.c.sameSource(resp)
			return nil
		},
	})
	if err != nil {
		return err
	}
	r.spans = append(r.spans, s)
	slices.SortFunc(r.spans, func(a, b span) int { return int(min(max(a.from-b.from, -1), 1)) })
	return nil
}
