package imagebuild_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"mlenv/imagebuild"
	"mlenv/imagebuild/base"
	"mlenv/imagebuild/base/basetest"
	"mlenv/imagebuild/image"
	"mlenv/imagebuild/layer"
	"mlenv/imagebuild/sink"
	"mlenv/resolve/dist"
	mlmodel "mlenv/resolve/model"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
	"mlenv/resolve/serving"
)

// wheelFiles gives the files of a lock.
type wheelFiles map[string]imagebuild.Wheel

func (f wheelFiles) Fetch(ctx context.Context, file dist.File) (string, error) {
	return f[file.Filename].Path(ctx)
}

// lockedInputs are the inputs of an image with a few wheels, two of which dispute a path.
func lockedInputs(t *testing.T) imagebuild.Inputs {
	t.Helper()
	dir, files, l := t.TempDir(), wheelFiles{}, &pylock.Lock{LockVersion: "1.0", CreatedBy: "mlenv"}
	l.Tool.Requested = []pep508.Name{"alpha", "beta"}
	l.Tool.SpecDigest = "sha256:" + strings.Repeat("5", 64)
	for _, w := range []imagebuild.Wheel{
		makeWheel(t, dir, "alpha", "1.0", map[string]string{"alpha/__init__.py": "x = 1\n", "shared/readme": "one\n"}),
		makeWheel(t, dir, "beta", "2.0", map[string]string{"beta.py": "y = 2\n", "shared/readme": "other\n"}),
		makeWheel(t, dir, "large", "3.0", map[string]string{"large/weights.bin": noise(3, 9<<20)}),
	} {
		files[w.Filename] = w
		_, rest, _ := strings.Cut(w.Filename, "-")
		version, _, _ := strings.Cut(rest, "-")
		l.Packages = append(l.Packages, pylock.Package{Name: pep508.Name(w.Name), Version: pep440.MustParse(version), Index: "https://index.example/simple/",
			Wheels: []pylock.File{{Name: w.Filename, URL: "https://index.example/" + w.Filename, Size: w.Size, Hashes: map[string]string{"sha256": w.SHA256}}}})
	}
	rt, err := serving.New(serving.Input{Kind: serving.MLflow, MLflowVersion: pep440.MustParse("3.1.0"), Env: map[string]string{"TOKEN": "hunter2", "LANG": "de_DE.UTF-8"}})
	if err != nil {
		t.Fatal(err)
	}
	return imagebuild.Inputs{
		Locked:      imagebuild.Locked{Lock: l, Text: pylock.Format(pylock.Portable(l)), Files: files},
		Model:       imagebuild.Model{FS: mlmodel.Files(model()), Code: []string{"code"}},
		Contract:    &serving.Contract{Runtime: rt, Facts: serving.Facts{Title: "churn"}, Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		Labels:      map[string]string{"team": "risk"},
		Annotations: map[string]string{"note": "by hand"},
	}
}

// baseOf is an image as a base that can be pulled.
func baseOf(t *testing.T, img v1.Image, err error) *base.Found {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	b, err := base.Inspect(img)
	if err != nil {
		t.Fatal(err)
	}
	return &base.Found{Base: b, Image: img, Name: "registry.example/python:slim", Named: b.Digest}
}

func recipeOn(t *testing.T, in imagebuild.Inputs, b *base.Found) imagebuild.Recipe {
	t.Helper()
	r, err := in.Recipe(b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// stored is an image as it is read from a layout.
func stored(t *testing.T, img v1.Image) *image.Image {
	t.Helper()
	dir := t.TempDir()
	if _, err := sink.Layout(dir, "m:1").Send(t.Context(), sink.Artifact{Image: img}); err != nil {
		t.Fatal(err)
	}
	out, err := image.Open(t.Context(), "oci:"+dir, nil, image.Remote{})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRebase puts images on other bases: each is the image that is built there.
func TestRebase(t *testing.T) {
	slim := func(version string, more ...layer.Entry) *base.Found {
		img, err := basetest.Slim(version)
		if err == nil && len(more) > 0 {
			img, err = basetest.With(img, more...)
		}
		return baseOf(t, img, err)
	}
	file := func(b *base.Found) *base.Found { b.Name = ""; return b }
	old := slim("3.11.9")
	tests := map[string]struct {
		to     *base.Found
		change func(in *imagebuild.Inputs)
	}{
		"another patch release": {to: slim("3.11.10")},
		"the same base":         {to: slim("3.11.9")},
		"one layer more":        {to: slim("3.11.9", basetest.Text("etc/fixed", "CVE\n"))},
		"certificates":          {to: slim("3.11.9", basetest.Text("etc/ssl/certs/ca-certificates.crt", "x"))},
		"in files":              {to: file(slim("3.11.10"))},
		"with /opt and a link":  {to: slim("3.11.10", layer.Entry{Path: "opt/ml", Kind: layer.Dir})},
		"no lock sizes":         {to: slim("3.11.10"), change: func(in *imagebuild.Inputs) { in.Lock.Packages[2].Wheels[0].Size = 0 }},
		"gzip":                  {to: slim("3.11.10"), change: func(in *imagebuild.Inputs) { in.Compression = layer.Gzip }},
		"split":                 {to: slim("3.11.10"), change: func(in *imagebuild.Inputs) { in.MaxLayer = 10 << 20 }},
		"no server":             {to: slim("3.11.10"), change: func(in *imagebuild.Inputs) { in.Contract.Runtime = nil }},
		"no wheels": {to: slim("3.11.10"), change: func(in *imagebuild.Inputs) {
			in.Lock.Packages = nil
		}},
		"its own name of the base": {to: slim("3.11.10"), change: func(in *imagebuild.Inputs) {
			in.Labels[image.BaseName], in.Annotations[image.BaseName] = "ours", "theirs"
		}},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			in := lockedInputs(t)
			if tt.change != nil {
				tt.change(&in)
				in.Text = pylock.Format(pylock.Portable(in.Lock))
			}
			was := build(t, &imagebuild.Builder{}, recipeOn(t, in, old))
			now, err := imagebuild.Rebase(t.Context(), stored(t, was), tt.to)
			if err != nil {
				t.Fatal(err)
			}
			want := build(t, &imagebuild.Builder{}, recipeOn(t, in, tt.to))
			if digest(t, now) != digest(t, want) {
				t.Errorf("the digest is %s, want %s:\n%s", digest(t, now), digest(t, want), differences(t, now, want))
			}
			if err := validate.Image(now); err != nil {
				t.Error(err)
			}
			if a, b := fmt.Sprint(now.Annotations), fmt.Sprint(recipeOn(t, in, tt.to).Annotations); a != b {
				t.Errorf("annotations %s, want %s", a, b)
			}
			if text := manifest(t, was).Annotations[image.Recipe]; strings.Contains(text, "hunter2") {
				t.Errorf("the annotation has a value of the environment: %s", text)
			}
		})
	}
}

// differences says in what two images differ.
func differences(t *testing.T, a, b v1.Image) string {
	t.Helper()
	var out []string
	for _, one := range []v1.Image{a, b} {
		m, err := one.RawManifest()
		if err != nil {
			t.Fatal(err)
		}
		c, err := one.RawConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(m), string(c))
	}
	return strings.Join(out, "\n")
}

// TestRebaseUnfit refuses bases on which the image would be another, or would not run.
func TestRebaseUnfit(t *testing.T) {
	in := lockedInputs(t)
	in.Needs = []string{"libgomp1"}
	slim, err := basetest.Slim("3.11.9")
	if err != nil {
		t.Fatal(err)
	}
	with := func(entries ...layer.Entry) *base.Found {
		img, err := basetest.With(slim, entries...)
		return baseOf(t, img, err)
	}
	library := func(name string) layer.Entry {
		return basetest.Exe("usr/lib/x86_64-linux-gnu/"+name, []byte("\x7fELF"))
	}
	gomp, both := library("libgomp.so.1"), with(library("libgomp.so.1"), library("libz.so.1"))
	other, err := basetest.Slim("3.12.1")
	if err == nil {
		other, err = basetest.With(other, gomp)
	}
	python312 := baseOf(t, other, err)
	was := stored(t, build(t, &imagebuild.Builder{}, recipeOn(t, in, both)))
	docker := in
	docker.Manifest = imagebuild.Docker
	many := slim
	for i := range 100 {
		if many, err = basetest.With(many, basetest.Text(fmt.Sprint("etc/", i), "x"), gomp); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		old  *image.Image
		to   *base.Found
		want []string // of the reasons
	}{
		"no libraries":     {was, with(basetest.Text("etc/x", "")), []string{"libgomp1", "libz.so.1"}},
		"one library":      {was, with(gomp), []string{"libz.so.1"}},
		"another Python":   {was, python312, []string{"3.12.1", "other wheels", "libz.so.1"}},
		"another place":    {was, with(gomp, library("libz.so.1"), basetest.Link("opt", "var/opt"), layer.Entry{Path: "var/opt", Kind: layer.Dir}), []string{"links"}},
		"many layers":      {was, baseOf(t, many, nil), []string{"divided"}},
		"Docker":           {stored(t, build(t, &imagebuild.Builder{}, recipeOn(t, docker, both))), both, []string{"does not say how"}},
		"no image of ours": {stored(t, slim), both, []string{"does not say how"}},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			_, err := imagebuild.Rebase(t.Context(), tt.old, tt.to)
			var unfit *imagebuild.UnfitError
			if !errors.As(err, &unfit) {
				t.Fatalf("got %v", err)
			}
			for _, want := range tt.want {
				if !slices.ContainsFunc(unfit.Reasons, func(r string) bool { return strings.Contains(r, want) }) {
					t.Errorf("%q does not say %q", unfit.Reasons, want)
				}
			}
		})
	}
	if now, err := imagebuild.Rebase(t.Context(), was, both); err != nil || digest(t, now) != was.Digest {
		t.Errorf("on its own base it is another: %v", err)
	}
}
