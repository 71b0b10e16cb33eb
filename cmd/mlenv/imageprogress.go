package main

import (
	"fmt"
	"strings"
	"sync"

	"mlenv/imagebuild"
	"mlenv/imagebuild/sink"
	"mlenv/resolve/fetch"
	"mlenv/resolve/index"
)

// progress tells on stderr how an image comes along: on a terminal as one line with a bar, elsewhere
// as a line for each step, and not at all where it is to be quiet.
type progress struct {
	mu   sync.Mutex
	out  *console  // nil: quiet
	line *liveLine // nil: not on a terminal

	step  string // what was done last
	fetch map[string]*fetching
	tasks []*task // the layers that are being made; none: nothing is
	send  *share  // of the bytes for the sink that is at work; nil: none is
}

// task is a layer in the making.
type task struct {
	size      float64 // what it counts beside the others: bytes that it is made of
	files     []*fetching
	tar, read int64 // bytes of the layer, and those of them that were read
	done      bool
}

// fetching is a file that a layer is made of.
type fetching struct {
	size, got int64
	here      bool // nothing is left to be fetched, or nothing ever was
	fetched   bool // some of it came over the network
}

// leastTask is what a layer counts at least: making even an empty one takes a moment. Without it, a bar of
// many small layers would stand still and then jump.
const leastTask = 64 << 10

func (a *app) newProgress(quiet bool) *progress {
	p := &progress{fetch: map[string]*fetching{}}
	if !quiet {
		s := a.console()
		p.out = &s
		if isTerminal(a.stderr) {
			p.line = newLiveLine(a.stderr)
		}
	}
	return p
}

// say tells of a step.
func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sayLocked(fmt.Sprintf(format, args...))
}

func (p *progress) sayLocked(step string) {
	p.step = step
	switch {
	case p.out == nil:
	case p.line != nil:
		p.line.write(p.text)
	default:
		p.out.say(step)
	}
}

// tell prints a line that stays.
func (p *progress) tell(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out == nil {
		return
	}
	if p.line != nil {
		p.line.wipe()
	}
	p.out.print(format, args...)
}

// index shows the files that the index client fetches, once the lock is there.
func (p *progress) index(e index.Event) {
	if e.Kind != index.FileBytes && e.Kind != index.FileDone {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.file(e.Name)
	first := !f.fetched
	switch {
	case e.Kind == index.FileDone:
		f.here = true
		p.draw()
		return
	case e.Bytes == 0:
		return
	}
	f.fetched, f.got = true, e.Bytes
	f.size = max(f.size, e.Total, e.Bytes)
	if first {
		p.sayLocked("fetching " + e.Name)
		return
	}
	p.draw()
}

// model is told of files of the model that are fetched.
func (p *progress) model(e fetch.Event) {
	kind := index.FileBytes
	if e.Done {
		kind = index.FileDone
	}
	p.index(index.Event{Kind: kind, Name: e.File, Bytes: e.Bytes, Total: max(0, e.Total)})
}

func (p *progress) file(name string) *fetching {
	f := p.fetch[name]
	if f == nil {
		f = &fetching{}
		p.fetch[name] = f
	}
	return f
}

// build is told how the images come along.
func (p *progress) build(e imagebuild.Event) {
	switch {
	case e.Again:
		p.say("the cache is not to be trusted; building again without it")
	case e.Sending != "":
		p.sending(e.Sending)
	case e.Step != (sink.Step{}):
		p.sent(e.Step)
	default:
		p.layer(e)
	}
}

// layer is told of layers that are made.
func (p *progress) layer(e imagebuild.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.Plan != nil {
		p.plan(e.Plan)
		return
	}
	if e.Part < len(p.tasks) {
		t := p.tasks[e.Part]
		t.tar += e.Total
		t.read += e.Bytes
		t.done = t.done || e.Done
		if e.Reused {
			for _, f := range t.files {
				f.here = true
			}
		}
	}
	switch {
	case e.Done && e.Reused:
		p.sayLocked("reused  " + e.Holds)
	case e.Done:
		p.sayLocked("layered " + e.Holds)
	default:
		p.draw()
	}
}

// plan begins with the layers of an image.
func (p *progress) plan(all []imagebuild.Planned) {
	p.tasks, p.send, p.step = nil, nil, ""
	for _, one := range all {
		t := &task{size: max(leastTask, float64(one.Size))}
		for _, w := range one.Wheels {
			f := p.file(w.Filename)
			f.size = max(f.size, w.Size)
			t.files = append(t.files, f)
		}
		p.tasks = append(p.tasks, t)
	}
	p.draw()
}

// worth is how much of a task is done: one half is fetching, if there is anything to be fetched, the
// other is making the layer.
func (t *task) worth() float64 {
	if t.done {
		return t.size
	}
	var made float64
	if t.tar > 0 {
		made = min(1, float64(t.read)/float64(t.tar))
	}
	if len(t.files) == 0 {
		return t.size * made
	}
	var here share
	for _, f := range t.files {
		here.whole += float64(f.size)
		if here.done += float64(f.got); f.here {
			here.done += float64(f.size - f.got)
		}
	}
	return t.size * (min(1, here.done/max(1, here.whole)) + made) / 2
}

// sending tells that a sink begins.
func (p *progress) sending(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tasks, p.send = nil, &share{}
	p.sayLocked("sending to " + name)
}

// sent is told how much of an artifact is sent, and how much is to be.
func (p *progress) sent(s sink.Step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.send == nil {
		return
	}
	p.send.whole += float64(s.ToSend)
	p.send.done += float64(s.Sent)
	p.draw()
}

// draw writes the line anew, if there is one and it is time.
func (p *progress) draw() {
	if p.out != nil && p.line != nil && p.line.due() {
		p.line.write(p.text)
	}
}

// text is the line for a number of columns: what is known in numbers, the bar, and what was done
// last, of which the end may be missing.
func (p *progress) text(columns int) string {
	var parts []string
	switch {
	case p.send != nil && p.send.whole > 0:
		parts = append(parts, p.send.bar(columns), p.send.megabytes())
	case len(p.tasks) > 0:
		var all share
		done := 0
		for _, t := range p.tasks {
			all.whole += t.size
			all.done += t.worth()
			if t.done {
				done++
			}
		}
		parts = append(parts, all.bar(columns), fmt.Sprintf("layers %d/%d", done, len(p.tasks)))
		if got := p.fetches(); got.done > 0 {
			parts = append(parts, "fetched "+got.megabytes())
		}
	}
	return strings.Join(append(parts, p.step), "  ")
}

// fetches is what came, and is to come, over the network.
func (p *progress) fetches() (s share) {
	for _, f := range p.fetch {
		if f.fetched || !f.here {
			s.done += float64(f.got)
			s.whole += float64(f.size)
		}
	}
	return s
}

// pause makes room for lines of others; what comes afterwards starts a new line.
func (p *progress) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line != nil {
		p.line.wipe()
	}
}

// close wipes the line for good.
func (p *progress) close() {
	p.pause()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out = nil
}
