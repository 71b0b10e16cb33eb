package fetch

import (
	"regexp"
	"strings"
)

// metaName is the file by which a downloaded model says which registered one it is.
const metaName = "registered_model_meta"

// meta gives the file that MLflow adds to a registered model that it downloads, byte for byte as it
// writes it, so that an image of the model is the same wherever the model came from.
func (s *Source) meta() map[string][]byte {
	if s.Name == "" {
		return nil
	}
	return map[string][]byte{metaName: []byte("model_name: " + scalar(s.Name) + "\nmodel_version: '" + s.Version + "'\n")}
}

var (
	// plainScalar is a subset of what PyYAML writes without quotes.
	plainScalar = regexp.MustCompile(`^[\p{L}_./][\p{L}\p{N}_. /@+()-]*$`)
	// notText is what YAML 1.1 takes for a boolean or null, or for a number that begins with a letter or dot.
	notText = regexp.MustCompile(`(?i)^(?:y|n|yes|no|on|off|true|false|null|~|\.inf|\.nan|\.[0-9_]+)$`)
)

// scalar writes text as PyYAML does: plain where that means the same text, else in single quotes.
func scalar(text string) string {
	if plainScalar.MatchString(text) && !notText.MatchString(text) && !strings.HasSuffix(text, " ") {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}
