package image

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxWait bounds how long a registry can have one request wait. Limits that are counted by the hour
// or by the day end later than anybody waits for: the answer is then an error at once.
const maxWait = 5 * time.Minute

// patient repeats requests that a server will answer later, as the server asks: those to which it
// answers 429 or 503 with Retry-After (RFC 9110, section 10.2.3). Answers without that header are
// left to the retries of the callers.
type patient struct {
	next   http.RoundTripper
	sleep  func(context.Context, time.Duration) error
	onWait func(host string, d time.Duration)

	mu     sync.Mutex
	gaveUp map[string]bool // hosts that asked for too much since their last good answer
}

// RoundTrip implements http.RoundTripper. A request whose body cannot be read again is not repeated
// here: the answer is given after the wait, so that the caller's next try comes in time.
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
		// Callers repeat what failed, too. Without this, a server that always asks for another
		// minute would be given the bound for each of their tries.
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

// wait tells how long a server wants us to wait. A date is compared with the server's own, so that
// it does not matter whose clock is right. Less than a second would be no wait at all.
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

// rewind gives a request that was sent as it was before, if its body can be read again.
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

// sleep waits until the time is over or the context is done.
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
