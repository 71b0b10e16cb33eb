// Package changes formats the differences between two environments as text for people, as Markdown
// for pull requests, or as JSON for programs.
package changes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"mlenv/render/printable"
	"mlenv/resolve/diff"
)

// Formats lists the names that Format takes; the first is the default.
var Formats = []string{"text", "markdown", "json"}

// Style is the meaning of a piece of text, which decides its colour.
type Style int

// The styles.
const (
	Heading Style = iota
	Good          // added, upgraded, safe
	Bad           // removed, downgraded, breaking
	Doubtful
	Faint
)

// Paint colours a piece of text.
type Paint func(Style, string) string

// Format formats changes in one of Formats. Paint is used for text only, and may be nil.
func Format(c *diff.Changes, format string, paint Paint) ([]byte, error) {
	switch format {
	case "text":
		if paint == nil {
			paint = func(_ Style, s string) string { return s }
		}
		return text(c, paint), nil
	case "markdown":
		return markdown(c), nil
	case "json":
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		err := e.Encode(c)
		return b.Bytes(), err
	}
	return nil, fmt.Errorf("there is no format %q", format)
}

// fact is a property with a single value that differs.
type fact struct {
	name string
	two  *diff.Two
}

// facts returns the single values that differ.
func facts(c *diff.Changes) []fact {
	var out []fact
	for _, f := range []fact{
		{"Python", c.Python}, {"Base image", c.BaseName}, {"Base digest", c.BaseDigest},
		{"Server", c.Server}, {"Platforms", c.Platforms},
	} {
		if f.two != nil {
			out = append(out, f)
		}
	}
	return out
}

// clean escapes characters that move a terminal's cursor or change the direction of text, because
// names come from other people's files.
func clean(s string) string {
	return printable.Line(s)
}

// same returns the sentence for environments without differences. It does not claim more than could
// be compared.
func same(c *diff.Changes) string {
	if len(c.NotCompared) > 0 {
		return "In what could be compared, the environments do not differ."
	}
	return "The environments do not differ."
}

// counts returns how many packages were added, removed and so on, as text.
func counts(list []diff.Package) string {
	n := map[diff.Change]int{}
	for _, p := range list {
		n[p.Change]++
	}
	var out []string
	for _, change := range []diff.Change{diff.Added, diff.Removed, diff.Upgraded, diff.Downgraded, diff.Changed, diff.Replaced} {
		if n[change] > 0 {
			out = append(out, fmt.Sprintf("%d %s", n[change], change))
		}
	}
	return strings.Join(out, ", ")
}

// brought returns the chain of packages that require a package: "mlflow > flask".
func brought(p diff.Package) string {
	if p.Relation == diff.Transitive {
		return strings.Join(p.Via, " > ")
	}
	return p.Relation
}

// callers describes the effects of changes of the signature.
var callers = map[diff.Effect]string{
	diff.Safe: "callers do not break", diff.MayBreak: "callers may break", diff.Breaks: "breaks callers",
}

// size formats a number of bytes in powers of 1000.
func size(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n), ""
	for _, unit = range []string{"kB", "MB", "GB", "TB"} {
		if value /= 1000; value < 999.95 {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}

// growth formats the difference of sizes with its sign.
func growth(s *diff.Sizes) string {
	if s.New < s.Old {
		return "-" + size(s.Old-s.New)
	}
	return "+" + size(s.New-s.Old)
}
