package resolve_test

import (
	"testing"

	"mlenv/resolve"
	"mlenv/resolve/model"
)

// BenchmarkResolve is all that mlenv resolve does between reading the arguments and printing.
func BenchmarkResolve(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		m, err := model.Open("../examples/sklearn")
		if err != nil {
			b.Fatal(err)
		}
		spec, err := resolve.Model(m, resolve.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := spec.YAML(); err != nil {
			b.Fatal(err)
		}
		m.Close()
	}
}
