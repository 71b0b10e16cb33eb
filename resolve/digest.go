package resolve

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path"
	"slices"
	"strings"

	"mlenv/resolve/finding"
)

// digest returns the sha256 of the spec's canonical JSON without what does not affect the
// environment: the model's identity, the findings, and the origins of entries. A lock records it, and so
// knows whether it is still for the model.
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
		e.SystemPackages[i].Reason = "" // words, which another version of mlenv may write otherwise
	}
	sum := sha256.Sum256(compactJSON(&e))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// withoutOrigins returns a list without the origins of its entries. Files given on the command line
// are reduced to their names, as their directories differ between machines.
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

// shareableLinks returns the links with local paths replaced by a placeholder: whether there is a
// local directory matters, but its path differs between machines.
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

// compactJSON returns the spec as JSON without white space. It cannot fail: a Spec contains only
// values that marshal to text, numbers, booleans and lists of these.
func compactJSON(s *Spec) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic("resolve: a Spec that has no JSON form: " + err.Error())
	}
	return b.Bytes()
}
