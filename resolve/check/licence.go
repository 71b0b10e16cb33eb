package check

import (
	"strings"

	"mlenv/resolve/dist"
)

// classified maps trove classifiers, with which old metadata names licences, to SPDX identifiers.
var classified = map[string]string{
	"MIT License": "MIT", "MIT No Attribution License (MIT-0)": "MIT-0", "Apache Software License": "Apache-2.0",
	"BSD License": "BSD-3-Clause", "ISC License (ISCL)": "ISC", "Python Software Foundation License": "PSF-2.0",
	"Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0", "The Unlicense (Unlicense)": "Unlicense", "zlib/libpng License": "Zlib",
	"GNU General Public License v2 (GPLv2)": "GPL-2.0-only", "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
	"GNU General Public License v3 (GPLv3)": "GPL-3.0-only", "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
	"GNU Lesser General Public License v2 (LGPLv2)": "LGPL-2.0-only", "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
	"GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only", "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
	"GNU Affero General Public License v3": "AGPL-3.0-only", "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
	"Academic Free License (AFL)": "AFL-3.0", "Historical Permission Notice and Disclaimer (HPND)": "HPND", "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
}

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
		if rest, ok := strings.CutPrefix(c, "License :: OSI Approved :: "); ok && classified[rest] != "" {
			ids = append(ids, classified[rest])
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
