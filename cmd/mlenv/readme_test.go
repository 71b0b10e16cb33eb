package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// transcript is a block of a document: a command line, and all that it prints.
var transcript = regexp.MustCompile("(?s)```\n\\$ \\./mlenv ([^\n]*)\n(.*?)```\n")

// The transcripts of these documents are what the commands print, stdout first.
func TestTranscripts(t *testing.T) {
	t.Chdir("../..")
	for _, name := range []string{"README.md", "docs/how-it-works.md"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		got := transcript.ReplaceAllStringFunc(string(data), func(block string) string {
			args := transcript.FindStringSubmatch(block)[1]
			seen++
			stdout, stderr, _ := command(t, nil, strings.Fields(args)...)
			return "```\n$ ./mlenv " + args + "\n" + stdout + stderr + "```\n"
		})
		if seen == 0 {
			t.Fatalf("no transcript in %s", name)
		}
		golden(t, name, got)
	}
}
