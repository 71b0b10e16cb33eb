package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/crane"

	"mlenv/imagebuild/base/basetest"
	"mlenv/resolve/index/indextest"
)

// poisonWorld is two models with one cache: that of somebody who wants to change what becomes of the
// other, and that other, which needs six alone.
type poisonWorld struct {
	env          map[string]string
	honest, evil *indextest.Index
	base         string
	six          indextest.Dist
	attacker     string // the directory of its model
	victim       string
}

func newPoisonWorld(t *testing.T, base string) *poisonWorld {
	t.Helper()
	dir := t.TempDir()
	w := &poisonWorld{
		env: map[string]string{"MLENV_CACHE_DIR": filepath.Join(dir, "cache"), "HOME": dir}, base: base,
		six: indextest.Dist{Name: "six", Version: "1.16.0"}, attacker: filepath.Join(dir, "attacker"), victim: filepath.Join(dir, "victim"),
	}
	all := append(indextest.Parse("mlflow 3.1.0", "toml 0.10.2", "pip 24.0", "uv 0.9.0"), w.six)
	w.honest = indextest.New(t, all...)
	lie := w.six
	lie.Requires = []string{"toml"}
	w.evil = indextest.New(t, append(indextest.Parse("mlflow 3.1.0", "toml 0.10.2", "pip 24.0", "uv 0.9.0"), lie)...)
	page, err := json.Marshal(map[string]any{"meta": map[string]string{"api-version": "1.1"}, "name": "six", "files": []any{map[string]any{
		"filename": w.six.Filename(), "url": w.evil.FileURL(w.six), "core-metadata": true, "hashes": map[string]string{"sha256": w.six.SHA256()},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	w.evil.On("/simple/six/", -1, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
		rw.Header().Set("Cache-Control", "max-age=2000000000")
		_, _ = rw.Write(page)
	}))
	links := ""
	for _, d := range all {
		links += `<a href="` + w.evil.FileURL(d) + "#sha256=" + d.SHA256() + `">a</a>`
	}
	w.evil.On("/links", -1, indextest.Body("text/html", links))
	w.model(t, w.victim, "six")
	return w
}

func (w *poisonWorld) model(t *testing.T, dir, requirements string) {
	t.Helper()
	for name, text := range map[string]string{
		"MLmodel": "flavors:\n  python_function: {loader_module: mlflow.pyfunc.model, python_version: 3.11.9, env: {virtualenv: python_env.yaml}}\n" +
			"mlflow_version: 3.1.0\n",
		"python_env.yaml":  "python: 3.11.9\nbuild_dependencies: [pip==24.0]\ndependencies: [-r requirements.txt]\n",
		"requirements.txt": "mlflow==3.1.0\n" + requirements + "\n",
	} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPoisonedCache takes every way by which a model can have something said of six, through every
// command that asks, and then locks the victim and builds its image: both must be as if nothing had
// happened.
func TestPoisonedCache(t *testing.T) {
	t.Parallel()
	img, err := basetest.Slim("3.11.9")
	if err != nil {
		t.Fatal(err)
	}
	base := "oci:" + filepath.Join(t.TempDir(), "base")
	if err := crane.SaveOCI(img, strings.TrimPrefix(base, "oci:")); err != nil {
		t.Fatal(err)
	}
	ways := map[string]func(w *poisonWorld) string{
		"index": func(w *poisonWorld) string { return "--index-url " + w.evil.URL + "\nsix" },
		"extra index": func(w *poisonWorld) string {
			return "--index-url " + w.honest.URL + "\n--extra-index-url " + w.evil.URL + "\nsix"
		},
		"URL with a hash": func(w *poisonWorld) string {
			return "--index-url " + w.honest.URL + "\nsix @ " + w.evil.FileURL(w.six) + "#sha256=" + w.six.SHA256()
		},
		"URL without a hash": func(w *poisonWorld) string { return "--index-url " + w.honest.URL + "\nsix @ " + w.evil.FileURL(w.six) },
		"links": func(w *poisonWorld) string {
			return "--index-url " + w.honest.URL + "\n--find-links " + w.evil.Host + "/links\nsix"
		},
		"links alone": func(w *poisonWorld) string { return "--no-index\n--find-links " + w.evil.Host + "/links\nsix" },
	}
	commands := map[string]func(w *poisonWorld, out string) []string{
		"lock": func(w *poisonWorld, out string) []string {
			return []string{"lock", w.attacker, "-o", filepath.Join(out, "pylock.toml"), "--serve", "none"}
		},
		"check": func(w *poisonWorld, _ string) []string {
			return []string{"check", "--online", w.attacker, "--date", "2026-01-01", "--serve", "none"}
		},
		"image": func(w *poisonWorld, out string) []string {
			return []string{"image", w.attacker, "-o", "oci:" + filepath.Join(out, "layout"), "--base", w.base, "--serve", "none", "--quiet"}
		},
	}
	for way, requirements := range ways {
		for name, args := range commands {
			t.Run(way+"/"+name, func(t *testing.T) {
				w := newPoisonWorld(t, base)
				w.model(t, w.attacker, requirements(w))
				w.evil.Forget()
				_, stderr, code := command(t, w.env, args(w, t.TempDir())...)
				t.Logf("exit code %d: %s", code, stderr)
				asked := false
				for _, r := range w.evil.Requests() {
					asked = asked || strings.Contains(r, "six")
				}
				if !asked {
					t.Fatal("nobody asked the hostile index")
				}
				w.checkVictim(t)
			})
		}
	}
}

func (w *poisonWorld) checkVictim(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	lock := filepath.Join(dir, "pylock.toml")
	if _, stderr, code := command(t, w.env, "lock", w.victim, "-o", lock, "--serve", "none", "--index-url", w.honest.URL); code != exitOK {
		t.Fatalf("locking the victim: exit code %d: %s", code, stderr)
	}
	text, err := os.ReadFile(lock)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "toml\"") || !strings.Contains(string(text), `name = "six"`) || strings.Contains(string(text), w.evil.Host) {
		t.Errorf("the victim's lock:\n%s", text)
	}
	// The image must be that of a cache which nobody else has used.
	var outs [2]string
	for i, cache := range []string{w.env["MLENV_CACHE_DIR"], t.TempDir()} {
		out, stderr, code := command(t, map[string]string{"MLENV_CACHE_DIR": cache, "HOME": t.TempDir()}, "image", w.victim, "--base", w.base,
			"-o", "oci:"+filepath.Join(dir, "layout"), "--serve", "none", "--index-url", w.honest.URL, "--quiet")
		if code != exitOK {
			t.Fatalf("building the victim: exit code %d: %s", code, stderr)
		}
		outs[i] = out
	}
	if outs[0] != outs[1] || !strings.Contains(outs[0], "sha256:") {
		t.Errorf("the victim's image is %s, want %s", outs[0], outs[1])
	}
}

// TestImageNeedsWhatWheelsSay holds that no image is made without what a wheel says that it needs, though
// the index, with the right hash of its own metadata, left it out.
func TestImageNeedsWhatWheelsSay(t *testing.T) {
	img, err := basetest.Slim("3.11.9")
	if err != nil {
		t.Fatal(err)
	}
	base := "oci:" + filepath.Join(t.TempDir(), "base")
	if err := crane.SaveOCI(img, strings.TrimPrefix(base, "oci:")); err != nil {
		t.Fatal(err)
	}
	w := newPoisonWorld(t, base)
	needy := w.six
	needy.Requires = []string{"toml", "nothing; extra == 'x'", "nothing; python_version < '3'"}
	said := w.six.METADATA()
	sum := sha256.Sum256([]byte(said))
	page, err := json.Marshal(map[string]any{"meta": map[string]string{"api-version": "1.1"}, "name": "six", "files": []any{map[string]any{
		"filename": needy.Filename(), "url": w.honest.FileURL(needy), "hashes": map[string]string{"sha256": needy.SHA256()},
		"core-metadata": map[string]string{"sha256": hex.EncodeToString(sum[:])},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	w.honest.Add(needy)
	w.honest.On("/simple/six/", -1, indextest.Body("application/vnd.pypi.simple.v1+json", string(page)))
	w.honest.On("/files/six/*.metadata", -1, indextest.Body("text/plain", said))
	dir := t.TempDir()
	lock := filepath.Join(dir, "pylock.toml")
	common := []string{w.victim, "--serve", "none", "--index-url", w.honest.URL}
	image := append([]string{"image"}, append(common, "--base", base, "-o", "oci:"+filepath.Join(dir, "layout"), "--quiet")...)
	if _, stderr, code := command(t, w.env, append(append([]string{"lock"}, common...), "-o", lock)...); code != exitOK {
		t.Fatalf("locking: exit code %d: %s", code, stderr)
	}
	if _, stderr, code := command(t, w.env, append(image, "--lock", lock)...); code != exitFailure || !strings.Contains(stderr, "six-1.16.0-py3-none-any.whl needs toml, which the lock does not have") {
		t.Errorf("with the lock: exit code %d: %s", code, stderr)
	}
	w.env["MLENV_CACHE_DIR"] = filepath.Join(dir, "cache") // where nobody has seen the wheel
	if _, stderr, code := command(t, w.env, image...); code != exitFailure || !strings.Contains(stderr, "is not the wheel's own") {
		t.Errorf("without a lock: exit code %d: %s", code, stderr)
	}
	if _, stderr, code := command(t, w.env, image...); code != exitOK {
		t.Errorf("once the wheel is known: exit code %d: %s", code, stderr)
	}
}

// TestInterceptedUnderTrust holds that a page that somebody on the way put in the place of the true one,
// where a model said that the certificate need not be checked, reaches no model that does not say so.
func TestInterceptedUnderTrust(t *testing.T) {
	w := newPoisonWorld(t, "")
	secure := indextest.NewTLS(t, append(indextest.Parse("mlflow 3.1.0", "toml 0.10.2", "pip 24.0"), w.six)...)
	lie := w.six
	lie.Version, lie.Requires = "9.9", []string{"toml"}
	evil := indextest.New(t, lie)
	evil.CacheControl = "max-age=2000000000"
	host := strings.TrimPrefix(secure.Host, "https://")
	w.model(t, w.attacker, "six\n--index-url "+secure.URL+"\n--trusted-host "+host)
	secure.On("/simple/six/", 1, http.HandlerFunc(evil.Serve))
	out, stderr, code := command(t, w.env, "lock", w.attacker, "-o", "-", "--serve", "none")
	if code != exitFailure && !strings.Contains(out, "9.9") {
		t.Fatalf("the page was not intercepted: exit code %d\n%s%s", code, out, stderr)
	}
	for _, said := range []string{"[model-index]", "[trusted-host]"} {
		if !strings.Contains(stderr, said) {
			t.Errorf("lock does not say %s:\n%s", said, stderr)
		}
	}
	w.env["PIP_CERT"] = secure.CertFile
	out, stderr, code = command(t, w.env, "lock", w.victim, "-o", "-", "--serve", "none", "--index-url", secure.URL)
	if code != exitOK || strings.Contains(out, "toml\"") || !strings.Contains(out, "1.16.0") {
		t.Errorf("the victim's lock: exit code %d\n%s%s", code, out, stderr)
	}
	// The user's own index is checked, though the model says that it need not be.
	delete(w.env, "PIP_CERT")
	w.env["MLENV_CACHE_DIR"] = t.TempDir()
	if _, stderr, code = command(t, w.env, "lock", w.attacker, "-o", "-", "--serve", "none", "--index-url", secure.URL); code != exitFailure || !strings.Contains(stderr, "certificate") {
		t.Errorf("with the user's index: exit code %d\n%s", code, stderr)
	}
}
