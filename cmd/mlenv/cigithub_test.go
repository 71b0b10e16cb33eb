package main

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// githubWorkflow is what is read of a workflow of GitHub Actions.
type githubWorkflow struct {
	Env  map[string]string
	Jobs map[string]struct {
		If      string
		Outputs map[string]string
		Steps   []githubStep
	}
}

type githubStep struct {
	ID, Name, If, Uses, Run string
	Env                     map[string]string
}

var githubExpression = regexp.MustCompile(`\$\{\{ *(.*?) *\}\}`)

// githubRunner runs the steps of jobs as GitHub's runner does.
type githubRunner struct {
	*ciWorld
	flow   githubWorkflow
	values map[string]string // of expressions
}

// wanted evaluates a step's condition.
func (r *githubRunner) wanted(step githubStep, event string) bool {
	r.t.Helper()
	do, known := map[string]bool{"": true, "always()": true,
		"github.event_name == 'pull_request'": event == "pull_request", "github.ref == 'refs/heads/main'": event == "push"}[step.If]
	if !known {
		r.t.Fatalf("%s: nothing is known of if: %s", step.Name, step.If)
	}
	return do && step.Uses == ""
}

// job runs a job and gives the outputs of its steps.
func (r *githubRunner) job(name, event string) map[string]string {
	r.t.Helper()
	temp := r.t.TempDir()
	outputs := map[string]string{}
	for _, step := range r.flow.Jobs[name].Steps {
		if !r.wanted(step, event) {
			continue
		}
		if githubExpression.MatchString(step.Run) {
			r.t.Errorf("%s pastes a value into its script", step.Name)
		}
		env := map[string]string{"GITHUB_SHA": "0123abc", "RUNNER_TEMP": temp}
		for _, file := range []string{"GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STEP_SUMMARY"} {
			env[file] = filepath.Join(temp, file)
		}
		maps.Copy(env, substituteAll(r.t, githubExpression, r.flow.Env, r.values))
		maps.Copy(env, substituteAll(r.t, githubExpression, step.Env, r.values))
		r.run(step.Name, r.repo, []string{"bash", "--noprofile", "--norc", "-eo", "pipefail"}, step.Run, env)
		if step.Name == "Install mlenv" {
			r.env["PATH"] = strings.TrimSpace(r.file(temp, "GITHUB_PATH")) + string(os.PathListSeparator) + r.env["PATH"]
		}
		if step.ID != "" {
			for k, v := range variables(r.file(temp, "GITHUB_OUTPUT")) {
				outputs["steps."+step.ID+".outputs."+k] = v
			}
		}
	}
	return outputs
}

// newGithubRunner gives a runner without mlenv, which the workflow fetches from a server.
func newGithubRunner(t *testing.T) *githubRunner {
	t.Helper()
	for _, tool := range []string{"bash", "curl", "sha256sum"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed, which the workflow uses", tool)
		}
	}
	r := &githubRunner{ciWorld: newCIWorld(t), flow: example[githubWorkflow](t, "github-actions.yaml")[0]}
	mlenv, err := exec.LookPath("mlenv")
	if err != nil {
		t.Fatal(err)
	}
	binary := r.file(mlenv)
	sum := sha256.Sum256([]byte(binary))
	release := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := w.Write([]byte(binary)); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(release.Close)
	shims := t.TempDir()
	// gh can only talk to GitHub: the comment is kept instead.
	gh := "#!/bin/sh\n[ \"$*\" = 'pr comment 7 --body-file diff.md' ] && cp diff.md \"$HOME/comment.md\"\n"
	if err := os.WriteFile(filepath.Join(shims, "gh"), []byte(gh), 0o755); err != nil {
		t.Fatal(err)
	}
	delete(r.env, "MLENV_CACHE_DIR")
	// Without the mlenv of this test: the workflow has to bring its own.
	path := []string{shims}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if dir != filepath.Dir(mlenv) {
			path = append(path, dir)
		}
	}
	r.env["PATH"] = strings.Join(path, string(os.PathListSeparator))
	r.values = map[string]string{
		"vars.MODEL_IMAGE": r.image, "vars.MODEL_BASE": r.base, "vars.MLENV_MEMO": r.image + "-notes", "vars.MLENV_URL": release.URL, "vars.MLENV_SHA256": hex.EncodeToString(sum[:]),
		"secrets.REGISTRY_USER": ciUser, "secrets.REGISTRY_PASSWORD": ciPassword, "secrets.PIP_INDEX_URL": r.index,
		"github.token": "t", "github.event.number": "7",
	}
	return r
}

func TestGitHubActions(t *testing.T) {
	t.Parallel()
	r := newGithubRunner(t)
	outputs := substituteAll(t, githubExpression, r.flow.Jobs["image"].Outputs, r.job("image", "push"))
	r.holds("latest", outputs["digest"])
	r.holds("0123abc", outputs["digest"])
	if outputs["image"] != r.image+"@"+outputs["digest"] {
		t.Errorf("the image is %s", outputs["image"])
	}
	r.values["needs.image.outputs.image"] = outputs["image"]
	r.job("deploy", "push")

	// A pull request that changes a requirement is told so, and pushes nothing.
	for _, file := range []string{"requirements.txt", "conda.yaml"} {
		file = filepath.Join(r.repo, "model", file)
		text := strings.ReplaceAll(r.file(file), "scipy==1.17.1", "scipy==1.17.0")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r.job("image", "pull_request")
	if comment := r.file(r.env["HOME"], "comment.md"); !strings.Contains(comment, "| `scipy` | downgraded | `1.17.1` | `1.17.0` | direct |") {
		t.Errorf("the comment is\n%s", comment)
	}
	r.holds("latest", outputs["digest"])
}
