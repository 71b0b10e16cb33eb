// Package pyimports finds the import statements in Python source code without running Python. It
// splits the source into logical lines like Python's tokenizer (strings, comments, brackets,
// continued lines) and follows blocks far enough to distinguish imports that must work from those
// that may fail. It never returns an error: if the source is not valid Python, it returns the
// imports it could find.
package pyimports

import (
	"strings"

	"mlenv/resolve/pattern"
)

// Import is one module named in an import statement.
type Import struct {
	Module string // as written: "a.b"; "" for "from . import x"
	Names  []string
	Level  int  // number of leading dots of a relative import
	Line   int  // of the start of the statement, from 1
	Soft   bool // it may fail or never run: in try with except ImportError, if TYPE_CHECKING, for another Python or system
	Nested bool // in a function, so that it runs later than the module
}

// Top returns the first part of the module's name, or "" for a relative import.
func (i Import) Top() string {
	if i.Level > 0 {
		return ""
	}
	top, _, _ := strings.Cut(i.Module, ".")
	return top
}

// Scan returns the imports in source order.
func Scan(source []byte) []Import {
	s := &scanner{}
	for _, l := range logicalLines(string(source)) {
		s.line(l)
	}
	for i, g := range s.guards {
		s.imports[i].Soft = s.imports[i].Soft || g.any()
	}
	return s.imports
}

// block is a compound statement whose body is being read.
type block struct {
	indent int
	kind   kind
	try    *guard // of try and its except, else and finally

	// What an import in it is, by this block and those around it.
	soft, nested bool
	guard        *guard // the innermost try statement whose body it is in; nil: none
}

// kind is what a block means for the imports in it.
type kind int

const (
	plain     kind = iota
	function       // runs later
	typing         // never runs
	elsewhere      // runs on another Python or system, or only as a script
	fallback       // runs if an import has failed, or may fail itself
	trying         // may fail if an except catches ImportError
)

// guard is a try statement; whether it is soft shows only after its body.
type guard struct {
	soft  bool
	outer *guard // the try statement in whose body it is
	asked bool   // soft is the answer of any already
}

// any tells, at the end, whether the statement or one around it is soft. Nothing is asked twice: ten
// thousand imports may stand in a hundred nested statements.
func (g *guard) any() bool {
	var inner []*guard
	for ; g != nil && !g.asked && !g.soft; g = g.outer {
		inner = append(inner, g)
	}
	soft := g != nil && g.soft
	for _, i := range inner {
		i.asked, i.soft = true, soft
	}
	return soft
}

// scanner keeps track of the blocks around the current line.
type scanner struct {
	imports []Import
	guards  []*guard           // of each import, the innermost try statement around it
	seen    map[statement]bool // on this logical line
	blocks  []block
	closed  []block // the blocks that ended before this line, innermost first
}

var compound = pattern.New(`^(?:async\s+)?(if|elif|else|try|except|finally|for|while|with|def|class|match|case)\b`)

// line processes one logical line.
func (s *scanner) line(l logical) {
	s.closed = s.closed[:0]
	for len(s.blocks) > 0 && s.blocks[len(s.blocks)-1].indent >= l.indent {
		s.closed = append(s.closed, s.blocks[len(s.blocks)-1])
		s.blocks = s.blocks[:len(s.blocks)-1]
	}
	s.seen = nil // and not cleared, which costs as much as the longest line had
	text := l.text
	if m := compound.FindStringSubmatch(text); m != nil {
		if header, body, ok := cutHeader(text); ok {
			s.open(m[1], header, l.indent)
			text = body
		}
	}
	for statement := range strings.SplitSeq(text, ";") {
		s.statement(strings.TrimSpace(statement), l.line)
	}
}

// cutHeader splits "if x: y" at the colon that ends the header, which is the first one that is not
// in brackets and does not belong to a lambda.
func cutHeader(text string) (header, body string, ok bool) {
	depth, lambdas := 0, 0
	for i := range len(text) {
		switch text[i] {
		case 'l':
			if depth == 0 && i > 0 && text[i-1] == ' ' && strings.HasPrefix(text[i:], "lambda") {
				lambdas++
			}
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth--
		case ':':
			switch {
			case depth > 0 || strings.HasPrefix(text[i:], ":="):
			case lambdas > 0:
				lambdas--
			default:
				return text[:i], strings.TrimSpace(text[i+1:]), true
			}
		}
	}
	return "", "", false
}

var (
	typeChecking = pattern.New(`^(?:el)?if\s*\(?\s*(?:\w+\.)?TYPE_CHECKING\s*\)?\s*$`)
	depending    = pattern.New(`\bsys\.version_info\b|\bsys\.platform\b|\bplatform\.system\b|\bos\.name\b|\bPY[23]\b|__name__\s*==`)
	suppressing  = pattern.New(`\bsuppress\s*\(.*\b(?:ImportError|ModuleNotFoundError|Exception)\b`)
	catching     = pattern.New(`^except\s*\*?\s*$|\b(?:ImportError|ModuleNotFoundError|Exception|BaseException)\b`)
)

// open starts a block. An except, else or finally belongs to a block that has just been closed.
func (s *scanner) open(keyword, header string, indent int) {
	b := block{indent: indent}
	before := s.sibling(indent)
	switch keyword {
	case "def":
		b.kind = function
	case "if", "elif", "else":
		switch {
		case typeChecking.MatchString(header):
			b.kind = typing
		case depending.MatchString(header), keyword != "if" && before.kind == elsewhere:
			b.kind = elsewhere
		}
	case "with":
		if suppressing.MatchString(header) {
			b.kind = fallback
		}
	case "try":
		b.kind, b.try = trying, &guard{}
	case "except":
		if b.try = before.try; b.try != nil && catching.MatchString(header) {
			b.try.soft = true
			b.kind = fallback
		}
	}
	var outer block
	if len(s.blocks) > 0 {
		outer = s.blocks[len(s.blocks)-1]
	}
	b.soft = outer.soft || b.kind == typing || b.kind == elsewhere || b.kind == fallback
	b.nested = outer.nested || b.kind == function
	if b.guard = outer.guard; b.kind == trying {
		b.try.outer = outer.guard
		b.guard = b.try
	}
	s.blocks = append(s.blocks, b)
}

// sibling returns the block at the same indentation that has just ended, or the zero block.
func (s *scanner) sibling(indent int) block {
	for _, b := range s.closed {
		if b.indent == indent {
			return b
		}
	}
	return block{}
}

var (
	importing = pattern.New(`^import\s+(.+)$`)
	fromPart  = pattern.New(`^from\s*(\.[.\s]*)?([^\s.][^\s]*)?\s*import\b\s*\(?(.*?)\)?$`)
	dotted    = pattern.New(`^[\pL_][\pL\pN_]*(?:\s*\.\s*[\pL_][\pL\pN_]*)*$`)
)

// statement reads an import statement.
func (s *scanner) statement(text string, line int) {
	if m := importing.FindStringSubmatch(text); m != nil {
		for part := range strings.SplitSeq(m[1], ",") {
			name, _, _ := strings.Cut(strings.TrimSpace(part), " as ")
			s.add(Import{Module: name, Line: line})
		}
		return
	}
	m := fromPart.FindStringSubmatch(text)
	if m == nil || m[1] == "" && m[2] == "" {
		return
	}
	i := Import{Module: m[2], Level: strings.Count(m[1], "."), Line: line}
	for part := range strings.SplitSeq(m[3], ",") {
		name, _, _ := strings.Cut(strings.TrimSpace(part), " as ")
		if name = strings.TrimSpace(name); name != "" {
			i.Names = append(i.Names, name)
		}
	}
	s.add(i)
}

func (s *scanner) add(i Import) {
	i.Module = strings.TrimSpace(i.Module)
	if i.Module != "" && !dotted.MatchString(i.Module) || i.Module == "" && i.Level == 0 {
		return
	}
	i.Module = strings.Join(strings.FieldsFunc(i.Module, func(r rune) bool { return r == ' ' || r == '\t' }), "")
	var around block
	if len(s.blocks) > 0 {
		around = s.blocks[len(s.blocks)-1]
	}
	i.Soft, i.Nested = around.soft, around.nested
	if len(i.Names) == 0 {
		// "import a, a, a": the same on the same line is one import.
		at := statement{i.Module, i.Level}
		if s.seen[at] {
			return
		}
		if s.seen == nil {
			s.seen = map[statement]bool{}
		}
		s.seen[at] = true
	}
	s.imports = append(s.imports, i)
	s.guards = append(s.guards, around.guard)
}

// statement is an import without names.
type statement struct {
	module string
	level  int
}
