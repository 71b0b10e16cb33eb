package changes

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"mlenv/resolve/diff"
)

var changeStyle = map[diff.Change]Style{
	diff.Added: Good, diff.Upgraded: Good, diff.Removed: Bad, diff.Downgraded: Bad,
	diff.Changed: Doubtful, diff.Replaced: Bad,
}

var effectStyle = map[diff.Effect]Style{diff.Safe: Good, diff.MayBreak: Doubtful, diff.Breaks: Bad}

// row is a line of a section. Its first word has a style.
type row struct {
	style Style
	cells []string
	note  string // at the end, faint
}

// printer writes sections.
type printer struct {
	bytes.Buffer
	paint Paint
}

// text formats changes for a terminal.
func text(c *diff.Changes, paint Paint) []byte {
	p := &printer{paint: paint}
	for _, side := range []struct {
		word string
		end  diff.End
	}{{"old", c.Old}, {"new", c.New}} {
		fmt.Fprintf(p, "%s  %s %s", side.word, side.end.Kind, clean(side.end.Name))
		if side.end.Digest != "" && !strings.Contains(side.end.Name, side.end.Digest) {
			p.WriteString(" " + paint(Faint, side.end.Digest))
		}
		p.WriteByte('\n')
	}
	if c.Same {
		p.WriteString("\n" + same(c) + "\n")
	}
	var rows []row
	for _, f := range facts(c) {
		rows = append(rows, row{Doubtful, []string{f.name, arrow(f.two.Old, f.two.New)}, ""})
	}
	if s := c.Size; s != nil {
		rows = append(rows, row{Doubtful, []string{"Size", arrow(size(s.Old), size(s.New))}, growth(s) + ", " + s.Of})
	}
	if len(rows) > 0 {
		p.WriteByte('\n')
		p.rows("", rows)
	}
	p.signature(c.Signature)
	p.packages(c.Packages)
	for _, s := range c.Sections() {
		p.section(s.Title, itemRows(s.Items))
	}
	p.section("Model identity (not counted as a difference)", itemRows(c.Identity))
	rows = nil
	for _, n := range c.NotCompared {
		rows = append(rows, row{Faint, []string{n.What + ": " + n.Why}, ""})
	}
	p.section("Not compared", rows)
	return p.Bytes()
}

func (p *printer) section(title string, rows []row) {
	if len(rows) > 0 {
		fmt.Fprintf(p, "\n%s\n", p.paint(Heading, title))
		p.rows("  ", rows)
	}
}

// rows writes rows with aligned columns. The last column is not padded.
func (p *printer) rows(indent string, rows []row) {
	var widths []int
	for _, r := range rows {
		for i, cell := range r.cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(clean(cell)))
		}
	}
	for _, r := range rows {
		var b strings.Builder
		pad := 0
		for i, cell := range r.cells {
			cell = clean(cell)
			b.WriteString(strings.Repeat(" ", pad))
			pad = widths[i] - utf8.RuneCountInString(cell) + 2
			if i == 0 {
				cell = p.paint(r.style, cell)
			}
			b.WriteString(cell)
		}
		if r.note != "" {
			b.WriteString(strings.Repeat(" ", pad) + p.paint(Faint, clean(r.note)))
		}
		fmt.Fprintf(p, "%s%s\n", indent, b.String())
	}
}

// arrow returns "old -> now", or only one of them if the other is empty or the same.
func arrow(old, now string) string {
	switch {
	case old == "" || old == now:
		return now
	case now == "":
		return old
	}
	return old + " -> " + now
}

func itemRows(items []diff.Item) []row {
	var rows []row
	for _, i := range items {
		rows = append(rows, row{changeStyle[i.Change], []string{string(i.Change), i.Name, arrow(without(i.Name, i.Old), without(i.Name, i.New))}, ""})
	}
	return trimmed(rows)
}

// without removes the name from a requirement, as the line shows it already.
func without(name, text string) string {
	switch rest, ok := strings.CutPrefix(text, name); {
	case !ok:
		return text
	case rest == "":
		return "any"
	default:
		return rest
	}
}

// trimmed removes trailing cells that are empty in all rows.
func trimmed(rows []row) []row {
	for len(rows) > 0 {
		last := len(rows[0].cells) - 1
		for _, r := range rows {
			if r.cells[last] != "" {
				return rows
			}
		}
		for i := range rows {
			rows[i].cells = rows[i].cells[:last]
		}
	}
	return rows
}

func (p *printer) packages(list []diff.Package) {
	var rows []row
	for _, one := range list {
		r := row{changeStyle[one.Change], []string{string(one.Change), one.Name, arrow(one.Old, one.New)}, brought(one)}
		if one.Relation == diff.Transitive {
			r.note = "required by " + r.note
		}
		rows = append(rows, r)
	}
	p.section("Packages: "+counts(list), rows)
}

func (p *printer) signature(s *diff.Signature) {
	if s == nil {
		return
	}
	var rows []row
	s.All(func(part string, c diff.SignatureChange) {
		rows = append(rows, row{effectStyle[c.Effect], []string{
			strings.ReplaceAll(string(c.Effect), "-", " "), string(c.Change) + " " + part, c.Name, arrow(c.Old, c.New),
		}, c.Why})
	})
	p.section("Signature: "+p.paint(effectStyle[s.Callers], callers[s.Callers]), rows)
}
