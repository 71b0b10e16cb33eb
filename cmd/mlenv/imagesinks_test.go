package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// fakeEngine speaks the API of an engine on a socket, and keeps what is loaded.
type fakeEngine struct {
	socket string

	mu    sync.Mutex
	files []string
}

// loaded lists the files that were loaded.
func (e *fakeEngine) loaded() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.files
}

func newEngine(t *testing.T, socket string) *fakeEngine {
	t.Helper()
	if socket == "" {
		// A socket's path must be short, which that of a test's folder need not be.
		dir, err := os.MkdirTemp("", "mlenv")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		socket = filepath.Join(dir, "s")
	}
	e := &fakeEngine{socket: socket}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/_ping" {
			return
		}
		data, err := io.ReadAll(r.Body)
		file := filepath.Join(dir, "loaded.tar")
		if err == nil {
			err = os.WriteFile(file, data, 0o644)
		}
		if err != nil || r.URL.Path != "/images/load" {
			t.Errorf("asked for %s, %v", r.URL.Path, err)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.files = append(e.files, file)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(listener); err != http.ErrServerClosed {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { s.Close(); <-done })
	return e
}

// holds makes sure that a Docker tarball is a whole image of a name.
func holds(t *testing.T, file, tag string) {
	t.Helper()
	ref, err := name.NewTag(tag)
	if err != nil {
		t.Fatal(err)
	}
	img, err := tarball.ImageFromPath(file, &ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
}

// TestImageLoad loads into the engine that the environment names. What is printed is what docker run
// and podman run take: an engine knows the image by another digest than ours.
func TestImageLoad(t *testing.T) {
	w := newImageWorld(t)
	for what, tt := range map[string]struct {
		env  func(own, other string) map[string]string
		args []string
		want string
	}{
		"DOCKER_HOST": {func(own, _ string) map[string]string { return map[string]string{"DOCKER_HOST": own} }, nil, "churn-model:latest"},
		"CONTAINER_HOST": {func(own, _ string) map[string]string { return map[string]string{"CONTAINER_HOST": own} },
			[]string{"--name", "risk/churn:3"}, "risk/churn:3"},
		"both": {func(own, other string) map[string]string {
			return map[string]string{"DOCKER_HOST": own, "CONTAINER_HOST": other}
		}, []string{"--name", "churn"}, "churn:latest"},
	} {
		t.Run(what, func(t *testing.T) {
			own, other := newEngine(t, ""), newEngine(t, "")
			env := tt.env("unix://"+own.socket, "unix://"+other.socket)
			for k, v := range w.env {
				env[k] = v
			}
			out, errs, code := command(t, env, w.args(append(tt.args, "--load")...)...)
			if code != 0 || out != tt.want+"\n" || len(own.loaded()) != 1 || len(other.loaded()) != 0 {
				t.Fatalf("exit code %d, stdout %q, want %q\n%s", code, out, tt.want, errs)
			}
			holds(t, own.loaded()[0], tt.want)
		})
	}
}

// An engine is also found by its socket; without any there is a hint.
func TestImageLoadDiscovers(t *testing.T) {
	for _, socket := range (&app{lookup: func(string) (string, bool) { return "", false }}).engineSockets() {
		if _, err := os.Stat(socket); err == nil {
			t.Skip("this machine has", socket)
		}
	}
	w := newImageWorld(t)
	_, errs, code := command(t, w.env, w.args("--load")...)
	if code != exitFailure || !strings.Contains(errs, "no running Docker or podman") || !strings.Contains(errs, "hint: start one, or name it in DOCKER_HOST") {
		t.Errorf("exit code %d\n%s", code, errs)
	}
	if asked := w.index.Requests(); len(asked) > 0 {
		t.Errorf("asked for %v before it was known that there is no engine", asked)
	}
	run, err := os.MkdirTemp("", "mlenv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	if err := os.Mkdir(filepath.Join(run, "podman"), 0o755); err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, filepath.Join(run, "podman", "podman.sock"))
	w.env["XDG_RUNTIME_DIR"] = run
	if out, errs, code := command(t, w.env, w.args("--load")...); code != 0 || out != "churn-model:latest\n" || len(e.loaded()) != 1 {
		t.Errorf("exit code %d, stdout %q\n%s", code, out, errs)
	}
}

// TestImageDefaultOutput names no sink at all.
func TestImageDefaultOutput(t *testing.T) {
	w := newImageWorld(t)
	t.Chdir(t.TempDir())
	out, errs, code := command(t, w.env, w.args()...)
	const said = "none of --push, --output and --load is given: writing churn-model.oci.tar\n"
	if code != 0 || !strings.HasPrefix(out, "oci-tar:churn-model.oci.tar@sha256:") || !strings.Contains(errs, said) {
		t.Errorf("exit code %d, stdout %q\n%s", code, out, errs)
	}
	if info, err := os.Stat("churn-model.oci.tar"); err != nil || info.Size() == 0 {
		t.Errorf("%v, %v", info, err)
	}
	if _, errs, code := command(t, w.env, w.args("--quiet")...); code != 0 || errs != "" {
		t.Errorf("with --quiet: exit code %d, stderr\n%s", code, errs)
	}
}

// TestImageOneSinkFails sends to several sinks, of which one fails: the others are done, and said.
func TestImageOneSinkFails(t *testing.T) {
	w := newImageWorld(t)
	dir := t.TempDir()
	engine := newEngine(t, "")
	file := filepath.Join(dir, "x.tar")
	host := strings.Replace(w.registry, "127.0.0.1", "localhost", 1)
	full := registryThat(t, func(r *http.Request) int {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
			return http.StatusInsufficientStorage
		}
		return 0
	})
	w.env["DOCKER_HOST"] = "unix://" + engine.socket
	args := []string{"--push", host + "/churn:1", "--push", full + "/churn:1", "-o", "docker-tar:" + file, "--load"}
	out, errs, code := command(t, w.env, w.args(args...)...)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != exitFailure || len(lines) != 3 || !strings.HasPrefix(lines[0], host+"/churn@sha256:") ||
		!strings.HasPrefix(lines[1], "docker-tar:"+file+"@sha256:") || lines[2] != host+"/churn:1" {
		t.Errorf("exit code %d, stdout\n%s\nstderr\n%s", code, out, errs)
	}
	if !strings.Contains(errs, "error: pushing to "+full) || strings.Count(errs, "error:") != 1 {
		t.Errorf("stderr\n%s", errs)
	}
	holds(t, file, host+"/churn:1")

	out, _, code = command(t, w.env, w.args(append(args, "--format", "json")...)...)
	var r imageReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitFailure {
		t.Fatalf("exit code %d, %v in\n%s", code, err, out)
	}
	if len(r.References) != 3 || r.Digest == "" || len(r.Layers) == 0 {
		t.Errorf("the report is %+v", r)
	}
	if out, _, code := command(t, w.env, w.args("--push", full+"/churn:1", "--format", "json")...); code != exitFailure || out != "" {
		t.Errorf("nothing was sent: exit code %d, stdout %q", code, out)
	}
}

// TestImageChecksFirst gives sinks that cannot work. Nothing is asked for or built before that is
// said, and nobody else is sent anything.
func TestImageChecksFirst(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(dir, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	in := func(kind, name string) string { return kind + ":" + filepath.Join(dir, name) }
	two := []string{"--platform", "linux/amd64", "--platform", "linux/arm64"}
	tests := map[string]struct {
		args []string
		env  map[string]string
		want []string
	}{
		"an upper-case reference":          {[]string{"--push", "registry.example/UPPER:1"}, nil, []string{"--push", "UPPER"}},
		"a reference with a scheme":        {[]string{"--push", "https://registry.example/x:1"}, nil, []string{"write registry.example/x:1"}},
		"a reference with a password":      {[]string{"--push", "user:hunter2@registry.example/x:1"}, nil, []string{"…@registry.example/x:1", "docker login"}},
		"the same, of which a name is":     {[]string{"--push", "user:hunter2@registry.example/x:1", "-o", in("docker-tar", "a")}, nil, []string{"…@registry.example/x:1"}},
		"a name that is none":              {[]string{"--load", "--name", "BAD NAME"}, nil, []string{"--name", "BAD NAME"}},
		"a name with a password":           {[]string{"--load", "--name", "user:hunter2@registry.example/x:1"}, nil, []string{"--name"}},
		"an engine behind ssh":             {[]string{"--load"}, map[string]string{"DOCKER_HOST": "ssh://user:hunter2@host"}, []string{"unix:// or tcp://", "ssh://host", "hint:"}},
		"podman behind ssh":                {[]string{"--load"}, map[string]string{"CONTAINER_HOST": "ssh://host/run/s"}, []string{"CONTAINER_HOST", "unix://", "hint:"}},
		"an engine that is not there":      {[]string{"--load"}, map[string]string{"DOCKER_HOST": "unix://" + filepath.Join(dir, "none")}, []string{"none", "hint:"}},
		"an engine without its keys":       {[]string{"--load"}, map[string]string{"DOCKER_HOST": "tcp://127.0.0.1:1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": dir}, []string{"ca.pem"}},
		"docker-tar with two platforms":    {append(two, "-o", in("docker-tar", "a")), nil, []string{"one platform only", "hint: give one --platform"}},
		"--load with two platforms":        {append(two, "--load"), nil, []string{"--load: it holds", "hint: give one --platform"}},
		"the same file twice":              {[]string{"-o", in("oci-tar", "a"), "-o", in("docker-tar", "link/a")}, nil, []string{"the same place"}},
		"the same directory twice":         {[]string{"-o", in("oci", "a"), "-o", in("oci", "a/")}, nil, []string{"the same place"}},
		"a directory where a file belongs": {[]string{"-o", in("oci-tar", "link")}, nil, []string{"is a directory"}},
		"a file where a directory belongs": {[]string{"-o", in("oci", "file")}, nil, []string{"is not a directory"}},
		"a directory that is not there":    {[]string{"-o", in("oci-tar", "none/a")}, nil, []string{"none: no such file"}},
		"all that is wrong":                {[]string{"--push", "A", "--push", "B", "-o", "zip:x"}, nil, []string{`"A"`, `"B"`, `"zip:x"`}},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			w := newImageWorld(t)
			for k, v := range tt.env {
				w.env[k] = v
			}
			out, errs, code := command(t, w.env, w.args(append(slices.Clone(tt.args), "--push", w.registry+"/good:1")...)...)
			if code != exitFailure || out != "" || strings.Contains(errs, "hunter2") {
				t.Errorf("exit code %d, stdout %q\n%s", code, out, errs)
			}
			for _, want := range tt.want {
				if !strings.Contains(errs, want) {
					t.Errorf("stderr does not say %q:\n%s", want, errs)
				}
			}
			if n := strings.Count(errs, "error:"); n != 1 && what != "all that is wrong" {
				t.Errorf("%d errors of one:\n%s", n, errs)
			}
			if asked := w.index.Requests(); len(asked) > 0 || strings.Contains(errs, "looking into") {
				t.Errorf("began with it: %v\n%s", asked, errs)
			}
		})
	}
	if data, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(data) != "mine" {
		t.Errorf("the file is %q, %v", data, err)
	}
}

// TestImageIntoModel writes where the next build would pack the image into itself.
func TestImageIntoModel(t *testing.T) {
	w := newImageWorld(t)
	link := filepath.Join(t.TempDir(), "link")
	code := t.TempDir()
	if err := os.Symlink(w.model, link); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		nil, // the default, in the model's directory
		{"-o", "oci-tar:x.tar"},
		{"-o", "docker-tar:" + filepath.Join(link, "code", "x.tar")},
		{"-o", "oci:" + filepath.Join(w.model, "new", "layout")},
		{"-o", "oci:" + link},
		{"--code-paths", code, "-o", "oci-tar:" + filepath.Join(code, "x.tar")},
	} {
		t.Chdir(w.model)
		before, err := os.ReadDir(".")
		if err != nil {
			t.Fatal(err)
		}
		out, errs, status := command(t, w.env, w.args(args...)...)
		if status != exitFailure || out != "" || !strings.Contains(errs, "would become a part of the image") || !strings.Contains(errs, "choose another place with --output") {
			t.Errorf("%v: exit code %d, stdout %q\n%s", args, status, out, errs)
		}
		if after, err := os.ReadDir("."); err != nil || len(after) != len(before) {
			t.Errorf("%v: the model has %d entries instead of %d, %v", args, len(after), len(before), err)
		}
	}
	// Beside it is another matter, whatever the names.
	w.image(t, "-o", "oci-tar:"+w.model+".oci.tar")
}

// TestImageFindingsAsJSON is refused for findings, and says so where JSON is read.
func TestImageFindingsAsJSON(t *testing.T) {
	w := newImageWorld(t)
	file := filepath.Join(w.model, "MLmodel")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w.writeModel(t, "MLmodel", string(data)+"  lightgbm:\n    lgb_version: 4.5.0\n")
	out, errs, code := command(t, w.env, w.args("-o", "oci:"+filepath.Join(t.TempDir(), "x"), "--format", "json")...)
	var r imageReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitFindings {
		t.Fatalf("exit code %d, %v in\n%s%s", code, err, out, errs)
	}
	found := false
	for _, f := range r.Findings {
		found = found || f.Rule == "system-package-missing"
	}
	if !found || strings.Contains(out, `"digest"`) || !strings.Contains(out, `"references": []`) || !strings.Contains(out, `"layers": []`) {
		t.Errorf("stdout\n%s", out)
	}
}

// TestImageDockerTar writes what docker load reads.
func TestImageDockerTar(t *testing.T) {
	w := newImageWorld(t)
	file := filepath.Join(t.TempDir(), "x.tar")
	r := w.image(t, "-o", "docker-tar:"+file, "--name", "risk/churn")
	if want := "docker-tar:" + file + "@" + r.Digest; len(r.References) != 1 || r.References[0] != want {
		t.Errorf("got %v, want %s", r.References, want)
	}
	if info, err := os.Stat(file); err != nil || info.Size() != r.BytesSent {
		t.Errorf("%d bytes are said to be sent: %v, %v", r.BytesSent, info, err)
	}
	holds(t, file, "risk/churn:latest")
}
