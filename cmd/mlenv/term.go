package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// colour is an ANSI "select graphic rendition" parameter.
type colour string

const (
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
	cyan   colour = "36"
	bold   colour = "1"
	faint  colour = "2"
)

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// terminalWidth is how many columns a terminal has: as many as it says now, else 80.
func terminalWidth(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}

// painter gives the function that colours text written to w: only on a terminal, never with
// NO_COLOR (no-color.org) or a dumb terminal.
func (a *app) painter(w io.Writer) func(colour, string) string {
	if a.env("NO_COLOR") != "" || a.env("TERM") == "dumb" || !isTerminal(w) {
		return func(_ colour, s string) string { return s }
	}
	return func(c colour, s string) string { return "\x1b[" + string(c) + "m" + s + "\x1b[0m" }
}
