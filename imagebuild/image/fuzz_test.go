package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// seed returns a tar of small files.
func seed(f *testing.F, names ...string) []byte {
	f.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(name))}); err != nil {
			f.Fatal(err)
		}
		if _, err := w.Write([]byte(name)); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	return b.Bytes()
}

// Whatever a layer holds, reading it ends, and what is kept is a file system without surprises.
func FuzzLayer(f *testing.F) {
	f.Add([]byte{})
	f.Add(seed(f, "opt/venv/pylock.toml", "opt/ml/model/MLmodel", "opt/ml/model/code/a.py"))
	f.Add(seed(f, "opt/ml/model/.wh.MLmodel", "opt/ml/.wh..wh..opq", "./opt/ml/model/../model/x"))
	f.Add(seed(f, "opt/venv/.wh.", "opt/.wh..", "opt/ml/.wh...", "../../opt/ml/model/MLmodel", "/opt/ml/model/MLmodel"))
	f.Add(seed(f, "opt/ml/model/"+strings.Repeat("d/", 500)+"f", "opt/ml/model/\x1b[2J\n::error::x", "opt/ml/model/a", "opt/ml/model/a/b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		found := &found{files: map[string][]byte{}, hidden: map[string]bool{}, skipped: map[string]bool{}}
		if err := found.read(static.NewLayer(data, types.OCIUncompressedLayer)); err != nil {
			return
		}
		model, err := found.model()
		if err != nil {
			t.Fatal(err)
		}
		if model != nil {
			if _, err := fs.Stat(model, "MLmodel"); err != nil {
				t.Error(err)
			}
		}
	})
}

// Whatever an index and the blob that it names hold, opening a layout ends.
func FuzzLayout(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"layers":[]}`), "application/vnd.oci.image.manifest.v1+json")
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{}]}`), "application/vnd.oci.image.index.v1+json")
	hash := strings.Repeat("0", 64)
	for _, s := range []string{
		`{"schemaVersion":2,"config":{"size":-1,"digest":"sha256:` + hash + `"},"layers":[{"size":9223372036854775807,"digest":"sha256:../../etc/passwd"}]}`,
		`{"schemaVersion":2,"config":{"size":4611686018427387904,"digest":"sha256:` + hash + `"},"layers":null,"annotations":{"\u001b[2J":"\n::error::x"}}`,
		`{"schemaVersion":2,"layers":` + strings.Repeat("[", 500), `{"schemaVersion":1,"name":"x","tag":"x","fsLayers":[{"blobSum":"sha256:` + hash + `"}]}`,
	} {
		f.Add([]byte(s), "application/vnd.oci.image.manifest.v1+json")
		f.Add([]byte(s), "application/vnd.docker.distribution.manifest.v1+prettyjws")
	}
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","size":1,"digest":"sha256:`+hash+`","platform":{"os":"\u202e","architecture":"amd64"}}]}`), "application/vnd.oci.image.index.v1+json")
	f.Fuzz(func(t *testing.T, blob []byte, mediaType string) {
		sum := sha256.Sum256(blob)
		hash := hex.EncodeToString(sum[:])
		fsys := fstest.MapFS{
			"index.json":           {Data: fmt.Appendf(nil, `{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":"sha256:%s","size":%d}]}`, mediaType, hash, len(blob))},
			"blobs/sha256/" + hash: {Data: blob},
		}
		img, err := openLayout(fsys, "", nil)
		if err != nil {
			return
		}
		if _, err := Read(img); err == nil && len(blob) < 3 {
			t.Error("an image without a configuration was read")
		}
	})
}

// Whatever a file holds, it is a tar of files that can be read where they lie, or refused.
func FuzzTar(f *testing.F) {
	f.Add([]byte{})
	f.Add(seed(f, "index.json", "blobs/sha256/00", "index.json"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		name := filepath.Join(dir, fmt.Sprint(os.Getpid()))
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
		files, err := openTar(name)
		if err != nil {
			return
		}
		for name, at := range files.at {
			got, err := readAll(files, name)
			if err == nil && at.offset+at.size <= int64(len(data)) && !bytes.Equal(got, data[at.offset:at.offset+at.size]) {
				t.Errorf("%s is not what lies at %d", name, at.offset)
			}
		}
	})
}
