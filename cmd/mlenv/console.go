package main

import (
	"fmt"
	"io"
	"os"

	"mlenv/render/printable"
	"mlenv/resolve/secret"
)

// console prints for people. It is the one way to stderr: whatever it prints is rid of secrets and of
// what would steer a terminal or a CI system, because what goes into a message comes from models,
// indexes, registries and bases that nobody vouches for.
type console struct {
	out    io.Writer
	colour func(colour, string) string
}

func (a *app) console() console { return console{a.stderr, a.painter(a.stderr)} }

// printPlain prints an error where there is no app: in the process that confines itself. What it prints
// goes to the mlenv that started it, in a pipe.
func printPlain(err error) { console{out: os.Stderr}.say(err.Error()) }

// painted is a text that has been filtered, and has colours.
type painted string

// paint gives a text a colour.
func (s console) paint(c colour, text string) painted { return painted(s.colour(c, forPeople(text))) }

// forPeople is a text as people may see it.
func forPeople(text string) string { return printable.Text(secret.Redact(text)) }

// print prints what format and its arguments say. The format is mlenv's own; every argument that is
// a text, an error or prints itself is filtered.
func (s console) print(format string, args ...any) {
	filtered := make([]any, len(args))
	for i, arg := range args {
		switch arg := arg.(type) {
		case painted:
			filtered[i] = string(arg)
		case int, int64, float64, bool:
			filtered[i] = arg
		default:
			filtered[i] = forPeople(fmt.Sprint(arg))
		}
	}
	fmt.Fprintf(s.out, format+"\n", filtered...)
}

// say prints one text that has been put together already.
func (s console) say(text string) { s.print("%s", text) }
