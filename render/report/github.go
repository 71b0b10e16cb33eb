package report

import (
	"fmt"
	"strings"

	"mlenv/resolve/finding"
)

// github writes one workflow command for each finding, which GitHub shows next to the line
// ("Workflow commands for GitHub Actions").
func (r *Report) github() []byte {
	var b strings.Builder
	for _, f := range r.Findings {
		command := "notice"
		switch f.Severity {
		case finding.Error:
			command = "error"
		case finding.Warning:
			command = "warning"
		}
		var properties []string
		o, ok := place(f)
		if ok {
			properties = append(properties, "file="+escapeProperty(r.file(o)))
			if o.Line > 0 {
				properties = append(properties, fmt.Sprintf("line=%d", o.Line))
			}
		}
		properties = append(properties, "title="+escapeProperty(string(f.Rule)))
		message := sentence(f.Message)
		if help := r.rule(f.Rule).Help; help != "" {
			message += "\n" + help
		}
		fmt.Fprintf(&b, "::%s %s::%s\n", command, strings.Join(properties, ","), escapeData(message))
	}
	return []byte(b.String())
}

// escapeData and escapeProperty escape text so that it cannot end the command or start another one.
func escapeData(s string) string {
	s = printableLines(s)
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

func escapeProperty(s string) string {
	s = printableLines(s)
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(s)
}
