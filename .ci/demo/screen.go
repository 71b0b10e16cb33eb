package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

const (
	width  = 100 // of the screen
	indent = 14  // of the text beside the labels
	text   = width - indent - 9
)

// screen is where the demo shows itself. On a terminal it has colours and a line that moves.
type screen struct {
	w    io.Writer
	live bool
	tint bool
	cols int // of the terminal
}

func newScreen(f *os.File, lookup func(string) (string, bool)) *screen {
	terminal := term.IsTerminal(int(f.Fd()))
	noColor, _ := lookup("NO_COLOR") // no-color.org: set and not empty
	kind, _ := lookup("TERM")
	s := &screen{w: f, live: terminal && kind != "dumb", cols: width}
	if cols, _, err := term.GetSize(int(f.Fd())); err == nil {
		s.cols = min(cols, width)
	}
	s.tint = s.live && noColor == ""
	return s
}

func (s *screen) paint(code, text string) string {
	if !s.tint {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

const (
	bold  = "1"
	faint = "2"
	red   = "31"
	green = "32"
	cyan  = "36"
)

func (s *screen) title(what, which string) {
	fmt.Fprintf(s.w, "%s  %s\n\n", s.paint(bold, what), s.paint(faint, which))
}

// status shows what is going on, on a terminal alone, until something else is printed.
func (s *screen) status(label, what string) {
	if s.live {
		line := []rune(what)
		line = line[:min(len(line), max(s.cols-indent-1, 0))] // a line that wraps cannot be taken back
		fmt.Fprintf(s.w, "\r\x1b[K  %s%s", s.paint(faint, pad(label, indent-2)), string(line))
	}
}

func (s *screen) clear() {
	if s.live {
		fmt.Fprint(s.w, "\r\x1b[K")
	}
}

// row is a step that is done.
func (s *screen) row(label, what string, took time.Duration) {
	s.clear()
	lines := wrap(what, text)
	fmt.Fprintf(s.w, "  %s%s%s\n", s.paint(bold, pad(label, indent-2)), pad(lines[0], text), s.paint(faint, fmt.Sprintf("%9s", duration(took))))
	for _, line := range lines[1:] {
		fmt.Fprintf(s.w, "%s%s\n", strings.Repeat(" ", indent), line)
	}
}

// note is a step that was not taken.
func (s *screen) note(label, what string) {
	s.clear()
	for _, line := range wrap(what, width-indent) {
		fmt.Fprintf(s.w, "  %s%s\n", s.paint(bold, pad(label, indent-2)), line)
		label = ""
	}
}

// more goes on with a row.
func (s *screen) more(what string) {
	for _, line := range wrap(what, width-indent-2) {
		if rest, ok := strings.CutPrefix(line, "error:"); ok {
			line = s.paint(red, "error:") + rest
		}
		fmt.Fprintf(s.w, "%s%s\n", strings.Repeat(" ", indent+2), line)
	}
}

// bar shows a part of a whole.
func (s *screen) bar(name string, size, whole int64) {
	const most = 34
	n := int(size * most / max(whole, 1))
	line := fmt.Sprintf("%s%10s  %s", strings.Repeat(" ", indent), bytes(size), name)
	if n > 0 {
		line = pad(line, indent+41) + s.paint(cyan, strings.Repeat("▇", n))
	}
	fmt.Fprintln(s.w, line)
}

func (s *screen) digest(d string) {
	fmt.Fprintf(s.w, "%s  %s\n", strings.Repeat(" ", indent), s.paint(green, d))
}

func (s *screen) end(what string) {
	s.clear()
	fmt.Fprintln(s.w)
	for _, line := range wrap(what, width) {
		fmt.Fprintln(s.w, line)
	}
}

func pad(text string, n int) string {
	return text + strings.Repeat(" ", max(n-utf8.RuneCountInString(text), 0))
}

// wrap breaks text into lines of at most n characters, where words allow.
func wrap(text string, n int) []string {
	lines := []string{""}
	for _, word := range strings.Fields(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case utf8.RuneCountInString(*last)+1+utf8.RuneCountInString(word) <= n:
			*last += " " + word
		default:
			lines = append(lines, word)
		}
	}
	return lines
}

// bytes writes a number of bytes for people, in powers of ten.
func bytes(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d bytes", n)
}

func duration(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
