package signing

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // for keys on larger curves
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/nacl/secretbox"
	"golang.org/x/crypto/scrypt"
)

// ErrPassword reports that an encrypted key cannot be opened with the password.
var ErrPassword = errors.New("the password does not fit the key")

// ParsePrivate reads a private key in PEM: PKCS#8 ("PRIVATE KEY"), SEC 1 ("EC PRIVATE KEY"), or the
// encrypted form of cosign ("ENCRYPTED SIGSTORE PRIVATE KEY"), for which password is asked. Keys are
// ECDSA on P-256, P-384 and P-521, Ed25519 and RSA of at least 2048 bits.
func ParsePrivate(data []byte, password func() (string, error)) (Signer, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("it is not a key in PEM")
	}
	der := block.Bytes
	switch block.Type {
	case "PRIVATE KEY":
	case "EC PRIVATE KEY":
		key, err := x509.ParseECPrivateKey(der)
		if err != nil {
			return nil, err
		}
		return newSigner(key)
	case "ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY":
		text, err := password()
		if err != nil {
			return nil, err
		}
		if der, err = open(der, text); err != nil {
			return nil, err
		}
	case "PUBLIC KEY":
		return nil, errors.New("it is a public key; signing needs the private one")
	default:
		return nil, fmt.Errorf("a key of the form %q is not read, only PKCS#8 without a password and cosign's own form", block.Type)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	return newSigner(key)
}

// sealed is a private key as cosign encrypts it.
type sealed struct {
	KDF struct {
		Name   string `json:"name"`
		Params struct {
			N, R, P int
		} `json:"params"`
		Salt []byte `json:"salt"`
	} `json:"kdf"`
	Cipher struct {
		Name  string `json:"name"`
		Nonce []byte `json:"nonce"`
	} `json:"cipher"`
	Ciphertext []byte `json:"ciphertext"`
}

// open decrypts a key: scrypt (RFC 7914) makes a key of the password for NaCl's secretbox.
func open(data []byte, password string) ([]byte, error) {
	var s sealed
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("reading the encrypted key: %w", err)
	}
	if s.KDF.Name != "scrypt" || s.Cipher.Name != "nacl/secretbox" || len(s.Cipher.Nonce) != 24 {
		return nil, fmt.Errorf("the key is encrypted with %s and %s, which is not known", s.KDF.Name, s.Cipher.Name)
	}
	// cosign uses 2^16, 8, 1: 64 MiB. A file that wants much more would take the machine's memory.
	p := s.KDF.Params
	if p.N > 1<<20 || p.R > 8 || p.P > 4 {
		return nil, errors.New("the encrypted key asks for too much memory")
	}
	derived, err := scrypt.Key([]byte(password), s.KDF.Salt, p.N, p.R, p.P, 32)
	if err != nil {
		return nil, fmt.Errorf("reading the encrypted key: %w", err)
	}
	plain, ok := secretbox.Open(nil, s.Ciphertext, (*[24]byte)(s.Cipher.Nonce), (*[32]byte)(derived))
	if !ok {
		return nil, ErrPassword
	}
	return plain, nil
}

// ParsePublic reads a public key in PEM (SubjectPublicKeyInfo, "PUBLIC KEY").
func ParsePublic(data []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PUBLIC KEY" {
		if block != nil && strings.Contains(block.Type, "PRIVATE") {
			return nil, errors.New("it is a private key; verifying needs the public one, and nobody else should see this one")
		}
		return nil, errors.New("it is not a public key in PEM")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	return key, usable(key)
}

// usable returns an error for kinds of keys that are not supported.
func usable(key crypto.PublicKey) error {
	const least = 2048
	switch k := key.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if k.Curve.Params().BitSize < 256 {
			return fmt.Errorf("keys on the curve %s are not supported", k.Curve.Params().Name)
		}
	case *rsa.PublicKey:
		if k.N.BitLen() < least {
			return fmt.Errorf("an RSA key of %d bits is too weak; %d are the least", k.N.BitLen(), least)
		}
	default:
		return fmt.Errorf("keys of type %T are not supported", key)
	}
	return nil
}

// local signs with a key in memory.
type local struct {
	crypto.Signer
}

func newSigner(key any) (Signer, error) {
	s, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("keys of type %T do not sign", key)
	}
	return local{s}, usable(s.Public())
}

// Sign implements Signer.
func (l local) Sign(_ context.Context, message []byte) ([]byte, error) {
	if _, ok := l.Public().(ed25519.PublicKey); ok {
		return l.Signer.Sign(rand.Reader, message, crypto.Hash(0))
	}
	h := hashesOf(l.Public())[0]
	return l.Signer.Sign(rand.Reader, sum(h, message), h)
}

func sum(h crypto.Hash, message []byte) []byte {
	w := h.New()
	w.Write(message) // never fails
	return w.Sum(nil)
}

// hashesOf returns the hashes that are used with a key, the one to sign with first. With larger
// curves sigstore uses longer ones; cosign before version 3 used SHA-256 with all of them.
func hashesOf(key crypto.PublicKey) []crypto.Hash {
	if k, ok := key.(*ecdsa.PublicKey); ok {
		switch bits := k.Curve.Params().BitSize; {
		case bits > 384:
			return []crypto.Hash{crypto.SHA512, crypto.SHA256}
		case bits > 256:
			return []crypto.Hash{crypto.SHA384, crypto.SHA256}
		}
	}
	return []crypto.Hash{crypto.SHA256}
}

// Valid reports whether a signature of a message is by a key: ECDSA in ASN.1, RSA as PKCS #1 v1.5 or
// PSS, or Ed25519.
func Valid(key crypto.PublicKey, message, sig []byte) bool {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(k, message, sig)
	case *ecdsa.PublicKey:
		for _, h := range hashesOf(k) {
			if ecdsa.VerifyASN1(k, sum(h, message), sig) {
				return true
			}
		}
	case *rsa.PublicKey:
		digest := sum(crypto.SHA256, message)
		return rsa.VerifyPKCS1v15(k, crypto.SHA256, digest, sig) == nil || rsa.VerifyPSS(k, crypto.SHA256, digest, sig, nil) == nil
	}
	return false
}

// Hint returns what cosign puts into a bundle to tell keys apart: the SHA-256 of the key's DER, in
// base64.
func Hint(key crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256(der)
	return base64.StdEncoding.EncodeToString(digest[:]), nil
}
