// Package retry has what the clients of package indexes, of MLflow servers and of object stores share when
// they try again: how long they wait, and for how long a server may ask them to.
package retry

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// firstDelay is the pause before the second try. What fails at a busy server or in a network often passes
// within a second.
const firstDelay = 500 * time.Millisecond

// Backoff is how long to wait after so many tries, the first being 1. It doubles from try to try up to most,
// and up to a quarter of it is random, so that many clients do not return at once.
func Backoff(tries int, most time.Duration) time.Duration {
	d := most
	if tries < 32 { // beyond that the doubling would overflow
		d = min(firstDelay<<(max(tries, 1)-1), most)
	}
	return d + time.Duration(rand.Int64N(int64(d)/4+1))
}

// After reads a Retry-After header, which has seconds or a date (RFC 9110, section 10.2.3). It is negative
// where there is none, and never so for a date that has passed by now.
func After(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return -1
	}
	if n, err := strconv.ParseUint(value, 10, 32); err == nil {
		return time.Duration(n) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return -1
	}
	return max(at.Sub(now), 0)
}

// Sleep waits for a duration, or until the context ends, whose cause is then its error.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
