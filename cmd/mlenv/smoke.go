package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"mlenv/imagebuild/engine"
)

// smokeOptions are the flags of serve --smoke.
type smokeOptions struct {
	on       bool
	requests []string
	expects  []string
	wait     int // seconds
}

func (o *smokeOptions) bind(s *flagSet) {
	o.wait = 120
	s.on(&o.on, "smoke", "ask the model for its examples, and end")
	s.list(&o.requests, "request", "with --smoke: send the JSON of `FILE` to /invocations too")
	s.list(&o.expects, "expect", "with --smoke: the answer has to be the JSON of `FILE`; the first is of the first --request, or without one of the model's own example")
	s.number(&o.wait, "wait", "with --smoke: wait at most `SECONDS` for the first /ping, and for each answer")
}

// smokeTest is one request.
type smokeTest struct {
	name   string
	body   []byte
	expect []byte // nil: any answer will do
}

// read reads the files. An --expect without a --request is of a test without a body, whose body the
// model's own example becomes.
func (o *smokeOptions) read() ([]smokeTest, error) {
	switch {
	case !o.on && len(o.requests)+len(o.expects) > 0:
		return nil, &usageError{msg: "--request and --expect go with --smoke"}
	case o.wait < 1:
		return nil, &usageError{msg: "--wait must be at least 1"}
	case len(o.expects) > max(1, len(o.requests)):
		return nil, &usageError{msg: "there are more --expect than --request"}
	}
	out := make([]smokeTest, max(len(o.requests), len(o.expects)))
	for i := range out {
		var err error
		if i < len(o.requests) {
			out[i].name = filepath.ToSlash(o.requests[i])
			if out[i].body, err = os.ReadFile(o.requests[i]); err != nil {
				return nil, fmt.Errorf("reading --request: %w", err)
			}
		}
		if i < len(o.expects) {
			if out[i].expect, err = os.ReadFile(o.expects[i]); err != nil {
				return nil, fmt.Errorf("reading --expect: %w", err)
			}
		}
	}
	return out, nil
}

// smokeWidth is how much of an answer is printed.
const smokeWidth = 200

// smoke asks the server in the container, and prints its answers.
func (r *serveRun) smoke(ctx context.Context, c *engine.Container) error {
	for _, t := range r.tests {
		if t.body == nil {
			return &usageError{msg: "the model has no serving example that --expect could be of: give --request"}
		}
	}
	if len(r.tests) == 0 {
		r.console().print("%s", "the model has no serving example: only /ping is asked; give --request")
	}
	failed := 0
	say := func(name string, took time.Duration, text string) error {
		_, err := fmt.Fprintf(r.stdout, "%s: %s, after %.2f s\n", forPeople(name), forPeople(text), took.Seconds())
		return err
	}
	limit := time.Duration(r.o.smoke.wait) * time.Second
	began := time.Now()
	err := within(ctx, limit, c.Ready)
	if stopped := r.stopped(ctx, err); stopped != nil {
		return stopped
	}
	if err != nil {
		return errors.Join(say("/ping", time.Since(began), err.Error()), &findingsError{count: 1})
	}
	if err := say("/ping", time.Since(began), "200"); err != nil {
		return err
	}
	for _, t := range r.tests {
		began := time.Now()
		var a engine.Answer
		err := within(ctx, limit, func(ctx context.Context) (err error) {
			a, err = c.Predict(ctx, t.body)
			return err
		})
		if stopped := r.stopped(ctx, err); stopped != nil {
			return stopped
		}
		text, good := t.judge(a, err)
		if !good {
			failed++
		}
		if err := say(t.name, time.Since(began), text); err != nil {
			return err
		}
	}
	if failed > 0 {
		return &findingsError{count: failed}
	}
	return nil
}

// judge says of an answer what is printed of it, and whether it is good.
func (t smokeTest) judge(a engine.Answer, err error) (string, bool) {
	if err != nil {
		return err.Error(), false
	}
	text := fmt.Sprintf("%d %.*s", a.Status, smokeWidth, a.Body)
	if a.Status != http.StatusOK || t.expect == nil {
		return text, a.Status == http.StatusOK
	}
	if err := engine.Same(t.expect, a.Body); err != nil {
		return text + ": " + err.Error(), false
	}
	return text + ": as expected", true
}

// within bounds how long a step may take.
func within(ctx context.Context, limit time.Duration, step func(context.Context) error) error {
	late := fmt.Errorf("no answer within %s", limit)
	bound, cancel := context.WithTimeoutCause(ctx, limit, late)
	defer cancel()
	err := step(bound)
	if err != nil && ctx.Err() == nil && bound.Err() != nil {
		return late
	}
	if err != nil && hasEnded(ctx) {
		return context.Cause(ctx)
	}
	return err
}

// stopped gives the error of a run that the user has ended; nil for one that goes on.
func (r *serveRun) stopped(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && !hasEnded(ctx) {
		return ctx.Err()
	}
	return nil
}
