package index

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// resumeFrom is the size from which on what a run has received of a file is left to the next one.
const resumeFrom = 16 << 20

// begin opens the file that is written to: a new one, or what an earlier run has left.
func (d *download) begin() (err error) {
	if sha := d.f.Hashes["sha256"]; sha != "" && (d.f.Size == 0 || d.f.Size >= resumeFrom) {
		// The URL too: what another server calls the same may come with another ETag.
		sum := sha256.Sum256([]byte(strings.ToLower(sha) + "\n" + d.f.URL))
		if d.temp, err = d.c.store.Resume(hex.EncodeToString(sum[:16])); err != nil {
			return err
		}
	}
	if d.temp != nil {
		if err = d.takeUp(); err != nil {
			d.temp.Leave()
		}
		return err
	}
	d.temp, err = d.c.store.Create()
	return err
}

// takeUp reads what an earlier run has left. Without a note of which state of the file it is, it is
// worth nothing.
func (d *download) takeUp() error {
	parts := strings.Split(string(d.temp.Note()), "\n")
	if len(parts) != len(noted) {
		return d.restart(nil)
	}
	d.header = http.Header{}
	for i, name := range noted {
		d.header.Set(name, parts[i])
	}
	d.reset()
	if _, err := io.CopyBuffer(adder{d}, struct{ io.Reader }{d.temp}, make([]byte, 1<<18)); err != nil {
		return fmt.Errorf("reading from the cache: %w", err)
	}
	d.found = d.n
	if d.f.Size > 0 && d.n > d.f.Size {
		return d.restart(nil)
	}
	return nil
}

// adder takes into account what is written already.
type adder struct{ d *download }

func (a adder) Write(p []byte) (int, error) {
	a.d.add(p)
	return len(p), nil
}

// complete reports whether an earlier run has received all of the file.
func (d *download) complete() bool {
	return d.found > 0 && d.n == d.found && hex.EncodeToString(d.sha.Sum(nil)) == strings.ToLower(d.f.Hashes["sha256"])
}

// noted are the header fields of which a note consists.
var noted = [...]string{"ETag", "Last-Modified", "Content-Length"}

// note gives what the next run must know to ask for the rest: nil if that is not worth while, or if
// the server says nothing by which the same state of the file is known again.
func (d *download) note() []byte {
	size := d.f.Size
	if size == 0 {
		size, _ = strconv.ParseInt(d.header.Get("Content-Length"), 10, 64) // 0 if it is not known
	}
	if size < resumeFrom || validator(d.header) == "" {
		return nil
	}
	var parts []string
	for _, name := range noted {
		parts = append(parts, d.header.Get(name))
	}
	return []byte(strings.Join(parts, "\n"))
}

// end lets go of the file. Only what the network did not bring is worth another run.
func (d *download) end(ctx context.Context, err error) {
	var network *NetworkError
	if err != nil && d.n > 0 && d.note() != nil && (ctx.Err() != nil || errors.As(err, &network)) {
		d.temp.Leave()
		return
	}
	d.temp.Discard()
}
