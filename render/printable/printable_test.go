package printable

import (
	"strings"
	"testing"
	"unicode"
)

func TestText(t *testing.T) {
	tests := map[string]struct{ text, line string }{ // "": as it is
		"plain":                            {},
		"größer → 3 µs … 日本 \t tab":        {},
		"a\x1b[2Jb":                        {`a\x1b[2Jb`, `a\x1b[2Jb`},
		"a\u009b2Jb":                       {`a\u009b2Jb`, `a\u009b2Jb`},
		"a\rb\x07\x00\x7f":                 {`a\rb\a\x00\x7f`, `a\rb\a\x00\x7f`},
		"a\u202eb\u2066\u200f\u2028\u2029": {`a\u202eb\u2066\u200f\u2028\u2029`, `a\u202eb\u2066\u200f\u2028\u2029`},
		"a\xff\xfeb":                       {`a\xff\xfeb`, `a\xff\xfeb`},
		"two\nlines":                       {"two\n  lines", `two\nlines`},
		"two\n    lines":                   {"two\n    lines", `two\n    lines`},
		"x\n::error file=x::injected":      {"x\n  \\::error file=x::injected", `x\n::error file=x::injected`},
		"x\n \t::add-mask::e":              {"x\n \t\\::add-mask::e", "x\\n \t::add-mask::e"},
		"::stop-commands::x":               {`\::stop-commands::x`, `\::stop-commands::x`},
		"##[group]x ##vso[task.x]y":        {`#\#[group]x #\#vso[task.x]y`, `#\#[group]x #\#vso[task.x]y`},
		"## heading":                       {},
	}
	for in, want := range tests {
		if want.text == "" {
			want.text, want.line = in, in
		}
		if got := Text(in); got != want.text {
			t.Errorf("%q: the text is %q, want %q", in, got, want.text)
		}
		if got := Line(in); got != want.line {
			t.Errorf("%q: the line is %q, want %q", in, got, want.line)
		}
	}
}

// Whatever comes in, nothing that steers goes out, and a second time changes nothing that is one line.
func FuzzText(f *testing.F) {
	f.Add("a\x1b[31m\n::error::x")
	f.Add("##vso[x]\u2028::x")
	f.Add("##\x00[x]")
	f.Add("\r\n::add-mask::x\n::stop-commands::y")
	f.Add("a\u202e\u2066b\u2028##teamcity[x]\u0085::debug::")
	f.Add("\x9b2J\x1b]0;t\a\xff\xfe%0A::error::")
	f.Fuzz(func(t *testing.T, text string) {
		for _, out := range []string{Text(text), Line(text)} {
			for line := range strings.SplitSeq(out, "\n") {
				if strings.HasPrefix(strings.TrimSpace(line), "::") || logCommand.MatchString(line) {
					t.Errorf("%q gives an order", line)
				}
				for _, r := range line {
					if unicode.IsControl(r) && r != '\t' || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
						t.Errorf("%q holds %U", line, r)
					}
				}
			}
		}
		if line := Line(text); Line(line) != line || strings.Contains(line, "\n") {
			t.Errorf("%q", line)
		}
	})
}
