package sbom

import (
	"slices"
	"strings"

	"mlenv/resolve/pattern"
)

// token matches one word of an SPDX licence expression (SPDX 2.3, Annex D).
var token = pattern.New(`^(?:(?:DocumentRef-[A-Za-z0-9.-]+:)?LicenseRef-[A-Za-z0-9.-]+|[A-Za-z0-9][A-Za-z0-9.-]*\+?)$`)

// words splits an expression; parentheses are words of their own.
func words(text string) []string {
	return strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ").Replace(text))
}

// isExpression reports whether a text has the form of an SPDX licence expression. Whether its
// identifiers are in the list of licences is not looked up: the list grows, and packages that name
// one in License-Expression were checked when they were published.
func isExpression(text string) bool {
	depth, wantLicence := 0, true
	previous := ""
	for _, w := range words(text) {
		switch {
		case w == "(":
			if !wantLicence {
				return false
			}
			depth++
		case w == ")":
			if wantLicence || depth == 0 {
				return false
			}
			depth--
		case slices.Contains([]string{"AND", "OR", "WITH"}, w):
			if wantLicence || w == "WITH" && previous == ")" {
				return false
			}
			wantLicence = true
		case !token.MatchString(w) || !wantLicence:
			return false
		default:
			wantLicence = false
		}
		previous = w
	}
	return !wantLicence && depth == 0
}

// references lists the LicenseRef- identifiers of an expression, which a document must explain.
func references(text string) []string {
	return slices.DeleteFunc(words(text), func(w string) bool { return !strings.HasPrefix(w, "LicenseRef-") })
}
