package pep508

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// escapes maps the letters of Python's one-letter escapes to what they stand for.
var escapes = map[byte]string{
	'\n': "", '\\': "\\", '\'': "'", '"': "\"", 'a': "\a", 'b': "\b", 'f': "\f",
	'n': "\n", 'r': "\r", 't': "\t", 'v': "\v",
}

// unquote returns the value of a Python string literal, given without its quotes, or a description
// of what is wrong with it. PEP 508 has no escapes, but packaging evaluates strings as Python does.
func unquote(s string) (value, problem string) {
	if strings.IndexByte(s, '\\') < 0 {
		if strings.ContainsAny(s, "\n\r\x00") {
			return "", "a string cannot hold a line break"
		}
		return s, ""
	}
	var b strings.Builder
	for s != "" {
		c := s[0]
		s = s[1:]
		if c == '\n' || c == '\r' || c == 0 {
			return "", "a string cannot hold a line break"
		}
		if c != '\\' {
			b.WriteByte(c)
			continue
		}
		if s == "" {
			return "", "a backslash cannot end a string"
		}
		n := 0
		if n = unescape(&b, s); n == 0 {
			return "", "invalid escape in a string"
		}
		s = s[n:]
	}
	return b.String(), ""
}

// unescape writes the value of the escape whose backslash precedes s and returns its length in s, 0
// if it is invalid. As in Python, an unknown escape stands for itself.
func unescape(b *strings.Builder, s string) int {
	if text, ok := escapes[s[0]]; ok {
		b.WriteString(text)
		return 1
	}
	size, base := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[0]], 16
	start := 1
	switch {
	case '0' <= s[0] && s[0] <= '7':
		start, base, size = 0, 8, 1
		for size < 3 && size < len(s) && '0' <= s[size] && s[size] <= '7' {
			size++
		}
	case s[0] == 'N' || s[0] == '\r':
		return 0 // \N{…}, the name of a character, is not supported
	case size == 0:
		b.WriteByte('\\')
		return copyRune(b, s)
	}
	if len(s) < start+size {
		return 0
	}
	n, err := strconv.ParseUint(s[start:start+size], base, 32)
	if err != nil || !utf8.ValidRune(rune(n)) || n > utf8.MaxRune {
		return 0
	}
	b.WriteRune(rune(n))
	return start + size
}

// copyRune copies the first character of s, and returns its length.
func copyRune(b *strings.Builder, s string) int {
	_, n := utf8.DecodeRuneInString(s)
	b.WriteString(s[:n])
	return n
}

// quote returns a literal that unquote and packaging read as s. It is in double quotes unless s
// contains one, and escapes only what needs to be.
func quote(s string) string {
	if !strings.ContainsAny(s, "\"\\\n\r\x00") {
		return `"` + s + `"`
	}
	mark := byte('"')
	if strings.IndexByte(s, '"') >= 0 && strings.IndexByte(s, '\'') < 0 {
		mark = '\''
	}
	b := []byte{mark}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\\':
			b = append(b, `\\`...)
		case c == mark || c == '\n' || c == '\r' || c == 0:
			b = append(b, '\\', 'x', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		default:
			b = append(b, c)
		}
	}
	return string(append(b, mark))
}
