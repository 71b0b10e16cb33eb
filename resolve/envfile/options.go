package envfile

import (
	"fmt"
	"slices"
	"strings"
)

// option is one option on a line of a requirements file.
type option struct {
	name  string // one of the values of optionNames
	value string // "" for a switch
}

// optionNames maps the long names of the options that pip accepts in a requirements file to the
// names used here. It has those that mlenv does not act on, too: as to pip, they are no mistake, and an
// abbreviation that fits one of them is ambiguous.
var optionNames = map[string]string{
	"--requirement":       "requirement",
	"--constraint":        "constraint",
	"--editable":          "editable",
	"--index-url":         "index-url",
	"--pypi-url":          "index-url",
	"--extra-index-url":   "extra-index-url",
	"--find-links":        "find-links",
	"--no-index":          "no-index",
	"--pre":               "pre",
	"--hash":              "hash",
	"--no-binary":         "no-binary",
	"--only-binary":       "only-binary",
	"--trusted-host":      "trusted-host",
	"--prefer-binary":     "prefer-binary",
	"--require-hashes":    "require-hashes",
	"--no-require-hashes": "no-require-hashes",
	"--all-releases":      "all-releases",
	"--only-final":        "only-final",
	"--use-feature":       "use-feature",
	"--global-option":     "global-option",
	"--config-settings":   "config-settings",
}

var shortOptions = map[byte]string{
	'r': "requirement",
	'c': "constraint",
	'e': "editable",
	'i': "index-url",
	'f': "find-links",
	'C': "config-settings",
}

// isSwitch reports whether an option takes no value. The word after any other option is its value, even
// if it begins with a dash, as optparse has it.
func isSwitch(name string) bool {
	switch name {
	case "no-index", "pre", "prefer-binary", "require-hashes", "no-require-hashes":
		return true
	}
	return false
}

// splitLine splits a line before its first word that starts with a dash. The part before it is a
// requirement, whose quotes must be kept, for they are part of a marker; the rest are options. Words are
// what spaces separate, not tabs: pip splits the same way.
func splitLine(text string) (requirement, options string) {
	start := 0
	for {
		if strings.HasPrefix(text[start:], "-") {
			return strings.TrimFunc(text[:start], isSpace), text[start:]
		}
		i := strings.IndexByte(text[start:], ' ')
		if i < 0 {
			return strings.TrimFunc(text, isSpace), ""
		}
		start += i + 1
	}
}

// parseOptions reads options as Python's optparse does: names may be abbreviated if that is not
// ambiguous, and a value may follow the name directly, after "=", or in the next word. It also
// returns the words that are not options.
func parseOptions(words []string) (opts []option, other []string, err error) {
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		var o option
		var value string
		glued := false
		switch {
		case word == "--":
			return opts, append(other, words...), nil
		case strings.HasPrefix(word, "--"):
			var long string
			long, value, glued = strings.Cut(word, "=")
			if o.name, err = longOption(long); err != nil {
				return nil, nil, err
			}
			if glued && isSwitch(o.name) {
				return nil, nil, fmt.Errorf("the option --%s takes no value", o.name)
			}
		case strings.HasPrefix(word, "-") && len(word) > 1:
			// Every short option takes a value, so they cannot be combined as in -ab.
			if o.name = shortOptions[word[1]]; o.name == "" {
				return nil, nil, fmt.Errorf("there is no option %q in requirements files", firstRune(word[1:]))
			}
			value, glued = word[2:], len(word) > 2
		default:
			other = append(other, word)
			continue
		}
		if !isSwitch(o.name) && !glued {
			if len(words) == 0 {
				return nil, nil, fmt.Errorf("the option --%s needs a value", o.name)
			}
			value, words = words[0], words[1:]
		}
		o.value = value
		opts = append(opts, o)
	}
	return opts, other, nil
}

func firstRune(s string) string {
	for _, r := range s {
		return "-" + string(r)
	}
	return "-"
}

func longOption(long string) (string, error) {
	if name, ok := optionNames[long]; ok {
		return name, nil
	}
	var possible []string
	for full := range optionNames {
		if strings.HasPrefix(full, long) {
			possible = append(possible, full)
		}
	}
	slices.Sort(possible)
	switch len(possible) {
	case 0:
		return "", fmt.Errorf("there is no option %q in requirements files", long)
	case 1:
		return optionNames[possible[0]], nil
	}
	return "", fmt.Errorf("the option %s may be any of %s", long, strings.Join(possible, ", "))
}

// optionText returns the text of options, each preceded by a space.
func optionText(opts []option) string {
	var b strings.Builder
	for _, o := range opts {
		b.WriteString(" --" + o.name)
		if !isSwitch(o.name) {
			b.WriteString(" " + o.value)
		}
	}
	return b.String()
}

// first returns the first value of an option. That is the one pip uses if it expects only one.
func first(opts []option, name string) (string, bool) {
	for _, o := range opts {
		if o.name == name {
			return o.value, true
		}
	}
	return "", false
}
