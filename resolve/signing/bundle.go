package signing

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// BundleType is the media type of the bundles that are written here (sigstore protobuf-specs, 0.3).
const BundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// bundleTypes are how the types of bundles that can be read begin: 0.1 to 0.3 differ in what comes
// with keyless signatures alone.
const bundleTypes = "application/vnd.dev.sigstore.bundle"

// Bundle is a signed envelope with a hint at the key that signed it.
type Bundle struct {
	Envelope Envelope
	Hint     string // of the key; nothing checks it, and it decides nothing
}

// bundleJSON is a bundle as it is written.
type bundleJSON struct {
	MediaType string `json:"mediaType"`
	Material  struct {
		PublicKey *struct {
			Hint string `json:"hint"`
		} `json:"publicKey,omitempty"`
		Certificate json.RawMessage `json:"certificate,omitempty"`
		Chain       json.RawMessage `json:"x509CertificateChain,omitempty"`
	} `json:"verificationMaterial"`
	Envelope *Envelope       `json:"dsseEnvelope,omitempty"`
	Message  json.RawMessage `json:"messageSignature,omitempty"`
}

// ErrCertificate reports a bundle that was signed with a certificate instead of a key.
var ErrCertificate = errors.New("it is signed with a certificate, which cosign can verify and mlenv cannot")

// ErrNoStatement reports a bundle with the signature of a file's bytes, not of a statement.
var ErrNoStatement = errors.New("it is a signature of plain bytes, which cosign can verify and mlenv cannot")

// Marshal writes a bundle.
func (b *Bundle) Marshal() ([]byte, error) {
	out := bundleJSON{MediaType: BundleType, Envelope: &b.Envelope}
	out.Material.PublicKey = &struct {
		Hint string `json:"hint"`
	}{b.Hint}
	return json.Marshal(out)
}

// ParseBundle reads a bundle. Kinds that cannot be verified here are ErrCertificate and
// ErrNoStatement.
func ParseBundle(data []byte) (*Bundle, error) {
	var in bundleJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, fmt.Errorf("reading a bundle: %w", err)
	}
	switch {
	case !strings.HasPrefix(in.MediaType, bundleTypes):
		return nil, fmt.Errorf("reading a bundle: it is of type %q", in.MediaType)
	case len(in.Message) > 0:
		return nil, ErrNoStatement
	case len(in.Material.Certificate) > 0 || len(in.Material.Chain) > 0:
		return nil, ErrCertificate
	case in.Envelope == nil:
		return nil, errors.New("reading a bundle: it holds no envelope")
	}
	b := &Bundle{Envelope: *in.Envelope}
	if in.Material.PublicKey != nil {
		b.Hint = in.Material.PublicKey.Hint
	}
	return b, nil
}
