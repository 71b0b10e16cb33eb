package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"mlenv/render/printable"
	"mlenv/resolve/secret"
)

// liveLine is a line of a terminal that is written over and over. It is wiped before anything else
// is printed, and leaves no trace.
type liveLine struct {
	out   io.Writer
	width func() int    // columns of the terminal, which may change
	pause time.Duration // between two writings that are not urgent
	shown time.Time     // when it was last written; zero: it is not there
}

func newLiveLine(out io.Writer) *liveLine {
	return &liveLine{out: out, width: func() int { return terminalWidth(out) }, pause: 100 * time.Millisecond}
}

// due reports whether it is time to write the line anew.
func (l *liveLine) due() bool { return time.Since(l.shown) >= l.pause }

// write writes the line, which text gives for a number of columns. The last column stays empty: a
// terminal that is written full wraps.
func (l *liveLine) write(text func(columns int) string) {
	columns := max(1, l.width()-1)
	l.shown = time.Now()
	fmt.Fprintf(l.out, "\r%s\x1b[K", cut(printable.Line(secret.Redact(text(columns))), columns))
}

// wipe takes the line away.
func (l *liveLine) wipe() {
	if !l.shown.IsZero() {
		fmt.Fprint(l.out, "\r\x1b[K")
		l.shown = time.Time{}
	}
}

// cut gives at most so many characters of a text.
func cut(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:n])
}

// share is a part of a whole, in bytes.
type share struct{ done, whole float64 }

// percent is from 0 to 100, and 100 only for the whole.
func (s share) percent() int {
	if s.whole <= 0 {
		return 0
	}
	return int(100 * max(0, min(1, s.done/s.whole)))
}

const (
	leastBar = 8 // characters between the brackets
	mostBar  = 30
)

// bar draws a share: "[=======>           ]  38%". On a narrow terminal it is the number alone.
func (s share) bar(columns int) string {
	percent := fmt.Sprintf("%3d%%", s.percent())
	width := min(mostBar, columns/4)
	if width < leastBar {
		return percent
	}
	full := width * s.percent() / 100
	fill := strings.Repeat("=", full)
	if full < width {
		fill += ">" + strings.Repeat(" ", width-full-1)
	}
	return "[" + fill + "] " + percent
}

// megabytes is a share in numbers, or what is done where the whole is not known.
func (s share) megabytes() string {
	if s.whole < s.done || s.whole <= 0 {
		return fmt.Sprintf("%.1f MB", s.done/1e6)
	}
	return fmt.Sprintf("%.1f/%.1f MB", s.done/1e6, s.whole/1e6)
}
