package resolve

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path"
	"slices"
)

// digest is the sha256 of the spec's canonical JSON without what does not shape the environment:
// the model's identity, the findings, and where entries were written.
func (s *Spec) digest() string {
	e := *s
	e.Digest = ""
	e.Model = ModelInfo{Flavors: []string{}}
	e.Findings = []Finding{}
	e.Python.From = nil
	e.BuildDependencies = bare(s.BuildDependencies)
	e.Requirements = bare(s.Requirements)
	e.Constraints = bare(s.Constraints)
	e.Conda.Packages = slices.Clone(s.Conda.Packages)
	for i := range e.Conda.Packages {
		e.Conda.Packages[i].From = nil
	}
	e.CodePaths = slices.Clone(s.CodePaths)
	for i := range e.CodePaths {
		e.CodePaths[i].From = nil
		e.CodePaths[i].Path = path.Base(e.CodePaths[i].Path)
	}
	e.SystemPackages = slices.Clone(s.SystemPackages)
	for i := range e.SystemPackages {
		e.SystemPackages[i].Reason = ""
	}
	sum := sha256.Sum256(compactJSON(&e))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func bare(list []Requirement) []Requirement {
	list = slices.Clone(list)
	for i := range list {
		list[i].From = nil
	}
	return list
}

// compactJSON cannot fail: a Spec holds only strings, numbers, booleans and lists of them.
func compactJSON(s *Spec) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic("resolve: a Spec that has no JSON form: " + err.Error())
	}
	return b.Bytes()
}
