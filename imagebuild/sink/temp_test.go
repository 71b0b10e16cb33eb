//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package sink_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/imagebuild/sink"
)

// endless names a directory: this test binary then writes to it without an end.
const endless = "MLENV_TEST_ENDLESS"

func TestMain(m *testing.M) {
	if dir := os.Getenv(endless); dir != "" {
		writeEndlessly(dir)
	}
	os.Exit(m.Run())
}

// stuck is a layer whose bytes do not go on after the first. It says so, and ends with its parent.
type stuck struct {
	v1.Layer
	begun bool
}

func (s *stuck) Compressed() (io.ReadCloser, error) { return io.NopCloser(s), nil }

func (s *stuck) Read(p []byte) (int, error) {
	if s.begun {
		os.Stdout.WriteString("started\n")
		_, err := io.Copy(io.Discard, os.Stdin)
		return 0, errors.Join(err, io.ErrUnexpectedEOF)
	}
	s.begun = true
	return copy(p, "written"), nil
}

func writeEndlessly(dir string) {
	t := &testing.T{}
	img := testImage(t, &stuck{Layer: blobLayer(1, 1<<20)})
	to := sink.OCITar(filepath.Join(dir, "x.tar"), "m")
	if strings.HasSuffix(dir, "layout") {
		to = sink.Layout(dir, "m")
	}
	_, err := to.Send(context.Background(), sink.Artifact{Image: img})
	panic(err)
}

// startEndless starts a process that writes to a directory, and returns when it is in the middle.
func startEndless(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe)
	c.Env = append(os.Environ(), endless+"="+dir)
	c.Stderr = os.Stderr
	if _, err := c.StdinPipe(); err != nil { // that stays open
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() }) // at the latest
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "started\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return c
}

// TestLeftBehind kills a process that writes, and has others write to the same place: what it left
// behind goes, what living processes write and what is somebody else's stays.
func TestLeftBehind(t *testing.T) {
	img := testImage(t, testLayer(t, "a", "1"))
	for what, tt := range map[string]struct {
		dir string // in which the temporary files lie, below that to which is written
		to  func(dir string) sink.Sink
	}{
		"tar":    {".", func(dir string) sink.Sink { return sink.OCITar(filepath.Join(dir, "x.tar"), "m") }},
		"layout": {"blobs/sha256", func(dir string) sink.Sink { return sink.Layout(dir, "m") }},
	} {
		t.Run(what, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), what)
			temps := filepath.Join(dir, tt.dir)
			if err := os.MkdirAll(temps, 0o755); err != nil {
				t.Fatal(err)
			}
			hidden := func() []string {
				names, err := filepath.Glob(filepath.Join(temps, ".*"))
				if err != nil {
					t.Fatal(err)
				}
				return names
			}
			others := []string{filepath.Join(temps, ".mine.tmp"), filepath.Join(temps, ".tmp-123")}
			for _, name := range others {
				if err := os.WriteFile(name, nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			killed := startEndless(t, dir)
			left := slices.DeleteFunc(hidden(), func(name string) bool { return slices.Contains(others, name) })
			if len(left) == 0 || !strings.Contains(left[0], ".mlenv-") {
				t.Fatalf("it writes to %v", left)
			}
			if err := killed.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			killed.Wait()
			living := startEndless(t, dir)
			send(t, tt.to(dir), sink.Artifact{Image: img})
			now := hidden()
			if slices.ContainsFunc(now, func(name string) bool { return slices.Contains(left, name) }) {
				t.Errorf("of %v there are %v", left, now)
			}
			if len(now) <= len(others) {
				t.Errorf("there are %v: what the living process writes is gone", now)
			}
			if err := living.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			living.Wait()
			send(t, tt.to(dir), sink.Artifact{Image: img})
			if got := hidden(); !slices.Equal(got, others) {
				t.Errorf("left behind: %v", got)
			}
		})
	}
}

// TestLongName writes a file whose name is as long as file systems allow.
func TestLongName(t *testing.T) {
	file := filepath.Join(t.TempDir(), strings.Repeat("n", 255))
	send(t, sink.OCITar(file, "m"), sink.Artifact{Image: testImage(t, testLayer(t, "a", "1"))})
}
