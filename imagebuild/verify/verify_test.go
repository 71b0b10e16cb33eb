package verify_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"mlenv/imagebuild"
	"mlenv/imagebuild/attach"
	"mlenv/imagebuild/base"
	"mlenv/imagebuild/base/basetest"
	"mlenv/imagebuild/image"
	"mlenv/imagebuild/verify"
	"mlenv/resolve"
	"mlenv/resolve/dist"
	"mlenv/resolve/index/indextest"
	"mlenv/resolve/model"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
	"mlenv/resolve/serving"
	"mlenv/resolve/signing"
)

const slsa = "https://slsa.dev/provenance/v1"

// files gives wheels by their hash.
type files map[string]string

func (f files) Fetch(_ context.Context, d dist.File) (string, error) {
	if path, ok := f[d.Hashes["sha256"]]; ok {
		return path, nil
	}
	return "", errors.New("no such wheel: " + d.Filename)
}

// place is a registry with a base, and an image that was built and signed.
type place struct {
	t      *testing.T
	host   string
	ref    string // of the image, with its digest
	image  v1.Image
	wheels files
	lock   *pylock.Lock
	signer signing.Signer

	damaged string // digest of a blob that the registry no longer has as it was
}

var wheels = []indextest.Dist{
	{Name: "alpha", Version: "1.0", Files: map[string]string{"alpha/__init__.py": "x = 1\n"}},
	{Name: "beta", Version: "2.0", Files: map[string]string{"beta.py": "y = 2\n"}},
	{Name: "mlflow", Version: "3.1.0", Files: map[string]string{"mlflow/__init__.py": ""}},
	{Name: "alpha", Version: "1.1", Files: map[string]string{"alpha/__init__.py": "x = 2\n"}},
	{Name: "own", Version: "1.0", Files: map[string]string{"own.py": ""}}, // the model brings it
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{t: t, wheels: files{}, signer: newSigner(t)}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && p.damaged != "" && strings.HasSuffix(r.URL.Path, "/blobs/"+p.damaged) {
			answer := httptest.NewRecorder()
			inner.ServeHTTP(answer, r)
			body := answer.Body.Bytes()
			body[len(body)/2] ^= 1
			w.Write(body)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	p.host = strings.TrimPrefix(s.URL, "http://")
	slim, err := basetest.Slim("3.11.9")
	if err != nil {
		t.Fatal(err)
	}
	p.push(slim, "python:3.11-slim")
	p.lock = &pylock.Lock{LockVersion: "1.0", CreatedBy: "mlenv", Tool: pylock.Tool{Python: pep440.MustParse("3.11.9"), Requested: []pep508.Name{"alpha"}}}
	dir := t.TempDir()
	for i, d := range wheels {
		file := filepath.Join(dir, d.Filename())
		if err := os.WriteFile(file, d.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		p.wheels[d.SHA256()] = file
		if i < 3 || i == 4 {
			p.lock.Packages = append(p.lock.Packages, locked(d))
		}
	}
	own := &p.lock.Packages[3].Wheels[0]
	own.URL, own.Path = "", "../somewhere/"+own.Name
	p.image = p.build()
	delete(p.wheels, wheels[4].SHA256()) // nobody else has it
	p.ref = p.push(p.image, "team/churn:1")
	p.sign(p.image, p.signer)
	return p
}

func locked(d indextest.Dist) pylock.Package {
	return pylock.Package{Name: pep508.Name(d.Name), Version: pep440.MustParse(d.Version), Wheels: []pylock.File{{
		Name: d.Filename(), URL: "https://files.example.com/" + d.Filename(), Size: int64(len(d.Bytes())), Hashes: map[string]string{"sha256": d.SHA256()},
	}}}
}

func newSigner(t *testing.T) signing.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := signing.ParsePrivate(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (p *place) push(img v1.Image, at string) (ref string) {
	p.t.Helper()
	r, err := name.ParseReference(p.host + "/" + at)
	if err != nil {
		p.t.Fatal(err)
	}
	digest, err := img.Digest()
	if err == nil {
		err = remote.Write(r, img)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return r.Context().Digest(digest.String()).Name()
}

// build makes the image as mlenv image does.
func (p *place) build() v1.Image {
	p.t.Helper()
	m, err := model.Read(fstest.MapFS{
		"MLmodel": {Data: []byte("run_id: r1\nmodel_uuid: m1\nmlflow_version: 3.1.0\nutc_time_created: '2026-01-02 03:04:05.678901'\nflavors:\n  python_function:\n" +
			"    loader_module: churn\n    code: code\n    env:\n      virtualenv: python_env.yaml\n    python_version: 3.11.9\n")},
		"python_env.yaml":              {Data: []byte("python: 3.11.9\nbuild_dependencies:\n- pip==24.0\ndependencies:\n- -r requirements.txt\n")},
		"requirements.txt":             {Data: []byte("mlflow==3.1.0\nalpha\n")},
		"code/churn.py":                {Data: []byte("z = 3\n"), Mode: 0o644},
		"code/" + wheels[4].Filename(): {Data: wheels[4].Bytes(), Mode: 0o644},
		"model.pkl":                    {Data: bytes.Repeat([]byte("weights "), 20000)},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	spec, err := resolve.Model(m, resolve.Options{Flags: nil})
	if err != nil {
		p.t.Fatal(err)
	}
	contract, err := serving.ForModel(m, spec, p.lock, serving.Choices{Kind: serving.MLflow, Env: map[string]string{"TEAM": "risk"}, ExtraCode: true})
	if err != nil {
		p.t.Fatal(err)
	}
	found, _, err := base.Find(context.Background(), base.Request{Ref: p.host + "/python:3.11-slim", Platforms: []v1.Platform{{OS: "linux", Architecture: "amd64"}}}, base.Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	extra := fstest.MapFS{"src/more/__init__.py": {Data: []byte("m = 4\n"), Mode: 0o644}}
	in := imagebuild.Inputs{
		Locked: imagebuild.Locked{Lock: p.lock, Files: p.wheels}, Contract: contract,
		Model:  imagebuild.Model{FS: m.FS, Code: m.CodeDirs(), Extra: []imagebuild.Tree{{FS: model.Files(extra), Root: "src/more"}}},
		Labels: map[string]string{"team": "risk"}, Annotations: map[string]string{"note": "a"},
	}
	recipe, err := in.Recipe(found[0])
	if err != nil {
		p.t.Fatal(err)
	}
	img, err := (&imagebuild.Builder{}).Build(context.Background(), recipe)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { img.Close() })
	return img
}

// provenance is what mlenv would say of an image, or of one with another lock.
func (p *place) provenance(lock []byte, baseDigest string) []byte {
	sum, _, err := v1.SHA256(bytes.NewReader(lock))
	if err != nil {
		p.t.Fatal(err)
	}
	return []byte(`{"buildDefinition":{"buildType":"urn:mlenv:image:v1","resolvedDependencies":[` +
		`{"digest":{"sha256":"` + sum.Hex + `"},"annotations":{"kind":"lock"}},{"digest":{"sha256":"` + strings.TrimPrefix(baseDigest, "sha256:") + `"},"annotations":{"kind":"base"}}]}}`)
}

func (p *place) baseDigest() string {
	config, err := p.image.ConfigFile()
	if err != nil {
		p.t.Fatal(err)
	}
	return config.Config.Labels[image.BaseDigest]
}

// sign attaches a signature and provenance.
func (p *place) sign(img v1.Image, s signing.Signer) {
	p.t.Helper()
	p.attach(img, s, attach.Attachment{PredicateType: slsa, Predicate: p.provenance(pylock.Format(pylock.Portable(p.lock)), p.baseDigest())},
		attach.Attachment{PredicateType: signing.ImageSignature})
}

func (p *place) attach(img v1.Image, s signing.Signer, list ...attach.Attachment) {
	p.t.Helper()
	d, err := partial.Descriptor(img)
	if err != nil {
		p.t.Fatal(err)
	}
	for i := range list {
		list[i].Subject = *d
	}
	if _, err := attach.Attach(context.Background(), p.host+"/team/churn", list, attach.Options{Signer: s}); err != nil {
		p.t.Fatal(err)
	}
}

// result is everything that is found out about an image.
type result struct {
	checks      map[string]verify.Check
	differences []verify.Difference
	err         error // of rebuilding
}

func (r result) String() string {
	var out []string
	for _, d := range r.differences {
		out = append(out, d.String())
	}
	if r.err != nil {
		out = append(out, "error: "+r.err.Error())
	}
	return strings.Join(out, "\n")
}

func (p *place) verify(ref string, key crypto.PublicKey) (out result) {
	p.t.Helper()
	ctx := context.Background()
	img, err := image.Open(ctx, ref, nil, image.Remote{})
	if err != nil {
		p.t.Fatal(err)
	}
	out.checks = map[string]verify.Check{}
	in, err := image.Read(img)
	if err != nil {
		out.err, out.differences = err, verify.Damaged(img)
		return out
	}
	checks, err := verify.Attached(ctx, img, in, key, image.Remote{})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, c := range append(checks, verify.LabelsFit(in)) {
		out.checks[c.Name] = c
	}
	out.differences, out.err = verify.Rebuild(ctx, img, verify.Options{
		Dir: p.t.TempDir(), Jobs: 2, Files: func(*pylock.Lock) (imagebuild.Files, error) { return p.wheels, nil },
	})
	return out
}

func TestProven(t *testing.T) {
	p := newPlace(t)
	if got := p.push(takeApart(t, p.image).together(), "team/churn:again"); got != p.ref {
		t.Fatalf("taking the image apart and putting it together gives %s, not %s", got, p.ref)
	}
	r := p.verify(p.ref, p.signer.Public())
	if r.err != nil || len(r.differences) > 0 {
		t.Errorf("rebuilding: %s", r)
	}
	for check, want := range map[string]verify.Status{verify.Signature: verify.Proven, verify.Provenance: verify.Proven, verify.Labels: verify.Proven, verify.SBOM: verify.Missing} {
		if got := r.checks[check]; got.Status != want {
			t.Errorf("%+v, want %s", got, want)
		}
	}
	// Of an index, both what is attached to it and to the image counts.
	r = p.verify(p.ref, newSigner(t).Public())
	if got := r.checks[verify.Signature]; got.Status != verify.Failed || !strings.Contains(got.Detail, signing.ErrSignature.Error()) {
		t.Errorf("with another key: %+v", got)
	}
}

const (
	alpha    = "opt/venv/lib/python3.11/site-packages/alpha/__init__.py"
	launcher = "opt/venv/bin/mlenv-serve"
)

// tampering is one way to change an image, and what must be said of it.
type tampering struct {
	change func(f *forged)
	want   string // in what rebuilding says
}

func header(change func(f *file)) func(*forged) {
	return func(f *forged) { f.change(alpha, change) }
}

func config(change func(c *v1.Config)) func(*forged) {
	return func(f *forged) { change(&f.config.Config) }
}

// tamperings are changes of an image all of whose digests fit again. A signature does not hold for
// any of them; the table says what rebuilding finds.
var tamperings = map[string]tampering{
	"a byte in a wheel's file":  {header(func(f *file) { f.content[4] = '9' }), "(alpha-1.0-py3-none-any.whl): /" + alpha + " differs from byte 4 on"},
	"bytes after its end":       {header(func(f *file) { f.content = append(f.content, "import os\n"...) }), "/" + alpha + " differs from byte 6 on"},
	"a file made executable":    {header(func(f *file) { f.Mode |= 0o4111 }), "/" + alpha + " has another mode"},
	"a file of another owner":   {header(func(f *file) { f.Uid = 1000 }), "/" + alpha + " has another owner"},
	"a file of another time":    {header(func(f *file) { f.ModTime = time.Unix(1e9, 0) }), "/" + alpha + " has another time"},
	"a link instead of a file":  {header(func(f *file) { f.Typeflag, f.Linkname, f.content = '2', "/tmp/x", nil }), "/" + alpha + " has another type"},
	"a link to another program": {func(f *forged) { f.change("opt/venv/bin/python", func(f *file) { f.Linkname = "/tmp/python" }) }, "(virtual environment): /opt/venv/bin/python has another target"},
	"another launcher":          {func(f *forged) { f.change(launcher, func(f *file) { f.content = []byte("#!/bin/sh\n") }) }, "/" + launcher + " differs from byte"},
	"a file less":               {func(f *forged) { f.edit(f.find(alpha), dropped(alpha)) }, "/" + alpha + " is missing"},
	"REQUESTED gone": {func(f *forged) {
		f.edit(f.find(launcher), dropped("opt/venv/lib/python3.11/site-packages/alpha-1.0.dist-info/REQUESTED"))
	}, "REQUESTED is missing"},
	"a file more":                {func(f *forged) { f.edit(f.find(alpha), added("opt/venv/lib/python3.11/site-packages/zz.pth")) }, "zz.pth was added"},
	"a file more at the front":   {func(f *forged) { f.edit(f.find(alpha), addedFirst("opt/a")) }, "/opt/a was added"},
	"a layer packed again":       {func(f *forged) { f.edit(f.find(alpha), func(all []file) []file { return all }) }, "holds the same files, packed in another way"},
	"a layer more":               {func(f *forged) { f.add(pack(f.t, []file{newFile("etc/passwd")})) }, "(one more) is in the image, and nothing that it was made of gives it"},
	"a layer less":               {func(f *forged) { f.drop(f.find(alpha)) }, "layer 4 (alpha-1.0-py3-none-any.whl) is missing"},
	"layers swapped":             {func(f *forged) { f.swap(f.find(alpha), f.find("opt/venv/bin/python")) }, "(virtual environment): /"},
	"another version of a wheel": {func(f *forged) { f.change(alpha, func(one *file) { one.content = []byte("x = 2\n") }) }, "/" + alpha + " differs from byte 4 on"},
	"another base":               {func(f *forged) { f.edit(0, added("usr/bin/zz")) }, "layer 1 (base): /usr/bin/zz was added"},
	"a package less in the lock": {func(f *forged) {
		f.change("opt/venv/pylock.toml", func(one *file) { one.content = f.without("beta", one.content) })
	}, "beta-2.0.dist-info was added"},
	"a lock with another wheel": {func(f *forged) {
		f.change("opt/venv/pylock.toml", func(one *file) {
			one.content = bytes.ReplaceAll(one.content, []byte(wheels[0].SHA256()), []byte(wheels[3].SHA256()))
		})
	}, "layer 4 (alpha-1.0-py3-none-any.whl): /opt/venv/lib/python3.11/site-packages/alpha-1.0.dist-info was added"},
	"the model's label":        {config(func(c *v1.Config) { c.Labels["io.mlenv.run.id"] = "r2" }), `config.Labels.io.mlenv.run.id is "r2", and should be "r1"`},
	"a label that is nobody's": {config(func(c *v1.Config) { c.Labels["approved"] = "yes" }), `config.Labels.approved is "yes", and should be missing`},
	"a variable more":          {config(func(c *v1.Config) { c.Env = append(c.Env, "LD_PRELOAD=/tmp/x.so") }), "config.Env is "},
	"another PATH":             {config(func(c *v1.Config) { c.Env[0] = "PATH=/tmp:" + strings.TrimPrefix(c.Env[0], "PATH=") }), "config.Env is "},
	"another entrypoint":       {config(func(c *v1.Config) { c.Entrypoint = []string{"/bin/sh"} }), "config.Entrypoint is "},
	"a command":                {config(func(c *v1.Config) { c.Cmd = []string{"x"} }), `config.Cmd is ["x"]`},
	"root as user":             {config(func(c *v1.Config) { c.User = "0:0" }), `config.User is "0:0"`},
	"another directory":        {config(func(c *v1.Config) { c.WorkingDir = "/tmp" }), `config.WorkingDir is "/tmp"`},
	"no health check":          {config(func(c *v1.Config) { c.Healthcheck = nil }), "config.Healthcheck is missing"},
	"another port":             {config(func(c *v1.Config) { c.ExposedPorts = map[string]struct{}{"22/tcp": {}} }), "config.ExposedPorts.22/tcp is {}, and should be missing"},
	"a volume":                 {config(func(c *v1.Config) { c.Volumes = map[string]struct{}{"/opt/venv": {}} }), "config.Volumes is "},
	"another time":             {func(f *forged) { f.config.Created = v1.Time{Time: time.Unix(1e9, 0)} }, "org.opencontainers.image.created is "},
	"another history":          {func(f *forged) { f.config.History[len(f.config.History)-1].Comment = "nothing" }, "history is "},
	"other settings": {config(func(c *v1.Config) {
		c.Labels[imagebuild.SettingsLabel] = strings.Replace(c.Labels[imagebuild.SettingsLabel], `"serve"`, `"port":9000,"serve"`, 1)
	}), "is "},
	"a note on a layer":        {func(f *forged) { f.manifest.Layers[len(f.manifest.Layers)-1].Annotations = map[string]string{"a": "b"} }, "manifest.layers is "},
	"a note on the manifest":   {func(f *forged) { f.manifest.Annotations["approved"] = "yes" }, `manifest.annotations.approved is "yes", and should be missing`},
	"a base that is not there": {config(func(c *v1.Config) { c.Labels[image.BaseDigest] = "sha256:" + strings.Repeat("0", 64) }), "error: the base cannot be had"},
}

func newFile(name string) file {
	return file{&tarHeader{Name: name, Mode: 0o644, Typeflag: '0'}, []byte("x")}
}

func added(name string) func([]file) []file {
	return func(all []file) []file { return append(all, newFile(name)) }
}

func addedFirst(name string) func([]file) []file {
	return func(all []file) []file { return append([]file{newFile(name)}, all...) }
}

func dropped(name string) func([]file) []file {
	return func(all []file) []file { return slices.DeleteFunc(all, func(f file) bool { return f.Name == name }) }
}

func TestTampering(t *testing.T) {
	p := newPlace(t)
	for what, tt := range tamperings {
		t.Run(what, func(t *testing.T) {
			f := takeApart(t, p.image)
			tt.change(f)
			ref := p.push(f.together(), "team/churn:forged")
			if ref == p.ref {
				t.Fatal("nothing was changed")
			}
			r := p.verify(ref, p.signer.Public())
			if r.checks[verify.Signature].Status == verify.Proven || r.checks[verify.Provenance].Status == verify.Proven {
				t.Errorf("it counts as signed: %+v", r.checks)
			}
			if r.err == nil && len(r.differences) == 0 || !strings.Contains(r.String(), tt.want) {
				t.Errorf("rebuilding says\n%s\nwant %q", r, tt.want)
			}
		})
	}
	if len(tamperings) < 30 {
		t.Errorf("only %d ways of tampering", len(tamperings))
	}
}

// TestForgedEvidence leaves the image as it is, and changes what is attached to it or to another.
func TestForgedEvidence(t *testing.T) {
	for what, tt := range map[string]struct {
		change func(p *place, other v1.Image)
		check  string
		want   verify.Status
		detail string
	}{
		"nothing attached":    {func(*place, v1.Image) {}, verify.Signature, verify.Missing, "none is attached"},
		"another's signature": {func(p *place, other v1.Image) { p.sign(other, newSigner(p.t)) }, verify.Signature, verify.Failed, "not signed by the key"},
		"replayed signature":  {func(p *place, other v1.Image) { replay(p, other) }, verify.Signature, verify.Failed, "about another image"},
		"replayed provenance": {func(p *place, other v1.Image) { replay(p, other) }, verify.Provenance, verify.Failed, "about another image"},
		"stripped attestation": {func(p *place, other v1.Image) {
			p.attach(other, p.signer, attach.Attachment{PredicateType: signing.ImageSignature})
		}, verify.Provenance, verify.Missing, "none is attached"},
		"unsigned provenance": {func(p *place, other v1.Image) {
			p.attach(other, nil, attach.Attachment{PredicateType: slsa, Predicate: p.provenance(nil, "")})
		}, verify.Provenance, verify.Failed, "it is not signed"},
		"provenance of another lock": {func(p *place, other v1.Image) {
			p.attach(other, p.signer, attach.Attachment{PredicateType: slsa, Predicate: p.provenance([]byte("another"), p.baseDigest())})
		}, verify.Provenance, verify.Failed, "it says that the lock is sha256:"},
		"provenance of another base": {func(p *place, other v1.Image) {
			p.attach(other, p.signer, attach.Attachment{PredicateType: slsa, Predicate: p.provenance(pylock.Format(pylock.Portable(p.lock)), "sha256:00")})
		}, verify.Provenance, verify.Failed, "it says that the base is sha256:00"},
		"an SBOM without a signature": {func(p *place, other v1.Image) {
			p.attach(other, nil, attach.Attachment{PredicateType: "https://spdx.dev/Document", Predicate: []byte("{}")})
		}, verify.SBOM, verify.Failed, "it is not signed"},
	} {
		t.Run(what, func(t *testing.T) {
			p := newPlace(t)
			f := takeApart(t, p.image)
			f.config.Config.Labels["team"] = "another"
			other := f.together()
			ref := p.push(other, "team/churn:2")
			tt.change(p, other)
			got := p.verify(ref, p.signer.Public()).checks[tt.check]
			if got.Status != tt.want || !strings.Contains(got.Detail, tt.detail) {
				t.Errorf("%+v, want %s: %s", got, tt.want, tt.detail)
			}
		})
	}
}

// replay puts what is attached to the signed image under another one's tags.
func replay(p *place, other v1.Image) {
	p.t.Helper()
	from, err := p.image.Digest()
	if err != nil {
		p.t.Fatal(err)
	}
	to, err := other.Digest()
	if err != nil {
		p.t.Fatal(err)
	}
	repo, err := name.NewRepository(p.host + "/team/churn")
	if err != nil {
		p.t.Fatal(err)
	}
	for _, suffix := range []string{".sig", ".att"} {
		img, err := remote.Image(repo.Tag("sha256-" + from.Hex + suffix))
		if err == nil {
			err = remote.Write(repo.Tag("sha256-"+to.Hex+suffix), img)
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

// TestUntried tells what cannot be made again from what is forged.
func TestUntried(t *testing.T) {
	p := newPlace(t)
	for what, tt := range map[string]struct {
		change func(f *forged)
		want   string
	}{
		"other formats": {config(func(c *v1.Config) {
			c.Labels[imagebuild.SettingsLabel] = strings.Replace(c.Labels[imagebuild.SettingsLabel], imagebuild.Formats(), "layer 1", 1)
		}), "made by a version of mlenv with other formats (layer 1)"},
		"no settings":    {config(func(c *v1.Config) { delete(c.Labels, imagebuild.SettingsLabel) }), "does not say how it was made"},
		"no base's name": {config(func(c *v1.Config) { delete(c.Labels, "org.opencontainers.image.base.name") }), "does not name a base"},
		"no lock":        {func(f *forged) { f.edit(f.find(launcher), dropped("opt/venv/pylock.toml")) }, "holds no lock"},
	} {
		f := takeApart(t, p.image)
		tt.change(f)
		r := p.verify(p.push(f.together(), "team/churn:old"), p.signer.Public())
		var untried *verify.UntriedError
		if !errors.As(r.err, &untried) || !strings.Contains(untried.Error(), tt.want) || len(r.differences) > 0 {
			t.Errorf("%s: %s, want %q", what, r, tt.want)
		}
	}
	if r := p.verify(p.host+"/python:3.11-slim", nil); r.err == nil {
		t.Error("a base was made again")
	}
}

// TestDamaged has the registry give other bytes of a layer than it was sent, though under their digest.
func TestDamaged(t *testing.T) {
	p := newPlace(t)
	f := takeApart(t, p.image)
	last := len(f.blobs) - 1
	p.damaged = f.manifest.Layers[last].Digest.String()
	r := p.verify(p.ref, p.signer.Public())
	if r.err == nil || len(r.differences) != 1 || r.differences[0].Layer != last+1 || !strings.Contains(r.String(), "has other bytes than its digest says") {
		t.Errorf("%s", r)
	}
	// So of a layer that is read for the model alone.
	at := f.find(alpha)
	p.damaged = f.manifest.Layers[at].Digest.String()
	if r := p.verify(p.ref, p.signer.Public()); r.err != nil || len(r.differences) != 1 || r.differences[0].Layer != at+1 {
		t.Errorf("%s", r)
	}
}
