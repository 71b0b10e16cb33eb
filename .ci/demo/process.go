package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// process is a command that has ended.
type process struct {
	name           string
	stdout, stderr string
	took           time.Duration
	err            error
}

// start runs a command to its end, silently.
func (d *demo) start(name string, args ...string) *process { return d.live("", "", name, args...) }

// live runs a command to its end and meanwhile shows the last line that it wrote to stderr.
func (d *demo) live(label, doing, name string, args ...string) *process {
	began := time.Now()
	p := &process{name: filepath.Base(name) + " " + strings.Join(args, " ")}
	if label != "" {
		d.out.status(label, doing)
	}
	var stdout strings.Builder
	cmd := exec.CommandContext(d.ctx, name, args...)
	cmd.Stdout = &stdout
	cmd.Env = append(os.Environ(), "MLENV_CACHE_DIR="+d.path("cache"))
	lines, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		p.err = err
		return p
	}
	p.stderr = d.follow(lines, label)
	p.err = cmd.Wait()
	p.stdout, p.took = stdout.String(), time.Since(began)
	return p
}

// follow reads the lines of a command's stderr and shows each.
func (d *demo) follow(r io.Reader, label string) string {
	var all strings.Builder
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		all.WriteString(lines.Text() + "\n")
		if label != "" {
			d.out.status(label, lines.Text())
		}
	}
	_, _ = io.Copy(io.Discard, r) // a line too long to show must not stop the command
	return all.String()
}

// failure is the error of a command that failed, with all that it said.
func (p *process) failure() error {
	if p.err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w\n%s", p.name, p.err, p.stderr)
}

// read reads the JSON that a command printed.
func (p *process) read(into any) error {
	if p.err != nil {
		return p.failure()
	}
	if err := json.Unmarshal([]byte(p.stdout), into); err != nil {
		return fmt.Errorf("%s: %w in what it printed", p.name, err)
	}
	return nil
}

// lastLine of what a command said, to be shown where all of it would be too much.
func (p *process) lastLine() string {
	said := strings.TrimSpace(p.stderr)
	if said == "" && p.err != nil {
		return p.err.Error()
	}
	line := []rune(said[strings.LastIndexByte(said, '\n')+1:])
	return string(line[:min(len(line), 100)])
}
