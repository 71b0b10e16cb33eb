package image

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxWait is how long a registry can make one request wait. Nobody waits for the end of hourly or
// daily rate limits: these are an error immediately.
const maxWait = 5 * time.Minute

// patient repeats requests to which a server responds with 429 or 503 and Retry-After (RFC 9110,
// section 10.2.3), after the time that the server asks for. Responses without that header are left
// to the retries of the callers.
type patient struct {
	next   http.RoundTripper
	sleep  func(context.Context, time.Duration) error
	onWait func(host string, d time.Duration)

	mu     sync.Mutex
	gaveUp map[string]bool // hosts that asked for too long a wait since their last successful response
}

// RoundTrip implements http.RoundTripper. A request whose body cannot be read again is not repeated
// here. Its response is returned after the wait, so that the caller's next try succeeds.
func (p *patient) RoundTrip(r *http.Request) (*http.Response, error) {
	var waited time.Duration
	for {
		resp, err := p.next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		d, asked := wait(resp)
		if !asked {
			p.giveUp(r.URL.Host, false)
			return resp, nil
		}
		// Callers retry too. Without this, a server that always asks for another minute would get
		// maxWait for each of their tries.
		if p.hasGivenUp(r.URL.Host) || waited+d > maxWait {
			p.giveUp(r.URL.Host, true)
			return resp, nil
		}
		waited += d
		if p.onWait != nil {
			p.onWait(r.URL.Host, d)
		}
		if err := p.sleep(r.Context(), d); err != nil {
			resp.Body.Close()
			return nil, err
		}
		again, ok := rewind(r)
		if !ok {
			return resp, nil
		}
		discard(resp)
		r = again
	}
}

func (p *patient) hasGivenUp(host string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gaveUp[host]
}

func (p *patient) giveUp(host string, yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gaveUp == nil {
		p.gaveUp = map[string]bool{}
	}
	p.gaveUp[host] = yes
}

// wait returns how long a server asks us to wait, at least a second. A date is compared with the
// Date header of the response, so that our clock does not matter.
func wait(resp *http.Response) (time.Duration, bool) {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0, false
	}
	text := strings.TrimSpace(resp.Header.Get("Retry-After"))
	if n, err := strconv.ParseInt(text, 10, 32); err == nil {
		return max(time.Duration(n)*time.Second, time.Second), n >= 0
	}
	until, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	now, err := http.ParseTime(resp.Header.Get("Date"))
	return max(until.Sub(now), time.Second), err == nil
}

// rewind returns a copy of a request that was sent, if its body can be read again.
func rewind(r *http.Request) (*http.Request, bool) {
	again := r.Clone(r.Context())
	if r.Body == nil || r.Body == http.NoBody {
		return again, true
	}
	if r.GetBody == nil {
		return nil, false
	}
	body, err := r.GetBody()
	again.Body = body
	return again, err == nil
}

// sleep waits for a duration or until the context is done.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
