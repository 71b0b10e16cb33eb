package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
)

// basic is the form in which files hold a user and password.
func basic(user, password string) string {
	return fmt.Sprintf(`{"auth":%q}`, base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
}

// home gives the test's process a home directory with these files: go-containerregistry asks the
// process for it.
func home(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("HOME", dir)
	t.Setenv("DOCKER_CONFIG", filepath.Join(dir, ".docker")) // Docker's package looks for a home once only
	for _, key := range []string{"XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "REGISTRY_AUTH_FILE"} {
		t.Setenv(key, "")
	}
	t.Setenv("PATH", filepath.Join(dir, "bin")+string(filepath.ListSeparator)+os.Getenv("PATH"))
	return dir
}

// helper is a credential helper that knows a user of one host.
func helper(host, user string) string {
	return fmt.Sprintf(`#!/bin/sh
[ "$1" = get ] || exit 1
read host
if [ "$host" = %q ]; then
	echo '{"ServerURL":"'$host'","Username":%q,"Secret":"p"}'
else
	echo "credentials not found in native keychain"
	exit 1
fi
`, host, user)
}

func TestKeychain(t *testing.T) {
	tests := []struct {
		name   string
		auth   string // REGISTRY_AUTH_FILE, "" for none, "podman" for a podman login instead
		docker string // ~/.docker/config.json
		ref    string
		want   string // the user, "" for nobody
	}{
		{"nothing", "", "", "r.example/a", ""},
		{"docker login", "", `{"auths":{"r.example":` + basic("docker", "p") + `}}`, "r.example/a", "docker"},
		{"REGISTRY_AUTH_FILE", `{"auths":{"r.example":` + basic("podman", "p") + `}}`, "", "r.example/a", "podman"},
		{"it is asked first", `{"auths":{"r.example":` + basic("podman", "p") + `}}`, `{"auths":{"r.example":` + basic("docker", "p") + `}}`, "r.example/a", "podman"},
		{"in spite of an empty file of Docker's", `{"auths":{"r.example":` + basic("podman", "p") + `}}`, `{"auths":{}}`, "r.example/a", "podman"},
		{"it knows nobody", `{"auths":{"s.example":` + basic("podman", "p") + `}}`, `{"auths":{"r.example":` + basic("docker", "p") + `}}`, "r.example/a", "docker"},
		{"the longest path counts", `{"auths":{"r.example":` + basic("all", "p") + `,"r.example/team":` + basic("team", "p") + `,"r.example/team/a":` + basic("a", "p") + `}}`, "", "r.example/team/a", "a"},
		{"the longest path above counts", `{"auths":{"r.example":` + basic("all", "p") + `,"r.example/team":` + basic("team", "p") + `,"r.example/team/a":` + basic("a", "p") + `}}`, "", "r.example/team/b", "team"},
		{"a path of others does not", `{"auths":{"r.example/team":` + basic("team", "p") + `}}`, "", "r.example/teams/a", ""},
		{"another port is another registry", `{"auths":{"r.example:5000":` + basic("port", "p") + `}}`, "", "r.example/a", ""},
		{"Docker Hub as podman has it", `{"auths":{"docker.io":` + basic("hub", "p") + `}}`, "", "someone/a", "hub"},
		{"Docker Hub as Docker has it", `{"auths":{"https://index.docker.io/v1/":` + basic("hub", "p") + `}}`, "", "someone/a", "hub"},
		{"a helper of one registry", `{"credHelpers":{"r.example":"test"},"auths":{"r.example":` + basic("podman", "p") + `}}`, "", "r.example/a", "helper"},
		{"of another registry", `{"credHelpers":{"s.example":"test"}}`, "", "r.example/a", ""},
		{"a helper of all registries", `{"credsStore":"test"}`, "", "r.example/a", "helper"},
		{"that does not know this one", `{"credsStore":"test"}`, "", "s.example/a", ""},
		{"podman login beside an empty file of Docker's", "podman", `{"auths":{}}`, "r.example/a", "podman"},
		{"Docker's helper", "", `{"credsStore":"test"}`, "r.example/a", "helper"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := map[string]string{"bin/docker-credential-test": helper("r.example", "helper")}
			if tt.docker != "" {
				files[".docker/config.json"] = tt.docker
			}
			env := map[string]string{"REGISTRY_AUTH_FILE": ""}
			switch tt.auth {
			case "":
			case "podman":
				files[".config/containers/auth.json"] = `{"auths":{"r.example":` + basic("podman", "p") + `}}`
			default:
				files["auth.json"] = tt.auth
			}
			dir := home(t, files)
			env["HOME"] = dir
			if files["auth.json"] != "" {
				env["REGISTRY_AUTH_FILE"] = filepath.Join(dir, "auth.json")
			}
			a := &app{lookup: func(k string) (string, bool) { v, ok := env[k]; return v, ok }}
			repo, err := name.NewRepository(tt.ref)
			if err != nil {
				t.Fatal(err)
			}
			auth, err := a.keychain().Resolve(repo)
			if err != nil {
				t.Fatal(err)
			}
			got, err := auth.Authorization()
			if err != nil || got.Username != tt.want {
				t.Errorf("got %q, %v, want %q", got.Username, err, tt.want)
			}
		})
	}
}

// What is wrong with the file that was asked for is said; that it is not there yet is no fault.
func TestKeychainErrors(t *testing.T) {
	dir := home(t, map[string]string{"bad.json": "{", "dir/x": "", "helper.json": `{"credHelpers":{"r.example":"nonexistent"}}`})
	repo, err := name.NewRepository("r.example/a")
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"none.json": "", "bad.json": "bad.json", "dir": "REGISTRY_AUTH_FILE", "helper.json": "credential helper of r.example"} {
		a := &app{lookup: func(k string) (string, bool) {
			return filepath.Join(dir, file), k == "REGISTRY_AUTH_FILE"
		}}
		_, err := a.keychain().Resolve(repo)
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want something of %q", file, err, want)
		}
	}
}

// guard lets nobody through to a registry but one user.
func guard(t *testing.T, registry, user, password string) string {
	t.Helper()
	to, err := url.Parse("http://" + registry)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		out, err := http.NewRequest(r.Method, to.JoinPath(r.URL.EscapedPath()).String()+"?"+r.URL.RawQuery, r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		out.Header, out.ContentLength = r.Header, r.ContentLength
		resp, err := http.DefaultTransport.RoundTrip(out)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		for k, v := range resp.Header {
			w.Header()[k] = v
		}
		w.WriteHeader(resp.StatusCode)
		if _, err := io.Copy(w, resp.Body); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// TestImageCredentials pushes, and builds upon what was pushed, with the credentials of each place
// that may hold them.
func TestImageCredentials(t *testing.T) {
	w := newImageWorld(t)
	const password = "hunter2secret"
	host := guard(t, w.registry, "someone", password)
	right, wrong := basic("someone", password), basic("someone", "guessed"+password)
	for what, tt := range map[string]struct {
		files map[string]string
		auth  string
		code  int
	}{
		"docker login":                     {map[string]string{".docker/config.json": `{"auths":{"` + host + `":` + right + `}}`}, "", 0},
		"REGISTRY_AUTH_FILE beside Docker": {map[string]string{".docker/config.json": `{"auths":{}}`, "auth.json": `{"auths":{"` + host + `":` + right + `}}`}, "auth.json", 0},
		"a helper": {map[string]string{".docker/config.json": `{"credHelpers":{"` + host + `":"test"}}`,
			"bin/docker-credential-test": strings.Replace(helper(host, "someone"), `"p"`, `"`+password+`"`, 1)}, "", 0},
		"nobody":             {nil, "", exitFailure},
		"the wrong password": {map[string]string{"auth.json": `{"auths":{"` + host + `":` + wrong + `}}`}, "auth.json", exitFailure},
	} {
		t.Run(what, func(t *testing.T) {
			dir := home(t, tt.files)
			w.env["REGISTRY_AUTH_FILE"], w.env["HOME"] = "", dir
			if tt.auth != "" {
				w.env["REGISTRY_AUTH_FILE"] = filepath.Join(dir, tt.auth)
			}
			ref := host + "/base:1"
			out, errs, code := command(t, w.env, w.args("--push", ref)...)
			if code != tt.code || strings.Contains(out+errs, password) {
				t.Fatalf("exit code %d\n%s", code, errs)
			}
			if code != 0 {
				why := "no credentials for " + host + " were found in " + filepath.Join(dir, ".docker", "config.json")
				if tt.auth != "" {
					why = "the credentials of user someone from " + filepath.Join(dir, "auth.json") + " were refused"
				}
				if !strings.Contains(errs, "docker login, podman login or crane auth login") || !strings.Contains(errs, why) {
					t.Errorf("stderr does not say %q:\n%s", why, errs)
				}
				return
			}
			out, errs, code = command(t, w.env, "diff", ref, ref)
			if code != 0 {
				t.Errorf("reading it again: exit code %d\n%s%s", code, out, errs)
			}
		})
	}
}
