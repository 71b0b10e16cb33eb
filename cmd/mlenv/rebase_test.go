package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"mlenv/imagebuild/base/basetest"
)

// TestRebaseCommand puts an image and an index on a base that was fixed: the digests are those that mlenv
// image gives there with the same lock.
func TestRebaseCommand(t *testing.T) {
	w := newImageWorld(t)
	push := func(ref, version string, archs ...string) string {
		index, err := basetest.Index(version, archs...)
		if err != nil {
			t.Fatal(err)
		}
		to, err := name.ParseReference(w.registry + "/" + ref)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.WriteIndex(to, index); err != nil {
			t.Fatal(err)
		}
		return w.registry + "/" + ref
	}
	old := push("python:3.11.9-slim", "3.11.9", "amd64", "arm64")
	fixed := push("python:3.11.10-slim", "3.11.10", "amd64", "arm64")
	newer := push("python:3.12.1-slim", "3.12.1", "amd64")
	for i, platforms := range [][]string{{"linux/amd64"}, {"linux/amd64", "linux/arm64"}} {
		lock := filepath.Join(t.TempDir(), "pylock.toml")
		var flags []string
		for _, p := range platforms {
			flags = append(flags, "--platform", p)
		}
		run := func(args ...string) string {
			t.Helper()
			out, errs, code := command(t, w.env, args...)
			if code != 0 {
				t.Fatalf("%s: exit code %d\n%s", args, code, errs)
			}
			return out
		}
		run(append([]string{"lock", w.model, "--base", old, "--index-url", w.index.URL, "-o", lock}, flags...)...)
		build := func(base, ref string) string {
			return strings.TrimSpace(run(append([]string{"image", w.model, "--base", base, "--index-url", w.index.URL, "--lock", lock, "--push", w.registry + "/" + ref, "-q"}, flags...)...))
		}
		tag := []string{"one", "many"}[i]
		_, was, _ := strings.Cut(build(old, "churn:"+tag), "@")
		_, want, _ := strings.Cut(build(fixed, "rebuilt:"+tag), "@")
		w.index.Forget()
		out := run("rebase", w.registry+"/churn:"+tag, "--base", fixed, "--push", w.registry+"/other:1", "--tag", tag+"-fixed", "-q")
		if want := was + " " + w.registry + "/other@" + want + "\n" + was + " " + w.registry + "/churn@" + want + "\n"; out != want {
			t.Errorf("printed\n%s\nwant\n%s", out, want)
		}
		if n := len(w.index.Requests()); n != 0 {
			t.Errorf("the index was asked %d times", n)
		}
		if out := run("rebase", w.registry+"/churn:"+tag, "--base", fixed, "--check", "-q"); out != was+" "+want+"\n" {
			t.Errorf("--check printed %s", out)
		}
		out, errs, code := command(t, w.env, "rebase", w.registry+"/churn:"+tag, "--base", newer, "--tag", "x", "-q")
		if code != exitFindings || out != "" || !strings.Contains(errs, "does not fit: ") {
			t.Errorf("another Python: exit code %d, stdout %q\n%s", code, out, errs)
		}
		out, _, code = command(t, w.env, "rebase", w.registry+"/churn:"+tag, "--base", newer, "--check", "--format", "json", "-q")
		var r rebaseReport
		if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitFindings || r.Fits || len(r.Reasons) == 0 || r.Old != was {
			t.Errorf("as JSON: exit code %d, %v\n%s", code, err, out)
		}
	}
	for _, args := range [][]string{{"x/y:1"}, {"x/y:1", "--base", "z:1"}, {"x/y:1", "--base", "z:1", "--check", "--tag", "t"}, {"oci:dir", "--base", "z:1", "--tag", "t"}, {"x/y:1", "--base", "z:1", "--tag", "UPPER CASE"}} {
		if _, errs, code := command(t, w.env, append([]string{"rebase"}, args...)...); code != exitFailure || !strings.Contains(errs, "help rebase") {
			t.Errorf("%s: exit code %d\n%s", args, code, errs)
		}
	}
}
