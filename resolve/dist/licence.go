package dist

import "strings"

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

// ClassifiedLicence returns the SPDX identifier for a trove classifier of a licence
// ("License :: OSI Approved :: MIT License"), or "" for other classifiers. The classifier of the BSD
// licences, which does not say which one, counts as that with three clauses.
func ClassifiedLicence(classifier string) string {
	if name, ok := strings.CutPrefix(classifier, "License :: OSI Approved :: "); ok {
		return classified[name]
	}
	return ""
}
