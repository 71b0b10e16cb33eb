package attach

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"mlenv/imagebuild/image"
	"mlenv/resolve/signing"
)

// Form is how a document is attached.
type Form string

// The forms.
const (
	Bundled  Form = "bundle"   // a sigstore bundle among the referrers
	Tagged   Form = "tag"      // under one of cosign's earlier tags
	Unsigned Form = "unsigned" // among the referrers, without a signature
)

// Evidence is a document that is attached to an image, and whether it is what it seems.
type Evidence struct {
	Form          Form
	PredicateType string
	Predicate     []byte  // JSON
	Manifest      v1.Hash // that holds it
	// Problem says why it proves nothing: it is not signed by the key, or is about another image. It
	// is "" if it is signed by the key and about the image.
	Problem string
}

// Limits on what is read. A bill of materials has 2 MB for a thousand packages.
const (
	maxReferrers = 200
	maxDocument  = 64 << 20 // bytes
	maxAll       = 256 << 20
)

func newReader(data []byte) io.Reader { return bytes.NewReader(data) }

// Read returns all documents of known forms that are attached to a manifest, verified with a key;
// with none, everything has a Problem. Artifacts of other kinds are passed over.
func (r *Repository) Read(ctx context.Context, subject v1.Hash, key crypto.PublicKey) ([]Evidence, error) {
	in := &reader{Repository: r, subject: subject, key: key, left: maxAll}
	index, err := remote.Referrers(r.name.Digest(subject.String()), r.session.Options(ctx)...)
	if err != nil {
		return nil, r.session.Explain(ctx, err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("reading the list of referrers: %w", err)
	}
	for i, d := range list.Manifests {
		if i == maxReferrers {
			return nil, fmt.Errorf("more than %d manifests refer to the image", maxReferrers)
		}
		if err := in.referrer(ctx, d.Digest); err != nil {
			return nil, r.session.Explain(ctx, err)
		}
	}
	for _, suffix := range []string{".sig", ".att"} {
		if err := in.tag(ctx, tagName(subject, suffix)); err != nil {
			return nil, r.session.Explain(ctx, err)
		}
	}
	return in.found, nil
}

// reader is one run of Read.
type reader struct {
	*Repository
	subject v1.Hash
	key     crypto.PublicKey
	found   []Evidence
	left    int64 // bytes that may still be read
}

// referrer reads one manifest of the list. The list is only a claim: a manifest that does not name
// the image as its subject is noted as a document about another one.
func (in *reader) referrer(ctx context.Context, digest v1.Hash) error {
	img, err := remote.Image(in.name.Digest(digest.String()), in.session.Options(ctx)...)
	if image.IsNotFound(err) {
		return nil // the list under a tag may name what was deleted
	}
	if err != nil {
		return err
	}
	raw, err := img.RawManifest()
	if err != nil {
		return err
	}
	var m artifactManifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("reading the manifest %s: %w", digest, err)
	}
	kind := m.ArtifactType
	if kind == "" {
		kind = string(m.Config.MediaType)
	}
	if kind != signing.BundleType && kind != signing.PayloadType && predicateOf(kind) == "" || len(m.Layers) != 1 {
		return nil
	}
	content, err := in.content(img, m.Layers[0])
	if err != nil {
		return fmt.Errorf("reading what %s attaches: %w", digest, err)
	}
	e := in.document(kind, content)
	e.Manifest = digest
	if m.Subject == nil || m.Subject.Digest != in.subject {
		e.Problem = "it is attached to another image"
	}
	in.found = append(in.found, e)
	return nil
}

// predicateOf is the predicate type of a document that is attached without a signature.
func predicateOf(kind string) string {
	for predicate, media := range plainTypes {
		if media == kind {
			return predicate
		}
	}
	return ""
}

func (in *reader) content(img v1.Image, d v1.Descriptor) ([]byte, error) {
	if d.Size < 0 || d.Size > maxDocument || d.Size > in.left {
		return nil, fmt.Errorf("it has %d bytes, which is more than is read", d.Size)
	}
	in.left -= d.Size
	layer, err := img.LayerByDigest(d.Digest)
	if err != nil {
		return nil, err
	}
	r, err := layer.Compressed()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, maxDocument))
}

// document verifies one referrer.
func (in *reader) document(kind string, content []byte) Evidence {
	switch kind {
	case signing.BundleType:
		b, err := signing.ParseBundle(content)
		if err != nil {
			return Evidence{Form: Bundled, Problem: err.Error()}
		}
		return in.envelope(Bundled, &b.Envelope)
	case signing.PayloadType:
		e := signing.Envelope{PayloadType: kind, Payload: content}
		s, err := e.Statement()
		if err != nil {
			return Evidence{Form: Unsigned, Problem: err.Error()}
		}
		return Evidence{Form: Unsigned, PredicateType: s.PredicateType, Predicate: s.Predicate, Problem: in.about(s, errUnsigned)}
	}
	return Evidence{Form: Unsigned, PredicateType: predicateOf(kind), Predicate: content, Problem: errUnsigned.Error()}
}

var errUnsigned = errors.New("it is not signed")

// errNoKey is the problem of everything that is signed if no key is given.
var errNoKey = errors.New("no key was given to verify it with")

// envelope verifies a signed statement.
func (in *reader) envelope(form Form, e *signing.Envelope) Evidence {
	s, err := e.Statement()
	if err != nil {
		return Evidence{Form: form, Problem: err.Error()}
	}
	out := Evidence{Form: form, PredicateType: s.PredicateType, Predicate: s.Predicate}
	err = errNoKey
	if in.key != nil {
		_, err = e.Verify(in.key)
	}
	out.Problem = in.about(s, err)
	return out
}

// about says why a statement proves nothing, "" if it does.
func (in *reader) about(s *signing.Statement, err error) string {
	switch {
	case !s.IsAbout(in.subject.Hex):
		return "it is a statement about another image"
	case err != nil:
		return err.Error()
	}
	return ""
}

// tag reads what earlier versions of cosign wrote.
func (in *reader) tag(ctx context.Context, tag string) error {
	img, err := remote.Image(in.name.Tag(tag), in.session.Options(ctx)...)
	if image.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	m, err := img.Manifest()
	if err != nil {
		return fmt.Errorf("reading the tag %s: %w", tag, err)
	}
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	if len(m.Layers) > maxReferrers {
		return fmt.Errorf("the tag %s has more than %d documents", tag, maxReferrers)
	}
	for _, d := range m.Layers {
		if d.MediaType != simpleSigning && d.MediaType != types.MediaType(envelopeType) {
			continue
		}
		content, err := in.content(img, d)
		if err != nil {
			return fmt.Errorf("reading the tag %s: %w", tag, err)
		}
		e := in.layer(d, content)
		e.Manifest = digest
		in.found = append(in.found, e)
	}
	return nil
}

func (in *reader) layer(d v1.Descriptor, content []byte) Evidence {
	if d.MediaType == simpleSigning {
		return Evidence{Form: Tagged, PredicateType: signing.ImageSignature, Problem: in.simple(content, d.Annotations[signatureAnnotation])}
	}
	var e signing.Envelope
	if err := json.Unmarshal(content, &e); err != nil {
		return Evidence{Form: Tagged, Problem: err.Error()}
	}
	return in.envelope(Tagged, &e)
}

// simple verifies a signature of the older form, and says what is wrong with it.
func (in *reader) simple(content []byte, signature string) string {
	var s simple
	sig, sigErr := base64.StdEncoding.DecodeString(signature)
	err := json.Unmarshal(content, &s)
	switch {
	case err != nil || s.Critical.Type != simpleType:
		return "it is not a signature of an image"
	case s.Critical.Image.Digest != in.subject.String():
		return "it is a statement about another image"
	case in.key == nil:
		return errNoKey.Error()
	case sigErr != nil || !signing.Valid(in.key, content, sig):
		return signing.ErrSignature.Error()
	}
	return ""
}
