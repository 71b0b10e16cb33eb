// Package verify finds out whether an image is what it claims to be, in two ways that need not trust
// each other.
//
// Signatures say that the holder of a key once vouched for a digest, and for documents about it.
// That says nothing of whether the holder was right, or the machine on which it was built honest.
//
// Rebuilding asks nobody. mlenv builds are reproducible, so the image is made again from what it
// says it was made of: the lock in it, whose wheels are fetched by their hashes, the base by its
// digest, the model's files, and the recorded settings. If the result has the same digest, each byte
// of the image came from those and nothing else did. What is wrong with the wheels, the base or the
// model themselves, it does not tell.
package verify

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"mlenv/imagebuild/attach"
	"mlenv/imagebuild/image"
	"mlenv/resolve/signing"
)

// Status is the result of a check.
type Status string

// The results.
const (
	Proven  Status = "proven"
	Failed  Status = "failed"
	Missing Status = "missing" // there is nothing to check
	Untried Status = "untried" // it could not be found out
)

// Check is one thing that was checked.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Detail string `json:"detail,omitempty"` // why it failed, or what exactly was proven
}

// The names of checks.
const (
	Signature  = "signature"
	SBOM       = "sbom"
	Provenance = "provenance"
	VEX        = "vex"
	Labels     = "labels"
	Rebuilt    = "rebuild"
)

// kinds are the checks of documents by the types of their predicates.
var kinds = map[string]string{
	signing.ImageSignature:           Signature,
	"https://spdx.dev/Document":      SBOM,
	"https://cyclonedx.org/bom":      SBOM,
	"https://slsa.dev/provenance/v1": Provenance,
	"https://openvex.dev/ns":         VEX,
}

// Attached checks what is attached to an image in a registry, or to the index that names it, with a
// key. There is one check for each kind of document: it is proven if one document of the kind is
// signed by the key, about this image, and does not contradict what is in it. So what others attach
// beside it, as anybody may who can push, does no harm.
func Attached(ctx context.Context, img *image.Image, in *image.Contents, key crypto.PublicKey, r image.Remote) ([]Check, error) {
	repo, err := attach.Open(img.Name, r, transport.PullScope)
	if err != nil {
		return nil, err
	}
	problems, proven := map[string][]string{}, map[string]string{}
	subjects := []string{img.Digest}
	if img.Named != img.Digest {
		subjects = append(subjects, img.Named)
	}
	for _, subject := range subjects {
		hash, err := v1.NewHash(subject)
		if err != nil {
			return nil, err
		}
		found, err := repo.Read(ctx, hash, key)
		if err != nil {
			return nil, fmt.Errorf("reading what is attached to %s: %w", subject, err)
		}
		for _, e := range found {
			kind := kinds[e.PredicateType]
			if e.PredicateType == "" {
				kind = Signature // it cannot be read
			}
			if e.Problem == "" {
				e.Problem = contradiction(e, in)
			}
			switch {
			case kind == "":
			case e.Problem != "":
				problems[kind] = append(problems[kind], e.Problem)
			default:
				proven[kind] = "signed by the key, about " + subject
			}
		}
	}
	var out []Check
	for _, kind := range []string{Signature, SBOM, Provenance, VEX} {
		switch {
		case proven[kind] != "":
			out = append(out, Check{kind, Proven, proven[kind]})
		case len(problems[kind]) > 0:
			slices.Sort(problems[kind])
			out = append(out, Check{kind, Failed, strings.Join(slices.Compact(problems[kind]), "; ")})
		default:
			out = append(out, Check{kind, Missing, "none is attached"})
		}
	}
	return out, nil
}

// contradiction says where a document of ours does not fit the image, "" if it does.
func contradiction(e attach.Evidence, in *image.Contents) string {
	if kinds[e.PredicateType] != Provenance || in.Lock == nil {
		return ""
	}
	var p struct {
		Definition struct {
			BuildType    string `json:"buildType"`
			Dependencies []struct {
				Digest      map[string]string `json:"digest"`
				Annotations struct {
					Kind string `json:"kind"`
				} `json:"annotations"`
			} `json:"resolvedDependencies"`
		} `json:"buildDefinition"`
	}
	if err := json.Unmarshal(e.Predicate, &p); err != nil {
		return "it is not provenance: " + err.Error()
	}
	if p.Definition.BuildType != "urn:mlenv:image:v1" {
		return "" // by another builder
	}
	lock := sha256.Sum256(in.Lock)
	labels := in.Config.Config.Labels
	want := map[string]string{"lock": hex.EncodeToString(lock[:]), "base": strings.TrimPrefix(labels[image.BaseDigest], "sha256:")}
	for _, d := range p.Definition.Dependencies {
		if is, ok := want[d.Annotations.Kind]; ok && d.Digest["sha256"] != is {
			return fmt.Sprintf("it says that the %s is sha256:%s, and the image has sha256:%s", d.Annotations.Kind, d.Digest["sha256"], is)
		}
	}
	return ""
}

// LabelsFit checks that the labels of an image name the lock that is in it.
func LabelsFit(in *image.Contents) Check {
	sum := sha256.Sum256(in.Lock)
	is, says := "sha256:"+hex.EncodeToString(sum[:]), in.Config.Config.Labels["io.mlenv.lock.digest"]
	switch {
	case in.Lock == nil:
		return Check{Labels, Missing, "the image holds no lock"}
	case says != is:
		return Check{Labels, Failed, fmt.Sprintf("they say that the lock is %s, and the image has %s", says, is)}
	}
	return Check{Labels, Proven, "they name the lock that is in the image"}
}
