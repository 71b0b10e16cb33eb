package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"mlenv/resolve/internal/retry"
)

// Client sends the requests of a Store. It gives up a server that falls silent, and tries again what may pass. It
// may be used by many goroutines at once.
type Client struct {
	http    *http.Client
	agent   string
	timeout time.Duration // without a byte
	retries int           // after the first try
	sleep   func(context.Context, time.Duration) error
}

// NewClient makes a client that follows no redirect and adds no credentials: whoever signs a request for
// one host would otherwise sign it for all. Of the options it uses TLS, Proxy, UserAgent, Timeout, Retries
// and Sleep.
func NewClient(o Options) (*Client, error) {
	o = o.withDefaults()
	t, err := newHTTPTransport(&o)
	if err != nil {
		return nil, err
	}
	return newClient(o, &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}), nil
}

// newClient makes a client of options that have their defaults.
func newClient(o Options, c *http.Client) *Client {
	return &Client{http: c, agent: o.UserAgent, timeout: o.Timeout, retries: o.Retries, sleep: o.Sleep}
}

const (
	maxDelay = 15 * time.Second
	// maxAfter bounds how long a server can make us wait between two tries.
	maxAfter = 2 * time.Minute
)

// Try calls f until it succeeds, fails for good, or has been tried often enough: what may pass is an *Error
// that is Temporary. The pauses between the tries double, or are as long as the server asks for. Its error is
// that of the last try, or the context's.
func (c *Client) Try(ctx context.Context, f func() error) error {
	for tries := 1; ; tries++ {
		err := f()
		var e *Error
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !errors.As(err, &e) || !e.Temporary || tries > c.retries || e.Status == 500 && tries > 1:
			// A 500 is how a server answers for an object that its bucket has lost: once more is enough.
			return err
		}
		if err := c.sleep(ctx, max(min(e.After, maxAfter), retry.Backoff(tries, maxDelay))); err != nil {
			return err
		}
	}
}

// Send sends a request once, and gives the response whatever its status. Size is that of what is asked for, as
// far as it is known, else 0. Errors are an *Error of kind Unreachable, Certificate or NotMLflow; one of
// reading the body says what happened, without the URL. The response's context ends with its body.
func (c *Client) Send(r *http.Request, size int64) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	// A server that keeps its artifacts in a bucket has the whole file before it sends the first byte:
	// it is given the time to fetch it at 10 MB/s.
	patience := c.timeout + time.Duration(max(0, size)/10_000_000)*time.Second
	w := &watchdog{timeout: c.timeout, cancel: cancel}
	w.timer = time.AfterFunc(patience, w.bark)
	r = r.WithContext(ctx)
	if c.agent != "" {
		r.Header.Set("User-Agent", c.agent)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		w.stop()
		return nil, unreachable(r.URL.Host, err, w)
	}
	w.rc = resp.Body
	resp.Body = w
	return resp, nil
}

// RetryAfter is how long the response asks to wait before the next try, for an Error; 0 where it does not say. A
// date is compared with that of the response, so that our clock does not matter.
func RetryAfter(resp *http.Response) time.Duration {
	now, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		now = time.Unix(1<<40, 0) // every date has passed then; seconds need none
	}
	return max(0, retry.After(resp.Header.Get("Retry-After"), now))
}

// BodyOf gives the body of a response whose status is a success: of a whole file, or of a part of it that was asked
// for. Where it is no such part the response is closed.
func BodyOf(resp *http.Response) (*Body, error) {
	b := &Body{ReadCloser: resp.Body, Size: resp.ContentLength, Tag: strongTag(resp.Header)}
	if resp.StatusCode == http.StatusPartialContent {
		var last int64
		if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/%d", &b.Begins, &last, &b.Size); err != nil {
			resp.Body.Close()
			return nil, &Error{Kind: ServerFailed, Msg: resp.Request.URL.Host + " sent a part of the file without saying which"}
		}
	}
	return b, nil
}

// watchdog ends a request from which nothing came for a while.
type watchdog struct {
	rc      io.ReadCloser
	timer   *time.Timer
	timeout time.Duration
	cancel  context.CancelFunc
	barked  atomic.Bool
}

func (w *watchdog) bark() {
	w.barked.Store(true)
	w.cancel()
}

func (w *watchdog) stop() {
	w.timer.Stop()
	w.cancel()
}

// Read implements io.Reader.
func (w *watchdog) Read(p []byte) (int, error) {
	w.timer.Reset(w.timeout)
	n, err := w.rc.Read(p)
	if err != nil && err != io.EOF {
		err = withoutURL(err)
		if w.barked.Load() {
			err = fmt.Errorf("nothing came for %s", w.timeout)
		}
	}
	return n, err
}

// Close implements io.Closer.
func (w *watchdog) Close() error {
	w.stop()
	return w.rc.Close()
}

// unreachable says why there was no answer.
func unreachable(host string, err error, w *watchdog) error {
	var redirect *redirectError
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	e := &Error{Kind: Unreachable, Msg: "asking " + host, Err: withoutURL(err)}
	switch {
	case errors.As(err, &redirect):
		e.Kind = NotMLflow
	case errors.As(err, &certificate):
		e.Kind, e.Err = Certificate, certificate.Err
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		e.Err = errors.New("it does not speak TLS: is the address one of http instead of https?")
	case w.barked.Load():
		e.Err, e.Temporary = fmt.Errorf("no answer within %s", w.timeout), true
	default:
		e.Temporary = true
	}
	return e
}

// withoutURL strips what net/http puts around an error: the URL, with all that is in its query.
func withoutURL(err error) error {
	var u *url.Error
	for errors.As(err, &u) {
		err = u.Err
	}
	return err
}
