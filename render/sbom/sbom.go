// Package sbom writes down what an environment is made of, as a software bill of materials: in SPDX
// 2.3 (ISO/IEC 5962) and in CycloneDX 1.6 (ECMA-424), both as JSON.
//
// A scanner that looks into an image has to guess where a package came from. A lock knows: the URL
// and hash of each wheel, which package needs which, and what the user asked for. So the documents
// come from the lock, and from what was found out about the base, not from files in an image.
//
// Nothing is fetched, and the documents depend on the Input alone, to the byte: they have no clock
// and no random number in them. What is not known is left out, or said to be unknown: no supplier,
// licence or CPE is ever made up.
package sbom

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
)

// Format is a form of the document.
type Format string

// The formats.
const (
	SPDX      Format = "spdx-json"      // SPDX 2.3
	CycloneDX Format = "cyclonedx-json" // CycloneDX 1.6
)

// Formats lists the formats.
func Formats() []string { return []string{string(SPDX), string(CycloneDX)} }

// PredicateType returns the type of the document as the predicate of an in-toto statement.
func (f Format) PredicateType() string {
	if f == CycloneDX {
		return "https://cyclonedx.org/bom"
	}
	return "https://spdx.dev/Document"
}

// Input is what a document is made of.
type Input struct {
	Subject  Subject
	Model    *Model // nil if there is none, as for a lock alone
	Lock     *pylock.Lock
	Target   dist.Target                    // what is installed of the lock
	Metadata map[pep508.Name]*dist.Metadata // of the packages, for their licences; may lack any
	Base     *Base                          // nil: nothing is known of it
	Public   func(index string) bool        // reports whether an index is the one that package URLs mean if they name none; nil: no index is
	Tool     Tool
	Created  time.Time // what counts as the time of the document: nothing here has a clock
}

// Tool is the program that makes the document.
type Tool struct{ Name, Version string }

// Subject is what the document is about.
type Subject struct {
	Name     string // "registry.example.com/churn", or that of a model or lock
	Digest   string // "sha256:…" of an image's manifest; "" for what is no image
	Tag      string // "1", "" if there is none
	Platform string // "linux/amd64"
}

// Model is the MLflow Model in an image.
type Model struct {
	Name, Version string // of the registered model, "" if unknown
	ID, RunID     string
	MLflowVersion string
	Flavors       []string
	Inputs        string // the signature as JSON, "" if there is none
	Outputs       string
}

// Base is the image below an environment.
type Base struct {
	Name    string // reference, "" if others cannot pull it
	Digest  string // "sha256:…"
	Python  string // version of the interpreter
	Arch    string // in OCI's terms, for packages that do not say
	System  System
	Install map[string]string // Python distributions beside the interpreter, with their versions
}

// System is the distribution of a base.
type System struct {
	ID, Version string            // of os-release: "debian", "12"
	PURL        string            // the type of package URLs: "deb", "apk"; "" if packages are not known
	Packages    map[string]string // with their versions
	Arches      map[string]string // of packages as the database calls them
	Unread      string            // the kind of a database that was not read, "" if there is none
}

// Document returns the document in a format. It ends with a newline.
func Document(in Input, f Format) ([]byte, error) {
	inv := newInventory(in)
	var doc document
	switch f {
	case SPDX:
		doc = inv.spdx()
	case CycloneDX:
		doc = inv.cycloneDX()
	default:
		return nil, fmt.Errorf("there is no format %q of bills of materials", f)
	}
	// Each document must have a name of its own in the world, and the same document the same one. So
	// it is named by the hash of all the rest.
	bare, err := encode(doc)
	if err != nil {
		return nil, err
	}
	doc.setID(sha256.Sum256(bare))
	return encode(doc)
}

// encode writes JSON in which package URLs can be read: nothing is escaped for HTML.
func encode(doc document) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(doc)
	return b.Bytes(), err
}

// document is one of the forms, which get their unique name last.
type document interface{ setID(sum [sha256.Size]byte) }

// uuid returns a UUID of the kind that an application makes by rules of its own (RFC 9562, version 8).
func uuid(sum [sha256.Size]byte) string {
	sum[6] = sum[6]&0x0f | 0x80
	sum[8] = sum[8]&0x3f | 0x80
	t := hex.EncodeToString(sum[:16])
	return t[:8] + "-" + t[8:12] + "-" + t[12:16] + "-" + t[16:20] + "-" + t[20:]
}

func (in *Input) created() string { return in.Created.UTC().Format(time.RFC3339) }
