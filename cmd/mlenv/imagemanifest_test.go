package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// TestImageDockerManifest pushes to registries that take Docker's manifests alone, and say so in one
// of several ways.
func TestImageDockerManifest(t *testing.T) {
	w := newImageWorld(t)
	for _, answer := range []struct {
		status int
		code   string
	}{{http.StatusUnsupportedMediaType, ""}, {http.StatusBadRequest, "MANIFEST_INVALID"}, {http.StatusNotFound, "MANIFEST_UNKNOWN"}} {
		inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
		s := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") && r.Header.Get("Content-Type") != string(types.DockerManifestSchema2) {
				out.WriteHeader(answer.status)
				fmt.Fprintf(out, `{"errors": [{"code": %q, "message": "unsupported manifest"}]}`, answer.code)
				return
			}
			inner.ServeHTTP(out, r)
		}))
		defer s.Close()
		to := strings.TrimPrefix(s.URL, "http://") + "/churn:1"
		_, errs, code := command(t, w.env, w.args("--push", to)...)
		if code != exitFailure || !strings.Contains(errs, "hint: the registry may know no OCI manifests: try --manifest docker") {
			t.Errorf("%v: exit code %d, %s", answer, code, errs)
		}
		r := w.image(t, "--push", to, "--manifest", "docker")
		img := pulled(t, r.References[0])
		if err := validate.Image(img); err != nil {
			t.Error(err)
		}
		if _, m := described(t, img); m.MediaType != types.DockerManifestSchema2 {
			t.Errorf("%v: the manifest is of type %s", answer, m.MediaType)
		}
	}
	for _, more := range [][]string{{"--compression", "zstd"}, {"--annotation", "a=b"}} {
		_, errs, code := command(t, w.env, w.args(append(more, "--push", w.registry+"/churn:1", "--manifest", "docker")...)...)
		if code != exitFailure || !strings.Contains(errs, more[0]) {
			t.Errorf("%s: exit code %d, %s", more, code, errs)
		}
	}
}
