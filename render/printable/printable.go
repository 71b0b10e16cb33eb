// Package printable escapes text from outside, such as names in a model, answers of a registry, and
// file names in a base, for output on a terminal and in the log of a CI system.
//
// Such text must not move a cursor or change colours (control characters, ECMA-48), must not look
// like other text (bidirectional formatting, Unicode UAX #9), and must not contain commands for the
// system that reads the log: GitHub Actions interprets "::add-mask::" and "::stop-commands::" at the beginning
// of a line, and GitHub, Azure Pipelines and TeamCity interpret "##[…]" and "##word[…]" anywhere. What
// cannot be printed is replaced by its escape sequence in Go, so that readers still see what was
// there. Machine-readable formats have their own escaping and must not use this package.
package printable

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Line returns a text as one printable line.
func Line(text string) string { return escape(text, false) }

// Text returns a text that may have several printable lines. Those after the first are indented, so that none
// can pass for a message of its own.
func Text(text string) string {
	text = escape(text, true)
	if !strings.Contains(text, "\n") {
		return text
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines[1:] {
		if line != "" && line[0] != ' ' {
			line = "  " + line
		}
		lines[i+1] = order(line)
	}
	return strings.Join(lines, "\n")
}

// order keeps a line from being read as "::command::", which may have white space before it.
func order(line string) string {
	trimmed := strings.TrimLeft(line, " \t")
	if !strings.HasPrefix(trimmed, "::") {
		return line
	}
	return line[:len(line)-len(trimmed)] + `\` + trimmed
}

// logCommand matches the start of a command to a CI system in the middle of a line: "##[group]",
// "##vso[task.setvariable …]", "##teamcity[…]".
var logCommand = regexp.MustCompile(`##([A-Za-z]*\[)`)

func escape(text string, newlines bool) string {
	if !plain(text) {
		var b strings.Builder
		for i := 0; i < len(text); {
			r, n := utf8.DecodeRuneInString(text[i:])
			switch {
			case r == '\n' && newlines || r == '\t' || strconv.IsPrint(r) && !(r == utf8.RuneError && n == 1):
				b.WriteString(text[i : i+n])
			case r == utf8.RuneError && n == 1:
				b.WriteString(`\x` + hex(text[i]))
			case r < 0x80:
				quoted := strconv.QuoteRune(r)
				b.WriteString(quoted[1 : len(quoted)-1])
			default:
				quoted := strconv.QuoteRuneToASCII(r)
				b.WriteString(quoted[1 : len(quoted)-1])
			}
			i += n
		}
		text = b.String()
	}
	if strings.Contains(text, "##") {
		text = logCommand.ReplaceAllString(text, `#\#$1`)
	}
	return order(text)
}

func hex(c byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[c>>4], digits[c&15]})
}

// plain reports whether a text is printable ASCII, as most is, so that it need not be copied.
func plain(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}
