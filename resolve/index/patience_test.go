package index

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mlenv/resolve/dist"
)

// dripping answers with bodies that come in parts, one each time that a while has passed.
type dripping struct {
	every time.Duration
	part  int
	left  int // of all bodies together
}

func (d *dripping) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: 200, Header: http.Header{"Content-Type": {"text/html"}}, Request: r,
		Body: io.NopCloser(&drops{d, r}),
	}, nil
}

type drops struct {
	d *dripping
	r *http.Request
}

func (b *drops) Read(p []byte) (int, error) {
	select {
	case <-time.After(b.d.every):
	case <-b.r.Context().Done():
		return 0, b.r.Context().Err()
	}
	if b.d.left == 0 {
		return 0, io.EOF
	}
	n := min(b.d.part, len(p), b.d.left)
	b.d.left -= n
	return copy(p[:n], strings.Repeat(" ", n)), nil
}

// TestDrippingServer holds that a server is given up that sends a byte a second, at once or after as long
// as a page may take, and that a file may take longer.
func TestDrippingServer(t *testing.T) {
	for name, tt := range map[string]struct {
		from  dripping
		page  bool
		want  string        // in the error; "" for none
		least time.Duration // that it takes
		most  time.Duration
	}{
		"a page, a byte a second":    {dripping{time.Second, 1, 1 << 20}, true, "next to nothing received", 29 * time.Second, 31 * time.Second},
		"a file, a byte a second":    {dripping{time.Second, 1, 1 << 20}, false, "next to nothing received", 29 * time.Second, 31 * time.Second},
		"a page, slowly without end": {dripping{time.Second, 2000, 1 << 30}, true, "not all of it came within 10m", 10 * time.Minute, 10 * time.Minute},
		"a file, slowly, to its end": {dripping{time.Second, 2000, 2000 * 3600}, false, "", time.Hour, 61 * time.Minute},
		"a small page, slowly":       {dripping{10 * time.Second, 1, 2}, true, "", 0, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, err := New(Settings{Indexes: []string{"https://i.example/"}, Network: Network{Retries: -1}, CacheDir: t.TempDir()})
				if err != nil {
					t.Fatal(err)
				}
				c.t.client.Transport = &tt.from
				start := time.Now()
				if tt.page {
					err = c.t.do(t.Context(), request{url: c.indexes[0], gzip: true, use: func(r *http.Response) error {
						_, err := io.Copy(io.Discard, r.Body)
						return err
					}})
				} else {
					_, err = c.Fetch(t.Context(), dist.File{Filename: "a-1.tar.gz", URL: "https://i.example/a-1.tar.gz"})
				}
				took := time.Since(start)
				if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) || took < tt.least || took > tt.most {
					t.Errorf("%v after %s", err, took)
				}
			})
		})
	}
}

// refusing answers that it wants to be asked later.
type refusing struct{ asked int }

func (f *refusing) RoundTrip(r *http.Request) (*http.Response, error) {
	f.asked++
	return &http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {"999999"}}, Body: http.NoBody, Request: r}, nil
}

// TestRetryAfterIsBounded holds that no server makes us wait longer than the timeout allows, however many
// tries there are.
func TestRetryAfterIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Settings{Indexes: []string{"https://i.example/"}, Network: Network{Retries: 1000, Timeout: 30 * time.Second}})
		if err != nil {
			t.Fatal(err)
		}
		c.t.client.Transport = &refusing{}
		start := time.Now()
		_, err = c.Files(t.Context(), "a")
		var network *NetworkError
		if took := time.Since(start); !errors.As(err, &network) || network.Status != 429 || took > 10*time.Minute {
			t.Errorf("%v after %s", err, took)
		}
	})
}

// TestFileWithoutEnd holds that a file has a bound, whatever its index says.
func TestFileWithoutEnd(t *testing.T) {
	c, err := New(Settings{CacheDir: t.TempDir(), Network: Network{Retries: -1}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Fetch(t.Context(), dist.File{Filename: "a-1.tar.gz", URL: "https://i.example/a-1.tar.gz", Size: 1 << 60})
	if !errors.As(err, new(*SizeError)) || !strings.Contains(err.Error(), "17179869184") {
		t.Errorf("a file of 2^60 bytes: %v", err)
	}
	d := &download{c: c, f: dist.File{URL: "https://i.example/a-1.tar.gz"}, n: maxFile}
	if err := d.write([]byte("x")); !errors.As(err, new(*SizeError)) {
		t.Errorf("a byte more than a file may have: %v", err)
	}
	c.s.MaxFile = 10
	d.n = 10
	if err := d.write([]byte("x")); !errors.As(err, new(*SizeError)) {
		t.Errorf("a byte more than the user lets a file have: %v", err)
	}
}
