package pyimports

import (
	"strings"
)

// logical is one logical line (Python Language Reference, "Line structure"): without comments, with
// every string replaced by "", and with lines joined that brackets or backslashes continue.
type logical struct {
	text   string
	line   int // line of its first character, from 1
	indent int // in columns; a tab advances to the next multiple of 8
}

// maxNesting limits the nesting of strings in replacement fields of strings.
const maxNesting = 50

// lexer splits source code into logical lines.
type lexer struct {
	in    string
	at    int
	line  int
	depth int // of nested brackets
	text  strings.Builder
	start int // line of the logical line's first character; 0 if there is none yet
	col   int
	out   []logical
}

func logicalLines(source string) []logical {
	source = strings.TrimPrefix(source, "\ufeff")
	l := &lexer{in: strings.NewReplacer("\r\n", "\n", "\r", "\n", "\f", " ").Replace(source), line: 1}
	for l.at < len(l.in) {
		l.next()
	}
	l.end()
	return l.out
}

// next reads one character, comment or string.
func (l *lexer) next() {
	c := l.in[l.at]
	switch {
	case c == '\n':
		l.at++
		l.line++
		if l.depth > 0 {
			l.text.WriteByte(' ')
		} else {
			l.end()
		}
	case c == '#':
		for l.at < len(l.in) && l.in[l.at] != '\n' {
			l.at++
		}
	case c == '\\' && strings.HasPrefix(l.in[l.at+1:], "\n"):
		l.at += 2
		l.line++
		l.text.WriteByte(' ')
	case c == '"' || c == '\'':
		l.begin()
		l.str(prefix(l.text.String()), 0)
		l.text.WriteString(`""`)
	case c == ' ' || c == '\t':
		l.space(c)
	default:
		l.begin()
		switch c {
		case '(', '[', '{':
			l.depth++
		case ')', ']', '}':
			l.depth = max(l.depth-1, 0)
		}
		l.text.WriteByte(c)
		l.at++
	}
}

func (l *lexer) space(c byte) {
	l.at++
	if l.start > 0 {
		l.text.WriteByte(' ')
		return
	}
	if l.col++; c == '\t' {
		l.col = (l.col + 7) / 8 * 8
	}
}

func (l *lexer) begin() {
	if l.start == 0 {
		l.start = l.line
	}
}

// end finishes the logical line.
func (l *lexer) end() {
	if l.start > 0 {
		l.out = append(l.out, logical{strings.TrimSpace(l.text.String()), l.start, l.col})
	}
	l.text.Reset()
	l.start, l.col, l.depth = 0, 0, 0
}

// prefix reports whether the letters before a quote make the string raw or formatted.
func prefix(before string) (letters string) {
	i := len(before)
	for i > 0 && len(before)-i < 3 && strings.IndexByte("rRbBuUfFtT", before[i-1]) >= 0 {
		i--
	}
	if i > 0 && (before[i-1] == '_' || before[i-1] >= '0' && before[i-1] <= '9' || before[i-1]|0x20 >= 'a' && before[i-1]|0x20 <= 'z') {
		return "" // the letters are the end of a name
	}
	return strings.ToLower(before[i:])
}

// str skips a string literal, starting at its quote. In a formatted string, quotes inside a
// replacement field start strings of their own (PEP 701).
func (l *lexer) str(letters string, nesting int) {
	quote := l.in[l.at : l.at+1]
	if strings.HasPrefix(l.in[l.at:], strings.Repeat(quote, 3)) {
		quote = strings.Repeat(quote, 3)
	}
	l.at += len(quote)
	formatted := strings.ContainsAny(letters, "ft") && nesting < maxNesting
	for l.at < len(l.in) {
		switch c := l.in[l.at]; {
		case c == '\\':
			l.skip()
			if l.at < len(l.in) {
				l.skip()
			}
		case strings.HasPrefix(l.in[l.at:], quote):
			l.at += len(quote)
			return
		case c == '\n' && len(quote) == 1:
			return // unterminated: go on with the next line, the rest of the file may be fine
		case c == '{' && formatted && strings.HasPrefix(l.in[l.at:], "{{"):
			l.at += 2
		case c == '{' && formatted:
			l.field(quote, nesting+1)
		default:
			l.skip()
		}
	}
}

// skip skips one character.
func (l *lexer) skip() {
	if l.in[l.at] == '\n' {
		l.line++
	}
	l.at++
}

// field skips a replacement field. The quote of the enclosing string ends the field: before Python
// 3.12 it could not be used inside.
func (l *lexer) field(quote string, nesting int) {
	depth := 0
	spec := false
	for l.at < len(l.in) {
		c := l.in[l.at]
		switch {
		case c == '\n' && len(quote) == 1:
			return
		case spec && strings.HasPrefix(l.in[l.at:], quote):
			return
		case (c == '"' || c == '\'') && !spec:
			l.str(prefix(l.in[max(0, l.at-4):l.at]), nesting)
			continue
		case c == '{' || c == '[' || c == '(':
			depth++
		case c == ':' && depth == 1:
			spec = true
		case c == '}' || c == ']' || c == ')':
			if depth--; depth <= 0 {
				l.at++
				return
			}
		}
		l.skip()
	}
}
