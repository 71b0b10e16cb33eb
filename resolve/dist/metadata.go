package dist

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// Metadata holds the parts of a distribution's core metadata that mlenv uses.
type Metadata struct {
	MetadataVersion string
	Name            pep508.Name
	Version         pep440.Version
	RequiresPython  pep440.Specifiers
	RequiresDist    []pep508.Requirement
	ProvidesExtra   []pep508.Name
	License         string // License-Expression, else License
	Expression      string // License-Expression (PEP 639), an SPDX expression
	Classifiers     []string
	Dynamic         []string // names of fields, in lower case
	Invalid         []string // Requires-Dist lines that are not PEP 508, kept as text
	// InvalidPython is a Requires-Python that cannot be parsed and is therefore ignored.
	InvalidPython string
}

// ParseMetadata reads a METADATA or PKG-INFO file (core metadata 1.0 to 2.4): the fields of an RFC
// 822 header, with folded lines joined, up to the first line that is not a field. Name and Version
// are required. Other fields that are wrong are repaired or set aside, and never an error: such
// packages are published and pip installs them.
func ParseMetadata(data []byte) (*Metadata, error) {
	m := &Metadata{}
	extras := map[pep508.Name]bool{}
	var name, version, expression, license string
	for field, value := range fields(data) {
		switch field {
		case "metadata-version":
			keepFirst(&m.MetadataVersion, value)
		case "name":
			keepFirst(&name, value)
		case "version":
			keepFirst(&version, value)
		case "license-expression":
			keepFirst(&expression, value)
		case "license":
			keepFirst(&license, value)
		case "classifier":
			m.Classifiers = append(m.Classifiers, value)
		case "dynamic":
			m.Dynamic = append(m.Dynamic, strings.ToLower(value))
		case "provides-extra":
			if extra := pep508.NormalizeName(value); !extras[extra] {
				extras[extra] = true
				m.ProvidesExtra = append(m.ProvidesExtra, extra)
			}
		case "requires-dist":
			m.addRequirement(unfold(value))
		case "requires-python":
			if m.RequiresPython.IsZero() && m.InvalidPython == "" {
				m.setPython(unfold(value))
			}
		}
	}
	if name == "" {
		return nil, errors.New("reading metadata: no Name")
	}
	if !pep508.ValidName(name) {
		return nil, fmt.Errorf("reading metadata: Name %q is not a valid project name", name)
	}
	m.Name = pep508.NormalizeName(name)
	var err error
	if m.Version, err = pep440.Parse(version); err != nil {
		return nil, fmt.Errorf("reading metadata of %s: Version %w", m.Name, err)
	}
	m.Expression = expression
	if m.License = expression; expression == "" && license != "UNKNOWN" {
		m.License = license
	}
	return m, nil
}

func keepFirst(to *string, value string) {
	if *to == "" {
		*to = value
	}
}

func (m *Metadata) addRequirement(line string) {
	if line == "" {
		return
	}
	r, err := parseRequirement(line)
	if err != nil {
		m.Invalid = append(m.Invalid, line)
		return
	}
	m.RequiresDist = append(m.RequiresDist, r)
}

func (m *Metadata) setPython(value string) {
	var err error
	if m.RequiresPython, err = ParseRequiresPython(value); err != nil {
		m.RequiresPython, m.InvalidPython = pep440.Specifiers{}, value
	}
}

// unfold turns a folded value into one line.
func unfold(value string) string { return strings.ReplaceAll(value, "\n", " ") }

// fields yields the fields of a header: the name in lower case, and the value. The lines of a
// folded value are joined by "\n", without their indentation.
func fields(data []byte) func(yield func(name, value string) bool) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	return func(yield func(name, value string) bool) {
		for len(data) > 0 {
			var line, rest []byte
			line, rest = cutLine(data)
			colon := bytes.IndexByte(line, ':')
			if colon < 0 || !fieldName(line[:colon]) {
				return // a blank line, or something that is not a field: the header ends
			}
			name := strings.ToLower(string(line[:colon]))
			value := [][]byte{bytes.TrimSpace(line[colon+1:])}
			for len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t') {
				line, rest = cutLine(rest)
				value = append(value, bytes.TrimSpace(line))
			}
			data = rest
			text := strings.ToValidUTF8(string(bytes.Join(value, []byte("\n"))), "\ufffd")
			if !yield(name, strings.TrimSpace(text)) {
				return
			}
		}
	}
}

// fieldName reports whether b is printable ASCII without a space (RFC 822).
func fieldName(b []byte) bool {
	return bytes.IndexFunc(b, func(r rune) bool { return r <= ' ' || r >= 0x7f }) < 0
}

// cutLine splits data after its first line, which ends with LF, CRLF or CR.
func cutLine(data []byte) (line, rest []byte) {
	i := bytes.IndexAny(data, "\r\n")
	if i < 0 {
		return data, nil
	}
	n := 1
	if data[i] == '\r' && i+1 < len(data) && data[i+1] == '\n' {
		n = 2
	}
	return data[:i], data[i+n:]
}
