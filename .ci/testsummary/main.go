// Command testsummary runs go test with the arguments it is given and prints one line for each
// package, everything of a test that failed or never ended, and at the end which packages ran out of
// time, in which tests, and which tests were skipped and why.
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
	output  map[string][]string // of each test that has not ended, by "package test"
	skipped map[string][]string // the tests, by reason
	late    []string            // what is to be said of packages that ran out of time
	passed  int
	failed  int
}

func main() { os.Exit(run(".", os.Args[1:], os.Stdout, os.Stderr)) }

// run runs go test in a directory and gives the exit code.
func run(dir string, args []string, stdout, stderr io.Writer) int {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Dir, cmd.Stderr = dir, stderr
	lines, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(stderr, "testsummary:", err)
		return 1
	}
	s := &summary{out: stdout, output: map[string][]string{}, skipped: map[string][]string{}}
	s.read(lines)
	err = cmd.Wait()
	s.print()
	if err != nil || s.failed > 0 {
		return 1
	}
	return 0
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
		if e.Test == "" {
			s.giveUp(e.Package)
		}
		s.say(key, "")
	}
}

// say says that a test or package failed, after all that it printed.
func (s *summary) say(key, remark string) {
	for _, text := range s.output[key] {
		fmt.Fprint(s.out, text)
	}
	fmt.Fprintf(s.out, "FAIL  %s%s\n", strings.TrimSpace(key), remark)
	delete(s.output, key)
}

// giveUp prints the tests of a package that have not ended when the package has: its process ended
// within them.
func (s *summary) giveUp(pkg string) {
	for _, key := range slices.Sorted(maps.Keys(s.output)) {
		if !strings.HasPrefix(key, pkg+" ") {
			continue
		}
		if late := outOfTime(pkg, s.output[key]); late != "" {
			s.late = append(s.late, late)
		}
		quiet := !slices.ContainsFunc(s.output[key], func(line string) bool { return !strings.HasPrefix(line, "=== ") })
		if key == pkg+" " || quiet { // a test that waits for its subtests, or for its turn
			continue
		}
		s.say(key, "  unfinished")
	}
}

var timedOut = regexp.MustCompile(`^panic: test timed out after (\S+)`)

// outOfTime reads what package testing prints when a package has used up its -timeout, and says
// which tests were running. It is "" for other output.
func outOfTime(pkg string, output []string) string {
	var b strings.Builder
	for _, line := range output {
		text := strings.TrimSpace(line)
		if m := timedOut.FindStringSubmatch(line); m != nil {
			fmt.Fprintf(&b, "  %s ran out of time after %s; -timeout allows more. What was running:\n", pkg, m[1])
		} else if b.Len() > 0 && text == "" {
			break
		} else if b.Len() > 0 && text != "running tests:" {
			fmt.Fprintf(&b, "      %s\n", text)
		}
	}
	return b.String()
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
	for _, text := range s.late {
		fmt.Fprint(s.out, text)
	}
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
