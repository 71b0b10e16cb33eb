package pyimports

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// long are sources that can be made as long as one likes.
var long = map[string]func(n int) string{
	"one line, one module":   func(n int) string { return "import " + strings.Repeat("a,", n) + "a\n" },
	"one line, many modules": func(n int) string { return "import a" + strings.Join(numbered(n, ",a%d"), "") + "\n" },
	"statements":             func(n int) string { return strings.Join(numbered(n, "import a%d;"), "") + "\n" },
	"nested": func(n int) string {
		var b strings.Builder
		for i := range 1000 {
			b.WriteString(strings.Repeat(" ", i) + "try:\n")
		}
		return b.String() + strings.Repeat(" ", 1000) + strings.Join(numbered(n, "import a%d;"), "") + "\n"
	},
	"strings": func(n int) string { return strings.Repeat("f'{", n) + "\nimport a\n" },
}

func numbered(n int, format string) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(format, i))
	}
	return out
}

// Long sources are read to their end.
func TestLongSources(t *testing.T) {
	for name, want := range map[string]int{"one line, one module": 1, "one line, many modules": 20_001, "statements": 20_000, "nested": 20_000, "strings": 1} {
		if got := len(Scan([]byte(long[name](20_000)))); got != want {
			t.Errorf("%s: %d imports, want %d", name, got, want)
		}
	}
}

// BenchmarkScale prints how many times longer a source that is twice as long takes: 2 is linear, 4 is
// quadratic.
func BenchmarkScale(b *testing.B) {
	for name, source := range long {
		b.Run(name, func(b *testing.B) {
			single, double := []byte(source(100_000)), []byte(source(200_000))
			var times [2]time.Duration
			for b.Loop() {
				for i, data := range [][]byte{single, double} {
					start := time.Now()
					Scan(data)
					times[i] += time.Since(start)
				}
			}
			b.ReportMetric(float64(times[1])/float64(times[0]), "ratio")
		})
	}
}
