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

// errOtherWay says that a blob is to be sent as go-containerregistry sends it, in one piece: the
// registry takes no chunks, or wants something that is understood there alone, such as an upload
// to another host.
var errOtherWay = errors.New("the registry takes no chunks")

// errSessionLost says that a registry no longer knows an upload, or says of it what cannot be.
var errSessionLost = errors.New("the registry has lost the upload")

// upload sends one blob in chunks and, where that breaks off, goes on with the first byte that the
// registry lacks (OCI Distribution Specification 1.1, "Pushing a blob in chunks"). A registry that
// drops the upload gets the blob from its beginning: Docker's does so when a chunk breaks off in its
// middle and no proxy in front of it holds chunks back until they are whole.
type upload struct {
	repo    name.Repository
	client  *http.Client // with credentials; repeats nothing, follows nothing
	backoff remote.Backoff
	chunk   int64 // bytes
	blob    blob
	from    string // a repository of the same registry that has the blob; "": none is known

	location *url.URL // of the next request; nil: there is no upload
	offset   int64    // bytes of this upload that the registry has
	sent     int64    // bytes of this upload that it may have
	reached  int64    // the farthest offset of any upload of the blob
}

// run tries until the blob is there. Tries are counted anew whenever one got farther than all before.
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
			return errOtherWay // most likely to the blob
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

// start asks for a mount, where one is possible, and else for an upload.
func (u *upload) start(ctx context.Context) (mounted bool, err error) {
	at := u.url("/blobs/uploads/")
	if u.from != "" {
		at.RawQuery = url.Values{"mount": {u.blob.digest.String()}, "from": {u.from}}.Encode()
		u.from = "" // asked once: some registries fail at it
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

// resume asks what has arrived.
func (u *upload) resume(ctx context.Context) error {
	resp, err := u.do(ctx, http.MethodGet, u.location, nil, http.StatusNoContent, http.StatusOK)
	if refusal(err) {
		return errSessionLost
	}
	if err != nil {
		return err
	}
	// "0-0" is said of one byte and of none: nothing is lost by beginning again.
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

// send sends what the registry lacks, and has it make a blob of the whole.
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

// orOtherWay is errOtherWay where a registry refuses before it has taken any chunk.
func (u *upload) orOtherWay(err error) error {
	if u.reached == 0 && refusal(err) {
		return errOtherWay
	}
	return err
}

// follow takes the next request's address from an answer. Other hosts than the registry's are left
// to go-containerregistry, which knows which of them to distrust.
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

// do makes a request. An answer of another status than those wanted is a *transport.Error.
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

// arrived reads the Range of an answer: how many bytes there are from the first one on.
func arrived(resp *http.Response) (int64, bool) {
	first, last, ok := strings.Cut(strings.TrimPrefix(resp.Header.Get("Range"), "bytes="), "-")
	n, err := strconv.ParseInt(last, 10, 64)
	return n + 1, ok && err == nil && n >= 0 && first == "0"
}

// refusal tells whether a registry's answer would be the same if it were asked again.
func refusal(err error) bool {
	var answer *transport.Error
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, 499: // nginx: the client went away
		return false
	}
	return answer.StatusCode < 500 || answer.StatusCode == http.StatusNotImplemented
}

func redirected(err error) bool {
	var answer *transport.Error
	return errors.As(err, &answer) && answer.StatusCode >= 300 && answer.StatusCode < 400
}
