package index

import (
	"context"
	"sync"
)

// memo computes a value once for each key, however many ask at the same time, and keeps it. An
// error is given to all that wait for it and then forgotten. The computation ends early only when
// nobody waits for it any more.
type memo[K comparable, V any] struct {
	mu    sync.Mutex
	calls map[K]*call[V]
}

type call[V any] struct {
	done    chan struct{}
	value   V
	err     error
	waiting int
	cancel  context.CancelFunc
}

func (m *memo[K, V]) get(ctx context.Context, key K, compute func(context.Context) (V, error)) (V, error) {
	m.mu.Lock()
	c := m.calls[key]
	if c == nil {
		c = m.start(ctx, key, compute)
	}
	c.waiting++
	m.mu.Unlock()

	select {
	case <-c.done:
		return c.value, c.err
	default:
	}
	select {
	case <-c.done:
		return c.value, c.err
	case <-ctx.Done():
		m.leave(key, c)
		var zero V
		return zero, context.Cause(ctx)
	}
}

// start begins a computation. The lock is held.
func (m *memo[K, V]) start(ctx context.Context, key K, compute func(context.Context) (V, error)) *call[V] {
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &call[V]{done: make(chan struct{}), cancel: cancel}
	if m.calls == nil {
		m.calls = map[K]*call[V]{}
	}
	m.calls[key] = c
	go func() {
		defer cancel()
		c.value, c.err = compute(run)
		if c.err != nil {
			m.forget(key, c)
		}
		close(c.done)
	}()
	return c
}

func (m *memo[K, V]) leave(key K, c *call[V]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.waiting--; c.waiting > 0 {
		return
	}
	c.cancel()
	if m.calls[key] == c {
		select {
		case <-c.done:
		default:
			delete(m.calls, key)
		}
	}
}

func (m *memo[K, V]) forget(key K, c *call[V]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.calls[key] == c {
		delete(m.calls, key)
	}
}
