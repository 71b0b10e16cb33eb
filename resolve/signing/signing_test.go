package signing

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/crypto/nacl/secretbox"
	"golang.org/x/crypto/scrypt"
)

func encoded(t *testing.T, kind string, der []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func pkcs8(t *testing.T, key any) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return encoded(t, "PRIVATE KEY", der, err)
}

func newKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func signer(t *testing.T) Signer {
	t.Helper()
	s, err := newSigner(newKey(t, elliptic.P256()))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func noPassword() (string, error) { return "", errors.New("a password was asked for") }

// TestKeys signs with every kind of key, and verifies by its public key in PEM.
func TestKeys(t *testing.T) {
	p256 := newKey(t, elliptic.P256())
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(p256)
	for what, data := range map[string][]byte{
		"P-256": pkcs8(t, p256), "P-384": pkcs8(t, newKey(t, elliptic.P384())), "P-521": pkcs8(t, newKey(t, elliptic.P521())),
		"Ed25519": pkcs8(t, ed), "RSA": pkcs8(t, rsaKey), "SEC 1": encoded(t, "EC PRIVATE KEY", sec1, err),
	} {
		s, err := ParsePrivate(data, noPassword)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		der, err := x509.MarshalPKIXPublicKey(s.Public())
		key, failed := ParsePublic(encoded(t, "PUBLIC KEY", der, err))
		if failed != nil {
			t.Fatalf("%s: %v", what, failed)
		}
		e, err := Sign(context.Background(), NewStatement("a", "00", ImageSignature, nil), s)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got, err := e.Verify(key); err != nil || !got.IsAbout("00") || got.IsAbout("01") || got.IsAbout("") {
			t.Errorf("%s: %v, %v", what, got, err)
		}
		if _, err := e.Verify(signer(t).Public()); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: another key gives %v", what, err)
		}
	}
}

// seal encrypts a key as cosign does, though with less work.
func seal(t *testing.T, key any, password string) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var s sealed
	s.KDF.Name, s.Cipher.Name = "scrypt", "nacl/secretbox"
	s.KDF.Params.N, s.KDF.Params.R, s.KDF.Params.P = 1024, 8, 1
	s.KDF.Salt, s.Cipher.Nonce = []byte("salt"), make([]byte, 24)
	derived, err := scrypt.Key([]byte(password), s.KDF.Salt, 1024, 8, 1, 32)
	if err != nil {
		t.Fatal(err)
	}
	s.Ciphertext = secretbox.Seal(nil, der, (*[24]byte)(s.Cipher.Nonce), (*[32]byte)(derived))
	text, err := json.Marshal(s)
	return encoded(t, "ENCRYPTED SIGSTORE PRIVATE KEY", text, err)
}

func TestEncryptedKey(t *testing.T) {
	key := newKey(t, elliptic.P256())
	sealedKey := seal(t, key, "secret")
	s, err := ParsePrivate(sealedKey, func() (string, error) { return "secret", nil })
	if err != nil || !key.PublicKey.Equal(s.Public()) {
		t.Errorf("%v", err)
	}
	if _, err := ParsePrivate(sealedKey, func() (string, error) { return "wrong", nil }); !errors.Is(err, ErrPassword) {
		t.Errorf("a wrong password gives %v", err)
	}
	if _, err := ParsePrivate(sealedKey, noPassword); err == nil || !strings.Contains(err.Error(), "was asked for") {
		t.Errorf("no password gives %v", err)
	}
	block, _ := pem.Decode(sealedKey)
	block.Bytes = bytes.Replace(block.Bytes, []byte(`"N":1024`), []byte(`"N":1073741824`), 1)
	if _, err := ParsePrivate(pem.EncodeToMemory(block), func() (string, error) { return "secret", nil }); err == nil || !strings.Contains(err.Error(), "memory") {
		t.Errorf("a key that wants a terabyte gives %v", err)
	}
}

// A key that cosign 3 made, and its password.
func TestCosignsOwnKey(t *testing.T) {
	data, err := os.ReadFile("testdata/cosign.key")
	if errors.Is(err, os.ErrNotExist) {
		t.Fatal("there is no testdata/cosign.key")
	}
	s, err := ParsePrivate(data, func() (string, error) { return "password of a test", nil })
	if err != nil {
		t.Fatal(err)
	}
	pub, err := os.ReadFile("testdata/cosign.pub")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParsePublic(pub)
	if err != nil || !s.Public().(*ecdsa.PublicKey).Equal(key) {
		t.Errorf("the keys do not belong together: %v", err)
	}
}

func TestKeysThatAreNone(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip(err) // a later Go makes no such keys
	}
	der, err := x509.MarshalPKIXPublicKey(&newKey(t, elliptic.P224()).PublicKey)
	for what, tt := range map[string]struct {
		data   []byte
		public bool
		want   string
	}{
		"text":              {[]byte("key"), false, "not a key in PEM"},
		"public as private": {encoded(t, "PUBLIC KEY", der, err), false, "needs the private one"},
		"private as public": {pkcs8(t, newKey(t, elliptic.P256())), true, "it is a private key"},
		"no public":         {[]byte("key"), true, "not a public key"},
		"with a password":   {encoded(t, "ENCRYPTED PRIVATE KEY", []byte("x"), nil), false, `"ENCRYPTED PRIVATE KEY" is not read`},
		"weak RSA":          {pkcs8(t, small), false, "too weak"},
		"small curve":       {encoded(t, "PUBLIC KEY", der, err), true, "P-224"},
	} {
		var err error
		if tt.public {
			_, err = ParsePublic(tt.data)
		} else {
			_, err = ParsePrivate(tt.data, noPassword)
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", what, err, tt.want)
		}
	}
}

func TestPAE(t *testing.T) {
	// The example of the specification.
	if got := string(PAE("http://example.com/HelloWorld", []byte("hello world"))); got != "DSSEv1 29 http://example.com/HelloWorld 11 hello world" {
		t.Errorf("%q", got)
	}
}

// TestTamperedEnvelope changes every part of an envelope that is signed.
func TestTamperedEnvelope(t *testing.T) {
	s := signer(t)
	fresh := func() *Envelope {
		e, err := Sign(context.Background(), NewStatement("a", "00", ImageSignature, nil), s)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	for what, change := range map[string]func(e *Envelope){
		"payload":      func(e *Envelope) { e.Payload[len(e.Payload)-1] ^= 1 },
		"payload more": func(e *Envelope) { e.Payload = append(e.Payload, ' ') },
		"type":         func(e *Envelope) { e.PayloadType += "x" },
		"signature":    func(e *Envelope) { e.Signatures[0].Sig[10] ^= 1 },
		"none":         func(e *Envelope) { e.Signatures = nil },
		"empty":        func(e *Envelope) { e.Signatures[0].Sig = nil },
	} {
		e := fresh()
		if change(e); true {
			if _, err := e.Verify(s.Public()); !errors.Is(err, ErrSignature) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	e := fresh()
	e.Signatures = append([]Signature{{Sig: []byte("another's")}}, e.Signatures...)
	if _, err := e.Verify(s.Public()); err != nil {
		t.Errorf("one of two signatures: %v", err)
	}
}

// forger gives the signature of another key than it says it has.
type forger struct{ Signer }

func (f forger) Sign(context.Context, []byte) ([]byte, error) { return []byte("no signature"), nil }

func TestSignChecksItself(t *testing.T) {
	if _, err := Sign(context.Background(), NewStatement("a", "00", ImageSignature, nil), forger{signer(t)}); !errors.Is(err, ErrSignature) {
		t.Errorf("%v", err)
	}
}

func TestBundle(t *testing.T) {
	s := signer(t)
	e, err := Sign(context.Background(), NewStatement("", "00", ImageSignature, nil), s)
	if err != nil {
		t.Fatal(err)
	}
	hint, err := Hint(s.Public())
	if err != nil {
		t.Fatal(err)
	}
	text, err := (&Bundle{*e, hint}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseBundle(text)
	if err != nil || back.Hint != hint {
		t.Fatalf("%v, %v", back, err)
	}
	if _, err := back.Envelope.Verify(s.Public()); err != nil {
		t.Error(err)
	}
	for what, tt := range map[string]struct{ text, want string }{
		"no JSON":     {"x", "reading a bundle"},
		"other type":  {`{"mediaType":"text/plain"}`, "of type"},
		"keyless":     {`{"mediaType":"` + BundleType + `","verificationMaterial":{"certificate":{"rawBytes":""}},"dsseEnvelope":{}}`, ErrCertificate.Error()},
		"plain bytes": {`{"mediaType":"` + BundleType + `","messageSignature":{}}`, ErrNoStatement.Error()},
		"empty":       {`{"mediaType":"` + BundleType + `"}`, "no envelope"},
	} {
		if _, err := ParseBundle([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", what, err, tt.want)
		}
	}
}

// signModel signs files as model_signing does.
func signModel(t *testing.T, s Signer, files fstest.MapFS, change func(p *predicate, st *Statement)) []byte {
	t.Helper()
	p := &predicate{}
	p.Serialization.Method, p.Serialization.HashType = "files", "sha256"
	p.Serialization.IgnorePaths = []string{"model.sig", ".git"}
	all := sha256.New()
	for _, name := range []string{"MLmodel", "code/a.py", "weights.bin"} {
		digest := sha256.Sum256(files[name].Data)
		all.Write(digest[:])
		p.Resources = append(p.Resources, resource{name, "sha256", hex.EncodeToString(digest[:])})
	}
	st := NewStatement("model", hex.EncodeToString(all.Sum(nil)), ModelSignature, nil)
	if change != nil {
		change(p, &st)
	}
	var err error
	if st.Predicate, err = json.Marshal(p); err != nil {
		t.Fatal(err)
	}
	e, err := Sign(context.Background(), st, s)
	if err != nil {
		t.Fatal(err)
	}
	text, err := (&Bundle{Envelope: *e}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestVerifyModel(t *testing.T) {
	s := signer(t)
	var other crypto.PublicKey = signer(t).Public()
	files := func() fstest.MapFS {
		return fstest.MapFS{"MLmodel": {Data: []byte("flavors:\n")}, "code/a.py": {Data: []byte("x = 1\n")}, "weights.bin": {Data: []byte("weights")}}
	}
	for what, tt := range map[string]struct {
		change func(f fstest.MapFS)
		forge  func(p *predicate, st *Statement)
		key    crypto.PublicKey
		want   string // of the error; "" for none
	}{
		"as signed":            {nil, nil, nil, ""},
		"with MLflow's note":   {func(f fstest.MapFS) { f["registered_model_meta"] = &fstest.MapFile{} }, nil, nil, ""},
		"with the signature":   {func(f fstest.MapFS) { f["model.sig"] = &fstest.MapFile{} }, nil, nil, ""},
		"changed":              {func(f fstest.MapFS) { f["weights.bin"].Data = []byte("Weights") }, nil, nil, "weights.bin was changed since"},
		"added":                {func(f fstest.MapFS) { f["code/b.py"] = &fstest.MapFile{} }, nil, nil, "code/b.py was added since"},
		"added where ignored":  {func(f fstest.MapFS) { f["x/.git"] = &fstest.MapFile{} }, nil, nil, "x/.git was left out when the model was signed"},
		"note in a folder":     {func(f fstest.MapFS) { f["code/registered_model_meta"] = &fstest.MapFile{} }, nil, nil, "was added since"},
		"missing":              {func(f fstest.MapFS) { delete(f, "code/a.py") }, nil, nil, "code/a.py is missing"},
		"swapped":              {func(f fstest.MapFS) { f["MLmodel"], f["weights.bin"] = f["weights.bin"], f["MLmodel"] }, nil, nil, "MLmodel was changed since"},
		"another key":          {nil, nil, other, ErrSignature.Error()},
		"shards":               {nil, func(p *predicate, _ *Statement) { p.Serialization.Method = "shards" }, nil, `the method "shards"`},
		"blake2":               {nil, func(p *predicate, _ *Statement) { p.Serialization.HashType = "blake2b" }, nil, `the hash "blake2b"`},
		"old form":             {nil, func(_ *predicate, st *Statement) { st.PredicateType = modelDigests }, nil, "old form"},
		"an image's signature": {nil, func(_ *predicate, st *Statement) { st.PredicateType = ImageSignature }, nil, "not about a model"},
		"another subject":      {nil, func(_ *predicate, st *Statement) { st.Subject[0].Digest["sha256"] = strings.Repeat("0", 64) }, nil, "its subject is not"},
		"a file twice":         {nil, func(p *predicate, _ *Statement) { p.Resources = append(p.Resources, p.Resources[0]) }, nil, "names MLmodel twice"},
		"a path that leaves":   {nil, func(p *predicate, _ *Statement) { p.Resources[0].Name = "../x" }, nil, "cannot be read"},
		"a file of another":    {nil, func(p *predicate, _ *Statement) { p.Resources[0].Algorithm = "md5" }, nil, "cannot be read"},
		"fewer files":          {nil, func(p *predicate, _ *Statement) { p.Resources = p.Resources[1:] }, nil, "its subject is not"},
	} {
		f := files()
		bundle := signModel(t, s, f, tt.forge)
		if tt.change != nil {
			tt.change(f)
		}
		key := tt.key
		if key == nil {
			key = s.Public()
		}
		got, err := VerifyModel(f, bundle, key)
		switch {
		case tt.want == "" && (err != nil || len(got.Digest) != 64 || len(got.Files) != len(f)):
			t.Errorf("%s: %v, %v", what, got, err)
		case tt.want != "" && (err == nil || !IsModelError(err) || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", what, err, tt.want)
		}
	}
	if _, err := VerifyModel(files(), []byte("{}"), s.Public()); !IsModelError(err) {
		t.Errorf("no bundle: %v", err)
	}
}
