package check_test

import (
	"path/filepath"
	"slices"
	"testing"
)

// A false alarm is a defect: the example models are clean, but for the one that is there for what
// it has wrong.
func TestExamplesAreClean(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/MLmodel")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d examples (%v)", len(files), err)
	}
	for _, file := range files {
		var want []string
		if dir := filepath.Dir(file); filepath.Base(dir) == "disagree" {
			want = []string{"conda-packages", "conflicting-requirements", "credentials-in-url", "model-index", "python-minor-differs",
				"python-patch-differs", "requirement-in-one-file"}
		}
		got := rulesOf(checkDir(t, filepath.Dir(file)))
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", filepath.Dir(file), got, want)
		}
	}
}

// One check takes about a millisecond: reading and merging the model, and all rules but those that
// want a network.
func BenchmarkExamples(b *testing.B) {
	files, err := filepath.Glob("../../examples/*/MLmodel")
	if err != nil || len(files) == 0 {
		b.Fatal("no examples", err)
	}
	for _, file := range files {
		b.Run(filepath.Base(filepath.Dir(file)), func(b *testing.B) {
			for b.Loop() {
				if _, err := tryDir(filepath.Dir(file)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
