package image_test

import (
	"strings"
	"testing"

	"mlenv/imagebuild/image"
)

const someDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// TestReference tells good references from bad ones, and never shows what stands before an "@".
func TestReference(t *testing.T) {
	tests := map[string]bool{
		"churn":                                             true,
		"registry.example/models/churn:1":                   true,
		"127.0.0.1:5000/churn:1":                            true,
		"registry.example/churn@" + someDigest:              true,
		"registry.example/churn:1@" + someDigest:            true,
		"":                                                  false,
		"registry.example/UPPER:1":                          false,
		"registry.example/churn:a tag":                      false,
		"https://registry.example/churn:1":                  false,
		"user:hunter2@registry.example/churn:1":             false,
		"hunter2@registry.example/churn:1":                  false,
		"user:hun/ter2@registry.example/churn":              false,
		"user:x@hunter2@registry.example/churn:1":           false,
		"user:hunter2@registry.example/churn@" + someDigest: false,
		"https://user:hunter2@registry.example/churn:1":     false,
	}
	for text, good := range tests {
		_, err := image.ParseReference(text)
		if (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
		if good {
			if image.Redact(text) != text {
				t.Errorf("%s became %s", text, image.Redact(text))
			}
			continue
		}
		for _, err := range []error{err, image.CheckTag(text)} {
			if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "ter2") {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
}
