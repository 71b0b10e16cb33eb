// Package attach puts documents about an image beside it in a registry, and reads them again: bills
// of materials, provenance, and signatures.
//
// What is attached names the image by its digest, in the field subject of a manifest of its own (OCI
// image-spec 1.1, "Guidelines for Artifact Usage"), so the image itself never changes. A registry
// lists such manifests as the image's referrers; for one that cannot, a tag made of the digest holds
// the list (OCI distribution-spec, "Referrers Tag Schema"). Updating that list is a race that the
// specification does not solve: who attaches to one image from two places at the same moment may
// lose one of the two.
//
// Signatures are written twice: as sigstore bundles, which cosign 3 looks for, and under the tags
// that earlier versions used, because the admission controllers of many clusters still look there.
package attach

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"mlenv/imagebuild/image"
	"mlenv/resolve/signing"
)

// Attachment is one document about an image or an index.
type Attachment struct {
	Subject       v1.Descriptor // the manifest that it is about
	PredicateType string        // as in in-toto statements; signing.ImageSignature: nothing but a signature
	Predicate     []byte        // JSON; nil for a signature alone
}

// Options say how documents are attached.
type Options struct {
	Remote  image.Remote
	Signer  signing.Signer // nil: the documents are not signed
	Created time.Time      // what counts as the time at which they were attached; nothing here has a clock
}

// Result is what became of one attachment.
type Result struct {
	Attachment
	Manifest v1.Hash // that holds it
	Existed  bool    // a valid one was there, and nothing was written
}

// Error reports which documents could not be attached. Those before it are in place.
type Error struct {
	Repository string
	Subject    v1.Hash
	Done       []Result
	Err        error
}

func (e *Error) Error() string {
	return fmt.Sprintf("attaching to %s@%s: %v", e.Repository, e.Subject, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Repository is where images lie with what is attached to them.
type Repository struct {
	name    name.Repository
	session *image.Session
}

// Open opens the repository of a reference. scope is transport.PullScope or transport.PushScope.
func Open(ref string, r image.Remote, scope string) (*Repository, error) {
	parsed, err := image.ParseReference(ref)
	if err != nil {
		return nil, err
	}
	return &Repository{parsed.Context(), r.Session(parsed.Context(), scope)}, nil
}

// Attach attaches documents to images in the repository of a reference, in their order. What is
// there already, and valid by the same key, is left as it is. The error is an *Error.
func Attach(ctx context.Context, ref string, list []Attachment, o Options) ([]Result, error) {
	repo, err := Open(ref, o.Remote, transport.PushScope)
	if err != nil {
		return nil, err
	}
	w := &writer{Repository: repo, Options: o, known: map[v1.Hash][]Evidence{}}
	var done []Result
	for _, a := range list {
		one, err := w.attach(ctx, a)
		if err != nil {
			return done, &Error{repo.name.Name(), a.Subject.Digest, done, repo.session.Explain(ctx, err)}
		}
		done = append(done, one)
	}
	return done, nil
}

// writer is one run of Attach.
type writer struct {
	*Repository
	Options
	known map[v1.Hash][]Evidence // by subject, what is attached already
}

func (w *writer) attach(ctx context.Context, a Attachment) (Result, error) {
	if w.Signer == nil {
		return w.plain(ctx, a)
	}
	there, ok := w.known[a.Subject.Digest]
	if !ok {
		var err error
		if there, err = w.Read(ctx, a.Subject.Digest, w.Signer.Public()); err != nil {
			return Result{}, fmt.Errorf("reading what is attached: %w", err)
		}
		w.known[a.Subject.Digest] = there
	}
	out := Result{Attachment: a, Existed: true}
	inBundle, inTag := find(there, a, Bundled), find(there, a, Tagged)
	if inBundle != nil && inTag != nil {
		out.Manifest = inBundle.Manifest
		return out, nil
	}
	statementName := w.name.Name()
	if a.PredicateType == signing.ImageSignature {
		statementName = "" // as cosign has it
	}
	envelope, err := signing.Sign(ctx, signing.NewStatement(statementName, a.Subject.Digest.Hex, a.PredicateType, a.Predicate), w.Signer)
	if err != nil {
		return out, err
	}
	if out.Existed = false; inBundle == nil {
		if out.Manifest, err = w.bundle(ctx, a, envelope); err != nil {
			return out, err
		}
	}
	if inTag == nil {
		err = w.tagged(ctx, a, envelope)
	}
	return out, err
}

// find returns the valid evidence of a form that says the same as an attachment.
func find(there []Evidence, a Attachment, form Form) *Evidence {
	for i, e := range there {
		if e.Form == form && e.Problem == "" && e.PredicateType == a.PredicateType && sameJSON(e.Predicate, a.Predicate) {
			return &there[i]
		}
	}
	return nil
}

// sameJSON compares documents by what they say, however they are written. No document at all is an
// empty one.
func sameJSON(a, b []byte) bool {
	x, err := decoded(a)
	if err != nil {
		return false
	}
	y, err := decoded(b)
	return err == nil && reflect.DeepEqual(x, y)
}

func decoded(data []byte) (out any, err error) {
	if len(data) == 0 {
		data = []byte("{}")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	err = d.Decode(&out)
	return out, err
}

// The annotations that cosign finds bundles by.
const (
	contentAnnotation   = "dev.sigstore.bundle.content"
	predicateAnnotation = "dev.sigstore.bundle.predicateType"
	createdAnnotation   = "org.opencontainers.image.created"
)

func (w *writer) bundle(ctx context.Context, a Attachment, e *signing.Envelope) (v1.Hash, error) {
	hint, err := signing.Hint(w.Signer.Public())
	if err != nil {
		return v1.Hash{}, err
	}
	text, err := (&signing.Bundle{Envelope: *e, Hint: hint}).Marshal()
	if err != nil {
		return v1.Hash{}, err
	}
	return w.push(ctx, &artifact{kind: signing.BundleType, content: text, subject: a.Subject, annotations: map[string]string{
		contentAnnotation: "dsse-envelope", predicateAnnotation: a.PredicateType, createdAnnotation: w.Created.UTC().Format(time.RFC3339),
	}})
}

// plainTypes are the media types of documents that are attached without a signature. Any other is
// attached as an in-toto statement.
var plainTypes = map[string]string{
	"https://spdx.dev/Document": "application/spdx+json", "https://cyclonedx.org/bom": "application/vnd.cyclonedx+json",
}

// plain attaches a document without a signature. The same document gives the same manifest, so
// attaching it again changes nothing.
func (w *writer) plain(ctx context.Context, a Attachment) (Result, error) {
	if a.PredicateType == signing.ImageSignature {
		return Result{}, errors.New("there is no key to sign with")
	}
	content, kind := a.Predicate, plainTypes[a.PredicateType]
	if kind == "" {
		kind = signing.PayloadType
		var err error
		if content, err = json.Marshal(signing.NewStatement(w.name.Name(), a.Subject.Digest.Hex, a.PredicateType, a.Predicate)); err != nil {
			return Result{}, err
		}
	}
	digest, err := w.push(ctx, &artifact{kind: kind, content: content, subject: a.Subject, annotations: map[string]string{
		createdAnnotation: w.Created.UTC().Format(time.RFC3339), "in-toto.io/predicate-type": a.PredicateType,
	}})
	return Result{Attachment: a, Manifest: digest}, err
}

func (w *writer) push(ctx context.Context, a *artifact) (v1.Hash, error) {
	img, err := a.image()
	if err != nil {
		return v1.Hash{}, err
	}
	digest, err := img.Digest()
	if err != nil {
		return v1.Hash{}, err
	}
	return digest, remote.Write(w.name.Digest(digest.String()), img, w.session.Options(ctx)...)
}

// Legacy forms of cosign before version 3.
const (
	simpleSigning       = "application/vnd.dev.cosign.simplesigning.v1+json"
	envelopeType        = "application/vnd.dsse.envelope.v1+json"
	signatureAnnotation = "dev.cosignproject.cosign/signature"
)

// simple is what cosign signed before version 3: the payload of "simple signing" as Red Hat defined
// it.
type simple struct {
	Critical struct {
		Identity struct {
			Reference string `json:"docker-reference"`
		} `json:"identity"`
		Image struct {
			Digest string `json:"docker-manifest-digest"`
		} `json:"image"`
		Type string `json:"type"`
	} `json:"critical"`
	Optional map[string]any `json:"optional"`
}

const simpleType = "cosign container image signature"

// tagName is the tag under which earlier versions of cosign look.
func tagName(subject v1.Hash, suffix string) string {
	return subject.Algorithm + "-" + subject.Hex + suffix
}

// tagged adds an attachment to the image under cosign's earlier tags. Each layer is one document.
func (w *writer) tagged(ctx context.Context, a Attachment, e *signing.Envelope) error {
	suffix, kind := ".att", types.MediaType(envelopeType)
	annotations := map[string]string{signatureAnnotation: "", "predicateType": a.PredicateType}
	content, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if a.PredicateType == signing.ImageSignature {
		var s simple
		s.Critical.Identity.Reference, s.Critical.Image.Digest, s.Critical.Type = w.name.Name(), a.Subject.Digest.String(), simpleType
		if content, err = json.Marshal(s); err != nil {
			return err
		}
		sig, err := w.Signer.Sign(ctx, content)
		if err != nil {
			return fmt.Errorf("signing: %w", err)
		}
		suffix, kind = ".sig", simpleSigning
		annotations = map[string]string{signatureAnnotation: base64.StdEncoding.EncodeToString(sig)}
	}
	tag := w.name.Tag(tagName(a.Subject.Digest, suffix))
	img, err := addLayer(ctx, w.Repository, tag, document{kind, content, annotations})
	if err != nil {
		return err
	}
	return remote.Write(tag, img, w.session.Options(ctx)...)
}
