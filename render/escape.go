package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"
	"unicode"

	"mlenv/resolve/pattern"
)

// functions are the functions that templates can call. Everything that comes from a model or a flag
// must pass through one of them, because a Dockerfile has several syntaxes with different quoting:
// a newline in a name would otherwise start an instruction.
var functions = template.FuncMap{
	"comment":    comment,
	"json":       execForm,
	"quote":      quote,
	"word":       word,
	"variable":   variable,
	"debianName": debianName,
}

// comment makes text fit for a comment on one line: control characters, including line breaks, become
// spaces.
func comment(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, s)
}

// execForm writes the JSON form of ENTRYPOINT, CMD and HEALTHCHECK, in which nothing is expanded.
func execForm(args []string) (string, error) {
	words := make([]string, len(args))
	for i, arg := range args {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(arg); err != nil {
			return "", fmt.Errorf("encoding command: %w", err)
		}
		words[i] = strings.TrimSpace(b.String())
	}
	return "[" + strings.Join(words, ", ") + "]", nil
}

// quote writes a double-quoted word, as ENV and LABEL take it. A control character cannot be
// written in a Dockerfile at all.
func quote(s string) (string, error) {
	for _, r := range s {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return "", fmt.Errorf("value %q has a character that a Dockerfile cannot hold", s)
		}
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`).Replace(s) + `"`, nil
}

var (
	wordForm     = pattern.New(`^[A-Za-z0-9][A-Za-z0-9@:._/+-]*$`)
	variableForm = pattern.New(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
	debianForm   = pattern.New(`^[a-z0-9][a-z0-9+.-]+$`)
)

// word accepts an image reference or a user, which are not quoted, and rejects anything else.
func word(s string) (string, error) { return matching(wordForm, "an image reference or user", s) }

// variable accepts the name of an environment variable, and rejects anything else.
func variable(s string) (string, error) {
	return matching(variableForm, "the name of an environment variable", s)
}

// debianName accepts the name of a package (Debian policy, 5.6.7), and rejects anything else.
func debianName(s string) (string, error) {
	return matching(debianForm, "the name of a Debian package", s)
}

func matching(form *pattern.Pattern, what, s string) (string, error) {
	if !form.MatchString(s) {
		return "", fmt.Errorf("%q is not %s", s, what)
	}
	return s, nil
}
