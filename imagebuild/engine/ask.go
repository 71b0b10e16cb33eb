package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"time"
)

// Answer is what the server says to a request.
type Answer struct {
	Status int
	Body   []byte
}

// maxAnswer is how much of an answer is read, in bytes.
const maxAnswer = 64 << 20

// Ready waits until the server answers /ping with 200, or the context is over.
func (c *Container) Ready(ctx context.Context) error {
	const pause = 100 * time.Millisecond
	for {
		a, err := c.get(ctx)
		if err == nil && a.Status == http.StatusOK {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// get asks for /ping. A server that is starting may take a connection and say nothing for long.
func (c *Container) get(ctx context.Context) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return c.ask(ctx, http.MethodGet, "/ping", nil)
}

// Predict sends a request, in JSON, to /invocations.
func (c *Container) Predict(ctx context.Context, request []byte) (Answer, error) {
	return c.ask(ctx, http.MethodPost, "/invocations", request)
}

func (c *Container) ask(ctx context.Context, method, path string, body []byte) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.Address+path, bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.client.Do(req)
	if err != nil {
		return Answer{}, errors.Unwrap(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return Answer{resp.StatusCode, text}, err
}

// Same compares two answers in JSON: numbers within one part in 10⁹, all else exactly. The error
// names the first place at which they differ.
func Same(want, got []byte) error {
	var a, b any
	if err := json.Unmarshal(want, &a); err != nil {
		return fmt.Errorf("what is expected is not JSON: %w", err)
	}
	if err := json.Unmarshal(got, &b); err != nil {
		return fmt.Errorf("the answer is not JSON: %w", err)
	}
	return same("", a, b)
}

// tolerance is relative: other processors and other builds of a numeric library differ in the last
// digits.
const tolerance = 1e-9

func same(at string, want, got any) error {
	differ := func() error {
		w, _ := json.Marshal(want) // of what was read from JSON
		g, _ := json.Marshal(got)
		if at == "" {
			at = "the answer"
		}
		return fmt.Errorf("%s is %.100s, expected %.100s", at, g, w)
	}
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok || len(got) != len(want) {
			return differ()
		}
		for _, key := range slices.Sorted(maps.Keys(want)) {
			value := want[key]
			other, ok := got[key]
			if !ok {
				return differ()
			}
			if err := same(at+"."+key, value, other); err != nil {
				return err
			}
		}
	case []any:
		got, ok := got.([]any)
		if !ok || len(got) != len(want) {
			return differ()
		}
		for i := range want {
			if err := same(fmt.Sprintf("%s[%d]", at, i), want[i], got[i]); err != nil {
				return err
			}
		}
	case float64:
		got, ok := got.(float64)
		if !ok || math.Abs(want-got) > tolerance*max(math.Abs(want), math.Abs(got)) {
			return differ()
		}
	default:
		if want != got {
			return differ()
		}
	}
	return nil
}
