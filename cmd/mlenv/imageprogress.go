package main

import (
	"fmt"
	"io"
	"sync"

	"mlenv/imagebuild"
	"mlenv/resolve/index"
)

// progress tells on stderr how a command goes on: as lines.
type progress struct {
	mu    sync.Mutex
	w     io.Writer // nil: quiet
	files map[string]bool
}

func (a *app) newProgress(quiet bool) *progress {
	if quiet {
		return &progress{}
	}
	return &progress{w: a.stderr, files: map[string]bool{}}
}

func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.w != nil {
		fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func (p *progress) index(e index.Event) {
	if e.Kind == index.FileBytes && e.Bytes > 0 {
		p.mu.Lock()
		first := p.files != nil && !p.files[e.Name]
		if first {
			p.files[e.Name] = true
		}
		p.mu.Unlock()
		if first {
			p.say("fetching %s", e.Name)
		}
	}
}

func (p *progress) layer(e imagebuild.Event) {
	switch {
	case e.Done && e.Reused:
		p.say("reused  %s", e.Holds)
	case e.Done:
		p.say("layered %s", e.Holds)
	}
}

func (p *progress) pause() {}

func (p *progress) close() {}
