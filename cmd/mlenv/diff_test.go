package main

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/rogpeppe/go-internal/testscript"

	"mlenv/imagebuild/base/basetest"
	"mlenv/imagebuild/sink"
	"mlenv/resolve/index/indextest"
)

// diffServed is what the index of the diff's scripts has.
func diffServed() []indextest.Dist {
	return indextest.Parse(
		"mlflow 2.20.0: flask<4, numpy<3", "flask 3.0.0: six", "flask 3.1.0", "six 1.16.0",
		"numpy 1.26.4 cp311-cp311-manylinux_2_17_x86_64", "numpy 2.1.0 cp311-cp311-manylinux_2_17_x86_64",
		"numpy 2.1.0 cp312-cp312-manylinux_2_17_x86_64", "numpy 2.1.0 cp311-cp311-manylinux_2_17_aarch64",
		"scikit-learn 1.5.0: numpy", "pip 24.0",
	)
}

// newRegistry serves a registry on loopback; it gives the host, and what is asked of it goes
// through watch first.
func newRegistry(t testing.TB, watch func(*http.Request)) string {
	t.Helper()
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if watch != nil {
			watch(r)
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// writeBase writes a base image as an OCI layout.
func writeBase(t testing.TB, dir, python string) {
	t.Helper()
	img, err := basetest.Slim(python)
	if err == nil {
		_, err = sink.Layout(dir, "base").Send(t.Context(), sink.Artifact{Image: img})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestDiffScripts runs the scripts with an index and a registry of their own: $INDEX, $REGISTRY;
// base311 and base312 are layouts of bases.
func TestDiffScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/diff",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			x := indextest.New(t, diffServed()...)
			writeBase(t, filepath.Join(env.WorkDir, "base311"), "3.11.9")
			writeBase(t, filepath.Join(env.WorkDir, "base312"), "3.12.1")
			for key, value := range map[string]string{
				"INDEX": x.URL, "PIP_INDEX_URL": x.URL, "REGISTRY": newRegistry(t, nil),
				"MLENV_CACHE_DIR": env.WorkDir + "/cache", "HOME": env.WorkDir + "/home",
			} {
				env.Setenv(key, value)
			}
			return os.Mkdir(env.WorkDir+"/home", 0o755)
		},
	})
}

// The transcript of docs/diff.md is what the command prints.
func TestDiffTranscript(t *testing.T) {
	t.Chdir("../..")
	data, err := os.ReadFile("docs/diff.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	got := transcript.ReplaceAllStringFunc(string(data), func(block string) string {
		args := transcript.FindStringSubmatch(block)[1]
		seen++
		stdout, stderr, _ := command(t, nil, strings.Fields(args)...)
		return "```\n$ ./mlenv " + args + "\n" + stdout + stderr + "```\n"
	})
	if seen == 0 {
		t.Fatal("no transcript in docs/diff.md")
	}
	golden(t, "docs/diff.md", got)
}
