package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// choice is the value of a flag that takes one of a few words. The first word is the default.
type choice struct {
	words []string
	value string
}

// choiceFlag makes a flag whose value must be one of words; the first of them is the default.
// Read it with c.String(name).
func choiceFlag(name, usage string, words ...string) *cli.GenericFlag {
	return &cli.GenericFlag{
		Name:  name,
		Usage: usage + ": " + strings.Join(words, ", "),
		Value: &choice{words: words, value: words[0]},
	}
}

// Set takes one of the words.
func (c *choice) Set(s string) error {
	if !slices.Contains(c.words, s) {
		return fmt.Errorf("want %s", oneOf(c.words))
	}
	c.value = s
	return nil
}

// String gives the chosen word.
func (c *choice) String() string { return c.value }

func oneOf(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
