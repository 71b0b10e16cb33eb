package changes

import (
	"bytes"
	"fmt"
	"strings"

	"mlenv/resolve/diff"
)

// maxRows limits the length of a table, so that everything fits into one comment: GitHub allows
// 65,536 characters.
const maxRows = 150

// document is a Markdown document that is being written.
type document struct{ bytes.Buffer }

// markdown formats changes for a comment on a pull request: the important parts first, and long
// lists folded.
func markdown(c *diff.Changes) []byte {
	d := &document{}
	fmt.Fprintf(d, "### Environment of %s → %s\n\n", side(c.Old), side(c.New))
	if c.Same {
		d.WriteString(same(c) + "\n")
	}
	d.summary(c)
	d.signature(c.Signature)
	d.packages(c.Packages)
	for _, s := range c.Sections() {
		d.items(s.Title, s.Items)
	}
	d.items("Model identity (not counted as a difference)", c.Identity)
	if len(c.NotCompared) > 0 {
		d.fold("Not compared", func() {
			for _, n := range c.NotCompared {
				fmt.Fprintf(d, "- %s: %s\n", prose(n.What), prose(n.Why))
			}
		})
	}
	return d.Bytes()
}

func side(e diff.End) string { return string(e.Kind) + " " + code(e.Name) }

// summary writes one line for each kind of change.
func (d *document) summary(c *diff.Changes) {
	if c.Signature != nil {
		fmt.Fprintf(d, "- Signature: **%s**\n", callers[c.Signature.Callers])
	}
	for _, f := range facts(c) {
		fmt.Fprintf(d, "- %s %s\n", f.name, change(f.two.Old, f.two.New))
	}
	if len(c.Packages) > 0 {
		fmt.Fprintf(d, "- Packages: %s\n", counts(c.Packages))
	}
	for _, s := range c.Sections() {
		fmt.Fprintf(d, "- %s: %d changed\n", s.Title, len(s.Items))
	}
	if s := c.Size; s != nil {
		fmt.Fprintf(d, "- Size: %s → %s (%s, %s)\n", size(s.Old), size(s.New), growth(s), s.Of)
	}
}

// fold writes a section that is collapsed until clicked.
func (d *document) fold(title string, body func()) {
	fmt.Fprintf(d, "\n<details>\n<summary>%s</summary>\n\n", prose(title))
	body()
	d.WriteString("\n</details>\n")
}

// table writes a table of at most maxRows rows.
func (d *document) table(head []string, n int, row func(i int) []string) {
	line := func(cells []string) { d.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line(head)
	d.WriteString(strings.Repeat("|---", len(head)) + "|\n")
	for i := range min(n, maxRows) {
		line(row(i))
	}
	if n > maxRows {
		fmt.Fprintf(d, "\nand %d more; the JSON form has all of them.\n", n-maxRows)
	}
}

// signature writes the changes of the signature. It does not fold them: reviewers must see them.
func (d *document) signature(s *diff.Signature) {
	if s == nil {
		return
	}
	var rows [][]string
	s.All(func(part string, c diff.SignatureChange) {
		effect := strings.ReplaceAll(string(c.Effect), "-", " ")
		if c.Effect == diff.Breaks {
			effect = "**" + effect + "**"
		}
		rows = append(rows, []string{part, code(c.Name), string(c.Change), code(c.Old), code(c.New), effect, prose(c.Why)})
	})
	d.WriteString("\n")
	d.table([]string{"", "name", "", "old", "new", "callers", "why"}, len(rows), func(i int) []string { return rows[i] })
}

func (d *document) packages(list []diff.Package) {
	if len(list) == 0 {
		return
	}
	d.fold("Packages: "+counts(list), func() {
		d.table([]string{"package", "", "old", "new", "required by"}, len(list), func(i int) []string {
			p := list[i]
			who := p.Relation
			if p.Relation == diff.Transitive {
				who = code(brought(p))
			}
			return []string{code(p.Name), string(p.Change), code(p.Old), code(p.New), who}
		})
	})
}

func (d *document) items(title string, items []diff.Item) {
	if len(items) == 0 {
		return
	}
	d.fold(title, func() {
		d.table([]string{"name", "", "old", "new"}, len(items), func(i int) []string {
			one := items[i]
			return []string{code(one.Name), string(one.Change), code(one.Old), code(one.New)}
		})
	})
}

func change(old, now string) string {
	switch {
	case old == "":
		return code(now) + " (none before)"
	case now == "":
		return code(old) + " → none"
	}
	return code(old) + " → " + code(now)
}

// code returns a code span for a cell of a table. Its fence is longer than any run of backquotes in
// s (CommonMark 6.1), and bars are escaped, because they end the cell even in code (GFM, "Tables").
func code(s string) string {
	if s == "" {
		return ""
	}
	s = clean(s)
	longest, run := 0, 0
	for _, r := range s {
		if run++; r != '`' {
			run = 0
		}
		longest = max(longest, run)
	}
	fence := strings.Repeat("`", longest+1)
	if longest > 0 || strings.TrimSpace(s) == "" {
		s = " " + s + " "
	}
	return fence + strings.ReplaceAll(s, "|", `\|`) + fence
}

// prose escapes text so that it is not interpreted as markup or a mention.
func prose(s string) string {
	return strings.NewReplacer(
		"&", "&amp;", "<", "&lt;", ">", "&gt;", `\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "|", `\|`, "@", "&#64;", "#", "&#35;", "~", `\~`,
	).Replace(clean(s))
}
