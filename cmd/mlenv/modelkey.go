package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"mlenv/resolve/finding"
	"mlenv/resolve/signing"
)

// keyOptions say by whom a model must be signed.
type keyOptions struct {
	key       string // a file; "": nobody
	signature string // a file; "": that in the model
}

func (o *keyOptions) bind(s *flagSet) {
	s.text(&o.key, "model-key", "the model must be signed by the owner of the public key `FILE` (OpenSSF Model Signing), every file of it")
	s.text(&o.signature, "model-signature", "the model's signature is in `FILE` (default: "+signing.ModelSignatureName+" in the model)")
}

// verify verifies a model; nil where no signature was asked for. That it is not signed by the key, or
// was changed, is a finding.
func (o *keyOptions) verify(fsys fs.FS) (_ *signing.Verified, found finding.List, err error) {
	if o.key == "" {
		if o.signature != "" {
			return nil, nil, &usageError{msg: "--model-signature needs --model-key"}
		}
		return nil, nil, nil
	}
	key, err := publicKey(o.key)
	if err != nil {
		return nil, nil, err
	}
	var bundle []byte
	// The signature may be kept where whoever writes the model cannot replace it.
	if o.signature != "" {
		bundle, err = os.ReadFile(o.signature)
	} else {
		bundle, err = fs.ReadFile(fsys, signing.ModelSignatureName)
		if errors.Is(err, fs.ErrNotExist) {
			found.Add(finding.ModelSignature, signing.ModelSignatureName, nil, "the model is not signed: it has no %s", signing.ModelSignatureName)
			return nil, found, nil
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading the model's signature: %w", err)
	}
	verified, err := signing.VerifyModel(fsys, bundle, key)
	var bad *signing.ModelError
	if errors.As(err, &bad) {
		subject := bad.Path
		if subject == "" {
			subject = signing.ModelSignatureName
		}
		found.Add(finding.ModelSignature, subject, nil, "%s", bad)
		return nil, found, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("verifying the model: %w", err)
	}
	return verified, nil, nil
}
