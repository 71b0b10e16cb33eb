package signing

import (
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// The predicate types of OpenSSF Model Signing.
const (
	ModelSignature = "https://model_signing/signature/v1.0"
	modelDigests   = "https://model_signing/Digests/v0.1" // by earlier releases
)

// ModelSignatureName is what the file with a model's signature is called by convention.
const ModelSignatureName = "model.sig"

// unsignedFiles are what lies in a model though it was signed without: the signature itself, and
// MLflow's note, written when a model is downloaded, of what it is registered as.
var unsignedFiles = []string{ModelSignatureName, "registered_model_meta"}

// ModelError reports that a model is not the one that was signed.
type ModelError struct {
	Path string // of the first file that differs; "" for what is wrong with the signature
	Why  string
}

func (e *ModelError) Error() string {
	if e.Path == "" {
		return "the model's signature: " + e.Why
	}
	return "the model is not as it was signed: " + e.Path + " " + e.Why
}

// Verified is a model that is as it was signed.
type Verified struct {
	Digest string            // that the signature gives the whole model, in hex
	Files  map[string]string // the SHA-256 of each of its files when it was verified, those that need not be signed among them
}

// predicate is what is said of a model.
type predicate struct {
	Serialization struct {
		Method       string   `json:"method"`
		HashType     string   `json:"hash_type"`
		IgnorePaths  []string `json:"ignore_paths"`
		AllowSymlink bool     `json:"allow_symlinks"`
	} `json:"serialization"`
	Resources []resource `json:"resources"`
}

type resource struct {
	Name      string `json:"name"`
	Algorithm string `json:"algorithm"`
	Digest    string `json:"digest"`
}

// VerifyModel verifies a model against the bundle of its signature (OpenSSF Model Signing 1.0, the
// method "files" with SHA-256). Every file must be signed, and every signed file there. The error is a
// *ModelError, or says why a file could not be read.
func VerifyModel(fsys fs.FS, bundle []byte, key crypto.PublicKey) (*Verified, error) {
	b, err := ParseBundle(bundle)
	if err != nil {
		return nil, &ModelError{Why: err.Error()}
	}
	s, err := b.Envelope.Verify(key)
	if err != nil {
		return nil, &ModelError{Why: err.Error()}
	}
	p, err := readPredicate(s)
	if err != nil {
		return nil, err
	}
	signed := map[string]string{}
	all := sha256.New()
	for _, r := range p.Resources {
		raw, err := hex.DecodeString(r.Digest)
		if err != nil || r.Algorithm != "sha256" || len(raw) != sha256.Size || !fs.ValidPath(r.Name) {
			return nil, &ModelError{Why: fmt.Sprintf("it has the hash %s %q of %q, which cannot be read", r.Algorithm, r.Digest, r.Name)}
		}
		if _, twice := signed[r.Name]; twice {
			return nil, &ModelError{Why: fmt.Sprintf("it names %s twice", r.Name)}
		}
		signed[r.Name] = strings.ToLower(r.Digest)
		all.Write(raw) // never fails
	}
	digest := hex.EncodeToString(all.Sum(nil))
	if !s.IsAbout(digest) {
		return nil, &ModelError{Why: "its subject is not the digest of the files that it lists"}
	}
	files, err := compare(fsys, signed, p.Serialization.IgnorePaths)
	if err != nil {
		return nil, err
	}
	return &Verified{digest, files}, nil
}

// readPredicate refuses by name what is not verified here.
func readPredicate(s *Statement) (*predicate, error) {
	switch {
	case s.PredicateType == modelDigests:
		return nil, &ModelError{Why: "it is of the old form " + modelDigests + ", which need not list all files; sign the model again"}
	case s.PredicateType != ModelSignature:
		return nil, &ModelError{Why: "it is a statement of type " + s.PredicateType + ", not about a model"}
	}
	var p predicate
	if err := json.Unmarshal(s.Predicate, &p); err != nil {
		return nil, &ModelError{Why: err.Error()}
	}
	if m := p.Serialization.Method; m != "files" {
		return nil, &ModelError{Why: fmt.Sprintf("it was made with the method %q; only \"files\" is verified here", m)}
	}
	if h := p.Serialization.HashType; h != "sha256" {
		return nil, &ModelError{Why: fmt.Sprintf("it was made with the hash %q; only sha256 is verified here", h)}
	}
	return &p, nil
}

// compare compares a model's files with what was signed. What a signature says was ignored, such as
// git's own files, is not ignored here, except for unsignedFiles: all of it would be packed, and
// whoever may add a file may change what the model does.
func compare(fsys fs.FS, signed map[string]string, ignored []string) (map[string]string, error) {
	seen := map[string]string{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		got, err := hashOf(fsys, name)
		if err != nil {
			return err
		}
		seen[name] = got
		want, ok := signed[name]
		if !ok {
			if slices.Contains(unsignedFiles, name) {
				return nil
			}
			why := "was added since"
			if slices.Contains(ignored, name) || slices.Contains(ignored, path.Base(name)) {
				why = "was left out when the model was signed"
			}
			return &ModelError{Path: name, Why: why}
		}
		if got != want {
			return &ModelError{Path: name, Why: "was changed since"}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(signed)) {
		if seen[name] == "" && !isPythons(name) {
			return nil, &ModelError{Path: name, Why: "is missing"}
		}
	}
	return seen, nil
}

// isPythons reports whether a file is what Python compiled, which package model leaves out of models
// and nothing loads from there.
func isPythons(name string) bool {
	return strings.Contains("/"+name, "/__pycache__/") || path.Ext(name) == ".pyc"
}

func hashOf(fsys fs.FS, name string) (string, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("reading %s: %w", name, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// IsModelError reports whether a model is unsigned, changed, or signed by another key, as opposed to
// could not be read.
func IsModelError(err error) bool {
	var e *ModelError
	return errors.As(err, &e)
}
