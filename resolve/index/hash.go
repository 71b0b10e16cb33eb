package index

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"strings"

	"mlenv/resolve/dist"
)

// algorithms are the hashes that are checked, the strongest first. SHA-256 is what the standards
// recommend and all indexes give; the weak ones are checked where a page has nothing better, as
// pip does, because they still show a broken transfer.
var algorithms = []struct {
	name string
	make func() hash.Hash
}{
	{"sha512", sha512.New},
	{"sha384", sha512.New384},
	{"sha256", sha256.New},
	{"sha224", sha256.New224},
	{"sha1", sha1.New},
	{"md5", md5.New},
}

func knownHash(name string) bool {
	for _, a := range algorithms {
		if strings.EqualFold(a.name, name) {
			return true
		}
	}
	return false
}

// strongest picks the hash to check; make is nil if there is none that is known.
func strongest(hashes map[string]string) (name, want string, make func() hash.Hash) {
	for _, a := range algorithms {
		if h := hashes[a.name]; h != "" {
			return a.name, strings.ToLower(h), a.make
		}
	}
	return "", "", nil
}

// sha256Of gives the SHA-256 that is promised of a file, in lower case; "" where there is none.
func sha256Of(f dist.File) string {
	sha := strings.ToLower(f.Hashes["sha256"])
	if len(sha) != 2*sha256.Size || strings.Trim(sha, "0123456789abcdef") != "" {
		return ""
	}
	return sha
}
