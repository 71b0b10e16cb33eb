// Package pattern has regular expressions that are compiled when they are first used. A command uses a
// few of the hundred that all packages together have, and compiling all of them takes milliseconds: a
// good part of what the short commands take at all.
package pattern

import (
	"regexp"
	"sync"
)

// A Pattern is a regular expression in the syntax of package regexp, whose methods it has. It may be used
// by many goroutines at once.
type Pattern struct {
	text string
	once sync.Once
	re   *regexp.Regexp
}

// New gives the pattern of a regular expression. One that is not valid panics when it is used.
func New(text string) *Pattern { return &Pattern{text: text} }

// Regexp gives the compiled expression.
func (p *Pattern) Regexp() *regexp.Regexp {
	p.once.Do(func() { p.re = regexp.MustCompile(p.text) })
	return p.re
}

// MatchString reports whether a part of s matches.
func (p *Pattern) MatchString(s string) bool { return p.Regexp().MatchString(s) }

// FindString gives the leftmost match, "" if there is none.
func (p *Pattern) FindString(s string) string { return p.Regexp().FindString(s) }

// FindStringSubmatch gives the leftmost match and those of its groups, nil if there is none.
func (p *Pattern) FindStringSubmatch(s string) []string { return p.Regexp().FindStringSubmatch(s) }

// ReplaceAllString replaces all matches by a text, in which $1 stands for the first group.
func (p *Pattern) ReplaceAllString(s, by string) string { return p.Regexp().ReplaceAllString(s, by) }
