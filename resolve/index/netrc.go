package index

import "strings"

// parseNetrc reads the machines of a netrc file. Entries without a password, and "default", are
// left out: an answer to every host is what this package must never give.
func parseNetrc(data []byte) []Credential {
	var all []Credential
	var c *Credential
	words := netrcWords(string(data))
	next := func() string {
		if len(words) == 0 {
			return ""
		}
		w := words[0]
		words = words[1:]
		return w
	}
	for len(words) > 0 {
		switch next() {
		case "machine":
			all = append(all, Credential{Host: next()})
			c = &all[len(all)-1]
		case "default":
			c = nil
		case "login":
			if v := next(); c != nil {
				c.User = v
			}
		case "password":
			if v := next(); c != nil {
				c.Password = v
			}
		case "account":
			next()
		}
	}
	kept := all[:0]
	for _, c := range all {
		if c.Host != "" && c.Password != "" {
			kept = append(kept, c)
		}
	}
	return kept
}

// netrcWords splits a netrc file into words: comments and macro definitions (up to an empty line)
// are left out, quotes and backslashes are undone.
func netrcWords(text string) []string {
	var words []string
	macro := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			macro = false
		}
		if macro || line == "" || line[0] == '#' {
			continue
		}
		for line != "" {
			var w string
			w, line = netrcWord(line)
			if w == "macdef" {
				macro = true
				break
			}
			if strings.HasPrefix(w, "#") && len(words) > 0 && words[len(words)-1] != "password" {
				break
			}
			words = append(words, w)
		}
	}
	return words
}

func netrcWord(s string) (word, rest string) {
	var b strings.Builder
	i, quoted := 0, false
	if s[0] == '"' {
		i, quoted = 1, true
	}
	for ; i < len(s); i++ {
		c := s[i]
		if c == '\\' && i+1 < len(s) {
			i++
			b.WriteByte(s[i])
			continue
		}
		if quoted && c == '"' || !quoted && (c == ' ' || c == '\t') {
			i++
			break
		}
		b.WriteByte(c)
	}
	return b.String(), strings.TrimLeft(s[i:], " \t")
}
