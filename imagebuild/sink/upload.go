package sink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"mlenv/imagebuild/layer"
)

// errOtherWay means that a blob must be sent in one piece, by go-containerregistry. The registry
// does not accept chunks, or requires something that only go-containerregistry implements, such as
// an upload to another host.
var errOtherWay = errors.New("the registry takes no chunks")

// errSessionLost means that a registry no longer knows an upload, or reports an impossible state of
// it.
var errSessionLost = errors.New("the registry has lost the upload")

// upload sends one blob in chunks. After an interruption it continues with the first byte that the
// registry does not have (OCI Distribution Specification 1.1, "Pushing a blob in chunks"). If the
// registry has dropped the upload, it starts again from the beginning. Docker's registry drops an
// upload if a chunk is cut off, unless a proxy in front of it buffers chunks.
type upload struct {
	repo    name.Repository
	client  *http.Client // with credentials; without retries and redirects
	backoff remote.Backoff
	chunk   int64 // bytes
	blob    blob
	from    string // a repository of the same registry that has the blob; "" if unknown

	location *url.URL // of the next request; nil if there is no upload
	offset   int64    // bytes of this upload that the registry has
	sent     int64    // bytes of this upload that the registry may have
	reached  int64    // the greatest offset of all uploads of the blob
}

// run retries until the registry has the blob. Whenever a try gets further than all before it, the
// count of tries starts again.
func (u *upload) run(ctx context.Context) error {
	wait, left := u.backoff, u.backoff.Steps
	for {
		before := u.reached
		err := u.try(ctx)
		var content *contentError
		if err == nil || ctx.Err() != nil || errors.Is(err, errOtherWay) || errors.As(err, &content) && !content.passing() ||
			errors.Is(err, layer.ErrChanged) {
			return err
		}
		if u.reached > before {
			wait, left = u.backoff, u.backoff.Steps
		}
		if left--; left <= 0 {
			if refusal(err) {
				return errOtherWay
			}
			return err
		}
		timer := time.NewTimer(wait.Step())
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

func (u *upload) try(ctx context.Context) error {
	blob := u.url("/blobs/" + u.blob.digest.String())
	resp, err := u.do(ctx, http.MethodHead, blob, nil, http.StatusOK, http.StatusNotFound)
	if err != nil {
		if redirected(err) {
			return errOtherWay // most likely a redirect to the blob
		}
		return err
	}
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	if u.location != nil {
		err := u.resume(ctx)
		if errors.Is(err, errSessionLost) {
			u.location = nil
		} else if err != nil {
			return err
		}
	}
	if u.location == nil {
		if mounted, err := u.start(ctx); mounted || err != nil {
			return err
		}
	}
	return u.send(ctx)
}

// start asks for a mount if one is possible, else for an upload.
func (u *upload) start(ctx context.Context) (mounted bool, err error) {
	at := u.url("/blobs/uploads/")
	if u.from != "" {
		at.RawQuery = url.Values{"mount": {u.blob.digest.String()}, "from": {u.from}}.Encode()
		u.from = "" // ask only once: some registries fail on mounts
	}
	resp, err := u.do(ctx, http.MethodPost, at, nil, http.StatusCreated, http.StatusAccepted)
	if err != nil && at.RawQuery != "" {
		return u.start(ctx)
	}
	if err != nil {
		return false, u.orOtherWay(err)
	}
	if resp.StatusCode == http.StatusCreated {
		return true, nil
	}
	u.offset, u.sent = 0, 0
	if least, err := strconv.ParseInt(resp.Header.Get("OCI-Chunk-Min-Length"), 10, 64); err == nil {
		u.chunk = max(u.chunk, least)
	}
	return false, u.follow(resp)
}

// resume asks the registry how much has arrived.
func (u *upload) resume(ctx context.Context) error {
	resp, err := u.do(ctx, http.MethodGet, u.location, nil, http.StatusNoContent, http.StatusOK)
	if refusal(err) {
		return errSessionLost
	}
	if err != nil {
		return err
	}
	// "0-0" can mean one byte or none. Starting again costs nothing then.
	arrived, ok := arrived(resp)
	if !ok || arrived <= 1 || arrived > u.sent {
		return errSessionLost
	}
	u.confirm(arrived)
	if resp.Header.Get("Location") == "" {
		return nil
	}
	return u.follow(resp)
}

// send sends the remaining bytes and completes the upload.
func (u *upload) send(ctx context.Context) error {
	from, err := openContent(ctx, u.blob, u.offset)
	if err != nil {
		return err
	}
	defer from.Close()
	for u.offset < u.blob.size {
		if err := u.patch(ctx, from); err != nil {
			return err
		}
	}
	if err := from.verify(u.blob); err != nil {
		return err
	}
	at := *u.location
	query := at.Query()
	query.Set("digest", u.blob.digest.String())
	at.RawQuery = query.Encode()
	_, err = u.do(ctx, http.MethodPut, &at, nil, http.StatusCreated)
	if refusal(err) {
		u.location = nil
	}
	return err
}

// patch sends one chunk.
func (u *upload) patch(ctx context.Context, from *content) error {
	end := min(u.offset+u.chunk, u.blob.size)
	body := &chunk{from: from, start: u.offset, end: end, left: end - u.offset}
	resp, err := u.do(ctx, http.MethodPatch, u.location, body, http.StatusAccepted, http.StatusCreated, http.StatusNoContent)
	left := body.stop()
	u.sent = max(u.sent, end-left)
	switch {
	case from.err != nil:
		return from.err
	case err != nil:
		var refused *transport.Error
		if errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound {
			return err
		}
		return u.orOtherWay(err)
	case left > 0:
		return fmt.Errorf("the registry answered with %d bytes of a chunk unread", left)
	}
	if got, ok := arrived(resp); ok && got != end {
		return fmt.Errorf("the registry has %d bytes instead of %d", got, end)
	}
	u.confirm(end)
	return u.follow(resp)
}

func (u *upload) confirm(offset int64) {
	u.offset = offset
	u.reached = max(u.reached, offset)
}

// orOtherWay returns errOtherWay if a registry has refused before it accepted any chunk, else err.
func (u *upload) orOtherWay(err error) error {
	if u.reached == 0 && refusal(err) {
		return errOtherWay
	}
	return err
}

// follow sets the address of the next request from a response. Uploads to other hosts than the
// registry's are left to go-containerregistry, which decides whether to trust them.
func (u *upload) follow(resp *http.Response) error {
	next, err := resp.Request.URL.Parse(resp.Header.Get("Location"))
	if err != nil || resp.Header.Get("Location") == "" || next.Hostname() != u.url("").Hostname() {
		u.location = nil
		return errOtherWay
	}
	u.location = next
	return nil
}

func (u *upload) url(path string) *url.URL {
	return &url.URL{Scheme: u.repo.Scheme(), Host: u.repo.RegistryStr(), Path: "/v2/" + u.repo.RepositoryStr() + path}
}

// do makes a request. If the status of the response is not in want, it returns a *transport.Error.
func (u *upload) do(ctx context.Context, method string, at *url.URL, body *chunk, want ...int) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, at.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Body, req.ContentLength = body, body.left
		req.Header.Set("Content-Range", fmt.Sprintf("%d-%d", body.start, body.end-1))
	}
	if method == http.MethodPatch || method == http.MethodPut {
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	resp, err := u.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return resp, transport.CheckError(resp, want...)
}

// arrived returns how many bytes the registry has, according to the Range header of a response.
func arrived(resp *http.Response) (int64, bool) {
	first, last, ok := strings.Cut(strings.TrimPrefix(resp.Header.Get("Range"), "bytes="), "-")
	n, err := strconv.ParseInt(last, 10, 64)
	return n + 1, ok && err == nil && n >= 0 && first == "0"
}

// refusal reports whether an error from a registry is permanent, so that a retry is useless.
func refusal(err error) bool {
	var answer *transport.Error
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, 499: // nginx: client closed request
		return false
	}
	return answer.StatusCode < 500 || answer.StatusCode == http.StatusNotImplemented
}

func redirected(err error) bool {
	var answer *transport.Error
	return errors.As(err, &answer) && answer.StatusCode >= 300 && answer.StatusCode < 400
}
