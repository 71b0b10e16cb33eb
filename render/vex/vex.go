// Package vex says which known vulnerabilities do not matter to an environment, and why, in the form
// of OpenVEX 0.2.0. Scanners that read it leave them out, so that what an organisation has decided in
// its policy need not be decided again in each of its scanners.
package vex

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Input is what a document is made of.
type Input struct {
	Author     string
	Date       time.Time // the day of the check, whose exceptions these are
	Statements []Statement
}

// Statement says that a vulnerability does not matter.
type Statement struct {
	Vulnerability string   // its id: "CVE-2099-1"
	Aliases       []string // its other ids
	Package       string   // normalized name
	Version       string
	Reason        string // why it does not matter, in the organisation's own words
}

// document is an OpenVEX document. The specification's fields are in its order.
type document struct {
	Context    string      `json:"@context"`
	ID         string      `json:"@id"`
	Author     string      `json:"author"`
	Timestamp  string      `json:"timestamp"`
	Version    int         `json:"version"`
	Statements []statement `json:"statements"`
}

type statement struct {
	Vulnerability vulnerability `json:"vulnerability"`
	Products      []product     `json:"products"`
	Status        string        `json:"status"`
	Impact        string        `json:"impact_statement"`
}

type vulnerability struct {
	Name    string   `json:"name"`
	Aliases []string `json:"aliases,omitempty"`
}

type product struct {
	ID string `json:"@id"`
}

// Document returns the document. It ends with a newline, and depends on the input alone. The status
// is always "not_affected" with the reason as impact statement: which of the specification's fixed
// justifications a reason stands for, nobody has said.
func Document(in Input) ([]byte, error) {
	d := document{
		Context: "https://openvex.dev/ns/v0.2.0", Author: in.Author, Version: 1, Statements: []statement{},
		Timestamp: in.Date.UTC().Truncate(24 * time.Hour).Format(time.RFC3339),
	}
	for _, s := range in.Statements {
		id := "pkg:pypi/" + s.Package + "@" + strings.ReplaceAll(url.QueryEscape(s.Version), "+", "%20")
		d.Statements = append(d.Statements, statement{vulnerability{s.Vulnerability, s.Aliases}, []product{{id}}, "not_affected", s.Reason})
	}
	slices.SortFunc(d.Statements, func(a, b statement) int {
		return cmp.Or(strings.Compare(a.Products[0].ID, b.Products[0].ID), strings.Compare(a.Vulnerability.Name, b.Vulnerability.Name))
	})
	// The id must be the document's own; its contents are the only thing that is.
	bare, err := encode(d)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(bare)
	d.ID = "https://openvex.dev/docs/mlenv/" + hex.EncodeToString(sum[:16])
	return encode(d)
}

func encode(d document) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(d)
	return b.Bytes(), err
}
