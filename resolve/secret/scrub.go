package secret

import (
	"strings"

	"mlenv/resolve/pattern"
)

var (
	urlStart  = pattern.New(`[A-Za-z][A-Za-z0-9+.-]*:(?:/{2,}|\\{2})`)
	goodPort  = pattern.New(`^(?:[0-9]*|\$\{[A-Z0-9_]+\})$`)
	condaPath = pattern.New(`(://[^/\s]+)/t/[^/\s'"]+`)
)

// variableOnly matches a user and password of which the secret part is the name of an environment
// variable: pip puts in the value, and what is written is no secret.
var variableOnly = pattern.New(`^(?:[^:]*:)?\$\{[A-Z0-9_]+\}$`)

// container matches what a URI of Azure's storage has where others have a user: the container, which is no secret.
var container = pattern.New(`^(?i:(?:wasbs?|abfss?)://[a-z0-9$-]{1,63}@)$`)

// Variable gives the environment variable that stands for the secret in a URL, as "${NAME}"; "" where
// there is none.
func Variable(text string) string {
	for _, at := range urlStart.Regexp().FindAllStringIndex(text, -1) {
		rest := text[at[1]:]
		if n := userinfo(rest); n > 0 && variableOnly.MatchString(rest[:n-1]) {
			return rest[strings.LastIndex(rest[:n], "${") : n-1]
		}
	}
	return ""
}

// Scrub removes the credentials from every URL in a text: the user and password before the host,
// a query that gives access, such as a token or a signature, and the token in a conda channel's
// "/t/TOKEN/" path. A user without a password is kept if it is
// not a secret: "git", any user of an ssh URL, and what is a container of Azure's storage. Scrub reports whether it removed anything.
func Scrub(text string) (string, bool) {
	clean, _, found := Take(text)
	return clean, found
}

// Take is Scrub that also gives the http and https URLs that had a secret, with it.
func Take(text string) (clean string, secrets []string, found bool) {
	if !strings.Contains(text, ":") {
		return text, nil, false
	}
	var out strings.Builder
	for {
		at := urlStart.Regexp().FindStringIndex(text)
		if at == nil {
			break
		}
		out.WriteString(text[:at[1]])
		scheme := strings.ToLower(text[at[0]:at[1]])
		rest := text[at[1]:]
		taken := false
		n := userinfo(rest)
		whole := scheme + rest[:n+endOfURL(rest[n:])]
		if n > 0 {
			user, _, hasPassword := strings.Cut(rest[:n-1], ":")
			if hasPassword || !strings.Contains(scheme, "ssh") && user != "git" && !container.MatchString(scheme+rest[:n]) {
				taken = !variableOnly.MatchString(rest[:n-1])
				rest = rest[n:]
			}
		}
		if clean, ok := cutQuery(rest); ok {
			taken, rest = true, clean
		}
		if found = found || taken; taken && strings.HasPrefix(scheme, "http") {
			secrets = append(secrets, whole)
		}
		text = rest
	}
	out.WriteString(text)
	clean = out.String()
	if masked := condaPath.ReplaceAllString(clean, "$1"); masked != clean {
		return masked, secrets, true
	}
	return clean, secrets, found
}

// cutQuery removes the query of the URL whose rest a text begins with, if it gives access.
func cutQuery(rest string) (string, bool) {
	end := endOfURL(rest)
	at := strings.IndexByte(rest[:end], '?')
	if at < 0 {
		return rest, false
	}
	if i := strings.IndexByte(rest[at:end], '#'); i >= 0 {
		end = at + i
	}
	if !QueryIsSecret(rest[at+1 : end]) {
		return rest, false
	}
	return rest[:at] + rest[end:], true
}

// endOfURL returns the length of what of a text can still belong to a URL.
func endOfURL(text string) int {
	if i := strings.IndexAny(text, " \t\r\n\"'<>"); i >= 0 {
		return i
	}
	return len(text)
}

// literal is an authority that is an IPv6 address, with or without a port. A bracket alone is none: it may as
// well begin a user's name.
var literal = pattern.New(`^\[[0-9A-Fa-f:.]+(?:%[^\]@]*)?\](?::\d*)?$`)

// userinfo returns the length of "user:password@" at the start of what follows "scheme://", or 0. A
// password with a slash in it that was not escaped makes what looks like a host with an odd port;
// it is taken as a password all the same, for it is one.
func userinfo(rest string) int {
	end := strings.IndexAny(rest, " \t\r\n")
	if end < 0 {
		end = len(rest)
	}
	whole := rest[:end]
	authority := whole
	if i := strings.IndexAny(whole, `/?#\`); i >= 0 {
		authority = whole[:i]
	}
	if i := strings.LastIndex(authority, "@"); i >= 0 {
		return i + 1
	}
	_, port, ok := strings.Cut(authority, ":")
	if literal.MatchString(authority) || !ok || goodPort.MatchString(port) {
		return 0
	}
	return strings.LastIndex(whole, "@") + 1
}
