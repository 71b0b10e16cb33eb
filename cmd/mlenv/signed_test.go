package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mlenv/resolve/index/indextest"
)

// Of an index that gives out its files by signed addresses, no command leaves a signature anywhere: not
// in locks, images, build contexts, reports or the cache. All of them work nevertheless, and so does what
// begins with a lock and an empty cache: the files are found again by name and hash.
func TestSignaturesGoNowhere(t *testing.T) {
	w := newCredentialWorld(t)
	w.index.Sign = password
	base, push := "oci:"+w.base, w.registry+"/churn:1"
	at := []string{"--index-url", w.index.URL}
	if worked, failed := w.run(t, "signed", map[string]string{}, w.commands(t, base, push, at...)); failed > 0 {
		t.Errorf("%d of %d commands failed, the last %s", failed, worked+failed, w.last)
	}
	out := t.TempDir()
	lock := filepath.Join(out, "pylock.toml")
	foreign := filepath.Join(out, "pylock.pip.toml")
	w.mustRun(t, append([]string{"lock", w.model, "--base", base, "-o", lock}, at...)...)
	data, err := os.ReadFile(lock)
	if err != nil {
		t.Fatal(err)
	}
	// As pip and uv write it, with a signature that has expired long since.
	signed := strings.ReplaceAll(string(data), `-py3-none-any.whl", size`, `-py3-none-any.whl?X-Amz-Signature=`+password+`0", size`)
	signed, _, _ = strings.Cut(signed, "[tool.mlenv]")
	if strings.Count(signed, password) != 4 {
		t.Fatalf("%s", signed)
	}
	if err := os.WriteFile(foreign, []byte(signed), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, file := range map[string]string{"own lock": lock, "pip's lock": foreign} {
		worked, failed := 0, 0
		for _, args := range [][]string{
			{"image", w.model, "--base", base, "--lock", file, "-o", "oci:" + filepath.Join(out, what), "--format", "json"},
			{"dockerfile", w.model, "--lock", file, "--base", w.registry + "/python:3.11.9-slim", "-o", filepath.Join(out, what+" uv")},
			{"dockerfile", w.model, "--lock", file, "--base", w.registry + "/python:3.11.9-slim", "--installer", "pip", "-o", filepath.Join(out, what+" pip")},
			{"check", w.model, "--lock", file, "--base", base, "--online", "--format", "json"},
			{"diff", lock, file, "--format", "json"}, {"sbom", file, "-o", filepath.Join(out, what+" sbom")},
		} {
			if args[0] != "diff" && args[0] != "sbom" {
				args = append(args, at...)
			}
			ok, not := w.run(t, what, map[string]string{}, [][]string{args}) // each with a cache of its own
			worked, failed = worked+ok, failed+not
		}
		if failed > 0 {
			t.Errorf("%s: %d of %d commands failed, the last %s", what, failed, worked+failed, w.last)
		}
	}
	// uv fetches what a pylock.toml names, and asks no index: it gets the packages by name and hash.
	for file, want := range map[string]string{
		"own lock uv/Dockerfile": "uv pip install --require-hashes --no-deps -r requirements.lock", "own lock uv/requirements.lock": "--index-url " + w.index.URL,
		"pip's lock uv/requirements.lock": "churn==2.0",
	} {
		if text, err := os.ReadFile(filepath.Join(out, file)); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s has no %q: %v\n%s", file, want, err, text)
		}
	}
}

// mustRun runs a command that has to work.
func (w *credentialWorld) mustRun(t *testing.T, args ...string) {
	t.Helper()
	if _, errs, code := command(t, w.env, args...); code != exitOK {
		t.Fatalf("%s: exit code %d\n%s", args[0], code, errs)
	}
}

// A token in the address of an index, wherever it is given, goes to the index and nowhere else.
func TestTokensOfIndexesGoNowhere(t *testing.T) {
	w := newCredentialWorld(t)
	w.index.On("/simple/*/", -1, indextest.WithQuery("token="+password, w.index))
	base, push := "oci:"+w.base, w.registry+"/churn:1"
	at := w.index.URL + "?token=" + password
	for place, tt := range map[string]struct {
		env   map[string]string
		flags []string
	}{
		"a flag": {flags: []string{"--index-url", at}}, "a variable": {env: map[string]string{"UV_DEFAULT_INDEX": at}},
		"an index for some": {flags: []string{"--index-url", at, "--index", "x=" + at, "--package-index", "x=churn"}},
	} {
		env := map[string]string{}
		for k, v := range tt.env {
			env[k] = v
		}
		if worked, failed := w.run(t, place, env, w.commands(t, base, push, tt.flags...)); failed > 0 {
			t.Errorf("%s: %d of %d commands failed, the last %s", place, failed, worked+failed, w.last)
		}
	}
	w.writeModel(t, "requirements.txt", "--index-url "+at+"\nmlflow==3.1.0\nchurn\n")
	commands := w.commands(t, base, push)[:7] // what comes then holds the model's files, which are as they are
	if worked, failed := w.run(t, "the model", map[string]string{}, commands); failed > 0 {
		t.Errorf("the model: %d of %d commands failed, the last %s", failed, worked+failed, w.last)
	}
}
