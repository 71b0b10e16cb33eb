package sink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// DockerTar writes what `docker load` reads. tag is the image's name: "churn:latest".
func DockerTar(file, tag string) Sink {
	return func(ctx context.Context, a Artifact) (Sent, error) {
		digest, write, err := dockerTar(ctx, a, tag)
		if err != nil {
			return Sent{}, err
		}
		if err := replace(file, write); err != nil {
			return Sent{}, fmt.Errorf("writing %s: %w", file, err)
		}
		info, err := os.Stat(file)
		if err != nil {
			return Sent{}, err
		}
		return Sent{Reference: "docker-tar:" + file + "@" + digest, Bytes: info.Size()}, nil
	}
}

func dockerTar(ctx context.Context, a Artifact, tag string) (string, func(io.Writer) error, error) {
	if a.Image == nil {
		return "", nil, fmt.Errorf("a Docker tarball: %w", ErrOnePlatform)
	}
	ref, err := name.NewTag(tag)
	if err != nil {
		return "", nil, err
	}
	digest, err := a.Image.Digest()
	if err != nil {
		return "", nil, err
	}
	return digest.String(), func(w io.Writer) error {
		return tarball.Write(ref, a.Image, &cancelWriter{ctx, w, 0})
	}, nil
}

type cancelWriter struct {
	ctx context.Context
	w   io.Writer
	n   int64
}

func (c *cancelWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// Daemon loads the image into a running engine through its API: Docker's, which podman's service
// speaks as well. host is as in DOCKER_HOST: "unix:///var/run/docker.sock", "tcp://127.0.0.1:2375".
func Daemon(host, tag string) Sink {
	return func(ctx context.Context, a Artifact) (Sent, error) {
		digest, write, err := dockerTar(ctx, a, tag)
		if err != nil {
			return Sent{}, err
		}
		client, address, err := dial(host)
		if err != nil {
			return Sent{}, err
		}
		defer client.CloseIdleConnections()
		r, w := io.Pipe()
		counted := &cancelWriter{ctx, w, 0}
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.CloseWithError(write(counted)) // never fails
		}()
		err = load(ctx, client, address, r)
		r.CloseWithError(errors.New("the engine has stopped reading")) // so that the writer ends
		<-done
		if err != nil {
			return Sent{}, fmt.Errorf("loading into the engine at %s: %w", host, err)
		}
		return Sent{Reference: tag + "@" + digest, Bytes: counted.n}, nil
	}
}

func dial(host string) (*http.Client, string, error) {
	u, err := url.Parse(host)
	if err != nil {
		return nil, "", fmt.Errorf("reading the engine's address: %w", err)
	}
	switch u.Scheme {
	case "unix":
		socket := u.Path
		return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}}}, "http://engine", nil
	case "tcp", "http":
		return &http.Client{Transport: &http.Transport{}}, "http://" + u.Host, nil
	}
	return nil, "", fmt.Errorf("an engine's address must be unix:// or tcp://, not %s", host)
}

// load posts a tarball. An engine answers with a stream of JSON messages, one of which may be an
// error although the status is 200.
func load(ctx context.Context, client *http.Client, address string, body io.Reader) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"/images/load?quiet=1", body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-tar")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return errors.Join(fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(text))), err)
	}
	messages := json.NewDecoder(resp.Body)
	for {
		var m struct {
			Error string `json:"error"`
		}
		err := messages.Decode(&m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the engine's answer: %w", err)
		}
		if m.Error != "" {
			return errors.New(m.Error)
		}
	}
}
