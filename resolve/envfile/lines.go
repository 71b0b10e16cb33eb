package envfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"mlenv/resolve/internal/source"
	"mlenv/resolve/pattern"
)

// line is one physical or logical line of a requirements file. A logical line has the number of its
// first physical line.
type line struct {
	n    int
	text string
}

// codingLine matches the declaration of an encoding (PEP 263), which must be in the first two lines
// of a file.
var codingLine = pattern.New(`coding[:=]\s*([-\w.]+)`)

// decode converts the bytes of a requirements file to text. Like pip, it uses a byte order mark,
// else a coding line, else UTF-8. pip would then try the encoding of the locale. mlenv does not,
// because the same file could then mean different things on different machines.
func decode(name string, data []byte) (string, error) {
	switch {
	case hasPrefix(data, 0xef, 0xbb, 0xbf):
		data = data[3:]
	// UTF-32 comes before UTF-16: the mark of the one begins with that of the other.
	case hasPrefix(data, 0xff, 0xfe, 0, 0):
		return decode32(data[4:], binary.LittleEndian), nil
	case hasPrefix(data, 0, 0, 0xfe, 0xff):
		return decode32(data[4:], binary.BigEndian), nil
	case hasPrefix(data, 0xff, 0xfe):
		return decode16(data[2:], binary.LittleEndian), nil
	case hasPrefix(data, 0xfe, 0xff):
		return decode16(data[2:], binary.BigEndian), nil
	default:
		if latin, err := declaredLatin(name, data); err != nil {
			return "", err
		} else if latin {
			return decodeLatin1(data), nil
		}
	}
	if err := source.CheckUTF8(name, data); err != nil {
		return "", err
	}
	return string(data), nil
}

func hasPrefix(data []byte, mark ...byte) bool {
	return strings.HasPrefix(string(data[:min(len(data), len(mark))]), string(mark))
}

// declaredLatin reports whether a coding line declares Latin-1. It returns false for UTF-8 and if
// there is no coding line. Any other encoding is an error: to read its bytes as UTF-8 could give names
// that nobody wrote.
func declaredLatin(name string, data []byte) (bool, error) {
	for n := 1; n <= 2 && len(data) > 0; n++ {
		// Of a line of megabytes, no more than its beginning is copied and searched.
		first, rest, _ := strings.Cut(string(data[:min(len(data), 1000)]), "\n")
		data = data[len(first):]
		if len(rest) > 0 || len(data) > 0 {
			data = data[1:]
		}
		m := codingLine.FindStringSubmatch(first)
		if !strings.HasPrefix(first, "#") || m == nil {
			continue
		}
		switch strings.ReplaceAll(strings.ToLower(m[1]), "_", "-") {
		case "utf-8", "utf8", "utf-8-sig", "u8", "ascii", "us-ascii":
			return false, nil
		case "latin-1", "latin1", "iso-8859-1", "iso8859-1", "l1":
			return true, nil
		}
		return false, &Error{File: name, Line: n, Kind: source.NotText, Msg: fmt.Sprintf("the encoding %q is not supported", m[1]), Hint: "save the file as UTF-8"}
	}
	return false, nil
}

func decode16(data []byte, order binary.ByteOrder) string {
	units := make([]uint16, 0, len(data)/2)
	for ; len(data) >= 2; data = data[2:] {
		units = append(units, order.Uint16(data))
	}
	return string(utf16.Decode(units))
}

func decode32(data []byte, order binary.ByteOrder) string {
	var b strings.Builder
	for ; len(data) >= 4; data = data[4:] {
		b.WriteRune(rune(order.Uint32(data))) // an invalid rune is written as U+FFFD
	}
	return b.String()
}

func decodeLatin1(data []byte) string {
	var b strings.Builder
	for _, c := range data {
		b.WriteRune(rune(c))
	}
	return b.String()
}

// maxLines limits how much memory a file can use up. A long lock file with hashes has about 50,000
// lines.
const maxLines = 500_000

// splitLines splits text where Python's str.splitlines does and numbers the lines starting with
// first. It stops after maxLines. pip uses splitlines, so that a form feed or U+2028 ends a line for it:
// split at "\n" alone, a file could show a reviewer one requirement and pip another.
func splitLines(text string, first int) []line {
	var lines []line
	start := 0
	for i := 0; i < len(text) && len(lines) <= maxLines; {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch r {
		case '\n', '\v', '\f', '\r', 0x1c, 0x1d, 0x1e, 0x85, 0x2028, 0x2029:
			lines = append(lines, line{first + len(lines), text[start:i]})
			if r == '\r' && strings.HasPrefix(text[i+n:], "\n") {
				n++
			}
			start = i + n
		}
		i += n
	}
	if start < len(text) {
		lines = append(lines, line{first + len(lines), text[start:]})
	}
	return lines
}

// isSpace is Python's str.isspace for one character, which pip strips lines with. Go's IsSpace lacks the
// separators of ASCII.
func isSpace(r rune) bool {
	return unicode.IsSpace(r) || 0x1c <= r && r <= 0x1f
}

func isComment(text string) bool {
	return strings.HasPrefix(strings.TrimLeftFunc(text, isSpace), "#")
}

// logicalLines joins lines that end in a backslash, then removes comments and empty lines. The
// order is pip's: a comment ends a continued line, and a backslash at the end of a comment is part
// of the comment.
func logicalLines(lines []line) []line {
	var out []line
	var joined strings.Builder
	first := 0
	emit := func(n int, text string) {
		if text = strings.TrimFunc(cutComment(text), isSpace); text != "" {
			out = append(out, line{n, text})
		}
	}
	for _, l := range lines {
		comment := isComment(l.text)
		if strings.HasSuffix(l.text, `\`) && !comment {
			if first == 0 {
				first = max(l.n, 1)
			}
			joined.WriteString(strings.Trim(l.text, `\`))
			continue
		}
		text := l.text
		if comment {
			text = " " + text // so that it stays a comment after it is joined to other text
		}
		if first == 0 {
			emit(l.n, text)
			continue
		}
		emit(first, joined.String()+text)
		joined.Reset()
		first = 0
	}
	if first != 0 {
		emit(first, joined.String())
	}
	return out
}

// cutComment removes everything from the first # that starts the line or follows white space. Any other
// # is part of a URL: "…#egg=name", "…#sha256=…".
func cutComment(text string) string {
	for i, r := range text {
		if r != '#' {
			continue
		}
		before, _ := utf8.DecodeLastRuneInString(text[:i])
		if i == 0 || isSpace(before) {
			return text[:i]
		}
	}
	return text
}

// splitWords splits as Python's shlex.split does (POSIX mode, no comments), which pip splits options with.
// A backslash within double quotes escapes only a quote and itself, outside of quotes anything; within
// single quotes it is a backslash.
func splitWords(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	in := false // inside a word, which may be empty quotes so far
	var quote rune
	escaped := false
	for _, r := range text {
		switch {
		case escaped:
			if quote != 0 && r != quote && r != '\\' {
				word.WriteByte('\\')
			}
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, in = true, true
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				word.WriteRune(r)
			}
		case r == '\'' || r == '"':
			quote, in = r, true
		case r == ' ' || r == '\t' || r == '\r' || r == '\n':
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		default:
			in = true
			word.WriteRune(r)
		}
	}
	switch {
	case escaped:
		return nil, errors.New("there is nothing after the backslash at the end")
	case quote != 0:
		return nil, fmt.Errorf("the quote %c is not closed", quote)
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}
