package index

import (
	"fmt"
	"io/fs"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mlenv/resolve/pep508"
)

// world is what Configure sees of a machine.
type world struct {
	env   map[string]string
	files map[string]string
}

func (w world) sources() Sources {
	return Sources{
		Env: func(k string) string { return w.env[k] },
		ReadFile: func(name string) ([]byte, error) {
			text, ok := w.files[name]
			if !ok {
				return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
			}
			return []byte(text), nil
		},
		Home: "/home/u", OS: "linux",
	}
}

// brief prints the settings that a test is about.
func brief(s Settings) map[string]string {
	m := map[string]string{}
	put := func(k, v string) {
		if v != "" && v != "false" && v != "0s" {
			m[k] = v
		}
	}
	put("indexes", strings.ReplaceAll(strings.Join(s.Indexes, " "), defaultIndex(), "DEFAULT"))
	put("links", strings.Join(s.FindLinks, " "))
	put("trusted", strings.Join(s.TrustedHosts, " "))
	put("noindex", fmt.Sprint(s.NoIndex))
	put("offline", fmt.Sprint(s.Offline))
	put("strategy", string(s.Strategy))
	put("cert", s.CertFile)
	put("certdir", s.CertDir)
	put("client", s.ClientCert)
	put("proxies", strings.TrimSpace(s.HTTPProxy+" "+s.HTTPSProxy+" "+s.NoProxy))
	put("timeout", s.Timeout.String())
	var keys []string
	for _, c := range s.Credentials {
		keys = append(keys, fmt.Sprintf("%s %s %s %s", c, c.Path, c.User, c.Password))
	}
	put("keys", strings.Join(keys, "; "))
	return m
}

func TestConfigure(t *testing.T) {
	tests := []struct {
		name         string
		flags, model Options
		world        world
		want         map[string]string
	}{
		{name: "nothing", want: map[string]string{"indexes": "DEFAULT"}},
		{
			name:  "flags beat model beats environment beats pip.conf",
			flags: Options{IndexURL: "https://flag.example/simple"},
			model: Options{IndexURL: "https://model.example/simple"},
			world: world{env: map[string]string{"PIP_INDEX_URL": "https://env.example/simple"},
				files: map[string]string{"/etc/pip.conf": "[global]\nindex-url = https://conf.example/simple\n"}},
			want: map[string]string{"indexes": "https://flag.example/simple"},
		},
		{
			name:  "model beats environment; lists join",
			flags: Options{ExtraIndexURLs: []string{"https://1.example/"}, FindLinks: []string{"a"}},
			model: Options{IndexURL: "https://model.example/", ExtraIndexURLs: []string{"https://2.example/"}, FindLinks: []string{"b"}},
			world: world{env: map[string]string{"PIP_INDEX_URL": "https://env.example/", "PIP_EXTRA_INDEX_URL": "https://3.example/ https://1.example/",
				"UV_EXTRA_INDEX_URL": "https://4.example/", "PIP_FIND_LINKS": "c d", "UV_FIND_LINKS": "e,f"}},
			want: map[string]string{"indexes": "https://1.example/ https://2.example/ https://3.example/ https://4.example/ https://model.example/", "links": "a b c d e f"},
		},
		{
			name: "pip.conf in all its places",
			world: world{env: map[string]string{"VIRTUAL_ENV": "/venv"}, files: map[string]string{
				"/etc/xdg/pip/pip.conf":          "[global]\nindex-url = https://xdg.example/\nproxy = http://p.example:1\n",
				"/etc/pip.conf":                  "[global]\nindex-url = https://etc.example/\ntimeout=7\n[install]\ntrusted-host = a.example\n",
				"/home/u/.pip/pip.conf":          "[global]\nextra_index_url =\n    https://e1.example/\n    https://e2.example/\n",
				"/home/u/.config/pip/pip.conf":   "# comment\n[global]\ncert: /ca.pem\nno-index: no\n[install]\nfind-links = /w1\n  /w2\n[download]\nindex-url=https://no.example/\n",
				"/venv/pip.conf":                 "[install]\nindex-url = https://venv.example/\n",
				"/home/u/.config/other/pip.conf": "nonsense",
			}},
			want: map[string]string{"indexes": "https://e1.example/ https://e2.example/ https://venv.example/", "cert": "/ca.pem",
				"links": "/w1 /w2", "trusted": "a.example", "timeout": "7s", "proxies": "http://p.example:1 http://p.example:1"},
		},
		{
			name: "PIP_CONFIG_FILE instead of the user's files",
			world: world{env: map[string]string{"PIP_CONFIG_FILE": "/my.conf"}, files: map[string]string{
				"/my.conf":                     "[global]\nindex-url = https://my.example/\n",
				"/home/u/.config/pip/pip.conf": "[global]\nextra-index-url = https://user.example/\n",
			}},
			want: map[string]string{"indexes": "https://my.example/"},
		},
		{
			name: "no configuration at all",
			world: world{env: map[string]string{"PIP_CONFIG_FILE": "/dev/null"}, files: map[string]string{
				"/etc/pip.conf": "[global]\nindex-url = https://etc.example/\n"}},
			want: map[string]string{"indexes": "DEFAULT"},
		},
		{
			name: "PIP lists replace pip.conf's",
			world: world{env: map[string]string{"PIP_EXTRA_INDEX_URL": "https://env.example/"}, files: map[string]string{
				"/etc/pip.conf": "[global]\nextra-index-url = https://conf.example/\n"}},
			want: map[string]string{"indexes": "https://env.example/ DEFAULT"},
		},
		{
			name: "uv's names and credentials",
			world: world{env: map[string]string{"UV_DEFAULT_INDEX": "main=https://main.example/simple", "UV_INDEX": "my-co=https://co.example/simple https://b.example/?a=b",
				"UV_INDEX_MY_CO_USERNAME": "me", "UV_INDEX_MY_CO_PASSWORD": "secret", "UV_NO_INDEX": "0", "UV_OFFLINE": "1",
				"UV_INSECURE_HOST": "h1 h2:8443", "SSL_CERT_DIR": "/certs", "SSL_CLIENT_CERT": "/c.pem", "UV_INDEX_STRATEGY": "unsafe-best-match", "UV_HTTP_TIMEOUT": "9"}},
			want: map[string]string{"indexes": "https://co.example/simple https://b.example/?a=b https://main.example/simple", "offline": "true",
				"trusted": "h1 h2:8443", "certdir": "/certs", "client": "/c.pem", "strategy": "unsafe-best-match", "timeout": "9s",
				"keys": "https://co.example/simple /simple me secret"},
		},
		{
			name:  "credentials serve the model's clean URL",
			model: Options{IndexURL: "https://co.example/simple"},
			world: world{env: map[string]string{"PIP_INDEX_URL": "https://me:secret@co.example/simple", "HTTPS_PROXY": "http://proxy.example:3128", "no_proxy": "localhost"},
				files: map[string]string{"/home/u/.netrc": "# c\nmachine a.example login x password \"y z\"\ndefault login q password r\nmachine b.example\n  login l\nmacdef init\nmachine evil login e password f\n\nmachine c.example password p\\ q login w"}},
			want: map[string]string{"indexes": "https://co.example/simple", "proxies": "http://proxy.example:3128 localhost",
				"keys": "https://co.example/simple /simple me secret; ://a.example  x y z; ://c.example  w p q"},
		},
		{
			name:  "NETRC and no-index",
			model: Options{NoIndex: true},
			world: world{env: map[string]string{"NETRC": "/n"}, files: map[string]string{"/n": "machine a.example login x password #1", "/home/u/.netrc": "machine b login x password y"}},
			want:  map[string]string{"indexes": "DEFAULT", "noindex": "true", "keys": "://a.example  x #1"},
		},
	}
	for _, test := range tests {
		src := test.world.sources()
		src.Flags, src.Model = test.flags, test.model
		s, err := Configure(src)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if d := cmp.Diff(test.want, brief(s)); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, d)
		}
		if _, err := New(Settings{Indexes: s.Indexes, Credentials: s.Credentials}); err != nil {
			t.Errorf("%s: New: %v", test.name, err)
		}
	}
}

func TestConfigureErrors(t *testing.T) {
	for _, w := range []world{
		{env: map[string]string{"PIP_NO_INDEX": "perhaps"}},
		{env: map[string]string{"UV_OFFLINE": "perhaps"}},
		{env: map[string]string{"UV_NO_INDEX": "perhaps"}},
		{env: map[string]string{"UV_INDEX_STRATEGY": "perhaps"}},
		{files: map[string]string{"/etc/pip.conf": "[global\nx=y"}},
		{files: map[string]string{"/etc/pip.conf": "x=y"}},
		{files: map[string]string{"/etc/pip.conf": "[global]\nnothing"}},
	} {
		if s, err := Configure(w.sources()); err == nil {
			t.Errorf("%v: no error but %v", w, brief(s))
		}
	}
	for _, s := range []Settings{
		{Indexes: []string{"ftp://user:secret@h.example/"}},
		{Indexes: []string{"https://"}},
		{Indexes: []string{"https://user:secret@h.example:port/"}},
		{Strategy: "best"},
		{Network: Network{CertFile: "/nonexistent/ca.pem"}},
	} {
		if _, err := New(s); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("New(%v): %v", s.Indexes, err)
		}
	}
}

func TestKeyring(t *testing.T) {
	k := keyring{
		{Scheme: "https", Host: "a.example", Path: "/one/simple/", User: "one", Password: "p"},
		{Scheme: "https", Host: "a.example", Path: "/two/simple/", User: "two", Password: "p"},
		{Scheme: "http", Host: "a.example:8080", Path: "/", User: "port", Password: "p"},
		{Host: "n.example", User: "netrc", Password: "p"},
		{Host: "a.example", User: "never", Password: "p"},
		{Scheme: "https", Host: "a.example", Path: "/files/y.whl", User: "model", Password: "p", Model: true},
		{Scheme: "https", Host: "n.example", Path: "/y.whl", User: "model", Password: "p", Model: true},
		{Scheme: "https", Host: "m.example", Path: "/y.whl", User: "model", Password: "p", Model: true},
	}
	// Whose credentials go to a URL that the user names, and to one that a model names.
	for raw, want := range map[string][2]string{
		"https://a.example/one/simple/x/":      {"one", "one"},
		"https://A.example:443/two/simple/x/":  {"two", "two"},
		"https://a.example/files/x.whl":        {"one", "model"},
		"https://a.example/files/y.whl":        {"one", "model"},
		"https://a.example/three/simple/x/":    {"one", "model"},
		"https://n.example/y.whl":              {"netrc", "model"},
		"https://n.example/z.whl":              {"netrc", "model"},
		"https://m.example/z.whl":              {"", "model"},
		"http://m.example/y.whl":               {"", ""},
		"https://a.example/two/simpler/":       {"two", "model"},
		"https://a.example/two/files/x.whl":    {"two", "model"},
		"https://a.example/on/files/x.whl":     {"one", "model"},
		"http://a.example:8080/x":              {"port", "port"},
		"http://a.example/x":                   {"never", ""},
		"http://n.example/x":                   {"netrc", ""},
		"https://a.example:8443/x":             {"never", "never"},
		"https://n.example:9/x":                {"netrc", "netrc"},
		"https://b.example/one/simple/x/":      {},
		"https://a.example.evil.example/one/":  {},
		"https://n.example.evil.example/":      {},
		"https://sub.n.example/":               {},
		"https://x.example/@a.example/one/":    {},
		"https://a.example@x.example/one/":     {},
		"https://one:p@other.example/":         {},
		"https://xn--a-example.example/simple": {},
	} {
		for i, model := range []bool{false, true} {
			r, err := http.NewRequest("GET", raw, nil)
			if err != nil {
				t.Fatal(err)
			}
			k.authorize(r, model)
			if user, _, _ := r.BasicAuth(); user != want[i] {
				t.Errorf("%s, named by a model: %t: user %q, want %q", raw, model, user, want[i])
			}
		}
	}
}

// TestKeyringOfIndex asks for files for which the path alone does not say whose they are.
func TestKeyringOfIndex(t *testing.T) {
	k := keyring{
		{Scheme: "https", Host: "a.example", Path: "/one/simple/", User: "one", Password: "p"},
		{Scheme: "https", Host: "a.example", Path: "/two/simple/", User: "two", Password: "p"},
		{Scheme: "https", Host: "b.example", Path: "/one/simple/", User: "other", Password: "p"},
		{Scheme: "https", Host: "a.example", Path: "/model/simple/", User: "model", Password: "p", Model: true},
	}
	for _, tt := range []struct{ raw, index, want string }{
		{"https://a.example/files/x.whl", "", "one"},
		{"https://a.example/files/x.whl", "https://a.example/one/simple/", "one"},
		{"https://a.example/files/x.whl", "https://a.example/two/simple/", "two"},
		{"https://a.example/one/simple/x.whl", "https://a.example/two/simple/", "one"},
		{"https://a.example/one/files/x.whl", "https://a.example/two/simple/", "one"},
		{"https://a.example/files/x.whl", "https://b.example/one/simple/", "one"},
		{"https://a.example/files/x.whl", "https://a.example/model/simple/", "model"},
		{"https://a.example/two/files/x.whl", "https://a.example/model/simple/", "model"},
		{"https://a.example/two/simple/x.whl", "https://a.example/model/simple/", "two"},
		{"https://b.example/files/x.whl", "https://a.example/two/simple/", "other"},
		{"https://c.example/files/x.whl", "https://a.example/two/simple/", ""},
	} {
		r, err := http.NewRequestWithContext(listedBy(t.Context(), tt.index), "GET", tt.raw, nil)
		if err != nil {
			t.Fatal(err)
		}
		k.authorize(r, strings.Contains(tt.index, "/model/"))
		if user, _, _ := r.BasicAuth(); user != tt.want {
			t.Errorf("%s, listed by %q: user %q, want %q", tt.raw, tt.index, user, tt.want)
		}
	}
}

// What a model holds is kept apart from what the user has, and is not filled in from the environment.
func TestConfigureSecrets(t *testing.T) {
	s, err := Configure(Sources{Env: func(name string) string { return map[string]string{"TOKEN": "leaked"}[name] }, Secrets: []string{
		"https://u:p%40w@a.example/x.whl", "https://${TOKEN}:p@b.example/x.whl", "https://u:pa/ss@c.example/x.whl",
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := Credential{Scheme: "https", Host: "a.example", Path: "/x.whl", User: "u", Password: "p@w", Model: true}
	if last := s.Credentials[len(s.Credentials)-1]; last != want {
		t.Errorf("got %#v of %s, want it to be that of %s", last, last.User, want)
	}
	for _, c := range s.Credentials {
		if c.Host == "b.example" || c.Host == "c.example" {
			t.Errorf("kept %s", c)
		}
	}
}

// TestConfigureModel holds what a model may say of what it names, and of what the user names.
func TestConfigureModel(t *testing.T) {
	model := Options{
		IndexURL: "https://m.example/simple", ExtraIndexURLs: []string{"https://u.example/simple/", "https://u.example/other/"},
		FindLinks:    []string{"wheels"},
		TrustedHosts: []string{"m.example", "U.example", "u.example:443", "d.example", "files.example", "n.example", "flag.example"},
	}
	src := Sources{
		Flags: Options{ExtraIndexURLs: []string{"https://user:p@flag.example/simple"}},
		Model: model, Direct: []string{"https://d.example/x.whl", "https://n.example/y.whl"}, Home: "/home/me",
		Env: func(name string) string {
			return map[string]string{"PIP_EXTRA_INDEX_URL": "https://u.example/simple", "PIP_TRUSTED_HOST": "mine.example"}[name]
		},
		ReadFile: func(name string) ([]byte, error) {
			if name == "/home/me/.netrc" {
				return []byte("machine n.example login me password p\n"), nil
			}
			return nil, fs.ErrNotExist
		},
	}
	src.Model.ExtraIndexURLs = append(src.Model.ExtraIndexURLs, "https://flag.example/simple") // as the Spec has the flag's
	s, err := Configure(src)
	if err != nil {
		t.Fatal(err)
	}
	want := Model{Indexes: []string{"https://m.example/simple/", "https://u.example/other/"}, Local: []string{"wheels"}, Links: true, TrustedHosts: []string{"m.example", "d.example"}}
	if !reflect.DeepEqual(s.Model, want) || !slices.Equal(s.TrustedHosts, []string{"mine.example"}) {
		t.Errorf("got %+v and %q, want %+v", s.Model, s.TrustedHosts, want)
	}
}

// TestConfigureAssigned holds that the indexes of some packages are the user's, whatever the model names.
func TestConfigureAssigned(t *testing.T) {
	s, err := Configure(Sources{
		Flags: Options{TorchBackend: "cu128", Assigned: []Assignment{{Name: "corp", Index: "https://c.example/simple", Packages: []pep508.Name{"a", "torchaudio"}}}},
		Model: Options{ExtraIndexURLs: []string{"https://c.example/simple/", "https://t.example/whl/cu128", "https://m.example/simple/"}},
		Env: func(name string) string {
			return map[string]string{"UV_INDEX_CORP_USERNAME": "u", "MLENV_TORCH_INDEX_URL": "https://v:w@t.example/whl/"}[name]
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"https://m.example/simple/"}; !slices.Equal(s.Model.Indexes, want) {
		t.Errorf("named by the model alone: %q, want %q", s.Model.Indexes, want)
	}
	var got []string
	for _, a := range s.Assigned {
		got = append(got, a.Name+" "+Redact(a.Index)+" "+fmt.Sprint(a.Packages, a.Fallback))
	}
	want := []string{
		"corp https://c.example/simple [a torchaudio] false",
		"pytorch-cu128 https://t.example/whl/cu128/ [torch] false",
		"pytorch-cu128 https://t.example/whl/cu128/ [torchvision torchtext pytorch-triton pytorch-triton-rocm pytorch-triton-xpu] true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("assigned\n%q, want\n%q", got, want)
	}
	users := ""
	for _, c := range s.Credentials {
		users += c.User + "@" + c.Host + " "
	}
	if !strings.Contains(users, "u@c.example") || !strings.Contains(users, "v@t.example") {
		t.Errorf("credentials of %s", users)
	}
	for _, backend := range []string{"gpu", "cu", "cu0128", "CPU", "rocm", "cpu/../x", "cu128\n"} {
		if _, err := Configure(Sources{Flags: Options{TorchBackend: backend}}); err == nil {
			t.Errorf("%q is taken for a backend", backend)
		}
	}
}
