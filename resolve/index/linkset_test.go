package index

import (
	"fmt"
	"testing"
	"time"

	"mlenv/resolve/pep508"
)

// TestLinkSet holds that the links of a project are found among others, in their order.
func TestLinkSet(t *testing.T) {
	var links []link
	for _, name := range []string{"b-1.zip", "A_b-2.zip", "a-1.zip", "a.b-1.zip", "a-1.zip", "ab-1.zip", "a--b-3.zip", "a"} {
		links = append(links, link{filename: name, url: fmt.Sprint(len(links))})
	}
	s := newLinkSet(links)
	for name, want := range map[pep508.Name]string{
		"a": "[a-1.zip/2 a-1.zip/4 a.b-1.zip/3 A_b-2.zip/1 a--b-3.zip/6]", "a-b": "[a.b-1.zip/3 A_b-2.zip/1 a--b-3.zip/6]", "ab": "[ab-1.zip/5]", "c": "[]",
	} {
		var got []string
		for _, l := range s.of(name) {
			got = append(got, l.filename+"/"+l.url)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("of %s: %v, want %s", name, got, want)
		}
	}
}

// BenchmarkLinks prints how many times longer it takes to find the files of twice as many projects among
// twice as many links: 2 is linear, 4 is quadratic.
func BenchmarkLinks(b *testing.B) {
	const n = 40_000
	find := func(n int) time.Duration {
		c, err := New(Settings{})
		if err != nil {
			b.Fatal(err)
		}
		links := make([]link, n)
		for i := range links {
			links[i] = link{filename: fmt.Sprintf("a%d-1.zip", i), url: "https://i.example/x"}
		}
		start := time.Now()
		s := newLinkSet(links)
		for i := range n {
			name := pep508.Name(fmt.Sprintf("a%d", i))
			if files, err := c.projectFiles(s.of(name), name, ""); err != nil || len(files) != 1 {
				b.Fatal(len(files), err)
			}
		}
		return time.Since(start)
	}
	var times [2]time.Duration
	for b.Loop() {
		times[0] += find(n)
		times[1] += find(2 * n)
	}
	b.ReportMetric(float64(times[1])/float64(times[0]), "ratio")
}
