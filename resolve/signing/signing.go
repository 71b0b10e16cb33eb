// Package signing signs and verifies statements about images and models: in-toto statements in DSSE
// envelopes, which lie in sigstore bundles. These are the forms that cosign 3 and OpenSSF Model
// Signing write, with keys that the user holds.
//
// A signature says that the holder of a key once signed these bytes, and nothing of when, or of
// whether they are true. Certificates of short life and transparency logs, with which sigstore signs
// without keys, are recognized and refused by name: whether they hold can only be told by asking
// servers, and cosign does so.
package signing

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// StatementType is the type of in-toto statements (in-toto Attestation Framework, v1).
const StatementType = "https://in-toto.io/Statement/v1"

// PayloadType is the type of an envelope's payload that is a statement.
const PayloadType = "application/vnd.in-toto+json"

// ImageSignature is the predicate type by which cosign signs an image: it says nothing but that.
const ImageSignature = "https://sigstore.dev/cosign/sign/v1"

// Statement says something about files or images, which are named by their hashes.
type Statement struct {
	Type          string          `json:"_type"`
	Subject       []Subject       `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

// Subject is one thing that a statement is about.
type Subject struct {
	Name   string            `json:"name,omitempty"`
	Digest map[string]string `json:"digest"` // algorithm to lower-case hex
}

// NewStatement returns a statement about a SHA-256. A nil predicate is an empty one.
func NewStatement(name, sha256, predicateType string, predicate []byte) Statement {
	if predicate == nil {
		predicate = []byte("{}")
	}
	return Statement{
		Type: StatementType, Subject: []Subject{{Name: name, Digest: map[string]string{"sha256": sha256}}},
		PredicateType: predicateType, Predicate: predicate,
	}
}

// IsAbout reports whether a SHA-256 is among the subjects.
func (s *Statement) IsAbout(sha256 string) bool {
	for _, one := range s.Subject {
		if one.Digest["sha256"] == sha256 && sha256 != "" {
			return true
		}
	}
	return false
}

// Signer signs with one key.
type Signer interface {
	// Sign returns the signature of a message: of the message itself for Ed25519, else of its hash.
	Sign(ctx context.Context, message []byte) ([]byte, error)
	// Public is the key by which others verify it.
	Public() crypto.PublicKey
}

// Envelope is a DSSE envelope (Dead Simple Signing Envelope, v1.0).
type Envelope struct {
	Payload     []byte      `json:"payload"`
	PayloadType string      `json:"payloadType"`
	Signatures  []Signature `json:"signatures"`
}

// Signature is one signature of an envelope.
type Signature struct {
	Sig   []byte `json:"sig"`
	KeyID string `json:"keyid,omitempty"` // is not signed, and so decides nothing
}

// PAE returns the bytes that the signature of an envelope is of (pre-authentication encoding): the
// type and the payload, each with its length, so that no two envelopes have the same.
func PAE(payloadType string, payload []byte) []byte {
	out := append([]byte("DSSEv1 "), strconv.Itoa(len(payloadType))+" "+payloadType+" "+strconv.Itoa(len(payload))+" "...)
	return append(out, payload...)
}

// Sign puts a statement into a signed envelope.
func Sign(ctx context.Context, s Statement, by Signer) (*Envelope, error) {
	payload, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("writing a statement: %w", err)
	}
	sig, err := by.Sign(ctx, PAE(PayloadType, payload))
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	e := &Envelope{Payload: payload, PayloadType: PayloadType, Signatures: []Signature{{Sig: sig}}}
	// A program that signs may hold another key than the one that was meant.
	if _, err := e.Verify(by.Public()); err != nil {
		return nil, fmt.Errorf("signing: the signature does not fit the public key: %w", err)
	}
	return e, nil
}

// ErrSignature reports that none of the signatures is by the key.
var ErrSignature = errors.New("it is not signed by the key, or was changed since")

// Verify returns the statement of an envelope if one of its signatures is by the key. The error is
// ErrSignature, or says what is wrong with the envelope.
func (e *Envelope) Verify(key crypto.PublicKey) (*Statement, error) {
	message := PAE(e.PayloadType, e.Payload)
	for _, s := range e.Signatures {
		if Valid(key, message, s.Sig) {
			return e.Statement()
		}
	}
	return nil, ErrSignature
}

// Statement reads the payload without verifying anything.
func (e *Envelope) Statement() (*Statement, error) {
	if e.PayloadType != PayloadType {
		return nil, fmt.Errorf("its payload is of type %q, not a statement", e.PayloadType)
	}
	var s Statement
	if err := json.Unmarshal(e.Payload, &s); err != nil {
		return nil, fmt.Errorf("reading its statement: %w", err)
	}
	if s.Type != StatementType && s.Type != "https://in-toto.io/Statement/v0.1" {
		return nil, fmt.Errorf("its statement is of type %q", s.Type)
	}
	return &s, nil
}
