package index

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"mlenv/resolve/internal/retry"
)

const (
	maxDelay = 30 * time.Second
	// maxRetryAfter bounds how long a server can make us wait between two tries.
	maxRetryAfter = 2 * time.Minute
	// leastRate is how many bytes per second must come from a server, on average over a timeout: one that
	// sends a byte now and then is no better than one that is silent.
	leastRate = 1 << 10
	// patience is how many timeouts one answer may take that is read into memory, and how many a server
	// may make us wait between tries. Files may take longer, as long as they come at leastRate.
	patience = 20
)

// request is one thing to be fetched by GET, in as many tries as it takes.
type request struct {
	url     *url.URL
	method  string                     // GET if ""
	prepare func(h http.Header)        // sets the header of each try; may be nil
	use     func(*http.Response) error // reads the answer of a try; it may be called several times
	gzip    bool                       // the body may come compressed, and reaches use plain
}

// transferError is the failure to connect, to be answered, or to read a body to its end.
type transferError struct {
	err   error
	final bool // another try would end the same
}

func (e *transferError) Error() string { return e.err.Error() }

func (e *transferError) Unwrap() error { return e.err }

// statusError is an answer that use did not get to see or did not want.
type statusError struct {
	code  int
	after time.Duration // from Retry-After; negative if absent
}

func (e *statusError) Error() string { return fmt.Sprintf("the server answered %d", e.code) }

// do sends a request until use has had an answer that it accepts. Answers of 408, 429 and 5xx,
// refused and broken connections are tried again after a pause that doubles, or that the server
// asked for. Its errors are *NetworkError, those of the context, and those of use.
func (t *transport) do(ctx context.Context, r request) error {
	waited := time.Duration(0)
	for try := 1; ; try++ {
		err := t.try(ctx, r)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("fetching %s: %w", redact(r.url), context.Cause(ctx))
		}
		delay, again := retryable(err, try)
		if waited += delay; !again || try > t.settings.Retries || waited > patience*t.settings.Timeout {
			return networkError(r.url, try, err)
		}
		if asked(err) {
			t.settings.Progress(Event{Kind: Waiting, Name: r.url.Host, Wait: delay})
		}
		if err := t.settings.Sleep(ctx, delay); err != nil {
			return fmt.Errorf("fetching %s: %w", redact(r.url), err)
		}
	}
}

// asked reports whether a server has said how long it wants us to wait.
func asked(err error) bool {
	var status *statusError
	return errors.As(err, &status) && status.after >= 0
}

// networkError gives the error that a caller sees: a *NetworkError for what went wrong on the way,
// else what use said.
func networkError(u *url.URL, tries int, err error) error {
	var status *statusError
	if errors.As(err, &status) {
		return &NetworkError{URL: redact(u), Status: status.code, Tries: tries}
	}
	var transfer *transferError
	if errors.As(err, &transfer) {
		return &NetworkError{URL: redact(u), Tries: tries, Err: transfer.err}
	}
	return err
}

// retryable says whether an error is worth another try, and after how long.
func retryable(err error, try int) (time.Duration, bool) {
	backoff := retry.Backoff(try, maxDelay)
	var status *statusError
	if errors.As(err, &status) {
		switch c := status.code; {
		case c == http.StatusRequestTimeout, c == http.StatusTooManyRequests,
			c >= 500 && c != http.StatusNotImplemented && c != http.StatusHTTPVersionNotSupported:
			if status.after >= 0 {
				return min(status.after, maxRetryAfter), true
			}
			return backoff, true
		}
		return 0, false
	}
	var transfer *transferError
	return backoff, errors.As(err, &transfer) && !transfer.final
}

// try sends a request once.
func (t *transport) try(parent context.Context, r request) error {
	if err := t.slots.Acquire(parent, 1); err != nil {
		return err
	}
	defer t.slots.Release(1)
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	if r.gzip {
		var end context.CancelFunc
		ctx, end = context.WithTimeout(ctx, patience*t.settings.Timeout)
		defer end()
	}
	// The timer ends a try in which nothing arrives for so long: no answer, or no more of the body.
	var stalled atomic.Bool
	timer := time.AfterFunc(t.settings.Timeout, func() { stalled.Store(true); cancel() })
	defer timer.Stop()

	method := r.method
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, withoutUser(r.url), nil)
	if err != nil {
		return errorOf(err)
	}
	req.Header.Set("User-Agent", t.settings.UserAgent)
	if r.gzip {
		req.Header.Set("Accept-Encoding", "gzip")
	} else {
		req.Header.Set("Accept-Encoding", "identity")
	}
	if r.prepare != nil {
		r.prepare(req.Header)
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return connectionError(errorOf(err), &stalled, t.settings.Timeout)
	}
	body := &body{rc: resp.Body, timer: timer, timeout: t.settings.Timeout, stalled: &stalled}
	body.least = int64(leastRate * t.settings.Timeout.Seconds())
	defer body.Close()
	if c := resp.StatusCode; c == http.StatusRequestTimeout || c == http.StatusTooManyRequests || c >= 500 {
		return &statusError{code: c, after: retry.After(resp.Header.Get("Retry-After"), t.settings.Now())}
	}
	resp.Body = body
	if r.gzip && strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		resp.Body = &gunzip{body: body}
	}
	err = r.use(resp)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && err != nil && parent.Err() == nil {
		return &transferError{err: fmt.Errorf("not all of it came within %s", patience*t.settings.Timeout), final: true}
	}
	if body.err != nil && err != nil {
		return &transferError{err: body.err}
	}
	return err
}

// connectionError tells what is worth another try from what will fail again.
func connectionError(err error, stalled *atomic.Bool, timeout time.Duration) error {
	var redirect *redirectError
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	if errors.As(err, &redirect) || errors.As(err, &certificate) || errors.As(err, &authority) {
		return &transferError{err: err, final: true}
	}
	if stalled.Load() {
		err = fmt.Errorf("no answer within %s", timeout)
	}
	return &transferError{err: err}
}

// body reads the body of an answer, puts off the timer as long as enough arrives, and remembers the
// error that ended it.
type body struct {
	rc      io.ReadCloser
	timer   *time.Timer
	timeout time.Duration
	stalled *atomic.Bool
	least   int64 // bytes within the timeout
	got     int64 // since the timer was put off
	err     error
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.rc.Read(p)
	if b.got += int64(n); b.got >= b.least && n > 0 {
		b.timer.Reset(b.timeout)
		b.got = 0
	}
	if err != nil && err != io.EOF {
		if b.stalled.Load() {
			err = fmt.Errorf("next to nothing received for %s", b.timeout)
		}
		b.err = err
	}
	return n, err
}

func (b *body) Close() error { return b.rc.Close() }

// gunzip inflates a body; it opens the stream on the first read, so that an empty body is no error
// before somebody wants it.
type gunzip struct {
	body *body
	z    *gzip.Reader
}

func (g *gunzip) Read(p []byte) (int, error) {
	if g.z == nil {
		z, err := gzip.NewReader(g.body)
		if err != nil {
			g.body.err = err
			return 0, err
		}
		g.z = z
	}
	n, err := g.z.Read(p)
	if err != nil && err != io.EOF && g.body.err == nil {
		g.body.err = err // cut short or damaged on the way
	}
	return n, err
}

func (g *gunzip) Close() error { return g.body.Close() }
