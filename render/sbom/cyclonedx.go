package sbom

import (
	"crypto/sha256"
	"slices"
	"strings"
)

// cdxDocument is a CycloneDX 1.6 document.
type cdxDocument struct {
	Schema       string          `json:"$schema"`
	Format       string          `json:"bomFormat"`
	SpecVersion  string          `json:"specVersion"`
	Serial       string          `json:"serialNumber,omitempty"`
	Version      int             `json:"version"`
	Metadata     cdxMetadata     `json:"metadata"`
	Components   []cdxComponent  `json:"components"`
	Dependencies []cdxDependency `json:"dependencies"`
}

type cdxMetadata struct {
	Timestamp string        `json:"timestamp"`
	Tools     cdxTools      `json:"tools"`
	Component *cdxComponent `json:"component"`
}

type cdxTools struct {
	Components []cdxComponent `json:"components"`
}

type cdxComponent struct {
	Type        string         `json:"type"`
	Ref         string         `json:"bom-ref,omitempty"`
	Name        string         `json:"name"`
	Version     string         `json:"version,omitempty"`
	Description string         `json:"description,omitempty"`
	Hashes      []cdxHash      `json:"hashes,omitempty"`
	Licences    []any          `json:"licenses,omitempty"` // one cdxExpression, or cdxNamed
	PURL        string         `json:"purl,omitempty"`
	References  []cdxReference `json:"externalReferences,omitempty"`
	Properties  []property     `json:"properties,omitempty"`
	ModelCard   *cdxModelCard  `json:"modelCard,omitempty"`
}

// cdxHash is a hash with its name in the specification's own list.
type cdxHash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

// cdxExpression is an SPDX expression; a component has no other licences beside one.
type cdxExpression struct {
	Expression      string `json:"expression"`
	Acknowledgement string `json:"acknowledgement"`
}

// cdxNamed is a licence that is no SPDX expression, in the package's own words.
type cdxNamed struct {
	Licence struct {
		Name            string `json:"name"`
		Acknowledgement string `json:"acknowledgement"`
	} `json:"license"`
}

type cdxReference struct {
	Type   string    `json:"type"`
	URL    string    `json:"url"`
	Hashes []cdxHash `json:"hashes,omitempty"`
}

// property is a name and a value of one's own. The names begin with "mlenv:".
type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// cdxModelCard is what the specification has for models, of which mlenv knows only the signature: what
// a model was trained on, and how well it does, is nowhere in its files.
type cdxModelCard struct {
	Parameters cdxParameters `json:"modelParameters"`
}

type cdxParameters struct {
	Inputs  []cdxFormat `json:"inputs,omitempty"`
	Outputs []cdxFormat `json:"outputs,omitempty"`
}

type cdxFormat struct {
	Format string `json:"format"`
}

// cdxDependency says what one component needs. A component without needs has one too: it is known to
// need nothing, and not just unknown.
type cdxDependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn,omitempty"`
}

func (d *cdxDocument) setID(sum [sha256.Size]byte) { d.Serial = "urn:uuid:" + uuid(sum) }

func (inv *inventory) cycloneDX() *cdxDocument {
	d := &cdxDocument{
		// The schema's name is http, as its own $id has it.
		Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json", Format: "CycloneDX", SpecVersion: "1.6", Version: 1,
		Metadata: cdxMetadata{
			Timestamp: inv.in.created(),
			Tools:     cdxTools{[]cdxComponent{{Type: "application", Name: inv.in.Tool.Name, Version: inv.in.Tool.Version}}},
		},
	}
	for _, one := range inv.items {
		c := one.cycloneDX()
		if one.kind == model {
			c.describeModel(inv.in.Model)
		}
		d.Dependencies = append(d.Dependencies, cdxDependency{Ref: c.Ref, DependsOn: one.needs})
		if one.kind == root {
			d.Metadata.Component = &c
			continue
		}
		d.Components = append(d.Components, c)
	}
	return d
}

func (i *item) cycloneDX() cdxComponent {
	c := cdxComponent{
		Type: i.cdxType(), Ref: i.id, Name: i.name, Version: i.version, PURL: i.purl, Licences: i.licence.cycloneDX(), Description: i.comment,
	}
	if digest, ok := strings.CutPrefix(i.version, "sha256:"); ok {
		c.Hashes = []cdxHash{{"SHA-256", digest}}
	}
	for _, name := range usable(i.file.hashes) {
		c.Hashes = append(c.Hashes, cdxHash{algorithms[name].cyclone, strings.ToLower(i.file.hashes[name])})
	}
	if i.file.url != "" {
		c.References = []cdxReference{{Type: "distribution", URL: i.file.url, Hashes: c.Hashes}}
	}
	if i.kind == wheel {
		c.Properties = []property{{"mlenv:direct", map[bool]string{true: "true", false: "false"}[i.direct]}}
		if i.file.name != "" {
			c.Properties = append(c.Properties, property{"mlenv:file", i.file.name})
		}
	}
	return c
}

// cdxType returns the type of a component. A model or a lock of which there is no image yet is an
// application.
func (i *item) cdxType() string {
	switch {
	case i.kind == base, i.kind == root && i.purl != "":
		return "container"
	case i.kind == root:
		return "application"
	case i.kind == model:
		return "machine-learning-model"
	}
	return "library"
}

func (l licence) cycloneDX() []any {
	switch {
	case l.expression != "":
		return []any{cdxExpression{l.expression, "declared"}}
	case l.text != "":
		named := cdxNamed{}
		// Some packages have all the text of their licence here; its title is in the first line.
		first, _, _ := strings.Cut(l.text, "\n")
		named.Licence.Name, named.Licence.Acknowledgement = first, "declared"
		return []any{named}
	}
	return nil
}

func (c *cdxComponent) describeModel(m *Model) {
	c.Properties = m.properties()
	card := &cdxModelCard{}
	if m.Inputs != "" {
		card.Parameters.Inputs = []cdxFormat{{m.Inputs}}
	}
	if m.Outputs != "" {
		card.Parameters.Outputs = []cdxFormat{{m.Outputs}}
	}
	if len(card.Parameters.Inputs)+len(card.Parameters.Outputs) > 0 {
		c.ModelCard = card
	}
}

// properties are what is known of a model and has no field in either format.
func (m *Model) properties() []property {
	flavors := slices.Sorted(slices.Values(m.Flavors))
	all := []property{
		{"mlenv:mlflow:flavors", strings.Join(flavors, ",")}, {"mlenv:mlflow:model-id", m.ID}, {"mlenv:mlflow:run-id", m.RunID},
		{"mlenv:mlflow:version", m.MLflowVersion}, {"mlenv:mlflow:registered", strings.Trim(m.Name+"/"+m.Version, "/")},
	}
	return slices.DeleteFunc(all, func(p property) bool { return p.Value == "" })
}
