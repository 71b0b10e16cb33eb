package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"mlenv/imagebuild/attach"
	"mlenv/imagebuild/image"
)

// keyPair writes a key pair in PEM.
func keyPair(t *testing.T) (private, public string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(file, kind string, der []byte, err error) string {
		if err == nil {
			file = filepath.Join(dir, file)
			err = os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	private = write("key.pem", "PRIVATE KEY", der, err)
	der, err = x509.MarshalPKIXPublicKey(&key.PublicKey)
	return private, write("key.pub", "PUBLIC KEY", der, err)
}

// evidence lists what is attached to what a reference names by digest.
func evidence(t *testing.T, ref, public string) []attach.Evidence {
	t.Helper()
	key, err := publicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	repo, err := attach.Open(ref, image.Remote{}, transport.PullScope)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := name.NewDigest(ref)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := v1.NewHash(digest.DigestStr())
	if err != nil {
		t.Fatal(err)
	}
	found, err := repo.Read(context.Background(), hash, key)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestImageAttaches(t *testing.T) {
	w := newImageWorld(t)
	private, public := keyPair(t)
	plain := w.image(t, "--push", w.registry+"/churn:1")
	r := w.image(t, "--push", w.registry+"/churn:1", "--sbom", "spdx-json", "--sbom", "cyclonedx-json", "--provenance", "--sign-key", private)
	if r.Digest != plain.Digest {
		t.Errorf("attaching made %s of %s", r.Digest, plain.Digest)
	}
	if len(r.Attached) != 4 || r.Attached[0].Existed {
		t.Fatalf("attached %+v", r.Attached)
	}
	if found := evidence(t, r.References[0], public); len(found) != 8 || slices.ContainsFunc(found, func(e attach.Evidence) bool { return e.Problem != "" }) {
		t.Errorf("found %+v", found)
	}
	again := w.image(t, "--push", w.registry+"/churn:1", "--sbom", "spdx-json", "--sbom", "cyclonedx-json", "--provenance", "--sign-key", private)
	for _, a := range again.Attached {
		if !a.Existed {
			t.Errorf("%s was attached again", a.PredicateType)
		}
	}
	for _, e := range evidence(t, r.References[0], public) {
		for _, bad := range []string{w.model, w.env["HOME"], filepath.Dir(private)} {
			if strings.Contains(string(e.Predicate), bad) {
				t.Errorf("%s names a place on this machine, %s", e.PredicateType, bad)
			}
		}
	}
}

// TestImageAttachesWithProgram has a program sign.
func TestImageAttachesWithProgram(t *testing.T) {
	w := newImageWorld(t)
	private, public := keyPair(t)
	program := filepath.Join(t.TempDir(), "sign")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec openssl dgst -sha256 -sign "+private+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, _, code := command(t, w.env, w.args("--push", w.registry+"/churn:1", "--sign-with", program)...); code != exitFailure {
		t.Error("--sign-with without a key was taken")
	}
	if _, err := os.Stat("/usr/bin/openssl"); err != nil {
		t.Skip("there is no openssl to sign with")
	}
	r := w.image(t, "--push", w.registry+"/churn:1", "--sign-with", program, "--sign-key", public)
	if found := evidence(t, r.References[0], public); len(found) != 2 || found[0].Problem+found[1].Problem != "" {
		t.Errorf("found %+v", found)
	}
	_, other := keyPair(t)
	_, errs, code := command(t, w.env, w.args("--push", w.registry+"/churn:2", "--sign-with", program, "--sign-key", other)...)
	if code != exitFailure || !strings.Contains(errs, "the signature does not fit the public key") {
		t.Errorf("with another public key: exit code %d\n%s", code, errs)
	}
}

// TestImageCannotAttach pushes to a registry that takes images and nothing beside them.
func TestImageCannotAttach(t *testing.T) {
	w := newImageWorld(t)
	private, _ := keyPair(t)
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/sha256-") {
			rw.WriteHeader(http.StatusForbidden)
			return
		}
		inner.ServeHTTP(rw, r)
	}))
	defer s.Close()
	host := strings.TrimPrefix(s.URL, "http://")
	out, errs, code := command(t, w.env, w.args("--push", host+"/churn:1", "--sign-key", private, "--provenance")...)
	if code != exitFailure || !strings.HasPrefix(out, host+"/churn@sha256:") {
		t.Errorf("exit code %d, stdout %q", code, out)
	}
	if want := "the image is whole at " + strings.TrimSpace(out) + ", but not all could be attached (nothing is attached to it)"; !strings.Contains(errs, want) {
		t.Errorf("stderr\n%s\nwant %s", errs, want)
	}
	pulled(t, strings.TrimSpace(out))
}

func TestImageAttachErrors(t *testing.T) {
	w := newImageWorld(t)
	private, public := keyPair(t)
	for what, tt := range map[string]struct {
		args []string
		want string
	}{
		"no registry":    {[]string{"--output", "oci:" + t.TempDir(), "--sbom", "spdx-json"}, "there is no --push"},
		"another format": {[]string{"--push", w.registry + "/a:1", "--sbom", "xml"}, "--sbom xml: want spdx-json or cyclonedx-json"},
		"no key":         {[]string{"--push", w.registry + "/a:1", "--sign-key", private + "x"}, "reading the key"},
		"a public key":   {[]string{"--push", w.registry + "/a:1", "--sign-key", public}, "signing needs the private one"},
		"a private key":  {[]string{"--push", w.registry + "/a:1", "--sign-key", private, "--sign-with", "true"}, "it is a private key"},
		"no VEX":         {[]string{"--push", w.registry + "/a:1", "--vex", private + "x"}, "reading the VEX document"},
	} {
		_, errs, code := command(t, w.env, w.args(tt.args...)...)
		if code != exitFailure || !strings.Contains(errs, tt.want) {
			t.Errorf("%s: exit code %d, stderr\n%s", what, code, errs)
		}
		if n := len(w.index.Requests()); n > 0 {
			t.Errorf("%s: the index was asked %d times before that was said", what, n)
		}
	}
}

// TestImageAttachesToIndex attaches to an index and to each of its images; either proves the other's.
func TestImageAttachesToIndex(t *testing.T) {
	w := newImageWorld(t)
	w.twoPlatforms(t)
	private, public := keyPair(t)
	r := w.image(t, "--platform", "linux/amd64", "--platform", "linux/arm64", "--push", w.registry+"/churn:1",
		"--sbom", "spdx-json", "--provenance", "--sign-key", private)
	subjects := map[string][]string{}
	for _, a := range r.Attached {
		subjects[a.Subject] = append(subjects[a.Subject], a.PredicateType)
	}
	if len(subjects) != 3 || len(subjects[r.Digest]) != 2 || len(r.Attached) != 8 {
		t.Errorf("attached %v", subjects)
	}
	for subject := range subjects {
		ref := w.registry + "/churn@" + subject
		for _, e := range evidence(t, ref, public) {
			if e.Problem != "" {
				t.Errorf("%s: %+v", ref, e)
			}
		}
	}
	for _, platform := range []string{"linux/amd64", "linux/arm64"} {
		out, errs, code := command(t, w.env, "verify", r.References[0], "--platform", platform, "--key", public, "--rebuild", "--base", "oci:"+w.base, "--index-url", w.index.URL)
		if code != 0 || !strings.Contains(out, "sbom        proven") {
			t.Errorf("%s: exit code %d\n%s%s", platform, code, out, errs)
		}
	}
}
