package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"mlenv/imagebuild/base/basetest"
	"mlenv/imagebuild/sink"
	"mlenv/resolve/index/indextest"
	"mlenv/resolve/pylock"
)

// TestOneBase says a base in every way, and has lock, image and dockerfile record the same of it: its
// full name, and the digest of the platform's image. So an image of a lock that was made for a base
// is the image that is made without the lock.
func TestOneBase(t *testing.T) {
	w := newImageWorld(t)
	w.index.Add(indextest.Parse("uv 0.9.0")...)
	several, err := basetest.Index("3.11.9", "amd64", "arm64")
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(w.registry + "/library/python:3.11.9-slim")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(tag, several); err != nil {
		t.Fatal(err)
	}
	manifest, err := several.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	index, err := several.Digest()
	if err != nil {
		t.Fatal(err)
	}
	of, full := manifest.Manifests[0].Digest.String(), tag.Name()
	repository := tag.Repository.Name()
	for _, tt := range []struct{ name, ref, wantName string }{
		{"tag", full, full},
		{"digest of the index", repository + "@" + index.String(), repository + "@" + index.String()},
		{"digest of the image", repository + "@" + of, repository + "@" + of},
		{"tag and digest", full + "@" + index.String(), repository + "@" + index.String()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			run := func(args ...string) {
				t.Helper()
				args = append(args, "--base", tt.ref, "--platform", "linux/amd64", "--index-url", w.index.URL)
				if _, stderr, code := command(t, w.env, args...); code != exitOK {
					t.Fatalf("%v: exit code %d: %s", args, code, stderr)
				}
			}
			lock := filepath.Join(dir, "pylock.toml")
			run("lock", w.model, "-o", lock)
			direct := w.image(t, "--base", tt.ref, "--platform", "linux/amd64", "--push", w.registry+"/churn:1")
			locked := w.image(t, "--base", tt.ref, "--platform", "linux/amd64", "--lock", lock, "-o", "oci:"+filepath.Join(dir, "locked"))
			run("dockerfile", w.model, "-o", filepath.Join(dir, "context"))
			if direct.Digest != locked.Digest {
				t.Errorf("image gives %s, with the lock %s", direct.Digest, locked.Digest)
			}

			l, _, err := mustReadLock(lock)
			if err != nil {
				t.Fatal(err)
			}
			inContext, _, err := mustReadLock(filepath.Join(dir, "context", "pylock.toml"))
			if err != nil {
				t.Fatal(err)
			}
			said := map[string][2]string{
				"lock":                  {l.Tool.BaseName, l.Tool.BaseDigest},
				"the dockerfile's lock": {inContext.Tool.BaseName, inContext.Tool.BaseDigest},
				"the dockerfile":        labelsInDockerfile(t, filepath.Join(dir, "context", "Dockerfile")),
			}
			labels := labelsOf(t, direct.References[0])
			said["image"] = [2]string{labels["org.opencontainers.image.base.name"], labels["org.opencontainers.image.base.digest"]}
			for who, got := range said {
				if want := [2]string{tt.wantName, of}; got != want {
					t.Errorf("%s records %v, not %v", who, got, want)
				}
			}
		})
	}
}

// labelsInDockerfile gives the name and digest of the base that a Dockerfile's labels tell.
func labelsInDockerfile(t *testing.T, file string) (base [2]string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, what := range []string{"name", "digest"} {
		m := regexp.MustCompile(`org\.opencontainers\.image\.base\.` + what + `"="([^"]+)"`).FindSubmatch(text)
		if m == nil {
			t.Fatalf("no label tells the base's %s:\n%s", what, text)
		}
		base[i] = string(m[1])
	}
	return base
}

// TestNoPathOfTheMachine locks for bases that lie in files of this machine: where they lie is in no
// lock, and so in no image.
func TestNoPathOfTheMachine(t *testing.T) {
	w := newImageWorld(t)
	tar := filepath.Join(filepath.Dir(w.base), "base.tar")
	write(t, sink.OCITar(tar, "base:latest"), sink.Artifact{Image: slimBase(t, "3.11.9")})
	want := w.image(t, "-o", "oci:"+filepath.Join(t.TempDir(), "x")).Digest
	for _, ref := range []string{"oci:" + w.base, "oci:" + w.base + ":base", "oci-tar:" + tar} {
		lock := filepath.Join(t.TempDir(), "pylock.toml")
		if _, stderr, code := command(t, w.env, "lock", w.model, "--base", ref, "--index-url", w.index.URL, "-o", lock); code != exitOK {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		l, text, err := mustReadLock(lock)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), filepath.Dir(w.base)) || strings.Contains(string(text), filepath.Base(tar)) {
			t.Errorf("%s: the lock holds the base's path:\n%s", ref, text)
		}
		if !strings.HasPrefix(l.Tool.BaseDigest, "sha256:") {
			t.Errorf("%s: the lock does not tell the base's digest", ref)
		}
		if err := os.WriteFile(lock, pylock.Format(l), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := w.image(t, "--base", ref, "--lock", lock, "-o", "oci:"+filepath.Join(t.TempDir(), "x")).Digest; got != want {
			t.Errorf("%s: image gives %s, with the lock %s", ref, want, got)
		}
	}
}
