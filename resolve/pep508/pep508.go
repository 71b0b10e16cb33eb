// Package pep508 parses names, requirements and environment markers as PEP 508 defines them,
// with names normalized by PEP 503 and extras by PEP 685.
package pep508

import (
	"errors"

	"mlenv/resolve/pep440"
)

// Name is a project or extra name normalized by PEP 503: lower case, runs of -_. as one "-".
type Name string

// NormalizeName normalizes a valid or invalid name; it never fails.
func NormalizeName(s string) Name { panic("unwritten") }

// ValidName reports whether s is a name by PEP 508's grammar.
func ValidName(s string) bool { panic("unwritten") }

// Requirement is one PEP 508 requirement.
type Requirement struct {
	Name      Name
	Spelling  string // the name as written
	Extras    []Name // sorted, unique
	Specifier pep440.Specifiers
	URL       string // of a direct reference, else ""
	Marker    Marker
}

// Parse reads one requirement. The error says what is wrong and at which column (from 1).
func Parse(s string) (Requirement, error) {
	return Requirement{}, errors.New("pep508: unwritten")
}

// String is the canonical form, as packaging's Requirement prints it but with the normalized name.
func (r Requirement) String() string { panic("unwritten") }

// Marker is an environment marker. The zero Marker holds everywhere.
type Marker struct{ expr *expression }

type expression struct{}

// ParseMarker reads a marker expression. "" gives the zero Marker.
func ParseMarker(s string) (Marker, error) { return Marker{}, errors.New("pep508: unwritten") }

// IsZero reports whether m holds everywhere because there is nothing in it.
func (m Marker) IsZero() bool { return m.expr == nil }

// String is the canonical form, as packaging prints it.
func (m Marker) String() string { panic("unwritten") }

// Eval evaluates m for an environment.
func (m Marker) Eval(env Environment) bool { panic("unwritten") }

// And is the conjunction of two markers.
func (m Marker) And(n Marker) Marker { panic("unwritten") }

// Or is the disjunction of two markers.
func (m Marker) Or(n Marker) Marker { panic("unwritten") }

// UsesExtra reports whether m names the variable extra (or extras, dependency_groups).
func (m Marker) UsesExtra() bool { panic("unwritten") }

// Environment holds the values of the marker variables (PEP 508, "Environment Markers").
type Environment struct {
	OSName                       string // os_name: "posix"
	SysPlatform                  string // sys_platform: "linux"
	PlatformMachine              string // "x86_64", "aarch64"
	PlatformPythonImplementation string // "CPython"
	PlatformRelease              string
	PlatformSystem               string // "Linux"
	PlatformVersion              string
	PythonVersion                string // "3.11"
	PythonFullVersion            string // "3.11.7"
	ImplementationName           string // "cpython"
	ImplementationVersion        string
	Extras                       []Name // the extras asked for: "extra" equals any of them (PEP 508, PEP 751)
	DependencyGroups             []string
}
