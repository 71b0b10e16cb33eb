package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"mlenv/resolve/index/indextest"
)

// projects is a server with several indexes, each of which takes one token alone, as the registries of
// GitLab's projects and the repositories of Artifactory, Nexus and devpi do. files is where the files of
// an index lie, from its project's path, and names the index last.
func projects(t *testing.T, files string, indexes map[string][]indextest.Dist) (host string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, dists := range indexes {
			root := path.Join("/", name, files, "of-"+name) + "/"
			page, isPage := strings.CutPrefix(r.URL.Path, "/"+name+"/simple/")
			file, isFile := strings.CutPrefix(r.URL.Path, root)
			if !isPage && !isFile {
				continue
			}
			if _, token, _ := r.BasicAuth(); token != "token-"+name {
				w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			found := false
			for _, d := range dists {
				switch {
				case isPage && page == d.Name+"/":
					w.Header().Set("Content-Type", "text/html")
					fmt.Fprintf(w, "<a href=%q>%s</a>\n", root+d.Filename()+"#sha256="+d.SHA256(), d.Filename())
					found = true
				case isFile && file == d.Filename():
					http.ServeContent(w, r, "", d.UploadTime, strings.NewReader(string(d.Bytes())))
					return
				}
			}
			if found {
				return
			}
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// TestTwoTokens locks and builds from two indexes of one host, each with a token of its own.
func TestTwoTokens(t *testing.T) {
	for layout, files := range map[string]string{"files below the project": "packages", "files in one place": "../all"} {
		t.Run(layout, func(t *testing.T) {
			w := newImageWorld(t)
			host := projects(t, files, map[string][]indextest.Dist{
				"one": indextest.Parse("churn 5.0: deep"),
				"two": indextest.Parse("deep 7.0"),
			})
			flags := []string{"--index-url", w.index.URL}
			for _, name := range []string{"one", "two"} {
				flags = append(flags, "--extra-index-url", "http://user:token-"+name+"@"+host+"/"+name+"/simple/")
			}
			lock := filepath.Join(t.TempDir(), "pylock.toml")
			out, errs, code := command(t, w.env, append([]string{"lock", w.model, "--base", "oci:" + w.base, "-o", lock}, flags...)...)
			if code != 0 {
				t.Fatalf("exit code %d\n%s%s", code, out, errs)
			}
			w.env["MLENV_CACHE_DIR"] = t.TempDir() // nothing is known of any page
			args := append([]string{"image", w.model, "--base", "oci:" + w.base, "--lock", lock, "--push", w.registry + "/churn:1"}, flags...)
			if out, errs, code = command(t, w.env, args...); code != 0 || strings.Contains(out+errs, "token-") {
				t.Fatalf("exit code %d\n%s%s", code, out, errs)
			}
		})
	}
}

// TestSaysThatItWaits locks from an index that asks for pauses, of which the long one is told.
func TestSaysThatItWaits(t *testing.T) {
	for _, name := range []string{"lock", "image"} {
		t.Run(name, func(t *testing.T) {
			w := newImageWorld(t)
			w.index.On("/simple/churn/", 1, indextest.Status(http.StatusTooManyRequests, "Retry-After", "40"))
			w.index.On("/simple/deep/", 1, indextest.Status(http.StatusServiceUnavailable, "Retry-After", "1"))
			args := []string{name, w.model, "--base", "oci:" + w.base, "--index-url", w.index.URL, "-o"}
			switch out := filepath.Join(t.TempDir(), "pylock.toml"); name {
			case "image":
				args = append(args, "oci-tar:"+out)
			default:
				args = append(args, out)
			}
			_, errs, code := commandWith(t, nil, w.env, args...)
			if want := "waiting 40s, as " + strings.TrimPrefix(w.index.Host, "http://") + " asks\n"; code != 0 || strings.Count(errs, "waiting") != 1 || !strings.Contains(errs, want) {
				t.Errorf("exit code %d, stderr\n%s", code, errs)
			}
		})
	}
}
