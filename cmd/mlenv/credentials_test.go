package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"mlenv/imagebuild/base/basetest"
	"mlenv/resolve/index/indextest"
)

// hostileInputs is the variable that asks for the long form of these tests, as `make soak` does, and says how
// many inputs every generator of TestHostile makes.
const hostileInputs = "MLENV_TEST_HOSTILE"

// password is in every place that can hold one, and must come out nowhere. It has a part of its own
// before and after white space, for those places where it is broken in two.
const password = "hunter2pw"

// secretForms are what a password would look like, in whatever it came out.
var secretForms = []string{
	password, url.QueryEscape(password), base64.StdEncoding.EncodeToString([]byte("someone:" + password)),
}

// leak looks for the password in files and texts.
func leak(t *testing.T, what string, texts map[string]string, dirs ...string) {
	t.Helper()
	for where, text := range texts {
		for _, form := range secretForms {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("%s: %s shows the password: …%q…", what, where, text[max(0, i-80):min(len(text), i+40)])
				break
			}
		}
	}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil // what is not there holds nothing
			}
			data, err := os.ReadFile(name)
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a temporary file
			}
			plain := inflated(data)
			for _, form := range secretForms {
				if bytes.Contains(data, []byte(form)) || bytes.Contains(plain, []byte(form)) {
					t.Errorf("%s: %s holds the password", what, strings.TrimPrefix(name, dir))
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// inflated is what a compressed layer holds; nothing if it is none.
func inflated(data []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		return nil
	}
	return plain
}

// credentialWorld is a model with an index, a base and a registry, all of which can fail.
type credentialWorld struct {
	*imageWorld
	private *indextest.Index // wants the password
	last    string           // what the last command that failed said
}

// commands are all that ask somebody, with what tells them where.
func (w *credentialWorld) commands(t *testing.T, base, push string, extra ...string) [][]string {
	out := t.TempDir()
	with := func(args ...string) []string { return append(args, extra...) }
	return [][]string{
		with("resolve", w.model, "--format", "json"), with("resolve", w.model), with("resolve", w.model, "--format", "requirements"),
		with("check", w.model, "--online", "--format", "json"), with("check", w.model, "--format", "sarif"), with("check", w.model, "--format", "github"),
		with("lock", w.model, "--verbose", "-o", filepath.Join(out, "pylock.toml")),
		with("dockerfile", w.model, "--base", w.registry+"/python:3.11.9-slim", "-o", filepath.Join(out, "context")),
		with("image", w.model, "--base", base, "--push", push, "-o", "oci:"+filepath.Join(out, "layout"), "--format", "json"),
		with("lock", w.model, "-o", filepath.Join(out, "pylock.toml"), "--check"),
		{"diff", w.model, push}, {"manifest", push},
	}
}

// few are those of the commands that read everything that all read.
func (w *credentialWorld) few(t *testing.T, base, push string, extra ...string) [][]string {
	all := w.commands(t, base, push, extra...)
	return [][]string{all[0], all[3], all[6], all[7], all[8]}
}

// run runs every command, and looks for the password in all that came of it.
func (w *credentialWorld) run(t *testing.T, what string, env map[string]string, commands [][]string) (worked, failed int) {
	t.Helper()
	env["HOME"], env["MLENV_CACHE_DIR"] = w.env["HOME"], t.TempDir()
	for _, args := range commands {
		out, errs, code := commandWith(t, nil, env, args...)
		if code == exitFailure {
			w.last = args[0] + ": " + errs
			failed++
		} else {
			worked++
		}
		dirs := []string{env["MLENV_CACHE_DIR"]}
		for i, arg := range args {
			if i > 0 && args[i-1] == "-o" {
				dirs = append(dirs, strings.TrimPrefix(arg, "oci:"))
			}
		}
		leak(t, what+": "+args[0], map[string]string{"stdout": out, "stderr": errs}, dirs...)
	}
	return worked, failed
}

// failures are servers that do not do what they are asked, and addresses at which there is none.
func failures(t *testing.T) map[string]string {
	t.Helper()
	answer := func(code int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// Servers like to repeat in their answers what they were asked for, and by whom.
			w.WriteHeader(code)
			fmt.Fprintf(w, "no: %s from %s", r.URL, r.Header.Get("Authorization"))
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	circle := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path+"?token="+password, http.StatusFound)
	}))
	t.Cleanup(circle.Close)
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	return map[string]string{
		"401": answer(401), "403": answer(403), "404": answer(404), "500": answer(500),
		"redirect": circle.URL, "TLS": secure.URL, "refused": closed.URL, "DNS": "http://host.invalid",
	}
}

// urlWith puts a user and a password into a URL.
func urlWith(text, user, pw string) string {
	scheme, rest, _ := strings.Cut(text, "://")
	return scheme + "://" + user + ":" + pw + "@" + rest
}

func newCredentialWorld(t *testing.T) *credentialWorld {
	w := &credentialWorld{imageWorld: newImageWorld(t)}
	w.private = w.index
	w.private.Add(indextest.Parse("uv 0.9.0")...)
	img, err := basetest.Slim("3.11.9")
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(w.registry + "/python:3.11.9-slim")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	return w
}

// Whatever is done with a password, in whichever place it is given, and whatever becomes of it, it goes
// to whom it is for and is nowhere else. Every command with every failure takes most of a minute, and
// is for `make soak`; without it two failures are tried, with the commands that read everything.
func TestCredentialsGoNowhere(t *testing.T) {
	t.Parallel()
	w := newCredentialWorld(t)
	whole, failing := os.Getenv(hostileInputs) != "", w.few
	if whole {
		failing = w.commands
	}
	w.private.User, w.private.Password = "someone", password
	base, push := "oci:"+w.base, w.registry+"/churn:1"
	good := urlWith(w.private.URL, "someone", password)

	t.Run("success", func(t *testing.T) {
		for place, tt := range map[string]struct {
			env   map[string]string
			flags []string
		}{
			"a flag": {flags: []string{"--index-url", good}}, "a flag with a newline": {flags: []string{"--index-url", good + "\n"}},
			"a variable": {env: map[string]string{"PIP_INDEX_URL": good + "\n"}}, "uv's variable": {env: map[string]string{"UV_DEFAULT_INDEX": good}},
			"two variables": {env: map[string]string{"UV_DEFAULT_INDEX": "x=" + w.private.URL, "UV_INDEX_X_USERNAME": "someone\n", "UV_INDEX_X_PASSWORD": password + "\n"}},
		} {
			env := map[string]string{}
			for k, v := range tt.env {
				env[k] = v
			}
			worked, failed := w.run(t, place, env, w.commands(t, base, push, tt.flags...))
			if failed > 0 || worked == 0 {
				t.Errorf("%s: %d commands failed, the last %s", place, failed, w.last)
			}
		}
	})
	t.Run("failure", func(t *testing.T) {
		tried, failed := 0, 0
		for name, address := range failures(t) {
			bad := urlWith(address, "someone", password) + "/simple"
			registry := strings.TrimPrefix(strings.TrimPrefix(address, "http://"), "https://") + "/churn:1"
			for _, run := range map[string]func() (int, int){
				"flag": func() (int, int) {
					return w.run(t, name, map[string]string{}, failing(t, base, push, "--index-url", bad))
				},
				"variable": func() (int, int) {
					return w.run(t, name, map[string]string{"PIP_EXTRA_INDEX_URL": bad}, failing(t, base, push, "--index-url", good))
				},
				"links": func() (int, int) {
					return w.run(t, name, map[string]string{}, failing(t, base, push, "--index-url", good, "--find-links", bad+"?token="+password))
				},
				"proxy": func() (int, int) {
					return w.run(t, name, map[string]string{"HTTP_PROXY": urlWith(address, "someone", password), "HTTPS_PROXY": urlWith(address, "someone", password)},
						failing(t, base, push, "--index-url", "http://index.invalid/simple"))
				},
				"registry": func() (int, int) {
					return w.run(t, name, map[string]string{}, failing(t, registry, registry, "--index-url", good))
				},
			} {
				if !whole && name != "redirect" && name != "401" {
					continue
				}
				ok, not := run()
				tried, failed = tried+ok+not, failed+not
			}
		}
		if failed < tried/4 || tried == 0 {
			t.Errorf("of %d commands %d failed", tried, failed)
		}
		t.Logf("%d commands, of which %d failed", tried, failed)
	})
}

// What cannot be understood is not shown either: white space in the middle of a URL, a password where
// a word is wanted, and all of it in the files of a model.
func TestCredentialsInMistakes(t *testing.T) {
	t.Parallel()
	w := newCredentialWorld(t)
	base, push := "oci:"+w.base, w.registry+"/churn:1"
	spaced := "https://someone:a " + password + "@host.invalid/simple/"
	for name, args := range map[string][]string{
		"index-url": {"--index-url", spaced}, "extra-index-url": {"--extra-index-url", spaced}, "find-links": {"--find-links", spaced},
		"broken in two": {"--index-url", "https://someone:" + password + "\nx@host.invalid/"}, "a bad port": {"--index-url", "https://someone:" + password + "@host:port/"},
		"a bad escape": {"--index-url", "https://someone:%zz" + password + "@host.invalid/"}, "requirement": {"--extra-pip-requirements", "evil @ " + spaced},
		"option in a requirement": {"--extra-pip-requirements", "--index-url " + spaced}, "included": {"--extra-pip-requirements", "-r " + spaced},
		"constraint": {"--constraint", spaced}, "tracking": {"--tracking-uri", spaced, "--index-url", w.index.URL},
	} {
		w.run(t, name, map[string]string{}, w.few(t, base, push, args...))
	}
	for name, env := range map[string]map[string]string{
		"PIP_NO_INDEX": {"PIP_NO_INDEX": spaced}, "UV_NO_INDEX": {"UV_NO_INDEX": password}, "UV_OFFLINE": {"UV_OFFLINE": password},
		"UV_INDEX_STRATEGY": {"UV_INDEX_STRATEGY": password}, "PIP_INDEX_URL": {"PIP_INDEX_URL": spaced}, "PIP_PROXY": {"PIP_PROXY": spaced},
		"HTTPS_PROXY":       {"HTTPS_PROXY": "http://someone:" + password + "@host:port", "HTTP_PROXY": "someone:" + password + "@ho st"},
		"SOURCE_DATE_EPOCH": {"SOURCE_DATE_EPOCH": password}, "DOCKER_HOST": {"DOCKER_HOST": "tcp://someone:" + password + "@ho st"},
		"UV_INDEX": {"UV_INDEX": "x=" + spaced}, "MLFLOW_TRACKING_URI": {"MLFLOW_TRACKING_URI": spaced},
	} {
		where := []string{"--index-url", w.index.URL}
		switch {
		case strings.HasSuffix(name, "_PROXY"):
			where[1] = "http://index.invalid/simple" // no proxy is asked for what is on this machine
		case strings.Contains(name, "INDEX"):
			where = nil
		}
		w.run(t, name, env, w.few(t, base, push, where...))
	}
	for name, args := range map[string][]string{
		"push": {"image", w.model, "--base", base, "--push", "someone:" + password + "@" + push}, "push a URL": {"image", w.model, "--push", "https://someone:" + password + "@" + push},
		"base": {"image", w.model, "--base", "someone:" + password + "@" + push, "-o", "oci:x"}, "env": {"image", w.model, "--base", base, "-o", "oci:x", "--env", password},
		"an argument more": {"lock", w.model, spaced}, "no command": {"https://someone:" + password + "@host"}, "load": {"image", w.model, "--base", base, "--load", "someone:" + password + "@x:1"},
		"a model's URI": {"resolve", "https://someone:" + password + "@host.invalid/model"}, "a side": {"diff", w.model, "someone:" + password + "@" + push},
		"manifest": {"manifest", "someone:" + password + "@" + push},
	} {
		w.run(t, name, map[string]string{}, [][]string{args})
	}
}

// What a model's own files hold of passwords is left out of all that is made of them, and of every
// complaint about them.
func TestCredentialsInModels(t *testing.T) {
	t.Parallel()
	w := newCredentialWorld(t)
	base, push := "oci:"+w.base, w.registry+"/churn:1"
	in := "https://someone:" + password + "@host.invalid/"
	for name, line := range map[string]string{
		"index": "--index-url " + in + "simple", "spaced index": "--index-url https://someone:a " + password + "@host.invalid/simple",
		"links": "--find-links " + in, "direct": "evil @ " + in + "evil-1.0-py3-none-any.whl", "spaced direct": "evil @ https://someone:a " + password + "@host.invalid/evil-1.0-py3-none-any.whl",
		"vcs": "evil @ git+" + in + "evil.git", "editable": "-e git+" + in + "evil.git#egg=evil", "token": "evil @ https://host.invalid/evil-1.0-py3-none-any.whl?token=" + password,
		"signed":         "evil @ https://host.invalid/evil-1.0-py3-none-any.whl?X-Amz-Credential=x&X-Amz-Signature=" + password + "#sha256=" + strings.Repeat("0", 64),
		"no requirement": "evil ! " + in, "marker": "evil ; python_version == '" + in + "'", "hash": "evil==1 --hash=" + in, "trusted": "--trusted-host someone:" + password + "@host",
		"unknown option": "--frobnicate=" + in, "included": "-r " + in + "r.txt", "token of an index": "--index-url https://host.invalid/simple/?token=" + password,
	} {
		w.writeModel(t, "requirements.txt", "mlflow==3.1.0\nchurn\n"+line+"\n")
		w.run(t, name, map[string]string{}, w.few(t, base, push, "--no-index"))
	}
	w.writeModel(t, "requirements.txt", "mlflow==3.1.0\nchurn\n")
	for name, text := range map[string]string{
		"channel": "channels: [" + in + "]\ndependencies: [python=3.11.9]\n", "channel's token": "channels: ['https://host.invalid/t/" + password + "/x']\ndependencies: [python=3.11.9]\n",
		"spaced": "channels: ['https://someone:a " + password + "@host.invalid/x']\ndependencies: [python=3.11.9]\n", "key": "? " + in + "\n: x\ndependencies: []\n",
		"pip": "dependencies:\n- python=3.11.9\n- pip:\n  - --index-url " + in + "\n  - evil @ https://someone:a " + password + "@host/x.whl\n", "not YAML": "channels: [" + in + "\n",
		"package": "dependencies: ['" + in + "x']\n",
	} {
		w.writeModel(t, "conda.yaml", text)
		w.run(t, name, map[string]string{}, w.few(t, base, push, "--no-index"))
	}
}
