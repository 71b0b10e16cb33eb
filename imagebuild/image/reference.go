package image

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"mlenv/resolve/pattern"
)

// ParseReference reads the name of an image in a registry: "registry.example.com/churn:1". Errors
// do not show a user or password in front of it.
func ParseReference(text string) (name.Reference, error) {
	if clean := Redact(text); clean != text {
		return nil, fmt.Errorf("%q is not a reference: it must not contain a user and password", clean)
	}
	if _, rest, ok := strings.Cut(text, "://"); ok {
		return nil, fmt.Errorf("%q is not a reference: write %s", text, rest)
	}
	ref, err := name.ParseReference(text)
	if err == nil {
		return ref, nil
	}
	if _, reason := name.NewTag(text); reason != nil {
		err = reason // the more specific error
	}
	return nil, fmt.Errorf("%q is not a reference such as registry.example.com/churn:1: %w", text, err)
}

// CheckTag returns an error if tag is not valid as the name of an image in tarballs and engines.
func CheckTag(tag string) error {
	if clean := Redact(tag); clean != tag || strings.Contains(tag, "://") {
		return fmt.Errorf("%q is not a name such as churn:1", clean)
	}
	if _, err := name.NewTag(tag); err != nil {
		return fmt.Errorf("%q is not a name such as churn:1: %w", tag, err)
	}
	return nil
}

// digestEnd matches a digest at the end of a reference. There is no other use of "@" in references.
var digestEnd = pattern.New(`@[A-Za-z0-9+._-]+:[0-9A-Fa-f]{32,}$`)

// Redact returns a reference without the part before an "@" that does not start a digest.
func Redact(ref string) string {
	digest := digestEnd.FindString(ref)
	body := strings.TrimSuffix(ref, digest)
	at := strings.LastIndexByte(body, '@')
	if at < 0 {
		return ref
	}
	return "…" + body[at:] + digest
}
