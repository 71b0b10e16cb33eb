package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"sync/atomic"
)

// presignedRoute is where a server gives addresses in its bucket, below its root (MLflow of 2026, where the bucket is one of S3).
const presignedRoute = "/api/2.0/mlflow-artifacts/presigned"

// worthSigning is the size from which on a file is fetched from the bucket itself. A small one has come by way of the server
// before there is an address for it.
const worthSigning = 16 << 20

// signedAddress is where a file can be had for a while, by whoever has the address. One of the URLs is set.
type signedAddress struct {
	URL     string  `json:"url"`
	OldURL  string  `json:"signed_uri"`
	Headers headers `json:"headers"`
}

// headers are those that a signed request must have: a list of names and values, or an object of them.
type headers map[string]string

// UnmarshalJSON implements json.Unmarshaler.
func (h *headers) UnmarshalJSON(data []byte) error {
	var list []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	if json.Unmarshal(data, &list) != nil {
		return json.Unmarshal(data, (*map[string]string)(h))
	}
	*h = headers{}
	for _, one := range list {
		(*h)[one.Name] = one.Value
	}
	return nil
}

// open asks for a file, from a byte on if it still has a tag, else from its beginning.
func (a signedAddress) open(ctx context.Context, c *Client, f File, offset int64) (*Body, error) {
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL+a.OldURL, nil)
		if err != nil || r.URL.Host == "" || r.URL.Scheme != "http" && r.URL.Scheme != "https" {
			return nil, &Error{Kind: NotMLflow, Msg: "the server gives no address for the file"}
		}
		for name, value := range a.Headers {
			r.Header.Set(name, value)
		}
		if offset > 0 {
			setRange(r, offset, f.Tag)
			// Buckets know this condition, and not all of them the other.
			r.Header.Del("If-Range")
			r.Header.Set("If-Match", f.Tag)
		}
		resp, err := c.Send(r, f.Size)
		switch {
		case err != nil:
			return nil, err
		case resp.StatusCode/100 == 2:
			body, err := BodyOf(resp)
			if err == nil {
				body.Sum = SumOf(body.Tag) // it is a bucket's
			}
			return body, err
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusPreconditionFailed && offset > 0 {
			offset = 0 // it is another file by now
			continue
		}
		e := &Error{Kind: ServerFailed, Status: resp.StatusCode, Msg: fmt.Sprintf("%s answered %d for the address that the server gave", r.URL.Host, resp.StatusCode)}
		// An address that has ended is answered with 403: the next try asks for a new one.
		e.Temporary = resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500
		e.After = RetryAfter(resp)
		return nil, e
	}
}

// presigned is the Store of files behind a server that may give addresses in its bucket: from there large files come
// faster, with their ETag, and from a byte on. Where there are no such addresses, or nobody here can reach them, files come by
// way of the server, which is asked once.
type presigned struct {
	*routes
	root   string // of the files, below the server's artifacts
	bucket *Client
	off    atomic.Bool
	// refused counts the addresses that the bucket did not take: one may have ended, but two are signed for another way to
	// the bucket than ours.
	refused atomic.Int64
}

// Open implements Store.
func (p *presigned) Open(ctx context.Context, f File, offset int64) (*Body, error) {
	if f.Size < worthSigning || p.off.Load() {
		return p.routes.Open(ctx, f, offset)
	}
	var a signedAddress
	err := p.server.call(ctx, request{path: presignedRoute + "/" + path.Join(p.root, f.Path)}, &a)
	if u, parseErr := url.Parse(a.URL); err == nil && (parseErr != nil || u.Scheme != "https" && p.server.root.Scheme == "https") {
		err = errors.New("no address that is as safe as the server's")
	}
	if err != nil && ctx.Err() == nil {
		p.off.Store(true)
		return p.routes.Open(ctx, f, offset)
	}
	body, err := a.open(ctx, p.bucket, f, offset)
	var e *Error
	if !errors.As(err, &e) || ctx.Err() != nil {
		return body, err
	}
	// The bucket may be one that only the server sees.
	if e.Kind == Unreachable || e.Kind == Certificate || !e.Temporary || e.Status == http.StatusForbidden && p.refused.Add(1) > 1 {
		p.off.Store(true)
		return p.routes.Open(ctx, f, offset)
	}
	return body, err
}
