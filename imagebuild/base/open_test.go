package base_test

import (
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"mlenv/imagebuild/base"
	"mlenv/imagebuild/base/basetest"
	"mlenv/imagebuild/sink"
	"mlenv/resolve/cache"
)

var amd64 = v1.Platform{OS: "linux", Architecture: "amd64"}

// places sends an image, or an index, to every place from which a base may come, under the name
// base:1, beside another image where the place can hold several. It gives the bases' references.
func places(t *testing.T, a sink.Artifact) map[string]string {
	t.Helper()
	dir := t.TempDir()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	pushed := strings.TrimPrefix(s.URL, "http://") + "/team/base:1"
	ref, err := name.ParseReference(pushed)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := a.Digest()
	if err != nil {
		t.Fatal(err)
	}
	layout, tar := filepath.Join(dir, "several"), filepath.Join(dir, "one.tar")
	other := sink.Artifact{Image: slim(t, "3.9.1")}
	out := map[string]string{
		"layout by name": "oci:" + layout + ":base:1", "layout by digest": "oci:" + layout + "@" + digest.String(),
		"tarred layout": "oci-tar:" + tar, "tarred layout by name": "oci-tar:" + tar + ":base:1", "registry": pushed,
	}
	sinks := []sink.Sink{sink.Layout(layout, "base:1"), sink.OCITar(tar, "base:1")}
	if a.Index != nil {
		err = remote.WriteIndex(ref, a.Index)
	} else {
		err = remote.Write(ref, a.Image)
		sinks = append(sinks, sink.DockerTar(filepath.Join(dir, "docker.tar"), "base:1"))
		out["Docker's tarball"] = "docker-tar:" + filepath.Join(dir, "docker.tar")
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Layout(layout, "other:1").Send(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	for _, s := range sinks {
		if _, err := s.Send(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestOpen takes the same base from everywhere.
func TestOpen(t *testing.T) {
	img := slim(t, "3.11.9")
	want, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for what, ref := range places(t, sink.Artifact{Image: img}) {
		t.Run(what, func(t *testing.T) {
			source, err := base.Open(t.Context(), ref, amd64, base.Options{Cache: cache.Open(t.TempDir(), nil)})
			if err != nil {
				t.Fatal(err)
			}
			if err := validate.Image(source.Image); err != nil {
				t.Error(err)
			}
			b, err := base.Inspect(source.Image)
			if err != nil || b.Version.String() != "3.11.9" {
				t.Errorf("found %+v, %v", b, err)
			}
			// Docker's tarball has no manifest: its digest is made up when it is read.
			if source.Digest != want.String() && !strings.HasPrefix(ref, "docker-tar:") {
				t.Errorf("the digest is %s, want %s", source.Digest, want)
			}
			if (source.Name == "") != base.IsFile(ref) {
				t.Errorf("the name is %q", source.Name)
			}
		})
	}
}

// TestOpenPlatform asks for what is there, and for what is not: of a single image, and of an index.
func TestOpenPlatform(t *testing.T) {
	both, err := basetest.Index("3.11.9", "amd64", "arm64")
	if err != nil {
		t.Fatal(err)
	}
	arm64 := v1.Platform{OS: "linux", Architecture: "arm64"}
	for what, ref := range places(t, sink.Artifact{Index: both}) {
		for _, p := range []v1.Platform{amd64, arm64} {
			source, err := base.Open(t.Context(), ref, p, base.Options{})
			if err != nil {
				t.Errorf("index, %s: %v", what, err)
				continue
			}
			config, err := source.Image.ConfigFile()
			if err != nil || config.Architecture != p.Architecture {
				t.Errorf("index, %s: got an image for %v (%v), want %s", what, config, err, p)
			}
		}
		if _, err := base.Open(t.Context(), ref, v1.Platform{OS: "linux", Architecture: "s390x"}, base.Options{}); err == nil || !strings.Contains(err.Error(), "s390x") {
			t.Errorf("index, %s, for s390x: %v", what, err)
		}
	}
	for what, ref := range places(t, sink.Artifact{Image: slim(t, "3.11.9")}) {
		_, err := base.Open(t.Context(), ref, arm64, base.Options{})
		var wrong *base.WrongPlatformError
		if !errors.As(err, &wrong) || err.Error() != "the base is for linux/amd64, not for linux/arm64" {
			t.Errorf("single image, %s: %v", what, err)
		}
	}
}

func TestIsFor(t *testing.T) {
	for _, tt := range []struct {
		have, want string
		ok         bool
	}{
		{"linux/amd64", "linux/amd64", true},
		{"linux/arm64/v8", "linux/arm64", true},
		{"linux/arm64", "linux/arm64/v8", true},
		{"linux/arm/v7", "linux/arm", true},
		{"linux/arm/v6", "linux/arm/v7", false},
		{"linux/arm", "linux/arm/v6", false},
		{"linux/amd64", "linux/arm64", false},
		{"windows/amd64", "linux/amd64", false},
	} {
		have, err := v1.ParsePlatform(tt.have)
		if err != nil {
			t.Fatal(err)
		}
		want, err := v1.ParsePlatform(tt.want)
		if err != nil {
			t.Fatal(err)
		}
		b := base.Base{OS: have.OS, Arch: have.Architecture, Variant: have.Variant}
		err = b.IsFor(*want)
		if (err == nil) != tt.ok || err != nil && (!strings.Contains(err.Error(), tt.have) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("a base for %s, asked for %s: %v", tt.have, tt.want, err)
		}
	}
}

// TestOpenRefuses names what is not there, or not one.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("no tar"), 0o644); err != nil {
		t.Fatal(err)
	}
	several := places(t, sink.Artifact{Image: slim(t, "3.11.9")})["layout by name"]
	for ref, want := range map[string]string{
		"oci:" + dir + "/gone":                 "gone",
		"oci-tar:" + dir + "/gone.tar":         "gone.tar: no such file",
		"docker-tar:" + dir + "/gone.tar":      "gone.tar: no such file",
		"oci-tar:" + text:                      text,
		"docker-tar:" + text:                   text,
		"oci-tar:" + dir:                       "not a regular file",
		"docker-tar:" + dir:                    "not a regular file",
		strings.TrimSuffix(several, ":base:1"): "2 images; name one with :NAME or @sha256:…: other:1, base:1",
		strings.TrimSuffix(several, "1") + "2": `no image base:2, only other:1, base:1`,
	} {
		_, err := base.Open(t.Context(), ref, amd64, base.Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", ref, err, want)
		}
	}
}
