package image

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// ParseReference reads the name of an image in a registry: "registry.example.com/churn:1". No error
// shows a user or password that stands before it.
func ParseReference(text string) (name.Reference, error) {
	if clean := Redact(text); clean != text {
		return nil, fmt.Errorf("%q is no reference: a user and password do not belong into it", clean)
	}
	if _, rest, ok := strings.Cut(text, "://"); ok {
		return nil, fmt.Errorf("%q is no reference: write %s", text, rest)
	}
	ref, err := name.ParseReference(text)
	if err == nil {
		return ref, nil
	}
	if _, reason := name.NewTag(text); reason != nil {
		err = reason // says more
	}
	return nil, fmt.Errorf("%q is no reference such as registry.example.com/churn:1: %w", text, err)
}

// CheckTag tells what is wrong with the name of an image in tarballs and engines.
func CheckTag(tag string) error {
	if clean := Redact(tag); clean != tag || strings.Contains(tag, "://") {
		return fmt.Errorf("%q is no name such as churn:1", clean)
	}
	if _, err := name.NewTag(tag); err != nil {
		return fmt.Errorf("%q is no name such as churn:1: %w", tag, err)
	}
	return nil
}

// digestEnd is a digest behind a name. No other "@" belongs into a reference.
var digestEnd = regexp.MustCompile(`@[A-Za-z0-9+._-]+:[0-9A-Fa-f]{32,}$`)

// Redact returns a reference without what stands before an "@" that is not a digest's.
func Redact(ref string) string {
	digest := digestEnd.FindString(ref)
	body := strings.TrimSuffix(ref, digest)
	at := strings.LastIndexByte(body, '@')
	if at < 0 {
		return ref
	}
	return "…" + body[at:] + digest
}
