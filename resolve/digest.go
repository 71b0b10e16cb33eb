package resolve

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"mlenv/resolve/finding"
	"path"
	"slices"
	"strings"
)

// digest returns the sha256 of the spec's canonical JSON without what does not shape the
// environment: the model's identity, the findings, and where entries were written.
func (s *Spec) digest() string {
	e := *s
	e.Digest = ""
	e.Model = ModelInfo{Flavors: []string{}}
	e.Findings = finding.List{}
	e.Python.From = nil
	e.BuildDependencies = withoutOrigins(s.BuildDependencies)
	e.Requirements = withoutOrigins(s.Requirements)
	e.Constraints = withoutOrigins(s.Constraints)
	e.Conda.Packages = slices.Clone(s.Conda.Packages)
	for i := range e.Conda.Packages {
		e.Conda.Packages[i].From = nil
	}
	e.CodePaths = slices.Clone(s.CodePaths)
	for i := range e.CodePaths {
		e.CodePaths[i].From = nil
		e.CodePaths[i].Path = path.Base(e.CodePaths[i].Path)
	}
	e.PackageIndex.FindLinks = shareableLinks(s.PackageIndex.FindLinks)
	e.SystemPackages = slices.Clone(s.SystemPackages)
	for i := range e.SystemPackages {
		e.SystemPackages[i].Reason = ""
	}
	sum := sha256.Sum256(compactJSON(&e))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// withoutOrigins returns a list without where its entries were written. A file that the command line names is
// known by its name: the folder is this machine's.
func withoutOrigins(list []Requirement) []Requirement {
	list = slices.Clone(list)
	for i := range list {
		if r := &list[i]; r.Path != "" && len(r.From) > 0 && r.From[0].File == finding.CommandLine {
			r.Path = path.Base(r.Path)
		}
		list[i].From = nil
	}
	return list
}

// shareableLinks are pages by their addresses; that there are folders counts, but not where they are.
func shareableLinks(links []string) []string {
	var out []string
	for _, l := range links {
		if !strings.Contains(l, "://") || strings.HasPrefix(l, "file:") {
			l = "folder"
		}
		if !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	return out
}

// compactJSON cannot fail: a Spec holds only what has a text, numbers, booleans and lists of them.
func compactJSON(s *Spec) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic("resolve: a Spec that has no JSON form: " + err.Error())
	}
	return b.Bytes()
}
