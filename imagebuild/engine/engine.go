// Package engine runs one container on a container engine, through the API of Docker that podman's
// service has too, and asks the server in it for predictions.
package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"mlenv/imagebuild/sink"
)

// Run is what is run, and how.
type Run struct {
	Image   string   // as the engine knows it
	Env     []string // KEY=VALUE
	Inside  int      // the port that the container listens on, if nobody tells it another
	Port    int      // of this machine's loopback interface; 0: a free one
	Network string   // "": the engine's own; "host" shares that of the engine's machine
}

// Container is a container that was started.
type Container struct {
	Address string // of its server: "http://127.0.0.1:49153"

	id      string
	stopped bool // by Stop
	api     api
	client  *http.Client
}

// api is the engine's API.
type api struct {
	engine  sink.Daemon
	client  *http.Client
	address string
}

func dial(d sink.Daemon) (api, error) {
	client, address, err := d.Dial()
	return api{d, client, address}, err
}

// Find looks for an image that the engine has, and gives the port that it listens on, 0 where it
// names none.
func Find(ctx context.Context, d sink.Daemon, name string) (port int, found bool, err error) {
	a, err := dial(d)
	if err != nil {
		return 0, false, err
	}
	defer a.client.CloseIdleConnections()
	var is struct {
		Config struct{ ExposedPorts map[string]struct{} }
	}
	var status *statusError
	switch err := a.call(ctx, http.MethodGet, "/images/"+name+"/json", nil, &is); {
	case errors.As(err, &status) && status.code == http.StatusNotFound:
		return 0, false, nil
	case err != nil:
		return 0, false, fmt.Errorf("asking the engine at %s for an image: %w", d, err)
	}
	for _, text := range slices.Sorted(maps.Keys(is.Config.ExposedPorts)) {
		number, _, _ := strings.Cut(text, "/")
		if port, err = strconv.Atoi(number); err == nil {
			break
		}
	}
	return port, true, nil
}

// Start starts a container. Stop it, whatever becomes of it.
func Start(ctx context.Context, d sink.Daemon, r Run) (_ *Container, err error) {
	a, err := dial(d)
	if err != nil {
		return nil, err
	}
	c := &Container{api: a, client: &http.Client{Transport: &http.Transport{}}}
	defer func() {
		if err != nil {
			// Also when the context is over, for what was made must not stay.
			err = errors.Join(fmt.Errorf("starting the container on the engine at %s: %w", d, err), c.Remove(context.WithoutCancel(ctx)))
		}
	}()
	if r.Network == "host" && r.Port == 0 {
		if r.Port, err = freePort(ctx); err != nil {
			return nil, err
		}
	}
	var made struct{ ID string }
	if err := a.call(ctx, http.MethodPost, "/containers/create", r.request(), &made); err != nil {
		return nil, err
	}
	c.id = made.ID
	if err := a.call(ctx, http.MethodPost, "/containers/"+c.id+"/start", nil, nil); err != nil {
		return nil, err
	}
	if r.Network != "host" {
		if r.Port, err = c.published(ctx); err != nil {
			return nil, err
		}
	}
	c.Address = "http://" + net.JoinHostPort(a.host(), strconv.Itoa(r.Port))
	return c, nil
}

// request is the body of a request to make the container.
func (r Run) request() any {
	type binding struct{ HostIP, HostPort string }
	type hostConfig struct {
		NetworkMode  string               `json:",omitempty"`
		PortBindings map[string][]binding `json:",omitempty"`
	}
	body := struct {
		Image        string
		Env          []string
		ExposedPorts map[string]struct{} `json:",omitempty"`
		HostConfig   hostConfig
	}{Image: r.Image, Env: r.Env, HostConfig: hostConfig{NetworkMode: r.Network}}
	if r.Network == "host" {
		// The launcher listens where it is told to, so nothing has to be published.
		body.Env = append([]string{"PORT=" + strconv.Itoa(r.Port)}, r.Env...)
		return body
	}
	port, published := strconv.Itoa(r.Inside)+"/tcp", ""
	if r.Port != 0 {
		published = strconv.Itoa(r.Port)
	}
	body.ExposedPorts = map[string]struct{}{port: {}}
	body.HostConfig.PortBindings = map[string][]binding{port: {{"127.0.0.1", published}}}
	return body
}

// published asks on which port of the engine's machine the container's is.
func (c *Container) published(ctx context.Context) (int, error) {
	var is struct {
		NetworkSettings struct {
			Ports map[string][]struct{ HostPort string }
		}
	}
	if err := c.api.call(ctx, http.MethodGet, "/containers/"+c.id+"/json", nil, &is); err != nil {
		return 0, err
	}
	for _, list := range is.NetworkSettings.Ports {
		for _, b := range list {
			return strconv.Atoi(b.HostPort)
		}
	}
	return 0, errors.New("the engine publishes no port of it; with the network host it needs to publish none")
}

// host is the machine of the engine.
func (a api) host() string {
	if u, err := url.Parse(a.engine.Host); err == nil && u.Scheme != "unix" && u.Hostname() != "" {
		return u.Hostname()
	}
	return "127.0.0.1"
}

// freePort finds a port of this machine that nobody listens on.
func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err = errors.Join(err, l.Close()); err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}

// Wait waits until the container has ended, and gives its exit code.
func (c *Container) Wait(ctx context.Context) (int, error) {
	var ended struct{ StatusCode int }
	err := c.api.call(ctx, http.MethodPost, "/containers/"+c.id+"/wait", nil, &ended)
	return ended.StatusCode, err
}

// Logs copies what the container prints, until it has ended.
func (c *Container) Logs(ctx context.Context, to io.Writer) error {
	resp, err := c.api.do(ctx, http.MethodGet, "/containers/"+c.id+"/logs?follow=1&stdout=1&stderr=1", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	// Each piece has a header: which stream it is of, and in the last four bytes its length.
	var header [8]byte
	for {
		if _, err := io.ReadFull(resp.Body, header[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("reading the container's log: %w", err)
		}
		if _, err := io.CopyN(to, resp.Body, int64(binary.BigEndian.Uint32(header[4:]))); err != nil {
			return fmt.Errorf("reading the container's log: %w", err)
		}
	}
}

// Stop asks the container to end, and waits as long as grace says, in seconds, before it is killed. It
// may have ended by itself, or been stopped before. The container stays, with its log, until Remove.
func (c *Container) Stop(ctx context.Context, grace int) error {
	if c.id == "" || c.stopped {
		return nil
	}
	err := c.api.call(ctx, http.MethodPost, "/containers/"+c.id+"/stop?t="+strconv.Itoa(grace), nil, nil)
	var status *statusError
	if errors.As(err, &status) && status.code == http.StatusNotModified {
		err = nil // it had ended by itself
	}
	if err != nil {
		return fmt.Errorf("stopping the container: %w", err)
	}
	c.stopped = true
	return nil
}

// Remove removes the container, which is killed if it still runs. The Container is of no use after it.
func (c *Container) Remove(ctx context.Context) error {
	defer c.api.client.CloseIdleConnections()
	if c.client != nil {
		defer c.client.CloseIdleConnections()
	}
	if c.id == "" {
		return nil
	}
	if err := c.api.call(ctx, http.MethodDelete, "/containers/"+c.id+"?force=1", nil, nil); err != nil {
		return fmt.Errorf("removing the container: %w", err)
	}
	return nil
}

// statusError is an answer of the engine that says no.
type statusError struct {
	code   int
	status string
	text   string
}

func (e *statusError) Error() string { return strings.TrimSpace(e.status + " " + e.text) }

// call asks the engine, with a body as JSON unless it is nil, and reads the answer unless out is nil.
func (a api) call(ctx context.Context, method, path string, body, out any) error {
	resp, err := a.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("reading the engine's answer: %w", err)
	}
	return nil
}

func (a api) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.address+path, content)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, errors.Unwrap(err) // without the URL, whose host is made up for a socket
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return nil, err
	}
	var said struct{ Message string }
	if json.Unmarshal(text, &said) == nil && said.Message != "" {
		text = []byte(said.Message)
	}
	return nil, &statusError{resp.StatusCode, resp.Status, strings.TrimSpace(string(text))}
}
