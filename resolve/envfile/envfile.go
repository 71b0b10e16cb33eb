// Package envfile parses the files in which an MLflow Model declares its environment (requirements
// files, conda.yaml, python_env.yaml) into entries that know the file and line they come from.
//
// A file means here what it means to the tool that it is written for: pip, conda or MLflow. Where these
// are lenient (pip passes over words after options, conda over keys that it does not know) so is this
// package, with a Note; where one of them would refuse a file, so does this package, with the line. Two
// things are stricter than pip. A file of a model cannot reach out of the model, because its author need
// not be trusted. And nothing depends on the machine: neither encodings nor variables are taken from its
// environment, so that a model means the same everywhere.
//
// Credentials are taken out of every text before anything else looks at it. What prints an entry, an
// error or a Spec need not think of them.
package envfile

import (
	"mlenv/resolve/finding"
	"mlenv/resolve/internal/source"
	"mlenv/resolve/pep508"
	"mlenv/resolve/secret"
)

// Kind is the kind of an environment file.
type Kind int

// The kinds of environment files.
const (
	Flags Kind = iota // not a file: the values of command-line flags
	Requirements
	Conda
	PythonEnv
	PythonVersionFile // .python-version
	PyProject         // pyproject.toml, read for requires-python alone
	MLmodel           // python_version of the pyfunc flavor
)

// Requirement is one requirement, in any form that pip accepts. For a wheel given by its path or
// URL, Specifier pins the version in the file name, so that it can be compared with what other files
// say of the project. PEP 508 does not allow both, so print either the specifier or the URL.
type Requirement struct {
	pep508.Requirement          // Name is "" if only the distribution itself could tell
	Path               string   // a local path, relative to the model root ("wheels/x-1.0-py3-none-any.whl"), else ""; as given for a flag
	Editable           bool     // -e
	Hashes             []string // "sha256:…" (or sha384, sha512), sorted; a file needs to match one of them
	From               finding.Origin
}

// Declaration is one value with its position: a Python version, an index URL, a channel.
type Declaration struct {
	Value string
	From  finding.Origin
}

// Options are pip's settings in a requirements file, with credentials removed from URLs. Each keeps its
// position: settings of several files are merged, and what they disagree about is reported by line.
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

// CondaPackage is a conda dependency, other than a pip section. The version stays in conda's syntax:
// "=3.10" and "1.2|1.4" have no exact counterpart in PEP 440.
type CondaPackage struct {
	Name      string // lower case
	Channel   string
	Version   string // MatchSpec's version part, as written, e.g. "=3.10", ">=1.2,<2"
	Build     string
	MatchSpec string // canonical
	From      finding.Origin
}

// File is one parsed environment file, together with the files it includes.
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
	Variables         []Declaration    // the names of conda's variables, never their values
	Locked            bool             // MLflow's "# Locked requirements" form
	CredentialsIn     []finding.Origin // entries that carried credentials, now removed
	Secrets           []secret.Text    // the http and https URLs that had them, for asking those URLs
	Notes             []Note           // things that are odd but understood
}

// Note is something that the author of the file should know about, although it is understood. It
// becomes a finding.
type Note struct {
	Rule    finding.ID
	Subject string
	Message string
	From    finding.Origin
}

// Error is one thing wrong with a file; Errors of several are joined with errors.Join.
type Error = source.Error

// ErrorKind classifies Errors.
type ErrorKind = source.ErrorKind

// The kinds of Errors.
const (
	Malformed  = source.Malformed  // the file is not valid in its format
	NotText    = source.NotText    // it is not UTF-8
	Unreadable = source.Unreadable // it is missing, unreadable, too large, or not a regular file
	NotThere   = source.NotThere   // it refers to a file that the model does not have
	Outside    = source.Outside    // it refers to a path outside the model
)

// StripCredentials takes user names and passwords out of every URL in a text, and reports whether
// there were any. The user of an ssh URL without a password is not a credential.
func StripCredentials(text string) (string, bool) { return secret.Scrub(text) }
