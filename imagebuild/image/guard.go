package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"mlenv/resolve/secret"
)

const (
	defaultTimeout = 2 * time.Minute // a registry may look through gigabytes before it answers
	leastRate      = 1 << 10         // bytes per second that must come or go meanwhile
	maxRedirects   = 10
)

// guard keeps a registry from holding a request for ever, and from having it sent in clear.
//
//   - A request during whose timeout less than leastRate comes or goes is given up: one that is not
//     answered, and one whose answer drips. Time in which we ourselves have nothing to send, or do not
//     read, does not count.
//   - A chain of redirects ends after maxRedirects: package http bounds it only where nobody else
//     looks at redirects, and go-containerregistry does.
//   - Where a registry speaks TLS, everything that it leads to does: redirects to storage, addresses
//     for uploads, the server of its tokens. What goes there is the image, or the password for it.
type guard struct {
	next     http.RoundTripper
	registry string        // host and port
	timeout  time.Duration // 0: defaultTimeout

	mu     sync.Mutex
	scheme string // of the registry's first answer
}

// StallError says that a server was given up.
type StallError struct {
	Host    string
	Timeout time.Duration
}

func (e *StallError) Error() string {
	return fmt.Sprintf("%s has sent or taken next to nothing for %s", e.Host, e.Timeout)
}

// Temporary tells those who repeat requests that another try may go better.
func (e *StallError) Temporary() bool { return true }

// RedirectError says that a server led to where a request must not go.
type RedirectError struct{ msg string }

func (e *RedirectError) Error() string { return e.msg }

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := g.allowed(r); err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	timeout := g.timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	w := &watch{stall: &StallError{r.URL.Host, timeout}, cancel: cancel, waiting: true}
	w.mu.Lock()
	w.timer = time.AfterFunc(timeout, w.tick)
	w.mu.Unlock()
	out := r.Clone(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		out.Body = &sentBody{r.Body, w}
		if r.GetBody != nil {
			out.GetBody = func() (io.ReadCloser, error) {
				body, err := r.GetBody()
				return &sentBody{body, w}, err
			}
		}
	}
	resp, err := g.next.RoundTrip(out)
	if err != nil {
		w.stop()
		return nil, w.explain(ctx, err)
	}
	g.answered(r)
	w.pause()
	resp.Request = r // whose context lives on
	resp.Body = &receivedBody{resp.Body, w, ctx}
	return resp, nil
}

// allowed reports whether a request may be made.
func (g *guard) allowed(r *http.Request) error {
	hops := 0
	for at := r.Response; at != nil && at.Request != nil; at = at.Request.Response {
		if hops++; hops > maxRedirects {
			return &RedirectError{fmt.Sprintf("more than %d redirects, the last to %s", maxRedirects, secret.URL(r.URL.String()))}
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.scheme == "https" && r.URL.Scheme == "http" {
		return &RedirectError{fmt.Sprintf("refusing %s: %s speaks TLS, and what it leads to must do so too", secret.URL(r.URL.String()), g.registry)}
	}
	return nil
}

// answered notes how the registry is spoken to.
func (g *guard) answered(r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.scheme == "" && sameHost(r.URL, g.registry) {
		g.scheme = r.URL.Scheme
	}
}

// watch gives up a request on which nothing moves. Every timeout it looks how much has moved since it
// last looked.
type watch struct {
	stall  *StallError
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	timer   *time.Timer
	moved   int64
	waiting bool // for the server, and not for ourselves
	over    bool
}

func (w *watch) tick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	if w.waiting && float64(w.moved) < leastRate*w.stall.Timeout.Seconds() {
		w.over = true
		w.cancel(w.stall)
		return
	}
	w.moved = 0
	w.timer.Reset(w.stall.Timeout)
}

// wait notes whether it is the server that is waited for.
func (w *watch) wait(server bool, moved int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = server
	w.moved += int64(moved)
}

// pause begins a time of our own.
func (w *watch) pause() { w.wait(false, 0) }

// stop ends the watch.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.timer.Stop()
}

// explain puts the reason for which a request was given up in the place of what it came to.
func (w *watch) explain(ctx context.Context, err error) error {
	var stall *StallError
	if errors.As(context.Cause(ctx), &stall) {
		return stall
	}
	return err
}

// sentBody is the body of a request.
type sentBody struct {
	io.ReadCloser
	w *watch
}

func (b *sentBody) Read(p []byte) (int, error) {
	b.w.pause()
	n, err := b.ReadCloser.Read(p)
	b.w.wait(true, n)
	return n, err
}

// receivedBody is the body of an answer.
type receivedBody struct {
	io.ReadCloser
	w   *watch
	ctx context.Context
}

func (b *receivedBody) Read(p []byte) (int, error) {
	b.w.wait(true, 0)
	n, err := b.ReadCloser.Read(p)
	b.w.wait(false, n)
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.w.explain(b.ctx, err)
	}
	return n, err
}

func (b *receivedBody) Close() error {
	b.w.stop()
	err := b.ReadCloser.Close()
	b.w.cancel(nil)
	return err
}
