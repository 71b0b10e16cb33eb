package main

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mlenv/resolve/index/indextest"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
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

// newTorchHost serves the indexes of PyTorch's builds as its builders lay them out: a page of links for
// each backend and package, labels in the versions, 403 for names that it lacks, metadata beside some
// wheels and no size for any. It has old copies of other packages, too.
func newTorchHost(t *testing.T) (mirror string) {
	t.Helper()
	dists := map[string][]indextest.Dist{}
	for _, backend := range []string{"cpu", "cu128"} {
		needs := []string{"deep"}
		pad := 2_000_000
		if backend != "cpu" {
			pad = 4_000_000
			needs = append(needs, "nvidia-cuda-runtime-cu12==12.8.57")
		}
		for _, v := range []string{"2.7.0", "2.7.1", "2.8.0"} {
			dists[backend] = append(dists[backend], indextest.Dist{Name: "torch", Version: v + "+" + backend, Requires: needs,
				Tags: "cp311-cp311-manylinux_2_28_x86_64", Pad: pad, Listed: indextest.Listed{NoMetadata: v == "2.7.1"}})
		}
		dists[backend] = append(dists[backend], indextest.Dist{Name: "deep", Version: "9.9"},
			indextest.Dist{Name: "torchvision", Version: "0.22.1+" + backend, Requires: []string{"torch==2.7.1"}, Tags: "cp311-cp311-manylinux_2_28_x86_64"})
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		backend, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/whl/"), "/")
		name, isPage := strings.CutSuffix(rest, "/")
		var page strings.Builder
		for _, d := range dists[backend] {
			file := d.Filename()
			switch {
			case rest == file:
				http.ServeContent(w, r, "", d.UploadTime, strings.NewReader(string(d.Bytes())))
				return
			case rest == file+".metadata" && !d.NoMetadata:
				fmt.Fprint(w, d.METADATA())
				return
			case isPage && name == d.Name:
				with := ""
				if !d.NoMetadata {
					with = fmt.Sprintf(" data-core-metadata=\"sha256=%x\"", sha256.Sum256([]byte(d.METADATA())))
				}
				fmt.Fprintf(&page, "<a href=\"/whl/%s/%s#sha256=%s\"%s>%s</a><br/>\n", backend, strings.ReplaceAll(file, "+", "%2B"), d.SHA256(), with, file)
			}
		}
		switch {
		case page.Len() > 0, rest == "" && dists[backend] != nil:
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprintf(w, "<!DOCTYPE html><html><body><h1>Links for %s</h1>\n%s</body></html>\n", name, page.String())
		default:
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL + "/whl"
}

// newTorchWorld has a model that needs PyTorch, as it is on the main index and for two backends.
func newTorchWorld(t *testing.T) *imageWorld {
	t.Helper()
	w := newImageWorld(t)
	w.index.Add(indextest.Dist{Name: "torch", Version: "2.7.1", Requires: []string{"deep", "nvidia-cuda-runtime-cu12==12.6.77"}, Pad: 6_000_000, Tags: "cp311-cp311-manylinux_2_28_x86_64"},
		indextest.Dist{Name: "nvidia-cuda-runtime-cu12", Version: "12.6.77", Tags: "py3-none-manylinux2014_x86_64"},
		indextest.Dist{Name: "nvidia-cuda-runtime-cu12", Version: "12.8.57", Tags: "py3-none-manylinux2014_x86_64"})
	w.env["MLENV_TORCH_INDEX_URL"] = newTorchHost(t)
	text := "mlflow==3.1.0\nchurn\ntorch==2.7.1\n"
	if err := os.WriteFile(filepath.Join(w.model, "requirements.txt"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return w
}

// locked gives the versions of a lock's packages, and the indexes of those that are not of the main one.
func (w *imageWorld) locked(t *testing.T, file string) (versions, others map[string]string, l *pylock.Lock) {
	t.Helper()
	l, _, err := mustReadLock(file)
	if err != nil {
		t.Fatal(err)
	}
	versions, others = map[string]string{}, map[string]string{}
	for _, p := range l.Packages {
		versions[string(p.Name)] = p.Version.String()
		if p.Index != w.index.URL {
			others[string(p.Name)] = p.Index
		}
	}
	return versions, others, l
}

// TestTorchBackend locks for backends of PyTorch, and holds that everything else is as without one.
func TestTorchBackend(t *testing.T) {
	for backend, cuda := range map[string]string{"": "12.6.77", "cpu": "", "cu128": "12.8.57"} {
		t.Run(backend, func(t *testing.T) {
			w := newTorchWorld(t)
			file := filepath.Join(t.TempDir(), "pylock.toml")
			args := []string{"lock", w.model, "--base", "oci:" + w.base, "--index-url", w.index.URL, "-o", file}
			version, at := "2.7.1", map[string]string{}
			if backend != "" {
				args = append(args, "--torch-backend", backend, "--extra-pip-requirements", "torchvision")
				version += "+" + backend
				index := w.env["MLENV_TORCH_INDEX_URL"] + "/" + backend + "/"
				at = map[string]string{"torch": index, "torchvision": index}
			}
			if _, errs, code := command(t, w.env, args...); code != 0 {
				t.Fatalf("exit code %d\n%s", code, errs)
			}
			versions, others, l := w.locked(t, file)
			if versions["torch"] != version || versions["deep"] != "0.1" || versions["nvidia-cuda-runtime-cu12"] != cuda || !maps.Equal(others, at) {
				t.Errorf("locked %v, of other indexes %v, want %v", versions, others, at)
			}
			if l.Tool.TorchBackend != backend {
				t.Errorf("the lock records the backend %q", l.Tool.TorchBackend)
			}
		})
	}
}

// TestTorchBackendKept renews, checks and builds from a lock for a backend without naming it again.
func TestTorchBackendKept(t *testing.T) {
	w := newTorchWorld(t)
	file := filepath.Join(t.TempDir(), "pylock.toml")
	run := func(code int, want string, args ...string) {
		t.Helper()
		args = append(args, "--base", "oci:"+w.base, "--index-url", w.index.URL)
		out, errs, got := command(t, w.env, args...)
		if got != code || !strings.Contains(out+errs, want) {
			t.Errorf("%q: exit code %d, want %d and %q\n%s%s", args, got, code, want, out, errs)
		}
	}
	lock := []string{"lock", w.model, "-o", file}
	run(0, "wrote", lock...)
	run(0, "torch: 2.7.1, now 2.7.1+cpu", append(lock, "--torch-backend", "cpu")...)
	run(0, "is up to date: 5 packages for Python 3.11.9 on linux/amd64 (glibc:2.36), from "+w.index.URL+", PyTorch for cpu, in", lock...)
	run(0, "", append(lock, "--check")...)
	run(exitFindings, "torch-backend: cpu, now cu128", append(lock, "--check", "--torch-backend", "cu128")...)
	run(0, "/churn@sha256:", "image", w.model, "--lock", file, "--locked", "--push", w.registry+"/churn:1")
	run(0, "linux/amd64: 5 packages, ", "image", w.model, "--lock", file, "--push", w.registry+"/churn:1") // the forecast
	run(exitFailure, "the lock was made for PyTorch's backend cpu, not for cu128", "image", w.model, "--lock", file, "--torch-backend", "cu128", "--push", w.registry+"/churn:1")
	run(0, "", "check", w.model, "--lock", file, "--online")
	run(0, "torch-backend: cpu, now none", append(lock, "--upgrade")...)
	run(exitFailure, "--torch-backend gpu is none of", append(lock, "--torch-backend", "gpu")...)
}

// TestPackageIndex takes packages from an index of their own.
func TestPackageIndex(t *testing.T) {
	w := newImageWorld(t)
	corp := indextest.New(t, indextest.Parse("deep 0.0.1", "churn 9.9: deep", "mlflow 3.1.0")...)
	corp.User, corp.Password = "me", "hunter2secret"
	file := filepath.Join(t.TempDir(), "pylock.toml")
	lock := []string{"lock", w.model, "--base", "oci:" + w.base, "--index-url", w.index.URL, "-o", file}
	named := "corp=" + corp.URL
	w.env["UV_INDEX_CORP_USERNAME"], w.env["UV_INDEX_CORP_PASSWORD"] = "me", "hunter2secret"
	if _, errs, code := command(t, w.env, append(lock, "--index", named, "--package-index", "corp=Deep")...); code != 0 {
		t.Fatalf("exit code %d\n%s", code, errs)
	}
	versions, others, l := w.locked(t, file)
	if versions["deep"] != "0.0.1" || versions["churn"] != "2.0" || !maps.Equal(others, map[string]string{"deep": corp.URL}) {
		t.Errorf("locked %v, of other indexes %v", versions, others)
	}
	want := []pylock.Index{{Name: "corp", URL: corp.URL, Packages: []pep508.Name{"deep"}}}
	if d := cmp.Diff(want, l.Tool.Indexes); d != "" {
		t.Errorf("recorded (-want +got):\n%s", d)
	}
	delete(w.env, "UV_INDEX_CORP_USERNAME")
	delete(w.env, "UV_INDEX_CORP_PASSWORD")
	secret := "corp=" + strings.Replace(corp.URL, "//", "//me:hunter2secret@", 1)
	for want, args := range map[string][]string{
		"": {"--index", secret, "--package-index", "corp=deep"},
		corp.URL + ", which it is to come from, has no package of that name": {"--index", secret, "--package-index", "corp=deep,requests", "--extra-pip-requirements", "requests"},
		"there is no --index nobody=URL":                                     {"--index", secret, "--package-index", "nobody=deep"},
		"has no packages":                                                    {"--index", strings.Replace(secret, "corp=", "other=", 1)},
		"is not of the form NAME=URL":                                        {"--index", strings.TrimPrefix(secret, "corp="), "--package-index", "corp=deep"},
		"is given twice":                                                     {"--index", secret, "--index", secret, "--package-index", "corp=deep"},
		"is given to two indexes":                                            {"--index", secret, "--index", "b=" + w.index.URL, "--package-index", "corp=deep", "--package-index", "b=deep"},
		"is no package name":                                                 {"--index", secret, "--package-index", "corp=de ep"},
	} {
		out, errs, code := command(t, w.env, append(lock, args...)...)
		if (code != 0) != (want != "") || !strings.Contains(errs, want) || strings.Contains(out+errs, "hunter2secret") {
			t.Errorf("%q: exit code %d, want something of %q\n%s", args, code, want, errs)
		}
	}
	if data, err := os.ReadFile(file); err != nil || strings.Contains(string(data), "hunter2secret") {
		t.Errorf("the lock holds a password, or %v", err)
	}
}

// TestPackageIndexKept renews, checks and builds from a lock with an index of some packages' own without
// giving its packages again. Its password, which is given by the name, goes to no URL that a lock alone names.
func TestPackageIndexKept(t *testing.T) {
	w := newImageWorld(t)
	corp := indextest.New(t, indextest.Parse("deep 0.0.1", "churn 9.9: deep", "mlflow 3.1.0")...)
	corp.User, corp.Password = "me", "hunter2secret"
	w.env["UV_INDEX_CORP_USERNAME"], w.env["UV_INDEX_CORP_PASSWORD"] = "me", "hunter2secret"
	file := filepath.Join(t.TempDir(), "pylock.toml")
	run := func(code int, want string, args ...string) {
		t.Helper()
		args = append(args, "--base", "oci:"+w.base, "--index-url", w.index.URL)
		out, errs, got := command(t, w.env, args...)
		if got != code || !strings.Contains(out+errs, want) || strings.Contains(out+errs, "release-gone") {
			t.Errorf("%q: exit code %d, want %d and %q\n%s%s", args, got, code, want, out, errs)
		}
	}
	lock := []string{"lock", w.model, "-o", file}
	run(0, "wrote", append(lock, "--index", "corp="+corp.URL, "--package-index", "corp=deep")...)
	again := []string{"--index", "corp=" + corp.URL}
	run(0, "is up to date", slices.Concat(lock, again)...)
	run(0, "", slices.Concat(lock, []string{"--check"}, again)...)
	run(0, "", append([]string{"check", w.model, "--lock", file, "--online"}, again...)...)
	image := []string{"image", w.model, "--lock", file, "--locked", "--push", w.registry + "/churn:1"}
	w.env["MLENV_CACHE_DIR"] = t.TempDir()
	run(exitFailure, "401", image...) // the index would have taken the password
	run(0, "/churn@sha256:", slices.Concat(image, again)...)
	corp.User, corp.Password = "", ""
	run(0, "/churn@sha256:", image...)
	run(0, "deep: 0.0.1, now 0.1", append(lock, "--upgrade")...)
}

// TestDryRun prints how much there is to download for each backend, and writes nothing.
func TestDryRun(t *testing.T) {
	w := newTorchWorld(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "pylock.toml")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "linux/amd64: 6 packages, 6.0 MB to download; the image has about 6.2 MB beside its base\n"},
		{[]string{"--torch-backend", "cpu", "--base", "oci:" + w.base}, "linux/amd64: 5 packages, 2.0 MB to download; the image has about 2.2 MB, of which the base has "},
		{[]string{"--torch-backend", "cu128"}, "linux/amd64: 6 packages, 4.0 MB to download; the image has about 4.2 MB beside its base\n"},
	} {
		args := append([]string{"lock", w.model, "--index-url", w.index.URL, "-o", file, "--dry-run"}, tt.args...)
		out, errs, code := command(t, w.env, args...)
		if code != 0 || !strings.HasPrefix(out, tt.want) || strings.Contains(out, "unknown") {
			t.Errorf("%q: exit code %d, stdout\n%swant\n%s\nstderr\n%s", args, code, out, tt.want, errs)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it wrote %v, %v", left, err)
	}
}
