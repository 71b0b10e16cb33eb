package sbom

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// spdxDocument is an SPDX 2.3 document. The comments name the clauses of the specification.
type spdxDocument struct {
	Version           string             `json:"spdxVersion"`       // 6.1
	DataLicense       string             `json:"dataLicense"`       // 6.2
	ID                string             `json:"SPDXID"`            // 6.3
	Name              string             `json:"name"`              // 6.4
	Namespace         string             `json:"documentNamespace"` // 6.5
	Creation          spdxCreation       `json:"creationInfo"`
	Describes         []string           `json:"documentDescribes"`
	Packages          []spdxPackage      `json:"packages"`
	ExtractedLicences []spdxLicence      `json:"hasExtractedLicensingInfos,omitempty"` // 10
	Relationships     []spdxRelationship `json:"relationships"`                        // 11
}

type spdxCreation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

// spdxPackage is clause 7. What is not known is NOASSERTION where the clause has no other default.
type spdxPackage struct {
	Name             string         `json:"name"`
	ID               string         `json:"SPDXID"`
	Version          string         `json:"versionInfo,omitempty"`
	FileName         string         `json:"packageFileName,omitempty"`
	Purpose          string         `json:"primaryPackagePurpose,omitempty"`
	Download         string         `json:"downloadLocation"`
	FilesAnalyzed    bool           `json:"filesAnalyzed"`
	Checksums        []spdxChecksum `json:"checksums,omitempty"`
	LicenceConcluded string         `json:"licenseConcluded"`
	LicenceDeclared  string         `json:"licenseDeclared"`
	LicenceComments  string         `json:"licenseComments,omitempty"`
	Copyright        string         `json:"copyrightText"`
	Comment          string         `json:"comment,omitempty"`
	References       []spdxRef      `json:"externalRefs,omitempty"`
}

type spdxChecksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type spdxRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type spdxLicence struct {
	ID   string `json:"licenseId"`
	Text string `json:"extractedText"`
	Name string `json:"name"`
}

type spdxRelationship struct {
	From string `json:"spdxElementId"`
	Type string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}

// setID gives the document its namespace, in the form that clause 6.5 proposes for documents that
// are not published anywhere.
func (d *spdxDocument) setID(sum [sha256.Size]byte) {
	d.Namespace = "https://spdx.org/spdxdocs/" + url.PathEscape(strings.NewReplacer("/", "-", ":", "-").Replace(d.Name)) + "-" + uuid(sum)
}

const (
	noAssertion = "NOASSERTION"
	docID       = "SPDXRef-DOCUMENT"
)

func ref(id string) string { return "SPDXRef-" + id }

func (inv *inventory) spdx() *spdxDocument {
	top := inv.items[0]
	d := &spdxDocument{
		Version: "SPDX-2.3", DataLicense: "CC0-1.0", ID: docID, Name: top.name,
		Creation:  spdxCreation{Created: inv.in.created(), Creators: []string{"Tool: " + inv.in.Tool.Name + "-" + inv.in.Tool.Version}},
		Describes: []string{ref(top.id)},
	}
	d.relate(docID, "DESCRIBES", ref(top.id))
	for _, one := range inv.items {
		d.Packages = append(d.Packages, one.spdx())
		d.explain(one)
		switch one.kind {
		case model, wheel:
			d.relate(ref(top.id), "CONTAINS", ref(one.id))
		case base:
			d.relate(ref(top.id), "DESCENDANT_OF", ref(one.id))
		}
		for _, need := range one.needs {
			switch {
			case one.kind == base:
				d.relate(ref(one.id), "CONTAINS", ref(need))
			case one.kind != root || strings.HasPrefix(need, "pypi-"):
				d.relate(ref(one.id), "DEPENDS_ON", ref(need))
			}
		}
	}
	if m := inv.in.Model; m != nil {
		d.describeModel(m)
	}
	slices.SortFunc(d.ExtractedLicences, func(a, b spdxLicence) int { return strings.Compare(a.ID, b.ID) })
	return d
}

func (d *spdxDocument) relate(from, how, to string) {
	d.Relationships = append(d.Relationships, spdxRelationship{from, how, to})
}

// explain adds the licences that no list has but that an expression names.
func (d *spdxDocument) explain(one *item) {
	for _, id := range references(one.licence.expression) {
		if !slices.ContainsFunc(d.ExtractedLicences, func(l spdxLicence) bool { return l.ID == id }) {
			name := strings.TrimPrefix(id, "LicenseRef-")
			d.ExtractedLicences = append(d.ExtractedLicences, spdxLicence{ID: id, Name: name, Text: "The text is in the files of the package " + one.name + "."})
		}
	}
}

// describeModel puts into a comment what SPDX 2 has no fields for.
func (d *spdxDocument) describeModel(m *Model) {
	for i := range d.Packages {
		if d.Packages[i].ID != ref("model") {
			continue
		}
		for _, p := range m.properties() {
			d.Packages[i].Comment += p.Name + ": " + p.Value + "\n"
		}
		d.Packages[i].Comment = strings.TrimSpace(d.Packages[i].Comment)
	}
}

// spdxPurposes are the purposes (7.24) of the kinds of items.
var spdxPurposes = map[kind]string{root: "CONTAINER", wheel: "LIBRARY", base: "CONTAINER"}

func (i *item) spdx() spdxPackage {
	p := spdxPackage{
		Name: i.name, ID: ref(i.id), Version: i.version, FileName: i.file.name, Purpose: spdxPurposes[i.kind],
		Download: cmp.Or(i.file.url, noAssertion), Comment: i.comment, Copyright: noAssertion,
		LicenceConcluded: noAssertion, LicenceDeclared: cmp.Or(i.licence.expression, noAssertion), LicenceComments: i.licence.text,
	}
	if i.kind == root && i.purl == "" {
		p.Purpose = "APPLICATION" // a model or a lock, of which there is no image yet
	}
	if digest, ok := strings.CutPrefix(i.version, "sha256:"); ok {
		p.Checksums = []spdxChecksum{{"SHA256", digest}}
	}
	for _, name := range usable(i.file.hashes) {
		p.Checksums = append(p.Checksums, spdxChecksum{algorithms[name].spdx, strings.ToLower(i.file.hashes[name])})
	}
	if i.purl != "" {
		p.References = []spdxRef{{"PACKAGE-MANAGER", "purl", i.purl}}
	}
	return p
}

// algorithms are the names of hashes, by those that Python's hashlib has and locks use, and how many
// bytes they have. Others are left out: the formats have no names for them.
var algorithms = map[string]struct {
	spdx, cyclone string
	size          int
}{
	"sha256": {"SHA256", "SHA-256", 32}, "sha384": {"SHA384", "SHA-384", 48}, "sha512": {"SHA512", "SHA-512", 64},
}

// usable returns the names of the hashes of a file that are what they say, sorted. A lock by another
// tool may have anything there, and a document with it would be refused as a whole.
func usable(hashes map[string]string) (out []string) {
	for _, name := range slices.Sorted(maps.Keys(hashes)) {
		raw, err := hex.DecodeString(hashes[name])
		if a, ok := algorithms[name]; ok && err == nil && len(raw) == a.size {
			out = append(out, name)
		}
	}
	return out
}
