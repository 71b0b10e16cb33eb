package sink

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"mlenv/imagebuild/image"
)

// Daemon is a running container engine with Docker's API, which podman's service has as well.
type Daemon struct {
	Host    string // as in DOCKER_HOST: "unix:///var/run/docker.sock", "tcp://127.0.0.1:2375"
	CertDir string // has ca.pem, cert.pem and key.pem, as in DOCKER_CERT_PATH; "": tcp:// without TLS
}

// String returns the host without credentials.
func (d Daemon) String() string {
	u, err := url.Parse(d.Host)
	if err != nil {
		return "an address that is not a URL"
	}
	u.User = nil
	return u.String()
}

// Ping checks that the engine answers.
func (d Daemon) Ping(ctx context.Context) error {
	client, address, err := d.Dial()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	resp, err := d.do(ctx, client, http.MethodGet, address+"/_ping", nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Load returns the sink that loads an image into the engine and calls it tag, "churn:latest". The
// reference of what was sent is the tag, because engines compute digests of their own.
func (d Daemon) Load(tag string) Sink {
	return cancellable("the engine at "+d.String(), func(ctx context.Context, a Artifact) (Sent, error) {
		_, write, err := dockerTar(ctx, a, tag)
		if err != nil {
			return Sent{}, err
		}
		client, address, err := d.Dial()
		if err != nil {
			return Sent{}, err
		}
		defer client.CloseIdleConnections()
		r, w := io.Pipe()
		stopped := errors.New("the engine has stopped reading")
		done := make(chan struct{})
		var n int64
		var broken error
		go func() {
			defer close(done)
			n, broken = write(w)
			w.CloseWithError(broken) // never fails
		}()
		err = d.load(ctx, client, address, r)
		r.CloseWithError(stopped) // stops the writer
		<-done
		if err != nil && broken != nil && !errors.Is(broken, stopped) && !errors.Is(broken, io.ErrClosedPipe) {
			err = broken // the engine may only have noticed that the stream ended
		}
		if err != nil {
			return Sent{}, fmt.Errorf("loading into the engine at %s: %w", d, err)
		}
		return Sent{Reference: tag, Bytes: n}, nil
	})
}

// Dial gives a client of the engine's API and the address at which it asks. The caller closes its idle
// connections.
func (d Daemon) Dial() (*http.Client, string, error) {
	u, err := url.Parse(d.Host)
	if err != nil {
		return nil, "", errors.New("an engine's address must be a URL")
	}
	switch u.Scheme {
	case "unix":
		socket := u.Path
		return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}}}, "http://engine", nil
	case "tcp", "http", "https":
		if d.CertDir == "" && u.Scheme != "https" {
			return &http.Client{Transport: &http.Transport{}}, "http://" + u.Host, nil
		}
		config, err := d.tls()
		return &http.Client{Transport: &http.Transport{TLSClientConfig: config}}, "https://" + u.Host, err
	}
	return nil, "", fmt.Errorf("an engine's address must be unix:// or tcp://, not %s", d)
}

func (d Daemon) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if d.CertDir == "" {
		return config, nil
	}
	cert := filepath.Join(d.CertDir, "cert.pem")
	if _, err := os.Stat(cert); err == nil { // else the engine may not require one
		pair, err := tls.LoadX509KeyPair(cert, filepath.Join(d.CertDir, "key.pem"))
		if err != nil {
			return nil, fmt.Errorf("reading the client certificate for %s: %w", d, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, image.TrustFile(config, filepath.Join(d.CertDir, "ca.pem"))
}

func (d Daemon) do(ctx context.Context, client *http.Client, method, url string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/x-tar")
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, errors.Unwrap(err) // without the URL: for a socket, its host is made up
	}
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
		err = errors.Join(err, resp.Body.Close())
		return nil, errors.Join(fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(text))), err)
	}
	return resp, nil
}

// load posts a tarball. The engine answers with a stream of JSON messages. Even with status 200 one
// of them may be an error.
func (d Daemon) load(ctx context.Context, client *http.Client, address string, body io.Reader) error {
	resp, err := d.do(ctx, client, http.MethodPost, address+"/images/load?quiet=1", body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
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
