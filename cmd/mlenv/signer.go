package main

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"mlenv/resolve/signing"
)

// signer opens the key of --sign-key. With a program, which holds the private key, the file has the
// public one. It is nil where no key is named.
func (a *app) signer(key, program string) (signing.Signer, error) {
	if key == "" {
		if program != "" {
			return nil, &usageError{msg: "--sign-with needs --sign-key with the public key, by which the signatures are checked"}
		}
		return nil, nil
	}
	data, err := os.ReadFile(key)
	if err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	if program != "" {
		public, err := signing.ParsePublic(data)
		if err != nil {
			return nil, fmt.Errorf("reading the public key %s: %w", key, err)
		}
		return &programSigner{program, public, a}, nil
	}
	s, err := signing.ParsePrivate(data, func() (string, error) {
		password, ok := a.lookup("COSIGN_PASSWORD")
		if !ok {
			return "", errors.New("it is encrypted, and COSIGN_PASSWORD is not set")
		}
		return password, nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the key %s: %w", key, err)
	}
	return s, nil
}

// publicKey reads a public key; nil where no file is named.
func publicKey(file string) (crypto.PublicKey, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	key, err := signing.ParsePublic(data)
	if err != nil {
		return nil, fmt.Errorf("reading the key %s: %w", file, err)
	}
	return key, nil
}

// programSigner has a program sign: it gets the message on its stdin, and prints the signature, as
// bytes or in base64.
type programSigner struct {
	program string
	public  crypto.PublicKey
	app     *app
}

// Public implements signing.Signer.
func (p *programSigner) Public() crypto.PublicKey { return p.public }

// Sign implements signing.Signer.
func (p *programSigner) Sign(ctx context.Context, message []byte) ([]byte, error) {
	cmd := exec.CommandContext(ctx, p.program)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(message), p.app.stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("running %s: %w", p.program, err)
	}
	// No signature in DER is text, so what reads as base64 is base64.
	if sig, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(out))); err == nil && len(sig) > 0 {
		return sig, nil
	}
	return out, nil
}
