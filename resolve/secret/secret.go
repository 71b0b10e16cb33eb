// Package secret keeps passwords and tokens out of what is shown and stored.
//
// A URL can hold a secret in two places: before its host ("https://user:password@host") and in its
// query ("?token=…", the signed addresses of object stores). There are two ways to be rid of it.
// Take is for parsing: it takes away no more than is certain, gives what remains as the URL to work
// with, and keeps the whole for asking that URL. Redact is for showing: it would rather hide too
// much than too little, and also knows URLs that no parser accepts, for those are what errors are
// about. A value that may be a secret as a whole, such as a switch that somebody set to a password,
// is not shown at all.
package secret

import (
	"fmt"
	"strings"

	"mlenv/resolve/pattern"
)

// Text is a text that may hold a secret. However it is printed, formatted or marshalled, it gives
// its redacted form; only Reveal gives the text itself.
type Text struct{ text string }

// New makes a Text. White space around it is no part of it: a secret that a file or a CI system
// provides often ends in a newline.
func New(text string) Text { return Text{strings.TrimSpace(text)} }

// Reveal returns the text, secrets and all.
func (t Text) Reveal() string { return t.text }

// String returns the text as it may be shown; see URL.
func (t Text) String() string { return URL(t.text) }

// Format implements fmt.Formatter for every verb, %#v included.
func (t Text) Format(f fmt.State, verb rune) {
	if verb == 'v' {
		verb = 's' // %#v would name the type's fields
	}
	fmt.Fprintf(f, fmt.FormatString(plain{f}, verb), t.String())
}

// plain hides the flag # from FormatString.
type plain struct{ fmt.State }

func (p plain) Flag(c int) bool { return c != '#' && p.State.Flag(c) }

// MarshalText implements encoding.TextMarshaler, and so serves JSON and YAML.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// URL returns a text that is meant to be one URL as it may be shown, whether or not it parses as
// one: without everything before the last "@" of its authority, without query and fragment. Where
// white space makes it unclear what the authority is, everything before the last "@" is hidden.
func URL(text string) string {
	text = strings.TrimSpace(text)
	if i := strings.IndexAny(text, "?#"); i >= 0 && !strings.Contains(text[i:], "@") {
		text = text[:i]
	}
	scheme := ""
	if at := urlStart.Regexp().FindStringIndex(text); at != nil && at[0] == 0 {
		scheme, text = text[:at[1]], text[at[1]:]
	}
	last := strings.LastIndexByte(text, '@')
	switch {
	case last >= 0 && scheme == "":
		return "…" + text[last:]
	case last >= 0 && strings.ContainsAny(text, " \t\r\n") && !container.MatchString(scheme+text[:last+1]):
		text = text[last+1:]
	}
	return Redact(scheme + text)
}

// Redact returns a text with URLs in it as it may be shown: without users and passwords, even where
// white space or a slash in a password keeps the URL from being one, and without queries.
func Redact(text string) string {
	if !strings.ContainsAny(text, ":?") {
		return text
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.ContainsAny(line, ":?") {
			lines[i] = redactLine(line)
		}
	}
	return strings.Join(lines, "\n")
}

func redactLine(line string) string {
	clean, _ := Scrub(line)
	clean = optionUser.ReplaceAllString(clean, "$1")
	// A client's error may name a redirect's target without its scheme and host.
	clean = relativeQuery.ReplaceAllString(clean, "/$1?…")
	starts := urlStart.Regexp().FindAllStringIndex(clean, -1)
	if starts == nil {
		return clean
	}
	var out strings.Builder
	out.WriteString(clean[:starts[0][0]])
	for i, at := range starts {
		end := len(clean)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		out.WriteString(clean[at[0]:at[1]])
		rest := clean[at[1]:end]
		if n := loose(rest); n > 0 && !container.MatchString(clean[at[0]:at[1]]+rest[:n]) {
			rest = rest[n:]
		}
		out.WriteString(hideQuery(rest))
	}
	return out.String()
}

// hideQuery replaces the query of the URL whose rest a text begins with.
func hideQuery(rest string) string {
	url := rest[:endOfURL(rest)]
	question := strings.IndexByte(url, '?')
	if question < 0 || question == len(url)-1 {
		return rest
	}
	end := len(url)
	if i := strings.IndexByte(url[question:], '#'); i >= 0 {
		end = question + i
	}
	if trailing := strings.TrimRight(url[question+1:end], ".,;:)]}"); trailing == "" || trailing == "…" {
		return rest // a question mark that ends a sentence, or a query that is hidden already
	}
	return rest[:question] + "?…" + rest[end:]
}

// optionUser is pip's option for a host, with a user before a host that has no scheme.
var optionUser = pattern.New(`((?:^|\s)(?:-[if]|--(?:index-url|extra-index-url|find-links|trusted-host))(?:\s+|=|\s*"))[^\s/"@]*:[^\s/"@]*@`)

// relativeQuery is a quoted path with a query.
var relativeQuery = pattern.New(`(?:^|\B)/([^\s?"'<>]*)\?[^\s"'<>#]*=[^\s"'<>#]*`)

// HasSpace reports whether the user or password of a URL in a line seems to hold white space, which
// no URL may: a parser would take the secret's second half for something else, and show it.
func HasSpace(line string) bool {
	starts := urlStart.Regexp().FindAllStringIndex(line, -1)
	for i, at := range starts {
		end := len(line)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		rest := line[at[1]:end]
		if n := loose(rest); userinfo(rest) == 0 && n > 0 && n < len(rest) && !strings.ContainsAny(rest[n:n+1], " \t\r") {
			return true // and not the "@" of a requirement: "name @ https://…"
		}
	}
	return false
}

// loose returns the length of what may be "user:password@" with white space in it, or 0. It is
// taken for one where the first word is a bare authority ("user", "user:12"), or has what can be no
// port.
func loose(rest string) int {
	space := strings.IndexAny(rest, " \t\r")
	at := strings.LastIndexByte(rest, '@')
	if space < 0 || at < space {
		return 0
	}
	word := rest[:space]
	authority, path := word, false
	if i := strings.IndexAny(word, `/?#\`); i >= 0 {
		authority, path = word[:i], true
	}
	if strings.Contains(authority, "@") || literal.MatchString(authority) {
		return 0
	}
	_, port, ok := strings.Cut(authority, ":")
	if !path || ok && !goodPort.MatchString(port) {
		return at + 1
	}
	return 0
}

// secretParameter is the name of a query's parameter that gives access by itself: those of signed
// addresses (Amazon, Google, Azure, Alibaba) and what services call their tokens.
var secretParameter = pattern.New(`(?i)^(?:x-(?:amz|goog|oss|ms)-(?:signature|credential|security-token)|awsaccesskeyid|googleaccessid|ossaccesskeyid|key-pair-id|policy|sig|.*(?:signature|token|secret|passw(?:or)?d|passwd|credential|apikey|api[_-]key|auth|session|hdnea|hdnts|hmac).*|key|pw|pass|jwt|sas|sign|ticket)$`)

// thingParameter is the name of a parameter that says which thing is meant. Its value may look drawn by
// lot, as a hash does, but gives no access, and without it the address would be another's.
var thingParameter = pattern.New(`(?i)^(?:version[_-]?id|generation|x?sha[0-9-]*|md5|checksum|digest|hash|commit|rev|revision|ref|etag|(?:uu|gu)?id)$`)

// QueryIsSecret reports whether a query, without its "?", holds what gives access: by the names of its
// parameters or, since nobody knows all names, by what their values look like.
func QueryIsSecret(query string) bool {
	for _, pair := range strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' }) {
		name, value, _ := strings.Cut(pair, "=")
		if value != "" && (secretParameter.MatchString(name) || drawn(value) && !thingParameter.MatchString(name)) {
			return true
		}
	}
	return false
}

// drawn reports whether a value looks drawn by lot, as keys and signatures do: twenty letters and digits
// in a row that change six times between capitals, small letters and digits. A word, a date, a number or
// the name of a file do not. To take too much costs little: an address on a page is found again.
func drawn(value string) bool {
	length, changes, last := 0, 0, byte(0)
	for i := range len(value) {
		var class byte
		switch c := value[i]; {
		case '0' <= c && c <= '9':
			class = '0'
		case 'a' <= c && c <= 'z':
			class = 'a'
		case 'A' <= c && c <= 'Z':
			class = 'A'
		default:
			length, changes, last = 0, 0, 0
			continue
		}
		if length > 0 && class != last {
			changes++
		}
		if length, last = length+1, class; length >= 20 && changes >= 6 {
			return true
		}
	}
	return false
}
