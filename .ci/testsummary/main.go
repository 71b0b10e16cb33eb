// Command testsummary runs go test with the arguments it is given and prints one line for each
// package, everything of a test that failed, and at the end which tests were skipped and why.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// event is one line of go test -json (go doc cmd/test2json).
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

// summary collects the events of one run.
type summary struct {
	out     io.Writer
	output  map[string][]string // of each test, by "package test"
	skipped map[string][]string // the tests, by reason
	passed  int
	failed  int
}

func main() {
	args := append([]string{"test", "-json"}, os.Args[1:]...)
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsummary:", err)
		os.Exit(1)
	}
	s := &summary{out: os.Stdout, output: map[string][]string{}, skipped: map[string][]string{}}
	s.read(stdout)
	err = cmd.Wait()
	s.print()
	if err != nil || s.failed > 0 {
		os.Exit(1)
	}
}

func (s *summary) read(r io.Reader) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) == nil {
				s.take(e)
			} else {
				fmt.Fprint(s.out, line)
			}
		}
		if err != nil {
			return
		}
	}
}

func (s *summary) take(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		s.output[key] = append(s.output[key], e.Output)
	case "build-output":
		fmt.Fprint(s.out, e.Output)
	case "pass":
		if e.Test == "" {
			fmt.Fprintf(s.out, "ok    %s  %.1fs\n", e.Package, e.Elapsed)
		} else {
			s.passed++
		}
		delete(s.output, key)
	case "skip":
		if e.Test != "" {
			reason := why(s.output[key])
			s.skipped[reason] = append(s.skipped[reason], key)
		}
		delete(s.output, key)
	case "fail":
		s.failed++
		for _, text := range s.output[key] {
			fmt.Fprint(s.out, text)
		}
		fmt.Fprintf(s.out, "FAIL  %s\n", strings.TrimSpace(key))
		delete(s.output, key)
	}
}

var location = regexp.MustCompile(`^\s*[\w.-]+\.go:\d+: `)

// why finds what a test said when it skipped: the line that carries its place.
func why(output []string) string {
	for _, line := range slices.Backward(output) {
		if loc := location.FindStringIndex(line); loc != nil {
			return strings.TrimSpace(line[loc[1]:])
		}
	}
	return "no reason given"
}

func (s *summary) print() {
	total := 0
	for _, tests := range s.skipped {
		total += len(tests)
	}
	fmt.Fprintf(s.out, "\n%d passed, %d failed, %d skipped\n", s.passed, s.failed, total)
	reasons := slices.SortedFunc(maps.Keys(s.skipped), func(a, b string) int {
		return cmp.Or(-cmp.Compare(len(s.skipped[a]), len(s.skipped[b])), cmp.Compare(a, b))
	})
	for _, reason := range reasons {
		tests := s.skipped[reason]
		slices.Sort(tests)
		fmt.Fprintf(s.out, "  skipped %d: %s\n", len(tests), reason)
		for _, t := range tests[:min(len(tests), 3)] {
			fmt.Fprintf(s.out, "      %s\n", t)
		}
		if len(tests) > 3 {
			fmt.Fprintf(s.out, "      and %d more\n", len(tests)-3)
		}
	}
}
