package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// gitlabJob is what is read of a job of GitLab CI.
type gitlabJob struct {
	Stage     string
	Script    []string
	Rules     []struct{ If string }
	Artifacts struct {
		Paths   []string
		Reports map[string]string
	}
}

// checkout gives a job a directory of its own, with the artifacts of the jobs before it.
func (w *ciWorld) checkout(artifacts string) string {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), "project")
	for _, from := range []string{w.repo, artifacts} {
		if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
			w.t.Fatal(err)
		}
	}
	return dir
}

func TestGitLabCI(t *testing.T) {
	t.Parallel()
	w := newCIWorld(t)
	file := "gitlab-ci.yml"
	top := example[struct {
		Stages    []string
		Variables map[string]string
	}](t, file)[0]
	jobs := example[struct {
		Jobs map[string]gitlabJob `yaml:",inline"`
		// What is no job, so that it is not taken for one.
		Stages, Variables, Default any
	}](t, file)[0].Jobs
	predefined := map[string]string{
		"CI_REGISTRY": w.registry, "CI_REGISTRY_IMAGE": strings.TrimSuffix(w.image, "/churn"), "CI_REGISTRY_USER": ciUser,
		"CI_REGISTRY_PASSWORD": ciPassword, "CI_COMMIT_SHA": "0123abc", "PIP_INDEX_URL": w.index,
	}
	artifacts, dotenv := t.TempDir(), map[string]string{}
	ran := 0
	for _, stage := range top.Stages {
		for _, name := range slices.Sorted(maps.Keys(jobs)) {
			job := jobs[name]
			if job.Stage != stage {
				continue
			}
			dir := w.checkout(artifacts)
			env := maps.Clone(predefined)
			env["CI_PROJECT_DIR"] = dir
			for k, v := range top.Variables {
				env[k] = os.Expand(v, func(name string) string { return env[name] })
			}
			env["BASE"] = w.base // a variable of the project wins
			maps.Copy(env, dotenv)
			w.run(name, dir, []string{"sh", "-e"}, strings.Join(job.Script, "\n"), env)
			ran++
			for _, p := range job.Artifacts.Paths {
				if err := os.WriteFile(filepath.Join(artifacts, p), []byte(w.file(dir, p)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			for kind, p := range job.Artifacts.Reports {
				if text := w.file(dir, p); kind == "dotenv" {
					maps.Copy(dotenv, variables(text))
				}
			}
		}
	}
	if ran != len(jobs) || ran != 4 {
		t.Errorf("%d of %d jobs ran", ran, len(jobs))
	}
	w.holds("0123abc", dotenv["MODEL_DIGEST"])
	if dotenv["MODEL_IMAGE"] != w.image+"@"+dotenv["MODEL_DIGEST"] {
		t.Errorf("the image is %s", dotenv["MODEL_IMAGE"])
	}
}

var jenkinsShell = regexp.MustCompile(`(?s)sh '''\n(.*?)'''`)

func TestJenkins(t *testing.T) {
	t.Parallel()
	w := newCIWorld(t)
	text := w.file("../../docs/ci/Jenkinsfile")
	env := map[string]string{
		"MODEL": "model", "BASE": w.base, "IMAGE": w.image, "BUILD_NUMBER": "42", "DOCKER_CONFIG": filepath.Join(t.TempDir(), "docker"),
		"REGISTRY_USER": ciUser, "REGISTRY_PASSWORD": ciPassword, "PIP_INDEX_URL": w.index, "MLENV_MEMO": w.image + "-notes",
	}
	for _, m := range regexp.MustCompile(`string\(name: '(\w+)'`).FindAllStringSubmatch(text, -1) {
		if env[m[1]] == "" {
			t.Errorf("the parameter %s is not given", m[1])
		}
	}
	scripts := jenkinsShell.FindAllStringSubmatch(text, -1)
	if len(scripts) != strings.Count(text, "sh '") || len(scripts) != 5 {
		t.Fatalf("found %d scripts", len(scripts))
	}
	for _, m := range scripts {
		// Between ''' a backslash is written as two.
		script := strings.ReplaceAll(m[1], `\\`, `\`)
		if strings.Contains(script, "MODEL_IMAGE") {
			env["MODEL_IMAGE"] = strings.TrimSpace(w.file(w.repo, "reference"))
		}
		out := w.run("Jenkinsfile", w.repo, []string{"sh", "-xe"}, script, env)
		if strings.Contains(script, "REGISTRY_PASSWORD") && strings.Contains(out, "auth") {
			t.Errorf("the trace shows credentials:\n%s", out)
		}
	}
	digest := w.file(w.repo, "digest")
	w.holds("build-42", digest)
	if env["MODEL_IMAGE"] != w.image+"@"+digest {
		t.Errorf("the image is %s", env["MODEL_IMAGE"])
	}
}

// nameValue is how Kubernetes writes variables and parameters.
type nameValue struct {
	Name, Value string
	Default     *string
}

// tektonSpec is what is read of a Task's spec.
type tektonSpec struct {
	Params       []nameValue
	Results      []nameValue
	StepTemplate struct {
		WorkingDir string `yaml:"workingDir"`
		Env        []nameValue
	} `yaml:"stepTemplate"`
	Steps []struct {
		Name, Script string
		Env          []nameValue
	}
	Tasks []struct {
		Name     string
		Params   []nameValue
		TaskSpec *tektonSpec `yaml:"taskSpec"`
	}
}

var tektonVariable = regexp.MustCompile(`\$\(((?:params|results|workspaces|tasks)\.[^)]+)\)`)

// tektonTask runs the steps of a Task with these values of its variables.
func tektonTask(w *ciWorld, spec *tektonSpec, values map[string]string) {
	w.t.Helper()
	for _, step := range spec.Steps {
		if tektonVariable.MatchString(step.Script) {
			w.t.Errorf("%s pastes a value into its script", step.Name)
		}
		shebang, script, _ := strings.Cut(step.Script, "\n")
		env := map[string]string{}
		for _, e := range slices.Concat(spec.StepTemplate.Env, step.Env) {
			env[e.Name] = substitute(w.t, tektonVariable, e.Value, values)
		}
		dir := w.repo
		if spec.StepTemplate.WorkingDir != "" {
			dir = substitute(w.t, tektonVariable, spec.StepTemplate.WorkingDir, values)
		}
		env["HOME"] = w.env["HOME"] // Tekton makes it
		w.run(step.Name, dir, []string{strings.TrimPrefix(shebang, "#!")}, script, env)
	}
}

func TestTekton(t *testing.T) {
	t.Parallel()
	w := newCIWorld(t)
	documents := example[struct {
		Kind string
		Spec tektonSpec
	}](t, "tekton.yaml")
	if len(documents) != 2 || documents[0].Kind != "Task" || documents[1].Kind != "Pipeline" {
		t.Fatalf("found %d documents", len(documents))
	}
	task, pipeline := &documents[0].Spec, &documents[1].Spec
	docker, results := t.TempDir(), t.TempDir()
	w.login(docker)
	given := map[string]string{"image": w.image + ":v7", "mlenv-image": "registry.example.com/mlenv", "base": w.base, "index-url": w.index}
	values := map[string]string{
		"workspaces.source.path": w.repo, "workspaces.dockerconfig.path": docker,
		"workspaces.cache.path": "", // it is optional, and not bound by the Pipeline
	}
	for _, p := range task.Params {
		if p.Default != nil {
			values["params."+p.Name] = *p.Default
		}
		if v, ok := given[p.Name]; ok {
			values["params."+p.Name] = v
		}
	}
	for _, r := range task.Results {
		values["results."+r.Name+".path"] = filepath.Join(results, r.Name)
	}
	tektonTask(w, task, values)
	digest := w.file(results, "IMAGE_DIGEST")
	w.holds("v7", digest)
	if got := w.file(results, "IMAGE_URL"); got != w.image+"@"+digest {
		t.Errorf("the image is %s", got)
	}
	for _, r := range pipeline.Results {
		if got := substitute(t, tektonVariable, r.Value, map[string]string{"tasks.image.results.IMAGE_DIGEST": digest}); got != digest {
			t.Errorf("the pipeline's result %s is %s", r.Name, got)
		}
	}
	for _, one := range pipeline.Tasks {
		if one.TaskSpec == nil {
			continue
		}
		values := map[string]string{}
		for _, p := range one.Params {
			values["params."+p.Name] = substitute(t, tektonVariable, p.Value, map[string]string{"tasks.image.results.IMAGE_URL": w.file(results, "IMAGE_URL")})
		}
		tektonTask(w, one.TaskSpec, values)
	}
}

// login writes the config.json that a cluster mounts.
func (w *ciWorld) login(dir string) {
	w.t.Helper()
	w.run("login", dir, []string{"sh", "-e"}, `
		auth=$(printf '%s:%s' "$U" "$P" | base64 | tr -d '\n')
		printf '{"auths": {"%s": {"auth": "%s"}}}\n' "$REGISTRY" "$auth" > config.json
	`, map[string]string{"U": ciUser, "P": ciPassword, "REGISTRY": w.registry})
}

// argoWorkflow is what is read of a WorkflowTemplate.
type argoWorkflow struct {
	Spec struct {
		Entrypoint string
		Arguments  struct{ Parameters []nameValue }
		Templates  []struct {
			Name   string
			DAG    struct{ Tasks []argoTask }
			Script struct {
				Command    []string
				WorkingDir string `yaml:"workingDir"`
				Source     string
				Env        []nameValue
			}
			Outputs struct {
				Parameters []struct {
					Name      string
					ValueFrom struct{ Path string } `yaml:"valueFrom"`
				}
			}
		}
	}
}

type argoTask struct {
	Name, Template, Depends string
	Arguments               struct{ Parameters []nameValue }
}

var argoExpression = regexp.MustCompile(`\{\{ *(.*?) *\}\}`)

func TestArgoWorkflows(t *testing.T) {
	t.Parallel()
	w := newCIWorld(t)
	spec := example[argoWorkflow](t, "argo-workflows.yaml")[0].Spec
	docker, temp := t.TempDir(), t.TempDir()
	w.login(docker)
	// What is mounted in the pod lies elsewhere here.
	mounts := strings.NewReplacer("/models", w.repo, "/docker", docker, "/tmp/", temp+"/")
	values := map[string]string{}
	for _, p := range spec.Arguments.Parameters {
		values["workflow.parameters."+p.Name] = p.Value
	}
	maps.Copy(values, map[string]string{"workflow.parameters.image": w.image + ":v7", "workflow.parameters.base": w.base, "workflow.parameters.index-url": w.index})
	var tasks []argoTask
	byName := map[string]int{}
	for i, one := range spec.Templates {
		byName[one.Name] = i
		if one.Name == spec.Entrypoint {
			tasks = one.DAG.Tasks
		}
	}
	last := ""
	for _, task := range tasks {
		if task.Depends != last {
			t.Fatalf("%s depends on %q, not on %q", task.Name, task.Depends, last)
		}
		last = task.Name
		one := spec.Templates[byName[task.Template]]
		for _, p := range task.Arguments.Parameters {
			values["inputs.parameters."+p.Name] = substitute(t, argoExpression, p.Value, values)
		}
		if argoExpression.MatchString(one.Script.Source) {
			t.Errorf("%s pastes a value into its script", one.Name)
		}
		env := map[string]string{}
		for _, e := range one.Script.Env {
			if env[e.Name] = mounts.Replace(e.Value); argoExpression.MatchString(e.Value) {
				env[e.Name] = substitute(t, argoExpression, e.Value, values)
			}
		}
		dir := w.repo
		if d := one.Script.WorkingDir; d != "" {
			dir = mounts.Replace(d)
		}
		w.run(one.Name, dir, one.Script.Command, mounts.Replace(one.Script.Source), env)
		for _, p := range one.Outputs.Parameters {
			values["tasks."+task.Name+".outputs.parameters."+p.Name] = w.file(mounts.Replace(p.ValueFrom.Path))
		}
	}
	if len(tasks) != 4 {
		t.Errorf("found %d tasks", len(tasks))
	}
	digest := values["tasks.image.outputs.parameters.digest"]
	w.holds("v7", digest)
	if got := values["inputs.parameters.image"]; got != w.image+"@"+digest {
		t.Errorf("deployed %s", got)
	}
}
