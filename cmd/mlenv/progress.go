package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"mlenv/resolve/index"
)

// lockProgress tells of a lock in the making: one line that is rewritten, on a terminal only.
type lockProgress struct {
	out             io.Writer
	paint           func(colour, string) string
	live            bool // rewrite a line
	quiet, verbose  bool
	mu              sync.Mutex
	pages, metadata int
	bytes           map[string]int64
	shown           time.Time
}

func (a *app) lockProgress(c *cli.Context) *lockProgress {
	p := &lockProgress{out: a.stderr, paint: a.painter(a.stderr), quiet: c.Bool("quiet"), verbose: c.Bool("verbose"), bytes: map[string]int64{}}
	p.live = isTerminal(a.stderr) && !p.quiet && !p.verbose
	return p
}

// event is called by many goroutines.
func (p *lockProgress) event(e index.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	step := ""
	switch e.Kind {
	case index.PageRead:
		p.pages++
		step = "versions of " + e.Name
	case index.MetadataRead:
		p.metadata++
		step = "requirements of " + e.Name
	case index.FileBytes:
		p.bytes[e.Name] = e.Bytes
		step = "downloading " + e.Name
	case index.FileDone:
		step = "downloaded " + e.Name
	}
	if p.verbose && e.Kind != index.FileBytes {
		fmt.Fprintln(p.out, step)
	}
	if !p.live || time.Since(p.shown) < 50*time.Millisecond {
		return
	}
	p.shown = time.Now()
	line := fmt.Sprintf("locking: %s seen, %s", plural(p.pages, "package"), step)
	var sum int64
	for _, n := range p.bytes {
		sum += n
	}
	if sum > 0 {
		line += fmt.Sprintf(" (%.1f MB)", float64(sum)/1e6)
	}
	fmt.Fprintf(p.out, "\r\x1b[K%.78s", line)
}

// end wipes the line.
func (p *lockProgress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live && !p.shown.IsZero() {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
	p.live = false
}

func (p *lockProgress) warn(message string) {
	if !p.quiet {
		p.say("%s %s", p.paint(yellow, "warning:"), message)
	}
}

// say prints a line beside the progress.
func (p *lockProgress) say(format string, args ...any) {
	if p.quiet {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live && !p.shown.IsZero() {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
	fmt.Fprintf(p.out, format+"\n", args...)
}
