package fetch

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	firstDelay = 500 * time.Millisecond
	maxDelay   = 15 * time.Second
)

// retrier tries again what failed for a reason that may pass.
type retrier struct {
	times int // beside the first try
	sleep func(context.Context, time.Duration) error
}

// do calls f until it succeeds, fails for good, or has been tried often enough. The pauses between the
// tries double. Its error is that of the last try, or the context's.
func (r retrier) do(ctx context.Context, f func() error) error {
	for try := 0; ; try++ {
		err := f()
		var e *Error
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !errors.As(err, &e) || !e.Temporary || try >= r.times || e.Status == 500 && try > 0:
			// A 500 is how a server answers for an object that its bucket has lost: once more is enough.
			return err
		}
		delay := min(firstDelay<<try, maxDelay)
		delay += time.Duration(rand.Int64N(int64(delay)/4 + 1)) // so that many clients do not return at once
		if err := r.sleep(ctx, delay); err != nil {
			return err
		}
	}
}

// sleep waits without disregarding the context.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
