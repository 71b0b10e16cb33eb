package resolve_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"mlenv/resolve"
	"mlenv/resolve/model"
)

// scaleShapes are models that can be made as long as one likes, each in another way; n is how long.
var scaleShapes = []struct {
	name string
	n    int
	line func(i int) string // of requirements.txt
	one  bool               // all on one line
}{
	{name: "excluded", n: 10_000, line: func(i int) string { return fmt.Sprintf("evil!=1.%d", i) }},
	{name: "excluded-below-a-bound", n: 10_000, line: func(i int) string { return fmt.Sprintf("evil<2,!=1.%d.*", 1_000_000-i) }},
	{name: "equal-lines", n: 20_000, line: func(int) string { return "evil==1.0" }},
	{name: "contradictions", n: 10_000, line: func(i int) string { return fmt.Sprintf("evil==1.%d", i) }},
	{name: "specifiers-of-a-line", n: 10_000, one: true, line: func(i int) string { return fmt.Sprintf("!=1.%d", i) }},
	{name: "markers", n: 10_000, line: func(i int) string { return fmt.Sprintf("evil!=1.%d ; python_version > '2.%d'", i, i) }},
	{name: "markers-that-contradict", n: 10_000, line: func(i int) string { return fmt.Sprintf("evil==1.%d ; python_version > '2.%d'", i, i) }},
	{name: "hashes", n: 10_000, one: true, line: func(i int) string { return fmt.Sprintf(" --hash=sha256:%064x", i) }},
	{name: "extras", n: 10_000, line: func(i int) string { return fmt.Sprintf("evil[x%d]", i) }},
	{name: "names", n: 20_000, line: func(i int) string { return fmt.Sprintf("evil%d", i) }},
	{name: "find-links", n: 10_000, line: func(i int) string { return fmt.Sprintf("--find-links https://h%d.example/", i) }},
	{name: "no-binary", n: 20_000, line: func(i int) string { return fmt.Sprintf("--no-binary x%d,:none:,y%d", i, i) }},
	{name: "credentials", n: 10_000, line: func(i int) string { return fmt.Sprintf("--extra-index-url https://u:p@h%d.example/", i) }},
}

// scaleModel returns a model of a shape.
func scaleModel(line func(i int) string, one bool, n int) fstest.MapFS {
	var b strings.Builder
	separator := "\n"
	if one {
		separator = ","
		b.WriteString("evil")
		if strings.HasPrefix(line(0), " ") {
			b.WriteString("==1")
			separator = ""
		}
	}
	for i := range n {
		if i > 0 {
			b.WriteString(separator)
		}
		b.WriteString(line(i))
	}
	return fstest.MapFS{
		"MLmodel":          {Data: []byte("flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    python_version: 3.11.9\nmlflow_version: 3.1.0\n")},
		"python_env.yaml":  {Data: []byte("python: 3.11.9\ndependencies:\n- -r requirements.txt\n")},
		"conda.yaml":       {Data: []byte("dependencies:\n- python=3.11.9\n- pip:\n  - -r requirements.txt\n")},
		"requirements.txt": {Data: []byte(b.String())},
	}
}

func resolveScale(tb testing.TB, fsys fstest.MapFS) *resolve.Spec {
	m, err := model.Read(fsys)
	if err != nil {
		tb.Fatal(err)
	}
	spec, err := resolve.Model(m, resolve.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := spec.YAML(); err != nil {
		tb.Fatal(err)
	}
	return spec
}

// BenchmarkScale prints how many times longer a model that is twice as long takes: 2 is linear, 4 is
// quadratic.
func BenchmarkScale(b *testing.B) {
	for _, shape := range scaleShapes {
		b.Run(shape.name, func(b *testing.B) {
			single, double := scaleModel(shape.line, shape.one, shape.n), scaleModel(shape.line, shape.one, 2*shape.n)
			var times [2]time.Duration
			for b.Loop() {
				for i, fsys := range []fstest.MapFS{single, double} {
					start := time.Now()
					resolveScale(b, fsys)
					times[i] += time.Since(start)
				}
			}
			b.ReportMetric(float64(times[1])/float64(times[0]), "ratio")
			b.ReportMetric(times[1].Seconds()/float64(b.N), "s/double")
		})
	}
}

// Long models come to the right result: all that they say is in the Spec, and what is said of them
// stays short.
func TestLongModels(t *testing.T) {
	for _, shape := range scaleShapes {
		spec := resolveScale(t, scaleModel(shape.line, shape.one, 3000))
		if n := len(spec.Findings); n > 3100 {
			t.Errorf("%s: %d findings", shape.name, n)
		}
		for _, f := range spec.Findings {
			if len(f.Message) > 200_000 {
				t.Errorf("%s: a message of %d bytes", shape.name, len(f.Message))
			}
		}
		switch shape.name {
		case "excluded", "excluded-below-a-bound", "specifiers-of-a-line":
			if got := len(spec.Requirements[0].Specifier.Clauses()); len(spec.Requirements) != 2 || got < 3000 { // the other is mlflow
				t.Errorf("%s: %d requirements, the first with %d clauses", shape.name, len(spec.Requirements), got)
			}
		case "extras":
			if got := len(spec.Requirements[0].Extras); got != 3000 {
				t.Errorf("%s: %d extras", shape.name, got)
			}
		}
	}
}
