package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"mlenv/imagebuild"
	"mlenv/resolve/index"
)

// progress tells on stderr how an image comes along: on a terminal as one line that is written over
// and over, elsewhere as a line for each step.
type progress struct {
	mu    sync.Mutex
	out   io.Writer // nil: quiet
	live  bool
	shown time.Time // when the line was last written; zero: it is not there

	step    string
	fetched map[string]int64 // bytes by file
	layered int
	read    int64 // bytes of layers that were made
	sent    int64
}

func (a *app) newProgress(quiet bool) *progress {
	p := &progress{fetched: map[string]int64{}}
	if !quiet {
		p.out, p.live = a.stderr, isTerminal(a.stderr)
	}
	return p
}

// say tells of a step.
func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step = fmt.Sprintf(format, args...)
	switch {
	case p.out == nil:
	case p.live:
		p.draw(true)
	default:
		fmt.Fprintln(p.out, p.step)
	}
}

// index is told of files that are fetched.
func (p *progress) index(e index.Event) {
	if e.Kind != index.FileBytes || e.Bytes == 0 {
		return
	}
	p.mu.Lock()
	_, known := p.fetched[e.Name]
	p.fetched[e.Name] = e.Bytes
	p.draw(false)
	p.mu.Unlock()
	if !known {
		p.say("fetching %s", e.Name)
	}
}

// layer is told of layers that are made.
func (p *progress) layer(e imagebuild.Event) {
	p.mu.Lock()
	p.read += e.Bytes
	if e.Done {
		p.layered++
	}
	p.draw(false)
	p.mu.Unlock()
	switch {
	case e.Done && e.Reused:
		p.say("reused  %s", e.Holds)
	case e.Done:
		p.say("layered %s", e.Holds)
	}
}

// bytes is told of bytes that were sent.
func (p *progress) bytes(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent += n
	p.draw(false)
}

// draw writes the line anew, if it is time.
func (p *progress) draw(now bool) {
	if !p.live || p.out == nil || !now && time.Since(p.shown) < 100*time.Millisecond {
		return
	}
	p.shown = time.Now()
	var parts []string
	var fetched int64
	for _, n := range p.fetched {
		fetched += n
	}
	if fetched > 0 {
		parts = append(parts, "fetched "+megabytes(fetched))
	}
	if p.layered > 0 || p.read > 0 {
		parts = append(parts, fmt.Sprintf("%s (%s)", plural(p.layered, "layer"), megabytes(p.read)))
	}
	if p.sent > 0 {
		parts = append(parts, "sent "+megabytes(p.sent))
	}
	fmt.Fprintf(p.out, "\r\x1b[K%.79s", strings.Join(append(parts, p.step), "  "))
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// pause makes room for lines of others; what comes afterwards starts a new line.
func (p *progress) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live && !p.shown.IsZero() && p.out != nil {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.shown = time.Time{}
	}
}

// close wipes the line for good.
func (p *progress) close() {
	p.pause()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out = nil
}
