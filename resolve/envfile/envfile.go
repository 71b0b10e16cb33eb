// Package envfile parses the files in which an MLflow Model declares its environment
// (requirements files, conda.yaml, python_env.yaml) into entries that know their position.
package envfile

import (
	"mlenv/resolve/finding"
	"mlenv/resolve/internal/source"
	"mlenv/resolve/pep508"
	"mlenv/resolve/secret"
)

// Kind tells the files apart.
type Kind int

// The kinds of environment files.
const (
	Flags Kind = iota // built from command-line flags
	Requirements
	Conda
	PythonEnv
	PythonVersionFile // .python-version
	PyProject         // pyproject.toml, read for requires-python alone
	MLmodel           // python_version of the pyfunc flavor
)

// Requirement is one requirement of any form that pip takes. The Specifier of a wheel given by
// its path or URL pins the version in the file name; PEP 508 has no such form, so print either
// the specifier or the URL.
type Requirement struct {
	pep508.Requirement          // Name "" where only the distribution itself could tell it
	Path               string   // a local path, relative to the model root ("wheels/x-1.0-py3-none-any.whl"), else ""; as given for a flag
	Editable           bool     // -e
	Hashes             []string // "sha256:…" (or sha384, sha512), sorted; any one of them admits a file
	From               finding.Origin
}

// Declaration is one value with its position: a Python version, an index URL, a channel.
type Declaration struct {
	Value string
	From  finding.Origin
}

// Options are pip's settings in a requirements file. URLs have had their credentials removed.
type Options struct {
	IndexURL       *Declaration
	ExtraIndexURLs []Declaration
	FindLinks      []Declaration
	TrustedHosts   []Declaration
	NoBinary       []Declaration // names or ":all:"
	OnlyBinary     []Declaration
	NoIndex        *Declaration
	Pre            *Declaration
	PreferBinary   *Declaration
	RequireHashes  *Declaration
	UseFeatures    []Declaration
}

// CondaPackage is a conda dependency that is not a pip section.
type CondaPackage struct {
	Name      string // lower case
	Channel   string
	Version   string // MatchSpec's version part, as written, e.g. "=3.10", ">=1.2,<2"
	Build     string
	MatchSpec string // canonical
	From      finding.Origin
}

// File is one parsed environment file, the files that it includes folded in.
type File struct {
	Path              string
	Kind              Kind
	Python            []Declaration // exact or partial versions, or specifiers
	BuildDependencies []Requirement
	Requirements      []Requirement
	Constraints       []Requirement
	Options           Options
	Name              *Declaration // conda's name
	Prefix            *Declaration
	Channels          []Declaration
	CondaPackages     []CondaPackage
	Variables         []Declaration    // names of conda's variables; never their values
	Locked            bool             // MLflow's "# Locked requirements" form
	CredentialsIn     []finding.Origin // entries that carried credentials, now removed
	Secrets           []secret.Text    // the http and https URLs that had them, for asking those URLs
	Notes             []Note           // what is odd but understood
}

// Note is something that is understood but that its author should know of; it becomes a finding.
type Note struct {
	Rule    finding.ID
	Subject string
	Message string
	From    finding.Origin
}

// Error is one thing wrong with a file; Errors of several are joined with errors.Join.
type Error = source.Error

// ErrorKind is what an Error says is wrong.
type ErrorKind = source.ErrorKind

// The kinds of Errors.
const (
	Malformed  = source.Malformed  // the file's text is not what its format allows
	NotText    = source.NotText    // it is not UTF-8
	Unreadable = source.Unreadable // it is not there, may not be read, is no regular file or too large
	NotThere   = source.NotThere   // it names a file of the model that is not there
	Outside    = source.Outside    // it names a path that is not inside the model
)

// StripCredentials takes user names and passwords out of every URL in a text, and reports whether
// there were any. The user of an ssh URL without a password is not a credential.
func StripCredentials(text string) (string, bool) { return secret.Scrub(text) }
