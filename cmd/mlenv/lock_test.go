package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"mlenv/resolve/index/indextest"
)

// served is what the index of the lock's scripts has.
func served() []indextest.Dist {
	all := indextest.Parse(
		"mlflow 2.20.0: flask<4, numpy<3",
		"mlflow-skinny 2.20.0: pyyaml",
		"flask 3.0.0", "flask 3.1.0", "pyyaml 6.0.2", "starlette 0.41.0", "gunicorn 23.0.0", "pandas 2.2.0: numpy",
		"numpy 1.26.4 cp311-cp311-manylinux_2_17_x86_64", "numpy 1.26.4 cp311-cp311-manylinux_2_17_aarch64",
		"numpy 2.1.0 cp311-cp311-manylinux_2_17_x86_64", "numpy 2.1.0 cp312-cp312-manylinux_2_17_x86_64",
		"scikit-learn 1.3.2: numpy<2", "scikit-learn 1.5.0: numpy",
		"pip 23.0", "pip 24.0", "setuptools 65.5.0", "setuptools 75.0.0", "wheel 0.45.0",
		"uvloop 0.21.0", "mlserver 1.6.0: uvloop", "mlserver-mlflow 1.6.0: mlserver",
	)
	all = append(all,
		indextest.Dist{Name: "sourceonly", Version: "1.0", Sdist: true},
		indextest.Dist{Name: "dated", Version: "1.0", UploadTime: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)},
		indextest.Dist{Name: "dated", Version: "2.0", UploadTime: time.Date(2025, 1, 1, 12, 0, 0, 0, time.UTC)},
		indextest.Dist{Name: "early", Version: "1.0rc1"}, indextest.Dist{Name: "early", Version: "0.9"},
		indextest.Dist{Name: "unhashed", Version: "1.0", Listed: indextest.Listed{NoHash: true}},
	)
	return all
}

// TestLockScripts runs the scripts against an index of their own: $INDEX is its URL, $FILES where
// it keeps files.
func TestLockScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/lock",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			x := indextest.New(t, served()...)
			env.Setenv("INDEX", x.URL)
			env.Setenv("FILES", x.Host)
			env.Setenv("PIP_INDEX_URL", x.URL)
			env.Setenv("MLENV_CACHE_DIR", env.WorkDir+"/cache")
			indextest.Write(t, env.WorkDir+"/links", indextest.Parse("local 1.0: numpy<2", "local 2.0")...)
			return nil
		},
	})
}

// A package that is larger than the user lets packages be is not downloaded, whether or not its index
// says how large it is.
func TestMaxFileSize(t *testing.T) {
	for what, listed := range map[string]indextest.Listed{"with its size": {}, "without its size": {NoSize: true, NoHash: true, NoMetadata: true}} {
		w := newImageWorld(t)
		w.index.Add(indextest.Dist{Name: "deep", Version: "0.2", Pad: 3 << 20, Listed: listed})
		_, errs, code := command(t, w.env, w.args("-o", "oci:"+filepath.Join(t.TempDir(), "x"), "--max-file-size", "2MiB")...)
		if code != exitFailure || !strings.Contains(errs, "deep-0.2") || !strings.Contains(errs, "--max-file-size") {
			t.Errorf("%s: exit code %d\n%s", what, code, errs)
		}
		w.image(t, "-o", "oci:"+filepath.Join(t.TempDir(), "x"), "--max-file-size", "4MiB")
	}
	w := newImageWorld(t)
	if _, errs, code := command(t, w.env, "lock", w.model, "--max-file-size", "much"); code != exitFailure || !strings.Contains(errs, "--max-file-size: ") {
		t.Errorf("exit code %d\n%s", code, errs)
	}
}
