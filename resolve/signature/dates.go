package signature

import (
	"regexp"
	"strings"
	"time"

	"mlenv/resolve/pattern"
)

// dateForms are the date formats that pandas recognizes by itself, as far as they occur in
// examples. All dates of a column must have the same format.
var dateForms = []struct {
	form   *regexp.Regexp
	layout string // of package time, for the date's first part
}{
	{regexp.MustCompile(`^\d{4}-\d{1,2}-\d{1,2}`), "2006-1-2"},
	{regexp.MustCompile(`^\d{4}/\d{1,2}/\d{1,2}`), "2006/1/2"},
	{regexp.MustCompile(`^\d{1,2}/\d{1,2}/\d{4}`), "1/2/2006"},
	{regexp.MustCompile(`^\d{8}`), "20060102"},
	{regexp.MustCompile(`^\d{4}-\d{2}$`), "2006-01"},
	{regexp.MustCompile(`^\d{4}$`), "2006"},
}

// clock matches what may follow the day: a time, its fraction, a time zone.
var clock = pattern.New(`^(?:([T ])(\d{2})(?::(\d{2})(?::(\d{2})(\.\d+)?)?)?\s*(Z|[+-]\d{2}:?\d{2})?)?$`)

// dateForm returns the format of a date as pandas would guess it. A format that ends in z has a
// time zone.
func dateForm(s string) (form string, ok bool) {
	s = strings.TrimSpace(s)
	for _, f := range dateForms {
		day := f.form.FindString(s)
		if day == "" {
			continue
		}
		if _, err := time.Parse(f.layout, day); err != nil {
			continue
		}
		// ISO 8601 has 24:00 and leap seconds.
		m := clock.FindStringSubmatch(s[len(day):])
		if m == nil || m[2] > "24" || m[3] > "59" || m[4] > "60" {
			return "", false
		}
		// Dates have the same format if they have the same parts; how long each is does not matter.
		form = f.layout
		for _, part := range m[1:6] {
			if form += "|"; part != "" {
				form += "x"
			}
		}
		if m[6] != "" {
			form += "z"
		}
		return form, true
	}
	return "", false
}

// validDate reports whether a date in numpy's format exists in the calendar.
func validDate(s string) bool {
	day := s
	if i := strings.IndexAny(s, "T "); i > 0 {
		day = s[:i]
	}
	for _, layout := range []string{"2006-01-02", "2006-01", "2006"} {
		if _, err := time.Parse(layout, day); err == nil {
			return true
		}
	}
	return false
}
