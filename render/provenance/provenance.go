// Package provenance says where an image came from: what it was made of and by whom, as the
// predicate of an in-toto statement in the form of SLSA (Provenance, version 1).
//
// The document depends on the Input alone. It has no time in it: mlenv builds are reproducible, so
// when one ran says nothing about what came out.
package provenance

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"mlenv/resolve/secret"
)

// PredicateType is the type of the document.
const PredicateType = "https://slsa.dev/provenance/v1"

// BuildType says how the parameters are to be read: as this package writes them.
const BuildType = "urn:mlenv:image:v1"

// Input is what a document is made of.
type Input struct {
	Model    Model
	Settings any        // the flags that matter, as they go into JSON
	Formats  string     // of mlenv's layers: another release makes the same bytes if it has the same
	Base     Material   // with the digest of the platform's image
	Lock     string     // SHA-256 of the lock in the image, in hex
	Wheels   []Material // with their SHA-256
	Made     []Material // documents that were made beside the image
	Builder  Builder
}

// Model is where the model came from.
type Model struct {
	URI       string // as the user gave it; "" for a folder, whose place on a machine is nobody's business
	SHA256    string // of the SHA-256 of all files, in the order of their paths, in hex
	Files     int
	ID, RunID string
	Signature string // the digest that a verified signature gives the model, "" if none was asked for
}

// Material is something that the image is made of.
type Material struct {
	Name   string
	URI    string
	SHA256 string // in hex
}

// Builder is who ran the build.
type Builder struct {
	ID         string // a URI; "" if nobody said
	Version    string // of mlenv
	Invocation string // a URI of this run, "" if there is none
}

// Unidentified is the id of a builder that nobody named, such as somebody's own machine.
const Unidentified = "urn:mlenv:unidentified-builder"

// descriptor is a ResourceDescriptor of the in-toto Attestation Framework.
type descriptor struct {
	Name        string            `json:"name,omitempty"`
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest,omitempty"`
	Annotations map[string]any    `json:"annotations,omitempty"`
}

// predicate is SLSA's.
type predicate struct {
	Definition struct {
		BuildType    string         `json:"buildType"`
		External     map[string]any `json:"externalParameters"`
		Internal     map[string]any `json:"internalParameters,omitempty"`
		Dependencies []descriptor   `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	Run struct {
		Builder struct {
			ID      string            `json:"id"`
			Version map[string]string `json:"version,omitempty"`
		} `json:"builder"`
		Metadata   map[string]string `json:"metadata,omitempty"`
		Byproducts []descriptor      `json:"byproducts,omitempty"`
	} `json:"runDetails"`
}

// Document returns the predicate.
func Document(in Input) ([]byte, error) {
	var p predicate
	d := &p.Definition
	d.BuildType = BuildType
	d.External = map[string]any{"settings": in.Settings}
	if in.Model.URI != "" {
		d.External["model"] = clean(in.Model.URI)
	}
	if in.Base.URI != "" {
		d.External["base"] = clean(in.Base.URI)
	}
	d.Internal = map[string]any{"formats": in.Formats}
	d.Dependencies = append(d.Dependencies, in.Model.descriptor(), in.Base.descriptor("base"),
		Material{Name: "pylock.toml", SHA256: in.Lock}.descriptor("lock"))
	wheels := slices.Clone(in.Wheels)
	slices.SortFunc(wheels, func(a, b Material) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.SHA256, b.SHA256))
	})
	for _, w := range wheels {
		d.Dependencies = append(d.Dependencies, w.descriptor("wheel"))
	}
	p.Run.Builder.ID = cmp.Or(in.Builder.ID, Unidentified)
	p.Run.Builder.Version = map[string]string{"mlenv": in.Builder.Version}
	if in.Builder.Invocation != "" {
		p.Run.Metadata = map[string]string{"invocationId": in.Builder.Invocation}
	}
	for _, m := range in.Made {
		p.Run.Byproducts = append(p.Run.Byproducts, m.descriptor(""))
	}
	return json.Marshal(p)
}

func (m Material) descriptor(kind string) descriptor {
	d := descriptor{Name: m.Name, URI: clean(m.URI)}
	if m.SHA256 != "" {
		d.Digest = map[string]string{"sha256": strings.TrimPrefix(m.SHA256, "sha256:")}
	}
	if kind != "" {
		d.Annotations = map[string]any{"kind": kind}
	}
	return d
}

func (m Model) descriptor() descriptor {
	d := Material{Name: "model", URI: m.URI, SHA256: m.SHA256}.descriptor("model")
	d.Annotations["files"] = m.Files
	for key, value := range map[string]string{"modelId": m.ID, "runId": m.RunID, "verifiedSignature": m.Signature} {
		if value != "" {
			d.Annotations[key] = value
		}
	}
	return d
}

// clean takes what gives access out of a URI. Of files on this machine nothing is left.
func clean(uri string) string {
	uri, _ = secret.Scrub(uri)
	if strings.HasPrefix(uri, "file:") {
		return ""
	}
	return uri
}
