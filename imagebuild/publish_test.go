package imagebuild_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mlenv/imagebuild"
	"mlenv/imagebuild/base"
	"mlenv/imagebuild/base/basetest"
	"mlenv/imagebuild/layer"
	"mlenv/imagebuild/sink"
	"mlenv/resolve/finding"
	mlmodel "mlenv/resolve/model"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// onDisk is a recipe whose model, and code beside it, are files that can be written to.
func onDisk(t *testing.T) (r imagebuild.Recipe, dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "model"), model()); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "extra", "helper.py"), []byte("x = 1\n"))
	r = makeRecipe(t, os.DirFS(filepath.Join(dir, "model")))
	r.Model.Extra = []imagebuild.Tree{{FS: mlmodel.Files(os.DirFS(dir)), Root: "extra"}}
	return r, dir
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, data, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// A file that is written to between the building and the sending makes an image of two states. The
// user is told which file it was, whatever part of the image it belongs to, and nothing is sent.
func TestPublishChangedFile(t *testing.T) {
	for _, file := range []string{"model/artifacts/weights.bin", "model/MLmodel", "model/code/pricing/__init__.py", "extra/helper.py"} {
		for _, how := range []string{"other bytes", "longer", "shorter", "gone"} {
			t.Run(file+" "+how, func(t *testing.T) {
				r, dir := onDisk(t)
				write(t, filepath.Join(dir, "model", "code", "pricing", "__init__.py"), []byte("y = 1\n"))
				name := filepath.Join(dir, file)
				b := &imagebuild.Builder{Memo: memoIn(t.TempDir())}
				b.Review = func(finding.List) error {
					data, err := os.ReadFile(name)
					if err != nil {
						t.Fatal(err)
					}
					switch how {
					case "other bytes":
						data[len(data)/2]++
					case "longer":
						data = append(data, '\n')
					case "shorter":
						data = data[:len(data)-1]
					case "gone":
						return os.Remove(name)
					}
					write(t, name, data)
					return nil
				}
				out := filepath.Join(t.TempDir(), "image.tar")
				_, err := imagebuild.Publish(context.Background(), b, []imagebuild.Recipe{r}, sink.OCITar(out, "x:1"))
				var changed *imagebuild.ChangedError
				if how == "gone" && errors.Is(err, os.ErrNotExist) && strings.Contains(err.Error(), filepath.Base(name)) {
					err = &imagebuild.ChangedError{Path: strings.TrimPrefix(file, "model/")} // which says as much
				}
				if !errors.As(err, &changed) || changed.Path != strings.TrimPrefix(file, "model/") {
					t.Errorf("got %v", err)
				}
				if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("an image was written all the same: %v", err)
				}
			})
		}
	}
}

// found is a base that can be opened again.
func found(t *testing.T) *base.Found {
	t.Helper()
	img, err := basetest.Slim("3.11.9")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := sink.Layout(dir, "base:1").Send(context.Background(), sink.Artifact{Image: img}); err != nil {
		t.Fatal(err)
	}
	bases, _, err := base.Find(context.Background(), base.Request{
		Ref: "oci:" + dir, Platforms: []v1.Platform{{OS: "linux", Architecture: "amd64"}},
	}, base.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return bases[0]
}

// What is remembered of layers and turns out wrong costs a second try and changes nothing.
func TestPublishWrongMemory(t *testing.T) {
	dir := t.TempDir()
	b := &imagebuild.Builder{Memo: memoIn(dir)}
	recipe := func() imagebuild.Recipe {
		r := makeRecipe(t, model())
		r.MaxLayer = 40000
		r.Base, r.Model = found(t), imagebuild.Model{}
		r.Wheels = append(r.Wheels, makeWheel(t, t.TempDir(), "gamma", "3.0",
			map[string]string{"gamma/a.py": strings.Repeat("a", 30000), "gamma/b.py": strings.Repeat("b", 30000)}))
		return r
	}
	publish := func(to ...sink.Sink) (*imagebuild.Published, error) {
		return imagebuild.Publish(context.Background(), b, []imagebuild.Recipe{recipe()}, to...)
	}
	first, again := filepath.Join(t.TempDir(), "1.tar"), filepath.Join(t.TempDir(), "2.tar")
	if _, err := publish(sink.OCITar(first, "x:1")); err != nil {
		t.Fatal(err)
	}
	wrong := func(s *sums) { s.Sums[0], s.Sums[1] = s.Sums[1], s.Sums[0] }
	forge(t, dir, wrong)
	tries := 1
	b.Progress = func(e imagebuild.Event) {
		if e.Again {
			tries++
		}
	}
	out, err := publish(sink.OCITar(again, "x:1"))
	if err != nil || tries != 2 || len(out.Sent) != 1 {
		t.Fatalf("%d tries, sent %v: %v", tries, out.Sent, err)
	}
	want, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(again); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the second image is another: %v", err)
	}

	// A pipe that has half of a wrong image cannot be given the right one.
	forge(t, dir, wrong)
	pipe := sink.Sink{Name: "the pipe", Once: true, Send: func(_ context.Context, a sink.Artifact) (sink.Sent, error) {
		return sink.Sent{}, readAll(t, a.Image)
	}}
	if _, err = publish(pipe); err == nil || !strings.Contains(err.Error(), "the pipe") || errors.Is(err, layer.ErrChanged) {
		t.Errorf("got %v", err)
	}
}

// A sink that cannot be sent to ends it before anything is built, and is asked once where it can.
func TestPublishChecksFirst(t *testing.T) {
	r, _ := onDisk(t)
	began := false
	b := &imagebuild.Builder{Progress: func(imagebuild.Event) { began = true }}
	silent := errors.New("nobody answers")
	to := sink.Sink{Name: "x", Check: func(context.Context) error { return silent }}
	if _, err := imagebuild.Publish(t.Context(), b, []imagebuild.Recipe{r}, to); !errors.Is(err, silent) || began {
		t.Errorf("got %v; it was begun: %t", err, began)
	}
}
