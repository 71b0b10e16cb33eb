package check

import (
	"strings"

	"mlenv/resolve/dist"
)

// Licence returns the SPDX expression for a distribution: its License-Expression, else what its
// classifiers say, else its License field if that is short. It returns "" if the licence is not
// known.
func Licence(m *dist.Metadata) string {
	const longest = 60 // some packages put the whole licence text in the field
	text := strings.TrimSpace(m.License)
	if strings.HasPrefix(m.MetadataVersion, "2.") && m.MetadataVersion >= "2.4" && text != "" && len(text) <= longest {
		return text
	}
	var ids []string
	for _, c := range m.Classifiers {
		if id := dist.ClassifiedLicence(c); id != "" {
			ids = append(ids, id)
		}
	}
	switch {
	case len(ids) > 0:
		return strings.Join(ids, " OR ")
	case len(text) <= longest && !strings.Contains(text, "\n") && !strings.EqualFold(text, "UNKNOWN"):
		return spdxAlias(text)
	}
	return ""
}

// spdxAlias returns the SPDX identifier for names of licences that many packages use instead.
func spdxAlias(text string) string {
	switch strings.ToLower(text) {
	case "apache 2.0", "apache license 2.0", "apache-2.0 license", "apache 2", "apache software license", "apache license, version 2.0":
		return "Apache-2.0"
	case "mit license", "the mit license", "mit":
		return "MIT"
	case "bsd", "bsd 3-clause", "bsd-3-clause", "3-clause bsd", "new bsd", "bsd license", "bsd 3-clause license":
		return "BSD-3-Clause"
	case "psf", "psf-2.0", "python software foundation license":
		return "PSF-2.0"
	case "isc license":
		return "ISC"
	}
	return text
}
