//go:build linux || darwin

package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	_ "time/tzdata" // for machines without zones

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"mlenv/imagebuild/base/basetest"
	"mlenv/resolve/index/indextest"
)

// programs are what this test binary is under other names.
func programs() map[string]func() {
	return map[string]func(){"mlenv": main, "mlenv-as-told": mainAsTold}
}

const (
	tellUmask  = "MLENV_TEST_UMASK"  // octal
	tellOffset = "MLENV_TEST_OFFSET" // seconds east of UTC, which TZ must have brought about
	tellFile   = "MLENV_TEST_FILE"   // bytes that a file may have
	tellCPU    = "MLENV_TEST_CPU"    // seconds of it that the process may take
	tellMemory = "MLENV_TEST_MEMORY" // bytes of addresses that it may take beyond what it has at its start; Linux
)

// mainAsTold is main in a process of which the environment says more than a shell could.
func mainAsTold() {
	number := func(name string, base int) (int, bool) {
		n, err := strconv.ParseInt(os.Getenv(name), base, 0)
		return int(n), err == nil
	}
	if mask, ok := number(tellUmask, 8); ok {
		syscall.Umask(mask)
	}
	if want, ok := number(tellOffset, 10); ok {
		if _, offset := time.Now().Zone(); offset != want {
			panic(fmt.Sprintf("the zone is %d seconds east of UTC, want %d", offset, want))
		}
	}
	if n, ok := number(tellCPU, 10); ok {
		limit := syscall.Rlimit{Cur: uint64(n), Max: uint64(n)}
		if err := syscall.Setrlimit(syscall.RLIMIT_CPU, &limit); err != nil {
			panic(err)
		}
	}
	if n, ok := number(tellMemory, 10); ok {
		var pages int
		statm, err := os.ReadFile("/proc/self/statm")
		if err == nil {
			_, err = fmt.Sscan(string(statm), &pages)
		}
		limit := uint64(pages*os.Getpagesize() + n)
		if err = errors.Join(err, syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: limit, Max: limit})); err != nil {
			panic(err)
		}
	}
	if n, ok := number(tellFile, 10); ok {
		limit := syscall.Rlimit{Cur: uint64(n), Max: uint64(n)}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			panic(err)
		}
	}
	main()
}

// process is mlenv in a process of its own.
type process struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
	started        chan struct{} // closed by expectKilled, when it may be killed
}

func newProcess(env map[string]string, args ...string) *process {
	p := &process{Cmd: exec.Command("mlenv-as-told", args...), started: make(chan struct{})}
	p.Stdout, p.Stderr = &p.stdout, &p.stderr
	p.Env = []string{"PATH=" + os.Getenv("PATH")}
	for k, v := range env {
		p.Env = append(p.Env, k+"="+v)
	}
	return p
}

// succeed runs it, and gives the digests that it prints.
func (p *process) succeed(t *testing.T) []string {
	t.Helper()
	if err := p.Run(); err != nil {
		t.Fatalf("%v\n%s", err, p.stderr.String())
	}
	var digests []string
	for line := range strings.Lines(p.stdout.String()) {
		_, digest, _ := strings.Cut(strings.TrimSpace(line), "@")
		digests = append(digests, digest)
	}
	return digests
}

// fail runs it, and gives what it says on stderr.
func (p *process) fail(t *testing.T) string {
	t.Helper()
	err := p.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitFailure || p.stdout.Len() > 0 || !strings.Contains(p.stderr.String(), "error:") {
		t.Fatalf("%v, stdout %q, stderr\n%s", err, p.stdout.String(), p.stderr.String())
	}
	return p.stderr.String()
}

// expectKilled runs it until somebody kills it.
func (p *process) expectKilled(t *testing.T) {
	t.Helper()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	close(p.started)
	err := p.Wait()
	if status, ok := p.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("it was not killed: %v\n%s", err, p.stderr.String())
	}
}

// assassin kills a process when it has half of the answer to its nth request, or when half of what
// it sends with it has arrived.
type assassin struct {
	mu     sync.Mutex
	n, at  int // requests so far, and the one that is the last; 0: none
	victim *process
}

func (a *assassin) reset(at int, victim *process) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n, a.at, a.victim = 0, at, victim
}

func (a *assassin) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.n++
		victim := a.victim
		due := a.n == a.at
		a.mu.Unlock()
		if !due {
			next.ServeHTTP(w, r)
			return
		}
		if r.ContentLength > 0 {
			_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
		} else {
			answer := httptest.NewRecorder()
			next.ServeHTTP(answer, r)
			body := answer.Body.Bytes()
			for k, v := range answer.Header() {
				w.Header()[k] = v
			}
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			w.WriteHeader(answer.Code)
			_, _ = w.Write(body[:len(body)/2])
			flush(w)
		}
		<-victim.started
		_ = victim.Process.Kill()
		panic(http.ErrAbortHandler)
	})
}

// killWorld is a model, an index and a registry with the base, before which the assassin stands.
type killWorld struct {
	*imageWorld
	assassin
	registry swappable
	host     string
	indexURL string
}

func newKillWorld(t *testing.T) *killWorld {
	t.Helper()
	w := &killWorld{imageWorld: newImageWorld(t)}
	serve := func(h http.Handler) string {
		s := httptest.NewUnstartedServer(w.before(h))
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.Start()
		t.Cleanup(s.Close)
		return s.URL
	}
	w.indexURL = serve(w.index) + "/simple/"
	w.host = strings.TrimPrefix(serve(&w.registry), "http://")
	return w
}

// spot is one cache and one of each kind of output.
type spot struct {
	cache, out string
}

// process pushes, and writes every kind of output.
func (w *killWorld) process(p spot) *process {
	return w.pushing(p, "-o", "oci:"+filepath.Join(p.out, "layout"),
		"-o", "oci-tar:"+filepath.Join(p.out, "oci.tar"), "-o", "docker-tar:"+filepath.Join(p.out, "docker.tar"))
}

// pushing pushes, and does what more is said.
func (w *killWorld) pushing(p spot, more ...string) *process {
	return newProcess(map[string]string{"MLENV_CACHE_DIR": p.cache, "HOME": p.out}, append([]string{"image", w.model,
		"--base", w.host + "/library/python:3.11.9-slim", "--index-url", w.indexURL, "--quiet", "--name", "churn:1",
		"--push", w.host + "/churn:1"}, more...)...)
}

// fresh empties the registry, and gives an empty spot.
func (w *killWorld) fresh(t *testing.T) spot {
	t.Helper()
	w.reset(0, nil)
	w.registry.set(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	img, err := basetest.Slim("3.11.9")
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(w.host + "/library/python:3.11.9-slim")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	return spot{t.TempDir(), t.TempDir()}
}

// check makes sure that what is there under its name is whole. With all, everything must be there.
func (w *killWorld) check(t *testing.T, p spot, all bool) {
	t.Helper()
	there := map[string]bool{}
	for kind, file := range map[string]string{"oci": "layout/index.json", "oci-tar": "oci.tar", "docker-tar": "docker.tar"} {
		if _, err := os.Stat(filepath.Join(p.out, file)); err == nil {
			there[kind+":"+filepath.Join(p.out, strings.TrimSuffix(file, "/index.json"))] = true
		}
	}
	ref, err := name.ParseReference(w.host + "/churn:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Head(ref); err == nil {
		there[ref.Name()] = true
	}
	if all && len(there) != 4 {
		t.Errorf("there is only %v", there)
	}
	for at := range there {
		if err := validate.Image(sentImage(t, at)); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
}

// hidden lists the temporary files below a directory.
func hidden(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), ".") && !d.IsDir() {
			out = append(out, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestImageKilled kills the process at requests all along its way, where nothing can be tidied up:
// whatever has its name is whole, and the next run gives the same image and leaves nothing behind.
func TestImageKilled(t *testing.T) {
	t.Parallel()
	w := newKillWorld(t)
	p := w.fresh(t)
	w.reset(0, nil)
	want := w.process(p).succeed(t)
	requests := w.n
	w.check(t, p, true)
	if len(want) != 4 || len(slices.Compact(slices.Clone(want))) != 1 || requests < 20 {
		t.Fatalf("digests %q, %d requests", want, requests)
	}
	points := 20
	if testing.Short() || raceDetector {
		points = 6
	}
	for i := range points {
		at := 1 + i*(requests-1)/(points-1)
		p := w.fresh(t)
		victim := w.process(p)
		w.reset(at, victim)
		victim.expectKilled(t)
		w.reset(0, nil)
		w.check(t, p, false)
		if got := w.process(p).succeed(t); !slices.Equal(got, want) {
			t.Errorf("killed at request %d of %d, and run again: %q, want %q", at, requests, got, want)
		}
		w.check(t, p, true)
		if left := hidden(t, p.out); len(left) > 0 {
			t.Errorf("killed at request %d of %d, and run again, there is %q", at, requests, left)
		}
	}
}

// TestOutputKilled kills the process in the middle of a file that it writes to: when it has half of
// a layer of the base that belongs into it.
func TestOutputKilled(t *testing.T) {
	t.Parallel()
	img, err := basetest.Slim("3.11.9")
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	for kind, place := range map[string]string{"oci": "layout", "oci-tar": "oci.tar", "docker-tar": "docker.tar"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newKillWorld(t)
			p := w.fresh(t)
			want := w.process(p).succeed(t)[:1]
			out := filepath.Join(p.out, place)
			if err := errors.Join(os.RemoveAll(out), os.RemoveAll(filepath.Join(p.cache, "blobs-v1"))); err != nil {
				t.Fatal(err)
			}
			run := func() *process {
				return newProcess(map[string]string{"MLENV_CACHE_DIR": p.cache, "HOME": p.out}, "image", w.model,
					"--base", w.host+"/library/python:3.11.9-slim", "--index-url", w.indexURL, "--quiet", "--name", "churn:1", "-o", kind+":"+out)
			}
			victim, inner := run(), w.registry.next
			w.registry.set(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, manifest.Layers[0].Digest.String()) {
					w.reset(1, victim)
					w.before(inner).ServeHTTP(rw, r)
					return
				}
				inner.ServeHTTP(rw, r)
			}))
			victim.expectKilled(t)
			w.registry.set(inner)
			w.check(t, p, false)
			// A layout's blobs are written beside each other, so that several can have been begun.
			if left := hidden(t, p.out); len(left) == 0 || len(left) > 1 && kind != "oci" {
				t.Errorf("it has left %q, want one file", left)
			}
			w.reset(0, nil)
			if got := run().succeed(t); !slices.Equal(got, want) {
				t.Errorf("run again it gives %q, want %q", got, want)
			}
			w.check(t, p, true)
			if left := hidden(t, p.out); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// TestDownloadKilled kills the process in the middle of a large wheel. The next run asks for the rest.
func TestDownloadKilled(t *testing.T) {
	t.Parallel()
	w := newKillWorld(t)
	w.index.Remove("deep")
	// Half of it must be more than what the system takes from a server before anybody reads.
	deep := indextest.Dist{Name: "deep", Version: "0.1", Pad: 24 << 20}
	deep.Content = deep.Bytes()
	w.index.Add(deep)
	p := w.fresh(t)
	victim := w.pushing(p)
	w.index.On("/files/deep/*.whl", 1, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.reset(1, victim)
		w.before(http.HandlerFunc(w.index.Serve)).ServeHTTP(rw, r)
	}))
	victim.expectKilled(t)
	w.reset(0, nil)
	w.index.Forget()
	again := w.pushing(p).succeed(t)
	if all := w.index.Requests(); !slices.ContainsFunc(all, func(r string) bool { return strings.Contains(r, "/deep-0.1-") && strings.Contains(r, " bytes=") }) {
		t.Errorf("the next run asked for %q", all)
	}
	if want := w.pushing(w.fresh(t)).succeed(t); !slices.Equal(again, want) {
		t.Errorf("%q, undisturbed %q", again, want)
	}
	w.check(t, p, false)
}

// TestUmaskAndZone builds the same model as other users in other places would: from files of other
// modes and times, with another umask and another time zone.
func TestUmaskAndZone(t *testing.T) {
	t.Parallel()
	w := newImageWorld(t)
	script := filepath.Join(w.model, "code", "run.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		umask  fs.FileMode
		zone   string
		offset int
	}{
		{0o000, "UTC", 0},
		{0o022, "Asia/Kathmandu", 20700},
		{0o077, "Pacific/Kiritimati", 50400},
		{0o027, "Pacific/Pago_Pago", -39600},
	}
	want := ""
	for i, tt := range tests {
		dir := t.TempDir()
		err := filepath.WalkDir(w.model, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			at := time.Unix(1_000_000_000+int64(i)*86_399, 0)
			return errors.Join(err, os.Chmod(name, (info.Mode()&0o111|0o666)&^tt.umask), os.Chtimes(name, at, at))
		})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "x.tar")
		p := newProcess(map[string]string{
			"MLENV_CACHE_DIR": filepath.Join(dir, "cache"), "HOME": dir, "TZ": tt.zone,
			tellUmask: strconv.FormatInt(int64(tt.umask), 8), tellOffset: strconv.Itoa(tt.offset),
		}, w.args("--quiet", "--name", "churn:1", "-o", "oci-tar:"+file)...)
		digest := p.succeed(t)[0]
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%s in a file with SHA-256 %x", digest, sha256.Sum256(data)); want == "" {
			want = got
		} else if got != want {
			t.Errorf("umask %03o in %s: %s, want %s", tt.umask, tt.zone, got, want)
		}
	}
}

// A process that gets no more memory does not end with 2, which would tell a pipeline that there are
// findings and that it may go on.
func TestNoMemory(t *testing.T) {
	if runtime.GOOS != "linux" || raceDetector {
		t.Skip("the bound is one of Linux, and the race detector reserves more than any bound")
	}
	model := t.TempDir()
	var lines strings.Builder
	for i := range 250_000 {
		fmt.Fprintf(&lines, "package-of-a-long-name-%d>=1,<2\n", i)
	}
	for name, text := range map[string]string{
		"MLmodel": "flavors:\n  python_function:\n    loader_module: churn\n", "requirements.txt": lines.String(),
	} {
		must(t, os.WriteFile(filepath.Join(model, name), []byte(text), 0o600))
	}
	p := newProcess(map[string]string{"HOME": t.TempDir(), tellMemory: strconv.Itoa(8 << 20)}, "resolve", model)
	_ = p.Run() // its state says how it ended
	status, ok := p.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGABRT { // Go says "out of memory", or that it got no thread
		t.Errorf("it ended with %s\n%.2000s", p.ProcessState, p.stderr.String())
	}
}
