package main

import (
	"strings"
	"testing"
)

// TestManifest prints manifests of a model and of its image.
func TestManifest(t *testing.T) {
	w := newImageWorld(t)
	w.write(t, "environment_variables.txt", "OPENAI_API_KEY\n")
	ref := w.image(t, "--push", w.registry+"/team/churn:1", "--port", "9000", "--user", "4242:0").References[0]
	root := w.registry + "/root:1"
	w.image(t, "--push", root, "--target", "sagemaker")
	for _, tt := range []struct {
		args []string
		want []string
		code int
	}{
		{[]string{w.model, "--image", "registry.example/x:1"},
			[]string{"kind: Deployment", `name: "churn-model"`, `image: "registry.example/x:1"`, "containerPort: 8080", "runAsUser: 1000", `key: "OPENAI_API_KEY"`, "churn-model-env"}, exitOK},
		{[]string{w.registry + "/team/churn:1", "--target", "kserve", "--workers", "2"},
			[]string{"kind: InferenceService", `name: "churn"`, `image: "` + ref + `"`, "containerPort: 9000", "runAsUser: 4242", `value: "2"`, `key: "OPENAI_API_KEY"`}, exitOK},
		{[]string{root, "--target", "compose", "--name", "other"}, []string{`"other":`, `user: "0:0"`, "${OPENAI_API_KEY:?"}, exitOK},
		{[]string{root}, []string{"target", "runAsNonRoot refuses the user", "mlenv image --target kubernetes"}, exitFailure},
		{[]string{w.model}, []string{"give --image REFERENCE"}, exitFailure},
		{[]string{w.model, "--image", "x", "--name", "A b"}, []string{"a-b could"}, exitFailure},
		{[]string{w.model, "--target", "sagemaker"}, []string{"kubernetes, cloudrun, compose or kserve"}, exitFailure},
		{[]string{"oci:" + w.base, "--image", "x"}, []string{"serves nothing"}, exitFailure},
	} {
		out, errs, code := command(t, w.env, append([]string{"manifest"}, tt.args...)...)
		if code != tt.code || code != exitOK && out != "" {
			t.Errorf("%s: exit code %d, %s%s", tt.args, code, out, errs)
		}
		for _, want := range tt.want {
			if !strings.Contains(out+errs, want) {
				t.Errorf("%s: nothing of %q in\n%s%s", tt.args, want, out, errs)
			}
		}
	}
}
