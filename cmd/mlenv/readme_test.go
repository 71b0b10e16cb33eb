package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// transcript is a block of the README: a command line, and all that it prints.
var transcript = regexp.MustCompile("(?s)```\n\\$ \\./mlenv ([^\n]*)\n(.*?)```\n")

// The README's transcripts are what the commands print, stdout first.
func TestREADMETranscripts(t *testing.T) {
	t.Chdir("../..")
	data, err := os.ReadFile("README.md")
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
		t.Fatal("no transcript in the README")
	}
	golden(t, "README.md", got)
}
