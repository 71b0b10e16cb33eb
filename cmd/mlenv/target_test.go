package main

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
)

// TestImageTarget builds for a platform: with what it wants, and not against what it would refuse.
func TestImageTarget(t *testing.T) {
	w := newImageWorld(t)
	config, manifest := w.pushed(t, "--target", "sagemaker")
	if manifest.MediaType != types.DockerManifestSchema2 || config.Config.User != "0:0" ||
		config.Config.Labels["com.amazonaws.sagemaker.capabilities.accept-bind-to-port"] != "true" {
		t.Errorf("sagemaker: manifest %s, user %q, labels %v", manifest.MediaType, config.Config.User, config.Config.Labels)
	}
	config, manifest = w.pushed(t, "--target", "kubernetes", "--user", "4242")
	if manifest.MediaType != types.OCIManifestSchema1 || config.Config.User != "4242" {
		t.Errorf("kubernetes: manifest %s, user %q", manifest.MediaType, config.Config.User)
	}
	for _, tt := range []struct {
		args []string
		want string // "": nothing is refused
	}{
		{[]string{"--target", "sagemaker", "--port", "9000"}, "target-port"},
		{[]string{"--target", "sagemaker", "--manifest", "oci"}, "target-manifest"},
		{[]string{"--target", "kserve", "--user", "0:0"}, "target-refuses-root"},
		{[]string{"--target", "cloudrun", "--serve", "none"}, "target-server"},
		{[]string{"--target", "lambda"}, "unknown platform"},
	} {
		_, errs, code := command(t, w.env, w.args(append(tt.args, "--push", w.registry+"/no:1")...)...)
		if code == exitOK || !strings.Contains(errs, tt.want) {
			t.Errorf("%s: exit code %d, %s", tt.args, code, errs)
		}
	}
}

// TestCheckTarget says what a platform would refuse of a model's image, and of one that is there.
func TestCheckTarget(t *testing.T) {
	w := newImageWorld(t)
	oci, docker := w.registry+"/churn:oci", w.registry+"/churn:docker"
	w.image(t, "--push", oci)
	w.image(t, "--push", docker, "--target", "sagemaker")
	for _, tt := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{w.model, "--target", "sagemaker"}, exitOK, nil},
		{[]string{w.model, "--target", "vertex", "--platform", "linux/arm64"}, exitFindings, []string{"target-architecture"}},
		{[]string{w.model, "--target", "kubernetes", "--serve", "none"}, exitFindings, []string{"target-server"}},
		{[]string{oci, "--target", "sagemaker"}, exitFindings, []string{"target-manifest", "target-wants-root"}},
		{[]string{docker, "--target", "sagemaker"}, exitOK, []string{"0 findings"}},
		{[]string{docker, "--target", "kubernetes"}, exitFindings, []string{"target-refuses-root"}},
		{[]string{docker}, exitFailure, nil}, // without --target it is the name of a model
	} {
		out, errs, code := command(t, w.env, append([]string{"check"}, tt.args...)...)
		if code != tt.code {
			t.Errorf("%s: exit code %d, want %d\n%s%s", tt.args, code, tt.code, out, errs)
		}
		for _, want := range tt.want {
			if !strings.Contains(out+errs, want) {
				t.Errorf("%s: says nothing of %q\n%s%s", tt.args, want, out, errs)
			}
		}
	}
}
