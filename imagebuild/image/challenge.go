package image

import (
	"net/http"
	"strings"
)

// challenge is one way to authenticate that a server offers (RFC 9110, section 11.6.1).
type challenge struct {
	scheme string            // in lower case: "basic", "bearer"
	params map[string]string // by lower-case name
}

// parseChallenges reads the WWW-Authenticate headers of a response. There can be several headers,
// several challenges in each, and parameters after each challenge. Whatever cannot be parsed is
// skipped, as another challenge may be usable.
func parseChallenges(h http.Header) []challenge {
	var out []challenge
	for _, line := range h.Values("WWW-Authenticate") {
		out = append(out, parseChallengeLine(line)...)
	}
	return out
}

func parseChallengeLine(s string) (out []challenge) {
	for {
		// Some schemes have a token68 instead of parameters, which may end in "=".
		s = strings.TrimLeft(s, " \t,=")
		word, rest := cutToken(s)
		if word == "" {
			return out
		}
		value, isParam := strings.CutPrefix(strings.TrimLeft(rest, " \t"), "=")
		if !isParam || len(out) == 0 {
			out = append(out, challenge{scheme: strings.ToLower(word), params: map[string]string{}})
			s = rest
			continue
		}
		var text string
		text, s = cutValue(strings.TrimLeft(value, " \t"))
		out[len(out)-1].params[strings.ToLower(word)] = text
	}
}

// cutToken splits off a token (RFC 9110, section 5.6.2).
func cutToken(s string) (token, rest string) {
	end := strings.IndexFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
	if end < 0 {
		end = len(s)
	}
	return s[:end], s[end:]
}

// cutValue splits off a token or a quoted string. An unterminated string extends to the end.
func cutValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		return cutToken(s)
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:]
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}

// find returns the challenge with a scheme, and whether there is one.
func find(list []challenge, scheme string) (challenge, bool) {
	for _, c := range list {
		if c.scheme == scheme {
			return c, true
		}
	}
	return challenge{}, false
}
