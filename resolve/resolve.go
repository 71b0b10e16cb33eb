// Package resolve merges what an MLflow Model declares about its environment into one Spec, in
// which every entry knows the lines it comes from and every disagreement is a finding.
//
// A model says the same thing several times: conda.yaml, python_env.yaml and requirements.txt are all
// written when it is logged, and edited by hand later, one of them. MLflow reads one and never looks at
// the others, so that nobody learns that they differ before something else is deployed than was tested.
// Here the file wins that MLflow would read, so that the Spec is what MLflow would install, and what the
// others say otherwise is told.
//
// A Spec depends on the model's files and the options alone. Its digest leaves out what does not change
// the environment (who made the model and when, in which file and line an entry stands, findings), so that a
// lock of yesterday still counts for a model that was retrained today.
package resolve

import (
	"mlenv/resolve/finding"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/secret"
)

// SchemaVersion is the version of the JSON and YAML forms of a Spec. It changes when a key changes its
// meaning or goes; keys may be added.
const SchemaVersion = 1

// Spec is the merged environment of one model. Its JSON and YAML forms have the same keys, in the
// order of the fields.
type Spec struct {
	SchemaVersion        int             `json:"schemaVersion" yaml:"schemaVersion"`
	Digest               string          `json:"digest" yaml:"digest"` // "sha256:…" over the environment alone
	Model                ModelInfo       `json:"model" yaml:"model"`
	Python               Python          `json:"python" yaml:"python"`
	BuildDependencies    []Requirement   `json:"buildDependencies" yaml:"buildDependencies"`
	Requirements         []Requirement   `json:"requirements" yaml:"requirements"`
	Constraints          []Requirement   `json:"constraints" yaml:"constraints"`
	PackageIndex         PackageIndex    `json:"packageIndex" yaml:"packageIndex"`
	Conda                Conda           `json:"conda" yaml:"conda"`
	CodePaths            []CodePath      `json:"codePaths" yaml:"codePaths"`
	EnvironmentVariables []string        `json:"environmentVariables" yaml:"environmentVariables"`
	SystemPackages       []SystemPackage `json:"systemPackages" yaml:"systemPackages"`
	Findings             finding.List    `json:"findings" yaml:"findings"`

	// Secrets are the URLs that were written with credentials. They are not part of the JSON and
	// YAML forms, nor of the digest: they are for the client that asks those URLs in this run.
	Secrets []secret.Text `json:"-" yaml:"-"`
}

// ModelInfo identifies the model. It is not part of the digest: a model that is trained again has the same
// environment.
type ModelInfo struct {
	Flavors       []string `json:"flavors" yaml:"flavors"`
	MLflowVersion string   `json:"mlflowVersion" yaml:"mlflowVersion"`
	ModelID       string   `json:"modelId" yaml:"modelId"`
	RunID         string   `json:"runId" yaml:"runId"`
	TimeCreated   string   `json:"timeCreated" yaml:"timeCreated"`
	Signature     bool     `json:"signature" yaml:"signature"`
	InputExample  string   `json:"inputExample" yaml:"inputExample"`
}

// Python is the version that the model wants.
type Python struct {
	Version pep440.Version   `json:"version" yaml:"version"` // as exact as it was declared; zero if unknown
	From    []finding.Origin `json:"from" yaml:"from"`
}

// Requirement is one merged requirement. JSON and YAML contain the canonical text of each part.
type Requirement struct {
	Name      pep508.Name       `json:"name" yaml:"name"` // "" if only the distribution itself could tell
	Extras    []pep508.Name     `json:"extras,omitempty" yaml:"extras,omitempty"`
	Specifier pep440.Specifiers `json:"specifier,omitzero" yaml:"specifier,omitempty"`
	Marker    pep508.Marker     `json:"marker,omitzero" yaml:"marker,omitempty"`
	URL       string            `json:"url,omitempty" yaml:"url,omitempty"`
	Path      string            `json:"path,omitempty" yaml:"path,omitempty"`
	Editable  bool              `json:"editable,omitempty" yaml:"editable,omitempty"`
	Hashes    []string          `json:"hashes,omitempty" yaml:"hashes,omitempty"` // declared, or of the local file: "sha256:…"
	Digest    string            `json:"digest,omitempty" yaml:"digest,omitempty"` // of a local source directory: dirhash "h1:…"
	From      []finding.Origin  `json:"from" yaml:"from"`
}

// PackageIndex is where distributions come from. URLs do not contain credentials.
type PackageIndex struct {
	IndexURL       string   `json:"indexUrl,omitempty" yaml:"indexUrl,omitempty"`
	ExtraIndexURLs []string `json:"extraIndexUrls,omitempty" yaml:"extraIndexUrls,omitempty"`
	FindLinks      []string `json:"findLinks,omitempty" yaml:"findLinks,omitempty"`
	NoIndex        bool     `json:"noIndex,omitempty" yaml:"noIndex,omitempty"`
	Pre            bool     `json:"pre,omitempty" yaml:"pre,omitempty"`
	PreferBinary   bool     `json:"preferBinary,omitempty" yaml:"preferBinary,omitempty"`
	RequireHashes  bool     `json:"requireHashes,omitempty" yaml:"requireHashes,omitempty"`
	NoBinary       []string `json:"noBinary,omitempty" yaml:"noBinary,omitempty"`
	OnlyBinary     []string `json:"onlyBinary,omitempty" yaml:"onlyBinary,omitempty"`
	TrustedHosts   []string `json:"trustedHosts,omitempty" yaml:"trustedHosts,omitempty"`
}

// Conda is what only conda can install.
type Conda struct {
	Channels []string       `json:"channels" yaml:"channels"`
	Packages []CondaPackage `json:"packages" yaml:"packages"`
}

// CondaPackage is a conda dependency other than python, pip, setuptools and wheel.
type CondaPackage struct {
	Name      string           `json:"name" yaml:"name"`
	MatchSpec string           `json:"matchSpec" yaml:"matchSpec"`
	From      []finding.Origin `json:"from" yaml:"from"`
}

// CodePath is a directory or file of Python code that belongs to the model.
type CodePath struct {
	Path   string           `json:"path" yaml:"path"`
	Digest string           `json:"digest" yaml:"digest"` // dirhash "h1:…"
	From   []finding.Origin `json:"from" yaml:"from"`
}

// SystemPackage is a Debian package that a flavor needs at run time.
type SystemPackage struct {
	Name   string `json:"name" yaml:"name"`     // "libgomp1"
	Reason string `json:"reason" yaml:"reason"` // "lightgbm loads libgomp.so.1"
}
