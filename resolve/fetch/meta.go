package fetch

import (
	"strings"

	"mlenv/resolve/pattern"
)

// metaName is the file by which a downloaded model says which registered one it is.
const metaName = "registered_model_meta"

// meta gives the file that MLflow adds to a registered model that it downloads, byte for byte as it
// writes it, so that an image of the model is the same wherever the model came from. A directory within one is not it.
func (s *Source) meta() map[string][]byte {
	if s.Name == "" || s.Path != "" {
		return nil
	}
	return map[string][]byte{metaName: []byte("model_name: " + scalar(s.Name) + "\nmodel_version: '" + s.Version + "'\n")}
}

// notText is what YAML 1.1 takes for something else than text, as PyYAML's resolver has it.
var notText = pattern.New(`^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF` +
	`|~|null|Null|NULL|=|<<` +
	`|[-+]?0b[01_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+` +
	`|[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*` +
	`|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)` +
	`|[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::?[0-9]{2})?))?)$`)

// scalar writes text as PyYAML does: plain where that means the same text, else in single quotes. A
// registry allows no control characters in names, for which there would be a third way.
func scalar(text string) string {
	switch {
	case text == "" || notText.MatchString(text),
		strings.ContainsAny(text[:1], "#,[]{}&*!|>'\"%@`"),
		strings.ContainsAny(text[:1], "-?:") && (len(text) == 1 || text[1] == ' '),
		strings.HasPrefix(text, "---") || strings.HasPrefix(text, "..."),
		strings.HasPrefix(text, " ") || strings.HasSuffix(text, " "),
		strings.Contains(text, ": ") || strings.HasSuffix(text, ":") || strings.Contains(text, " #"):
		return "'" + strings.ReplaceAll(text, "'", "''") + "'"
	}
	return text
}
