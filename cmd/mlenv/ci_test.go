package main

import (
	"errors"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"gopkg.in/yaml.v3"

	"mlenv/imagebuild/base/basetest"
	"mlenv/resolve/index/indextest"
)

// The pipelines of docs/ci are run here: their shell, word for word, against a registry that asks
// for a password, one that has the base, and an index, all of them on loopback. What a CI server
// does around the shell is done by the test, as its documentation has it.

const (
	ciUser     = "robot"
	ciPassword = `p"a$s s`
)

// ciWorld is what a pipeline finds.
type ciWorld struct {
	t        *testing.T
	image    string // where images go, without a tag
	registry string // its host
	base     string
	index    string
	repo     string // a checkout: the model is in model/
	env      map[string]string
}

func newCIWorld(t *testing.T) *ciWorld {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the pipelines are for runners with Linux")
	}
	mlenv, err := exec.LookPath("mlenv") // which testscript has put there
	if err != nil {
		t.Fatal(err)
	}
	w := &ciWorld{t: t, registry: privateRegistry(t), repo: t.TempDir()}
	w.image = w.registry + "/models/churn"
	w.base = newRegistry(t, nil) + "/python:3.11-slim"
	img, err := basetest.Slim("3.11.7")
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(w.base)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	w.index = indextest.New(t, indextest.Parse(
		"mlflow 3.17.2: numpy", "numpy 2.4.6", "pandas 3.1.1: numpy", "pyarrow 25.0.1", "scikit-learn 1.7.2: numpy, scipy",
		"scipy 1.17.1", "scipy 1.17.0", "skops 0.16.0", "pip 24.0", "setuptools 84.2.1", "wheel 0.48.0",
	)...).URL
	if err := os.CopyFS(filepath.Join(w.repo, "model"), os.DirFS("../../examples/sklearn")); err != nil {
		t.Fatal(err)
	}
	w.env = map[string]string{
		"PATH": filepath.Dir(mlenv) + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME": t.TempDir(), "MLENV_CACHE_DIR": t.TempDir(),
	}
	return w
}

// privateRegistry serves a registry that asks for ciUser's password; it gives its host.
func privateRegistry(t *testing.T) string {
	t.Helper()
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != ciUser || password != ciPassword {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			http.Error(w, `{"errors": [{"code": "UNAUTHORIZED"}]}`, http.StatusUnauthorized)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// run runs a script in a directory and gives what it printed.
func (w *ciWorld) run(what, dir string, shell []string, script string, env map[string]string) string {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "script")
	if err := os.WriteFile(file, []byte(script), 0o755); err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.CommandContext(w.t.Context(), shell[0], append(slices.Clone(shell[1:]), file)...)
	cmd.Dir = dir
	all := maps.Clone(w.env)
	maps.Copy(all, env)
	for _, k := range slices.Sorted(maps.Keys(all)) {
		cmd.Env = append(cmd.Env, k+"="+all[k])
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s: %v\n%s\nprinted\n%s", what, err, script, out)
	}
	if strings.Contains(string(out), ciPassword) {
		w.t.Errorf("%s prints the password:\n%s", what, out)
	}
	return string(out)
}

var isDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// holds fails unless the registry has the image under a tag, and with it the digest.
func (w *ciWorld) holds(tag, digest string) {
	w.t.Helper()
	if !isDigest.MatchString(digest) {
		w.t.Fatalf("the pipeline's digest is %q", digest)
	}
	ref, err := name.ParseReference(w.image + ":" + tag)
	if err != nil {
		w.t.Fatal(err)
	}
	img, err := remote.Image(ref, remote.WithAuth(&authn.Basic{Username: ciUser, Password: ciPassword}))
	if err != nil {
		w.t.Fatal(err)
	}
	got, err := img.Digest()
	if err != nil || got.String() != digest {
		w.t.Errorf("%s has the digest %s (%v), the pipeline says %s", ref, got, err, digest)
	}
	config, err := img.ConfigFile()
	if err != nil {
		w.t.Fatal(err)
	}
	if config.Config.Labels["io.mlenv.run.id"] != "ce1ebf47374441e2aa5a693c1f191d0d" {
		w.t.Errorf("the image is not that of the model: %v", config.Config.Labels)
	}
}

// file gives the content of a file that a pipeline wrote.
func (w *ciWorld) file(parts ...string) string {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(data)
}

// variables reads lines KEY=VALUE.
func variables(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimRight(line, "\n"), "="); ok {
			out[key] = value
		}
	}
	return out
}

// example reads a file of docs/ci into one value for each document.
func example[T any](t *testing.T, file string) []T {
	t.Helper()
	f, err := os.Open(filepath.Join("../../docs/ci", file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []T
	d := yaml.NewDecoder(f)
	for {
		var v T
		err := d.Decode(&v)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out = append(out, v)
	}
}

// substitute replaces a CI's expressions. One that the test does not know fails it.
func substitute(t *testing.T, expression *regexp.Regexp, text string, values map[string]string) string {
	t.Helper()
	return expression.ReplaceAllStringFunc(text, func(match string) string {
		value, ok := values[expression.FindStringSubmatch(match)[1]]
		if !ok {
			t.Fatalf("nothing is known of %s", match)
		}
		return value
	})
}

func substituteAll(t *testing.T, expression *regexp.Regexp, in, values map[string]string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for k, v := range in {
		out[k] = substitute(t, expression, v, values)
	}
	return out
}

// Every example is on the page that leads to them, and the page names no other.
func TestCIPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/ci/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var linked []string
	for _, m := range regexp.MustCompile(`\]\(([^):/]+)\)`).FindAllStringSubmatch(string(page), -1) {
		linked = append(linked, m[1])
	}
	slices.Sort(linked)
	entries, err := os.ReadDir("../../docs/ci")
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, e := range entries {
		if e.Name() != "README.md" {
			have = append(have, e.Name())
		}
	}
	if len(have) < 5 || !slices.Equal(slices.Compact(linked), have) {
		t.Errorf("the page links %v, there are %v", linked, have)
	}
}
