package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"mlenv/resolve/cache"
)

// remembered gives the digests of the layers of wheels that a cache remembers, by file.
func remembered(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(filepath.Join(dir, cache.MemosFormat, "layers"), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var value struct {
			Sums []struct {
				Digest string `json:"digest"`
			} `json:"sums"`
			Wheels []struct{} `json:"wheels"`
		}
		if err := json.Unmarshal([]byte(valueOf(string(data))), &value); err != nil {
			return err
		}
		if len(value.Wheels) > 0 {
			out[name] = value.Sums[0].Digest
		}
		return nil
	})
	if err != nil || len(out) == 0 {
		t.Fatalf("remembered: %v, %v", out, err)
	}
	return out
}

// valueOf gives what a note's file says below the line with its check.
func valueOf(data string) string {
	_, value, _ := strings.Cut(data, "\n")
	return value
}

// reseal gives a changed file of the cache a check that fits, as a clever hand would.
func reseal(t *testing.T, name, data string) []byte {
	t.Helper()
	hash := filepath.Base(filepath.Dir(name)) + filepath.Base(name)
	value := valueOf(data)
	check := sha256.Sum256([]byte(hash + "\n" + value))
	return fmt.Appendf(nil, "mlenv-memo %x\n%s", check, value)
}

// note is what a cache remembers of a part of an image.
type note struct {
	Sums   []map[string]any    `json:"sums"`
	Wheels []map[string]string `json:"wheels,omitempty"`
}

// forge changes the note of one wheel's layer, with a check that fits.
func forge(t *testing.T, dir string, change func(n *note)) {
	t.Helper()
	name := slices.Min(slices.Collect(maps.Keys(remembered(t, dir))))
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var n note
	decoder := json.NewDecoder(strings.NewReader(valueOf(string(data))))
	decoder.UseNumber()
	if err := decoder.Decode(&n); err != nil {
		t.Fatal(err)
	}
	change(&n)
	if data, err = json.Marshal(n); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, reseal(t, name, "\n"+string(data)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// longer changes the size in a note.
func longer(t *testing.T, sum map[string]any, by int64) {
	t.Helper()
	size, err := sum["size"].(json.Number).Int64()
	if err != nil {
		t.Fatal(err)
	}
	sum["size"] = size + by
}

const otherDigest = "sha256:8888888888888888888888888888888888888888888888888888888888888888"

// TestImageForged changes one thing in the note of a wheel's layer, sealed as it should be, before
// the image is sent to every kind of sink: the image is what it is without the note.
func TestImageForged(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change  func(t *testing.T, n *note)
		refused bool // the digest is another, and whoever unpacks the image finds out
	}{
		"a byte more": {change: func(t *testing.T, n *note) { longer(t, n.Sums[0], 1) }},
		"a byte less": {change: func(t *testing.T, n *note) { longer(t, n.Sums[0], -1) }},
		"another digest and a byte less": {change: func(t *testing.T, n *note) {
			n.Sums[0]["digest"] = otherDigest
			longer(t, n.Sums[0], -1)
		}},
		"another media type": {change: func(_ *testing.T, n *note) {
			n.Sums[0]["mediaType"] = "application/vnd.oci.image.layer.v1.tar+zstd"
		}},
		"no media type": {change: func(_ *testing.T, n *note) { n.Sums[0]["mediaType"] = "" }},
		"doubled":       {change: func(_ *testing.T, n *note) { n.Sums = append(n.Sums, n.Sums[0]) }},
		"doubled, with another diffID": {change: func(_ *testing.T, n *note) {
			second := maps.Clone(n.Sums[0])
			second["diffID"] = otherDigest
			n.Sums = append(n.Sums, second)
		}},
		"none": {change: func(_ *testing.T, n *note) { n.Sums = nil }},
		"a .dist-info elsewhere": {change: func(_ *testing.T, n *note) {
			n.Wheels[0]["distInfo"] = "../../bin/x.dist-info"
		}},
		"another diffID": {refused: true, change: func(_ *testing.T, n *note) { n.Sums[0]["diffID"] = otherDigest }},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newImageWorld(t)
			dir := t.TempDir()
			want := w.image(t, "--push", w.registry+"/there:1").Digest
			for _, to := range []string{
				"-o oci:" + filepath.Join(dir, "layout"),
				"-o oci-tar:" + filepath.Join(dir, "oci.tar"),
				"-o docker-tar:" + filepath.Join(dir, "docker.tar"),
				"--push " + w.registry + "/there:2",
				"--push " + newRegistry(t, nil) + "/new:1",
			} {
				forge(t, w.env["MLENV_CACHE_DIR"], func(n *note) { tt.change(t, n) })
				flag, place, _ := strings.Cut(to, " ")
				out, errs, code := command(t, w.env, w.args(flag, place, "--name", "m:1")...)
				if code != exitOK {
					t.Errorf("%s: exit code %d\n%s", to, code, errs)
					continue
				}
				if _, got, _ := strings.Cut(strings.TrimSpace(out), "@"); (got == want) == tt.refused {
					t.Errorf("%s: %s, without the note %s", to, got, want)
				}
				if err := validate.Image(sentImage(t, place)); (err != nil) != tt.refused {
					t.Errorf("%s: %v", to, err)
				}
			}
		})
	}
}

// sentImage reads what a sink was given.
func sentImage(t *testing.T, place string) v1.Image {
	t.Helper()
	kind, file, _ := strings.Cut(place, ":")
	var img v1.Image
	var err error
	switch kind {
	case "oci":
		var index v1.ImageIndex
		if index, err = layout.ImageIndexFromPath(file); err == nil {
			var manifest *v1.IndexManifest
			if manifest, err = index.IndexManifest(); err == nil {
				img, err = index.Image(manifest.Manifests[0].Digest)
			}
		}
	case "oci-tar":
		return sentImage(t, "oci:"+unpacked(t, file))
	case "docker-tar":
		img, err = tarball.ImageFromPath(file, nil)
	default:
		var ref name.Reference
		if ref, err = name.ParseReference(place); err == nil {
			img, err = remote.Image(ref)
		}
	}
	if err != nil {
		t.Fatalf("reading %s: %v", place, err)
	}
	return img
}

// unpacked unpacks a tar file of files.
func unpacked(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dir := t.TempDir()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, h.Name)
		data, err := io.ReadAll(r)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}
