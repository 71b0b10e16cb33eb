package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"

	"mlenv/imagebuild"
	"mlenv/imagebuild/attach"
	"mlenv/imagebuild/base"
	"mlenv/imagebuild/image"
	"mlenv/imagebuild/sink"
	"mlenv/render/provenance"
	"mlenv/render/sbom"
	"mlenv/resolve/check/gather"
	"mlenv/resolve/dist"
	"mlenv/resolve/index"
	"mlenv/resolve/pep508"
	"mlenv/resolve/signing"
)

// attachOptions say what is attached to an image.
type attachOptions struct {
	sbom       []string // formats
	provenance bool
	signKey    string
	signWith   string
	vex        string // a file
}

func (o *attachOptions) bind(s *flagSet) {
	s.list(&o.sbom, "sbom", "attach a bill of materials in the form `FORMAT`, "+oneOf(sbom.Formats()))
	s.on(&o.provenance, "provenance", "attach what the image was made of and by whom (SLSA provenance)")
	s.text(&o.vex, "vex", "attach the OpenVEX document `FILE`, which mlenv check --vex writes")
	s.text(&o.signKey, "sign-key", "sign the image and what is attached with the private key `FILE` (PKCS#8 in PEM, or cosign.key, whose password is in COSIGN_PASSWORD)")
	s.text(&o.signWith, "sign-with", "have `PROGRAM` sign what it gets on stdin, and print the signature; --sign-key is the public key then")
}

// wanted reports whether there is anything to attach.
func (o *attachOptions) wanted() bool {
	return len(o.sbom) > 0 || o.provenance || o.signKey != "" || o.signWith != "" || o.vex != ""
}

// attacher attaches documents to the images of one run.
type attacher struct {
	*imageRun
	key      signing.Signer // nil: nothing is signed
	vexText  []byte
	meta     map[pep508.Name]*dist.Metadata
	settings imagebuild.Settings
	done     []attached
}

// attacher reads the keys and files that are needed, before anything is built; nil if nothing is to
// be attached.
func (r *imageRun) attacher() (*attacher, error) {
	o := r.o.attach
	if !o.wanted() {
		return nil, nil
	}
	if len(r.o.sinks.push) == 0 {
		return nil, &usageError{msg: "--sbom, --provenance, --vex and --sign-key attach to an image in a registry, and there is no --push"}
	}
	// All that can be wrong is found before anything is built: a build may take an hour.
	for _, f := range o.sbom {
		if !slices.Contains(sbom.Formats(), f) {
			return nil, &usageError{msg: fmt.Sprintf("--sbom %s: want %s", f, oneOf(sbom.Formats()))}
		}
	}
	t := &attacher{imageRun: r}
	var err error
	if t.key, err = r.signer(o.signKey, o.signWith); err != nil {
		return nil, err
	}
	if o.vex != "" {
		if t.vexText, err = os.ReadFile(o.vex); err != nil {
			return nil, fmt.Errorf("reading the VEX document: %w", err)
		}
	}
	return t, nil
}

// notAttached says that images were pushed, and what of the rest failed.
type notAttached struct {
	reference string
	err       error
}

func (e *notAttached) Error() string {
	done := 0
	if failed := (*attach.Error)(nil); errors.As(e.err, &failed) {
		done = len(failed.Done)
	}
	text := "nothing is attached to it"
	if done > 0 {
		text = plural(done, "document") + " attached"
	}
	return fmt.Sprintf("the image is whole at %s, but not all could be attached (%s): %v", e.reference, text, e.err)
}

func (e *notAttached) Unwrap() error { return e.err }

// attach attaches to every repository that the images were pushed to. What is attached refers to a digest
// within its repository: a registry does not find it from another one.
func (t *attacher) attach(ctx context.Context, p *imagebuild.Published, recipes []imagebuild.Recipe) error {
	if len(t.o.attach.sbom) > 0 {
		var err error
		if t.meta, err = t.metadata(ctx); err != nil {
			return err
		}
	}
	digest, err := p.Artifact.Digest()
	if err != nil {
		return err
	}
	// That one registry refuses keeps no other from its documents.
	var errs []error
	for _, ref := range t.o.sinks.push {
		sent := slices.IndexFunc(p.Sent, func(s sink.Sent) bool {
			return strings.HasSuffix(s.Reference, "@"+digest.String()) && repositoryOf(ref) == repositoryOf(s.Reference)
		})
		if sent < 0 {
			continue // it failed, and that has been said
		}
		list, err := t.attachments(p, recipes, ref)
		if err != nil {
			return err
		}
		t.progress.say("attaching to %s", p.Sent[sent].Reference)
		done, err := attach.Attach(ctx, ref, list, attach.Options{Remote: t.remote(), Signer: t.key, Created: recipes[0].Created})
		if err != nil {
			errs = append(errs, &notAttached{p.Sent[sent].Reference, err})
		}
		for _, d := range done {
			t.done = append(t.done, attached{p.Sent[sent].Reference, d.Subject.Digest.String(), d.PredicateType, d.Manifest.String(), d.Existed})
		}
	}
	return errors.Join(errs...)
}

// attached is one document in the report.
type attached struct {
	Reference     string `json:"reference"`
	Subject       string `json:"subject"` // the digest of the image or index that it is about
	PredicateType string `json:"predicateType"`
	Manifest      string `json:"manifest"` // the digest of the manifest that holds it
	Existed       bool   `json:"existed"`
}

// repositoryOf is a reference without its tag and digest, as registries call it.
func repositoryOf(ref string) string {
	r, err := image.ParseReference(ref)
	if err != nil {
		return ref // of a sink that is no registry
	}
	return r.Context().Name()
}

// metadata is that of the packages on all platforms.
func (t *attacher) metadata(ctx context.Context) (map[pep508.Name]*dist.Metadata, error) {
	all := map[pep508.Name]*dist.Metadata{}
	for _, target := range base.Targets(t.bases) {
		found, _, err := gather.Metadata(ctx, t.client, t.locked.Lock, t.locked.Dir, target)
		if err != nil {
			return nil, err
		}
		for name, m := range found {
			all[name] = m
		}
	}
	return all, nil
}

// attachments are all documents: those of each image, and of an index what holds for all.
func (t *attacher) attachments(p *imagebuild.Published, recipes []imagebuild.Recipe, ref string) ([]attach.Attachment, error) {
	var out []attach.Attachment
	if p.Artifact.Index != nil {
		d, err := partial.Descriptor(p.Artifact.Index)
		if err != nil {
			return nil, err
		}
		more, err := t.signedAll(*d, p.Images, recipes, nil)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	for i, img := range p.Images {
		d, err := partial.Descriptor(img)
		if err != nil {
			return nil, err
		}
		documents, made, err := t.bills(*d, i, recipes[i], ref)
		if err != nil {
			return nil, err
		}
		more, err := t.signedAll(*d, p.Images[i:i+1], recipes[i:i+1], made)
		if err != nil {
			return nil, err
		}
		out = append(append(out, documents...), more...)
	}
	return out, nil
}

// signedAll are the signature, the provenance and the exceptions of one manifest.
func (t *attacher) signedAll(d v1.Descriptor, images []*imagebuild.Image, recipes []imagebuild.Recipe, made []provenance.Material) (out []attach.Attachment, err error) {
	if t.o.attach.provenance {
		text, err := provenance.Document(t.provenance(images, recipes, made))
		if err != nil {
			return nil, err
		}
		out = append(out, attach.Attachment{Subject: d, PredicateType: provenance.PredicateType, Predicate: text})
	}
	if t.vexText != nil {
		out = append(out, attach.Attachment{Subject: d, PredicateType: vexPredicate, Predicate: t.vexText})
	}
	// The signature comes last: whoever waits for it finds everything.
	if t.key != nil {
		out = append(out, attach.Attachment{Subject: d, PredicateType: signing.ImageSignature})
	}
	return out, nil
}

// vexPredicate is the type of OpenVEX documents as predicates.
const vexPredicate = "https://openvex.dev/ns"

// bills are the bills of materials of one image.
func (t *attacher) bills(d v1.Descriptor, i int, recipe imagebuild.Recipe, ref string) (out []attach.Attachment, made []provenance.Material, err error) {
	b := t.bases[i]
	in := sbom.Input{
		Subject: sbom.Subject{Name: repositoryOf(ref), Digest: d.Digest.String(), Tag: tagOf(ref), Platform: b.Platform().String()},
		Model:   modelOfBill(t.in.Model, t.in.Spec), Lock: t.locked.Lock, Target: b.Target(), Metadata: t.meta, Base: baseOfBill(b.Base, b.Name),
		Public: index.IsDefault, Tool: sbom.Tool{Name: "mlenv", Version: versionNumber()}, Created: recipe.Created,
	}
	for _, f := range t.o.attach.sbom {
		text, err := sbom.Document(in, sbom.Format(f))
		if err != nil {
			return nil, nil, err
		}
		sum := sha256.Sum256(text)
		made = append(made, provenance.Material{Name: f, SHA256: hex.EncodeToString(sum[:])})
		out = append(out, attach.Attachment{Subject: d, PredicateType: sbom.Format(f).PredicateType(), Predicate: text})
	}
	return out, made, nil
}

// tagOf is the tag of a reference, "" if it has none.
func tagOf(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	if at := strings.LastIndexByte(ref, ':'); at > strings.LastIndexByte(ref, '/') {
		return ref[at+1:]
	}
	return ""
}

// provenance says what images were made of.
func (t *attacher) provenance(images []*imagebuild.Image, recipes []imagebuild.Recipe, made []provenance.Material) provenance.Input {
	in := provenance.Input{
		Model: t.modelOrigin(images[0]), Formats: imagebuild.Formats(), Made: made, Builder: t.builder(),
		Settings: t.settings, Base: provenance.Material{Name: "base", URI: recipes[0].Base.Name, SHA256: recipes[0].Base.Digest},
	}
	sum := sha256.Sum256(recipes[0].Lock)
	in.Lock = hex.EncodeToString(sum[:])
	seen := map[string]bool{}
	for i, r := range recipes {
		if i > 0 {
			in.Wheels = append(in.Wheels, provenance.Material{Name: "base for " + r.Base.Platform().String(), URI: r.Base.Name, SHA256: r.Base.Digest})
		}
		picks, _ := t.locked.Lock.Choose(r.Base.Target())
		for _, p := range picks {
			if key := p.File.Hashes["sha256"]; !seen[key] {
				seen[key] = true
				in.Wheels = append(in.Wheels, provenance.Material{Name: p.File.Name, URI: p.File.URL, SHA256: key})
			}
		}
	}
	return in
}

// modelOrigin says which model it was. The digest is the one that OpenSSF Model Signing gives all
// files together, so that it can be compared with a signature's.
func (t *attacher) modelOrigin(img *imagebuild.Image) provenance.Model {
	m := provenance.Model{ID: t.in.Spec.Model.ModelID, RunID: t.in.Spec.Model.RunID}
	if t.in.signed != nil {
		m.Signature = t.in.signed.Digest
	}
	// The path of a directory is of this machine, and tells nobody else anything.
	if t.in.Source != nil {
		m.URI = t.in.Name
	}
	all := sha256.New()
	for _, f := range img.ModelFiles() {
		raw, err := hex.DecodeString(f.SHA256)
		if err != nil {
			continue // imagebuild has made it itself
		}
		all.Write(raw) // never fails
		m.Files++
	}
	m.SHA256 = hex.EncodeToString(all.Sum(nil))
	return m
}

// builder says who builds, as the variables of CI systems tell.
func (a *app) builder() provenance.Builder {
	b := provenance.Builder{Version: versionNumber()}
	switch {
	case a.env("GITHUB_ACTIONS") == "true":
		server := a.env("GITHUB_SERVER_URL")
		b.ID = server + "/" + a.env("GITHUB_WORKFLOW_REF")
		b.Invocation = server + "/" + path.Join(a.env("GITHUB_REPOSITORY"), "actions/runs", a.env("GITHUB_RUN_ID"), "attempts", a.env("GITHUB_RUN_ATTEMPT"))
	case a.env("GITLAB_CI") == "true":
		b.ID, b.Invocation = a.env("CI_PROJECT_URL")+"/-/runners/"+a.env("CI_RUNNER_ID"), a.env("CI_JOB_URL")
	case a.env("JENKINS_URL") != "":
		b.ID, b.Invocation = a.env("JENKINS_URL"), a.env("BUILD_URL")
	}
	return b
}
