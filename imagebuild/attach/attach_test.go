package attach_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"mlenv/imagebuild/attach"
	"mlenv/imagebuild/image"
	"mlenv/resolve/signing"
)

const (
	spdx = "https://spdx.dev/Document"
	slsa = "https://slsa.dev/provenance/v1"
)

func newSigner(t *testing.T) signing.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := signing.ParsePrivate(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// place is a registry with an image in it.
type place struct {
	ref     string // of the repository
	image   v1.Image
	subject v1.Descriptor
	writes  atomic.Int64 // requests that change something
	refuse  atomic.Pointer[func(*http.Request) bool]
}

func newPlace(t *testing.T, o ...registry.Option) *place {
	t.Helper()
	p := &place{}
	inner := registry.New(append(o, registry.Logger(log.New(io.Discard, "", 0)))...)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := p.refuse.Load(); f != nil && (*f)(r) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if r.Method == http.MethodPut {
			p.writes.Add(1)
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	p.ref = strings.TrimPrefix(s.URL, "http://") + "/team/churn"
	p.image = p.push(t, "1")
	d, err := partial.Descriptor(p.image)
	if err != nil {
		t.Fatal(err)
	}
	p.subject = *d
	return p
}

func (p *place) push(t *testing.T, tag string) v1.Image {
	t.Helper()
	img, err := random.Image(1000, 1)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(p.ref + ":" + tag)
	if err == nil {
		err = remote.Write(ref, img)
	}
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func (p *place) all() []attach.Attachment {
	return []attach.Attachment{
		{Subject: p.subject, PredicateType: signing.ImageSignature},
		{Subject: p.subject, PredicateType: spdx, Predicate: []byte(`{"name": "x&y"}`)},
		{Subject: p.subject, PredicateType: slsa, Predicate: []byte(`{"a": 1}`)},
	}
}

func (p *place) attach(t *testing.T, s signing.Signer, list ...attach.Attachment) []attach.Result {
	t.Helper()
	done, err := attach.Attach(context.Background(), p.ref, list, attach.Options{Signer: s, Created: time.Unix(1e9, 0)})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// read lists what is attached as "form predicate: problem".
func (p *place) read(t *testing.T, key crypto.PublicKey) []string {
	t.Helper()
	r, err := attach.Open(p.ref, image.Remote{}, transport.PullScope)
	if err != nil {
		t.Fatal(err)
	}
	found, err := r.Read(context.Background(), p.subject.Digest, key)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range found {
		out = append(out, fmt.Sprintf("%s %s: %s", e.Form, e.PredicateType, e.Problem))
	}
	return out
}

func count(list []string, text string) (n int) {
	for _, one := range list {
		if strings.Contains(one, text) {
			n++
		}
	}
	return n
}

// registries are one that lists referrers and one that does not.
var registries = map[string][]registry.Option{"lists referrers": {registry.WithReferrersSupport(true)}, "tags alone": nil}

func TestAttach(t *testing.T) {
	for what, o := range registries {
		t.Run(what, func(t *testing.T) {
			p, s := newPlace(t, o...), newSigner(t)
			before, err := p.image.Digest()
			if err != nil {
				t.Fatal(err)
			}
			done := p.attach(t, s, p.all()...)
			for _, d := range done {
				if d.Existed || d.Manifest.Hex == "" {
					t.Errorf("%s: %+v", d.PredicateType, d)
				}
			}
			list := p.read(t, s.Public())
			if len(list) != 6 || count(list, "bundle ") != 3 || count(list, "tag ") != 3 {
				t.Errorf("attached %q", list)
			}
			for _, one := range list {
				if !strings.HasSuffix(one, ": ") {
					t.Error(one)
				}
			}
			// Again: nothing is written.
			writes := p.writes.Load()
			for _, d := range p.attach(t, s, p.all()...) {
				if !d.Existed {
					t.Errorf("%s was attached once more", d.PredicateType)
				}
			}
			if n := p.writes.Load(); n != writes {
				t.Errorf("%d requests wrote what was there", n-writes)
			}
			// Another document of the type goes beside the first.
			if d := p.attach(t, s, attach.Attachment{Subject: p.subject, PredicateType: spdx, Predicate: []byte(`{"name": "y"}`)}); d[0].Existed {
				t.Error("another document was taken for the first")
			}
			ref, err := name.ParseReference(p.ref + ":1")
			if err != nil {
				t.Fatal(err)
			}
			if d, err := remote.Head(ref); err != nil || d.Digest != before {
				t.Errorf("the tag is %v now, %v", d, err)
			}
			// Other keys prove nothing, and neither does none.
			if list := p.read(t, newSigner(t).Public()); count(list, signing.ErrSignature.Error()) != 8 {
				t.Errorf("by another key: %q", list)
			}
			if list := p.read(t, nil); count(list, "no key was given") != 8 {
				t.Errorf("without a key: %q", list)
			}
			// A second key signs beside the first.
			if d := p.attach(t, newSigner(t), p.all()[0]); d[0].Existed {
				t.Error("another's signature was taken for this key's")
			}
		})
	}
}

func TestAttachUnsigned(t *testing.T) {
	for what, o := range registries {
		p := newPlace(t, o...)
		first := p.attach(t, nil, p.all()[1:]...)
		again := p.attach(t, nil, p.all()[1:]...)
		for i := range first {
			if first[i].Manifest != again[i].Manifest {
				t.Errorf("%s: attached as %s and as %s", what, first[i].Manifest, again[i].Manifest)
			}
		}
		if list := p.read(t, newSigner(t).Public()); len(list) != 2 || count(list, "unsigned "+spdx+": it is not signed") != 1 || count(list, "unsigned "+slsa+": it is not signed") != 1 {
			t.Errorf("%s: %q", what, list)
		}
		if _, err := attach.Attach(context.Background(), p.ref, p.all()[:1], attach.Options{}); err == nil || !strings.Contains(err.Error(), "no key") {
			t.Errorf("%s: signing without a key gives %v", what, err)
		}
	}
}

// copied puts what is attached to one image beside another, as a forger would.
func copied(t *testing.T, p *place, subject v1.Hash, to v1.Descriptor) {
	t.Helper()
	repo, err := name.NewRepository(p.ref)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Referrers(repo.Digest(subject.String()))
	if err != nil {
		t.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list.Manifests {
		img, err := remote.Image(repo.Digest(d.Digest.String()))
		if err == nil {
			forged := mutate.Subject(img, to).(v1.Image)
			var digest v1.Hash
			if digest, err = forged.Digest(); err == nil {
				err = remote.Write(repo.Digest(digest.String()), forged)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, suffix := range []string{".sig", ".att"} {
		img, err := remote.Image(repo.Tag("sha256-" + subject.Hex + suffix))
		if err == nil {
			err = remote.Write(repo.Tag("sha256-"+to.Digest.Hex+suffix), img)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestReplay takes everything that is attached to one image, and attaches it to another.
func TestReplay(t *testing.T) {
	for what, o := range registries {
		p, s := newPlace(t, o...), newSigner(t)
		p.attach(t, s, p.all()...)
		other, err := partial.Descriptor(p.push(t, "2"))
		if err != nil {
			t.Fatal(err)
		}
		copied(t, p, p.subject.Digest, *other)
		p.subject = *other
		if list := p.read(t, s.Public()); count(list, "about another image") != 6 || len(list) != 6 {
			t.Errorf("%s: %q", what, list)
		}
		// They do not keep the image from being signed.
		p.attach(t, s, p.all()...)
		valid := 0
		for _, one := range p.read(t, s.Public()) {
			if strings.HasSuffix(one, ": ") {
				valid++
			}
		}
		if valid != 6 {
			t.Errorf("%s: %d are valid after signing", what, valid)
		}
	}
}

// TestAttachFails refuses the third document: what was done before is told.
func TestAttachFails(t *testing.T) {
	p, s := newPlace(t), newSigner(t)
	n := 0
	refuse := func(r *http.Request) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/sha256:") {
			n++
		}
		return n > 2
	}
	p.refuse.Store(&refuse)
	_, err := attach.Attach(context.Background(), p.ref, p.all(), attach.Options{Signer: s})
	var failed *attach.Error
	if !errors.As(err, &failed) || len(failed.Done) != 2 || failed.Done[0].PredicateType != signing.ImageSignature || failed.Repository != p.ref {
		t.Fatalf("%v", err)
	}
	p.refuse.Store(nil)
	done := p.attach(t, s, p.all()...)
	if !done[0].Existed || !done[1].Existed || done[2].Existed {
		t.Errorf("the next time: %+v", done)
	}
}

func TestHostileReferrers(t *testing.T) {
	p, s := newPlace(t), newSigner(t)
	p.attach(t, s, p.all()[0])
	repo, err := name.NewRepository(p.ref)
	if err != nil {
		t.Fatal(err)
	}
	// A list that names an ordinary image beside the bundle.
	bundle, err := remote.Image(repo.Digest(p.attach(t, s, p.all()[0])[0].Manifest.String()))
	if err != nil {
		t.Fatal(err)
	}
	list := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: p.image}, mutate.IndexAddendum{Add: bundle})
	if err := remote.WriteIndex(repo.Tag("sha256-"+p.subject.Digest.Hex), list); err != nil {
		t.Fatal(err)
	}
	if got := p.read(t, s.Public()); len(got) != 2 || count(got, signing.ImageSignature+": ") != 2 {
		t.Errorf("%q", got)
	}
}
