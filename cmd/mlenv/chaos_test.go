package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"mlenv/imagebuild/base/basetest"
	"mlenv/resolve/index/indextest"
)

const (
	chaosSeed     = 20240229
	indexPassword = "hunter2-of-the-index"
	pushPassword  = "hunter2-of-the-registry"
)

// chaosWorld is three models, an index and a registry that fail, and what faultless builds gave.
type chaosWorld struct {
	*chaos
	models   []string
	want     []string // the digest of each model's image
	index    string   // its URL, with a password
	wheels   map[string]string
	registry *swappable
	host     string // of the registry
	login    authn.Authenticator
	home     string
}

// newChaosWorld starts the servers and builds every model once without faults.
func newChaosWorld(t *testing.T) *chaosWorld {
	t.Helper()
	w := &chaosWorld{chaos: &chaos{done: map[fault]int{}}, wheels: map[string]string{}, registry: &swappable{}, home: t.TempDir()}
	for range 3 {
		w.models = append(w.models, newImageWorld(t).model)
	}
	changed := map[string]string{
		filepath.Join(w.models[1], "model.pkl"):        strings.Repeat("other weights ", 9000),
		filepath.Join(w.models[2], "requirements.txt"): "mlflow==3.1.0\nchurn<2\n",
	}
	for name, text := range changed {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	dists := indextest.Parse("mlflow 3.1.0: churn, wide", "churn 1.0: deep", "churn 2.0: deep, wide", "deep 0.1", "wide 1.0", "wide 1.1", "pip 24.0")
	for i := range dists {
		dists[i].Pad = 1000 << i
		sum := sha256.Sum256(dists[i].Bytes())
		w.wheels[dists[i].Filename()] = hex.EncodeToString(sum[:])
	}
	x := indextest.New(t, dists...)
	x.CacheControl, x.User, x.Password = "max-age=0", "reader", indexPassword
	silent := log.New(io.Discard, "", 0) // of connections that are hung up
	front := httptest.NewUnstartedServer(w.wrap(x))
	front.Config.ErrorLog = silent
	front.Start()
	t.Cleanup(front.Close)
	w.index = strings.Replace(front.URL, "://", "://reader:"+indexPassword+"@", 1) + "/simple/"

	s := httptest.NewUnstartedServer(w.wrap(withPassword("pusher", pushPassword, w.registry)))
	s.Config.ErrorLog = silent
	s.Start()
	t.Cleanup(s.Close)
	w.host = strings.TrimPrefix(s.URL, "http://")
	auth := base64.StdEncoding.EncodeToString([]byte("pusher:" + pushPassword))
	w.login = &authn.Basic{Username: "pusher", Password: pushPassword}
	config := fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, w.host, auth)
	if err := os.WriteFile(filepath.Join(w.home, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}

	w.freshRegistry(t)
	for i := range w.models {
		w.begin(0, 0, 0, nil)
		out, errs, code := w.build(t.Context(), i, t.TempDir(), w.ref("faultless", i))
		_, digest, ok := strings.Cut(strings.TrimSpace(out), "@")
		if code != exitOK || !ok {
			t.Fatalf("without faults: exit code %d\n%s", code, errs)
		}
		w.want = append(w.want, digest)
	}
	return w
}

// freshRegistry empties the registry, but for the base.
func (w *chaosWorld) freshRegistry(t *testing.T) {
	t.Helper()
	w.registry.set(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	img, err := basetest.Slim("3.11.9")
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(w.base())
	if err != nil {
		t.Fatal(err)
	}
	w.begin(0, 0, 0, nil)
	if err := remote.Write(ref, img, remote.WithAuth(w.login)); err != nil {
		t.Fatal(err)
	}
}

func (w *chaosWorld) base() string { return w.host + "/library/python:3.11.9-slim" }

// ref is where a build pushes to; the tag says which model it is of.
func (w *chaosWorld) ref(tag string, model int) string {
	return fmt.Sprintf("%s/team-%d/churn:%s-m%d", w.host, len(tag)%3, tag, model)
}

// build runs mlenv image, without ever waiting for real.
func (w *chaosWorld) build(ctx context.Context, model int, cache, ref string) (stdout, stderr string, code int) {
	env := map[string]string{"MLENV_CACHE_DIR": cache, "HOME": w.home, "REGISTRY_AUTH_FILE": filepath.Join(w.home, "config.json")}
	var out, errs bytes.Buffer
	a := &app{
		lookup: func(k string) (string, bool) { v, ok := env[k]; return v, ok },
		stdin:  strings.NewReader(""), stdout: &out, stderr: &errs,
		sleep:   func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		backoff: remote.Backoff{Duration: time.Microsecond, Factor: 1, Steps: 3},
	}
	err := interrupted(ctx, a.run(ctx, []string{"image", w.models[model], "--base", w.base(), "--index-url", w.index, "--push", ref, "--quiet"}))
	a.printError(context.Background(), err)
	return out.String(), errs.String(), exitCode(err)
}

// TestImageChaos builds images while the index and the registry fail at random. Every build gives
// the image that it gives without faults, or says clearly that it could not; nothing wrong is
// ever under a tag or in a cache.
func TestImageChaos(t *testing.T) {
	t.Parallel()
	rounds := 250
	switch {
	case testing.Short():
		rounds = 40
	case raceDetector:
		rounds = 80
	}
	w := newChaosWorld(t)
	rng := rand.New(rand.NewPCG(chaosSeed, 1))
	rates := []float64{0.02, 0.05, 0.1, 0.2, 0.4}
	caches := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	built := map[string]int{} // the model of every tag that a build claims to have pushed
	failed := 0
	for round := 1; round <= rounds; round++ {
		place := rng.IntN(len(caches))
		if rng.IntN(4) == 0 {
			caches[place] = filepath.Join(t.TempDir(), "cache")
		}
		model, cancelAt := rng.IntN(len(w.models)), 0
		if rng.IntN(10) == 0 {
			cancelAt = 1 + rng.IntN(60)
		}
		ctx, end := context.WithCancelCause(t.Context())
		cancel := func() { end(&interruption{syscall.SIGINT}) }
		w.begin(uint64(round)+chaosSeed, rates[rng.IntN(len(rates))], cancelAt, cancel)
		ref := w.ref(fmt.Sprintf("round-%d", round), model)
		out, errs, code := w.build(ctx, model, caches[place], ref)
		cancel()
		switch {
		case code == exitOK && strings.HasSuffix(out, "@"+w.want[model]+"\n"):
			built[ref] = model
		case code == exitOK:
			t.Errorf("round %d: printed %q, want the digest %s\n%s", round, out, w.want[model], errs)
		default:
			failed++
			checkFailure(t, round, out, errs, code)
		}
		checkSecrets(t, round, out+errs)
		w.checkCache(t, caches[place])
		if round%25 == 0 || round == rounds {
			w.checkRegistry(t, built)
			w.freshRegistry(t)
			built = map[string]int{}
		}
	}
	for _, cache := range caches {
		for model := range w.models {
			w.begin(0, 0, 0, nil)
			out, errs, code := w.build(t.Context(), model, cache, w.ref("after", model))
			if code != exitOK || !strings.HasSuffix(out, "@"+w.want[model]+"\n") {
				t.Errorf("from a cache that has seen it all: exit code %d, %q, want %s\n%s", code, out, w.want[model], errs)
			}
		}
	}
	t.Logf("%d of %d builds failed; faults: %v", failed, rounds, w.done)
	if failed < rounds/20 || failed > rounds*19/20 {
		t.Errorf("%d of %d builds failed: the faults are too few or too many to prove anything", failed, rounds)
	}
	for _, f := range allFaults {
		if w.done[f] == 0 && rounds >= 250 {
			t.Errorf("no %s has happened", f)
		}
	}
}

// checkFailure makes sure that a failure is told as one.
func checkFailure(t *testing.T, round int, out, errs string, code int) {
	t.Helper()
	interrupted := code == 128+int(syscall.SIGINT) && strings.HasSuffix(errs, "interrupted; nothing was left half done\n")
	failed := code == exitFailure && strings.HasPrefix(errs, "error: ") && len(errs) >= 30
	if out != "" || !interrupted && !failed {
		t.Errorf("round %d: exit code %d, stdout %q, stderr %q", round, code, out, errs)
	}
	for _, sign := range []string{"panic", "goroutine ", "%!", "<nil>", "runtime error"} {
		if strings.Contains(errs, sign) {
			t.Errorf("round %d: %q in %s", round, sign, errs)
		}
	}
	if strings.Count(errs, "\n") > 20 {
		t.Errorf("round %d: nobody reads so much:\n%s", round, errs)
	}
}

func checkSecrets(t *testing.T, round int, printed string) {
	t.Helper()
	for user, secret := range map[string]string{"reader": indexPassword, "pusher": pushPassword} {
		encoded := base64.StdEncoding.EncodeToString([]byte(user + ":" + secret))
		if strings.Contains(printed, secret) || strings.Contains(printed, encoded) {
			t.Errorf("round %d: a password in %s", round, printed)
		}
	}
}

// checkCache compares every wheel of a cache with what the index has.
func (w *chaosWorld) checkCache(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(file) != ".whl" {
			return err
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		if got := hex.EncodeToString(sum[:]); got != w.wheels[d.Name()] {
			t.Errorf("%s has the hash %s, want %s", file, got, w.wheels[d.Name()])
		}
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		t.Error(err)
	}
}

// checkRegistry makes sure that all that was pushed is there, and that all that is there is the
// whole image of the model that its tag names. A build whose last answer was lost has failed
// although its tag is there.
func (w *chaosWorld) checkRegistry(t *testing.T, built map[string]int) {
	t.Helper()
	w.begin(0, 0, 0, nil)
	opt := remote.WithAuth(w.login)
	valid := map[string]bool{}
	tags := 0
	reg, err := name.NewRegistry(w.host)
	if err != nil {
		t.Fatal(err)
	}
	repos, err := remote.Catalog(t.Context(), reg, opt)
	if err != nil {
		t.Fatal(err)
	}
	for _, repo := range repos {
		if repo == "library/python" {
			continue
		}
		list, err := remote.List(reg.Repo(repo), opt)
		if err != nil {
			continue // only layers have come so far
		}
		for _, tag := range list {
			ref := reg.Repo(repo).Tag(tag)
			var model int
			if _, err := fmt.Sscanf(tag[strings.LastIndexByte(tag, 'm'):], "m%d", &model); err != nil {
				t.Fatalf("the tag %s: %v", tag, err)
			}
			img, err := remote.Image(ref, opt)
			if err != nil {
				t.Errorf("%s: %v", ref, err)
				continue
			}
			digest, err := img.Digest()
			if err != nil || digest.String() != w.want[model] {
				t.Errorf("%s is %s (%v), want %s", ref, digest, err, w.want[model])
			}
			if key := repo + digest.String(); !valid[key] {
				if valid[key] = true; validate.Image(img) != nil {
					t.Errorf("%s: %v", ref, validate.Image(img))
				}
			}
			delete(built, ref.Name())
			tags++
		}
	}
	if tags == 0 || len(built) > 0 {
		missing, _ := json.Marshal(built)
		t.Errorf("the registry has %d tags; missing are %s", tags, missing)
	}
}
