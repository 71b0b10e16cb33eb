package main

import (
	"fmt"
	"strings"
	"sync"

	"mlenv/resolve/index"
)

// lockProgress tells of a lock in the making: one line that is rewritten, on a terminal only.
type lockProgress struct {
	out             console
	line            *liveLine // nil: not on a terminal
	quiet, verbose  bool
	mu              sync.Mutex
	pages, metadata int
	bytes           map[string]share // of each file that is downloaded
	step            string
	doing           string // instead of locking, "" for that
}

func (a *app) lockProgress(o outputOptions) *lockProgress {
	p := &lockProgress{out: a.console(), quiet: o.quiet, verbose: o.verbose, bytes: map[string]share{}}
	if isTerminal(a.stderr) && !p.quiet && !p.verbose {
		p.line = newLiveLine(a.stderr)
	}
	return p
}

// event is called by many goroutines.
func (p *lockProgress) event(e index.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Kind {
	case index.PageRead:
		p.pages++
		p.step = "versions of " + e.Name
	case index.MetadataRead:
		p.metadata++
		p.step = "requirements of " + e.Name
	case index.FileBytes:
		p.bytes[e.Name] = share{float64(e.Bytes), float64(e.Total)}
		p.step = "downloading " + e.Name
	case index.FileDone:
		p.step = "downloaded " + e.Name
	}
	if p.verbose && e.Kind != index.FileBytes {
		p.out.say(p.step)
	}
	if p.line != nil && p.line.due() {
		p.line.write(p.text)
	}
}

// text is the line for a number of columns. There is a bar while something is downloaded whose size
// is known: how many packages there will be in the end nobody can know.
func (p *lockProgress) text(columns int) string {
	parts := []string{p.doing}
	if p.doing == "" {
		parts[0] = fmt.Sprintf("locking: %s seen", plural(p.pages, "package"))
	}
	var all share
	known := true
	for _, s := range p.bytes {
		all.done += s.done
		all.whole += s.whole
		known = known && s.whole > 0
	}
	switch {
	case all.done > 0 && known:
		parts = append(parts, all.bar(columns), all.megabytes())
	case all.done > 0:
		parts = append(parts, share{done: all.done}.megabytes())
	}
	return strings.Join(append(parts, p.step), "  ")
}

// end wipes the line.
func (p *lockProgress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line != nil {
		p.line.wipe()
		p.line = nil
	}
}

func (p *lockProgress) warn(message string) {
	if !p.quiet {
		p.say("%s %s", p.out.paint(yellow, "warning:"), message)
	}
}

// say prints a line beside the progress.
func (p *lockProgress) say(format string, args ...any) {
	if p.quiet {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line != nil {
		p.line.wipe()
	}
	p.out.print(format, args...)
}
