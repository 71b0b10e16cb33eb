//go:build unix

package sink_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"mlenv/imagebuild/sink"
	"mlenv/resolve/cache"
)

func fifo(t *testing.T, name string) {
	t.Helper()
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
}

// noise is more than a pipe holds, compressed or not.
func noise() string {
	out := make([]byte, 4<<20)
	rand.NewChaCha8([32]byte{}).Read(out) // never fails
	return string(out)
}

// A pipe is written to, and is still one afterwards.
func TestPipe(t *testing.T) {
	img := testImage(t, testLayer(t, "a", strings.Repeat("1", 1<<20)))
	for what, to := range map[string]func(string) sink.Sink{
		"docker": func(name string) sink.Sink { return sink.DockerTar(name, "churn:1") },
		"oci":    func(name string) sink.Sink { return sink.OCITar(name, "churn:1") },
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			name := filepath.Join(dir, "f")
			fifo(t, name)
			got := make(chan []byte)
			go func() {
				data, err := os.ReadFile(name)
				if err != nil {
					t.Error(err)
				}
				got <- data
			}()
			sent := send(t, to(name), sink.Artifact{Image: img})
			if info, err := os.Stat(name); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
				t.Fatalf("the pipe is %v, %v", info.Mode(), err)
			}
			data := <-got
			file := filepath.Join(dir, "x.tar")
			send(t, to(file), sink.Artifact{Image: img})
			if want, err := os.ReadFile(file); err != nil || !bytes.Equal(data, want) || sent.Bytes != int64(len(want)) {
				t.Errorf("%d bytes came through the pipe, %d were counted, a file has %d, %v", len(data), sent.Bytes, len(want), err)
			}
			if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// A reader that goes away leaves a part of the image: that is told apart, as it cannot be repeated.
func TestPipeBreaks(t *testing.T) {
	img := testImage(t, testLayer(t, "a", noise()))
	name := filepath.Join(t.TempDir(), "f")
	fifo(t, name)
	go func() {
		f, err := os.Open(name)
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := io.CopyN(io.Discard, f, 100); err != nil {
			t.Error(err)
		}
		f.Close()
	}()
	if _, err := sink.DockerTar(name, "churn:1").Send(context.Background(), sink.Artifact{Image: img}); !errors.Is(err, cache.ErrBrokenOff) {
		t.Errorf("got %v", err)
	}
}

// A pipe that nobody reads, or reads on, can be given up.
func TestPipeCancelled(t *testing.T) {
	img := testImage(t, testLayer(t, "a", noise()))
	for what, begin := range map[string]func(name string, cancel func()){
		"no reader": func(_ string, cancel func()) { cancel() },
		"a reader that stops": func(name string, cancel func()) {
			f, err := os.Open(name)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { f.Close() })
			if _, err := io.CopyN(io.Discard, f, 100); err != nil {
				t.Error(err)
			}
			cancel()
		},
	} {
		t.Run(what, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "f")
			fifo(t, name)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go begin(name, cancel)
			if _, err := sink.DockerTar(name, "churn:1").Send(ctx, sink.Artifact{Image: img}); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A symbolic link stays one: the file that it points to is written, or made.
func TestLinkToFile(t *testing.T) {
	img := testImage(t, testLayer(t, "a", "1"))
	for _, before := range []string{"an older file", ""} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "far"), 0o755); err != nil {
			t.Fatal(err)
		}
		file, link := filepath.Join(dir, "far", "x.tar"), filepath.Join(dir, "link")
		if before != "" {
			if err := os.WriteFile(file, []byte(before), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for name, to := range map[string]string{link: "again", filepath.Join(dir, "again"): filepath.Join("far", "x.tar")} {
			if err := os.Symlink(to, name); err != nil {
				t.Fatal(err)
			}
		}
		send(t, sink.DockerTar(link, "churn:1"), sink.Artifact{Image: img})
		if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
			t.Errorf("the link is %v, %v", info.Mode(), err)
		}
		got, err := tarball.ImageFromPath(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(got); err != nil {
			t.Error(err)
		}
	}
}

// TestTarballsInParallel writes tarballs into files, where several entries are written at once, and into
// pipes, where that is not possible: the bytes are the same, and those that package tarball writes.
func TestTarballsInParallel(t *testing.T) {
	var layers []v1.Layer
	for i := range 12 {
		layers = append(layers, testLayer(t, fmt.Sprint("file", i), strings.Repeat(fmt.Sprint(i), 1000*i*i+1)))
	}
	layers = append(layers, layers[3])
	img := testImage(t, layers...)
	for what, to := range map[string]func(file string) sink.Sink{
		"oci":    func(file string) sink.Sink { return sink.OCITar(file, "m:1") },
		"docker": func(file string) sink.Sink { return sink.DockerTar(file, "m:1") },
	} {
		t.Run(what, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "x.tar")
			sent := send(t, to(file), sink.Artifact{Image: img})
			got, err := os.ReadFile(file)
			if err != nil || sent.Bytes != int64(len(got)) {
				t.Fatalf("%d bytes, sent %d: %v", len(got), sent.Bytes, err)
			}
			pipe := filepath.Join(t.TempDir(), "pipe")
			if err := syscall.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
			piped := make(chan []byte)
			go func() {
				data, _ := os.ReadFile(pipe)
				piped <- data
			}()
			send(t, to(pipe), sink.Artifact{Image: img})
			if data := <-piped; !bytes.Equal(data, got) {
				t.Errorf("through a pipe it is %d other bytes", len(data))
			}
			if what == "oci" {
				return
			}
			tag, err := name.NewTag("m:1")
			if err != nil {
				t.Fatal(err)
			}
			var want bytes.Buffer
			if err := tarball.Write(tag, img, &want); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(want.Bytes(), got) {
				t.Errorf("%d bytes, want %d others", len(got), want.Len())
			}
		})
	}
}
