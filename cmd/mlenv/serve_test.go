package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// containerEngine answers as Docker does, and runs a container as a server of this process.
type containerEngine struct {
	model http.HandlerFunc // of the container; nil: it ends at once

	mu      sync.Mutex
	request struct { // that made the container
		Image      string
		Env        []string
		HostConfig struct{ NetworkMode string }
	}
	asked  []string // for the life of the container
	loaded bool
	server *httptest.Server
	ended  chan struct{} // closed when the container has ended
	once   sync.Once     // for ended
}

func (e *containerEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.Method + " " + r.URL.Path; path {
	case "GET /_ping":
	case "POST /images/load":
		_, _ = io.Copy(io.Discard, r.Body) // a request that breaks off is the client's fault
		e.loaded = true
	case "GET /images/known:1/json":
		fmt.Fprint(w, `{"Config": {"ExposedPorts": {"9000/tcp": {}}}}`)
	case "POST /containers/create":
		e.note("create")
		if err := json.NewDecoder(r.Body).Decode(&e.request); err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"Id": "c1"}`)
	case "POST /containers/c1/start":
		e.note("start")
		if e.model == nil {
			e.end()
		} else {
			e.server = httptest.NewServer(e.model)
		}
		w.WriteHeader(http.StatusNoContent)
	case "GET /containers/c1/json":
		port := "1"
		if e.server != nil {
			_, port, _ = strings.Cut(e.server.Listener.Addr().String(), ":")
		}
		fmt.Fprintf(w, `{"NetworkSettings": {"Ports": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": %q}]}}}`, port)
	case "GET /containers/c1/logs":
		// The log is behind, as an engine's may be: it comes only once the container has ended.
		e.untilEnd(r)
		for _, line := range []string{"loading the model\n", "the last word\n"} {
			_, _ = w.Write(append([]byte{2, 0, 0, 0, 0, 0, 0, byte(len(line))}, line...))
			w.(http.Flusher).Flush()
		}
	case "POST /containers/c1/wait":
		e.untilEnd(r)
		fmt.Fprint(w, `{"StatusCode": 3}`)
	case "POST /containers/c1/stop", "DELETE /containers/c1":
		e.end()
		e.note(strings.ToLower(path[:4]) + r.URL.Query().Get("t"))
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"message": "there is no such thing"}`)
	}
}

func (e *containerEngine) note(what string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = append(e.asked, what)
}

// end ends the container, unless it has ended.
func (e *containerEngine) end() {
	e.once.Do(func() { close(e.ended) })
}

func (e *containerEngine) untilEnd(r *http.Request) {
	select {
	case <-e.ended:
	case <-r.Context().Done():
	}
}

// predicts is a model's server with that answer.
func predicts(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/invocations" {
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
}

// TestServeSmoke tries models that are right, wrong, hanging and crashing.
func TestServeSmoke(t *testing.T) {
	w := newImageWorld(t)
	w.write(t, "serving_input_example.json", `{"inputs": [1]}`)
	w.write(t, "MLmodel", strings.TrimSuffix(string(mustRead(t, filepath.Join(w.model, "MLmodel"))), "\n")+
		"\nsaved_input_example_info:\n  artifact_path: input_example.json\n  serving_input_path: serving_input_example.json\n  type: json_object\n")
	w.write(t, "input_example.json", `[1]`)
	dir := t.TempDir()
	for name, text := range map[string]string{"right.json": `{"predictions": [1.00000000000001]}`, "other.json": `{"predictions": [2]}`, "more.json": `{"inputs": [2]}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	hangs := func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/invocations" {
			_, _ = io.Copy(io.Discard, r.Body) // else it would not be seen that the client has gone
			<-r.Context().Done()
		}
	}
	never := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
	right := predicts(http.StatusOK, `{"predictions": [1]}`)
	for name, tt := range map[string]struct {
		model http.HandlerFunc
		args  []string
		code  int
		want  []string
	}{
		"right":              {right, nil, exitOK, []string{"/ping: 200", `serving_input_example.json: 200 {"predictions": [1]}`}},
		"as expected":        {right, []string{"--expect", "right.json"}, exitOK, []string{"as expected"}},
		"two requests":       {right, []string{"--request", "more.json", "--expect", "right.json"}, exitOK, []string{"serving_input_example.json: 200", "more.json: 200"}},
		"wrong":              {right, []string{"--expect", "other.json"}, exitFindings, []string{".predictions[0] is 1, expected 2", "loading the model", "the last word"}},
		"an error":           {predicts(http.StatusInternalServerError, "no"), nil, exitFindings, []string{"serving_input_example.json: 500 no"}},
		"hanging":            {hangs, []string{"--wait", "1"}, exitFindings, []string{"no answer within 1s", "loading the model"}},
		"never ready":        {never, []string{"--wait", "1"}, exitFindings, []string{"/ping: no answer within 1s"}},
		"crashing":           {nil, nil, exitFindings, []string{"/ping: the container has ended by itself, with exit code 3", "loading the model"}},
		"no such variable":   {right, []string{"--env", "NO_SUCH"}, exitFailure, []string{"there is no such variable here"}},
		"too many answers":   {right, []string{"--expect", "right.json", "--expect", "right.json"}, exitFailure, []string{"more --expect than --request"}},
		"a shared network":   {nil, []string{"--network", "host"}, exitFindings, []string{"has ended by itself"}},
		"a variable of ours": {right, []string{"--env", "HOME", "--env", "A=1"}, exitOK, nil},
	} {
		t.Run(name, func(t *testing.T) {
			engine := &containerEngine{model: tt.model, ended: make(chan struct{})}
			s := httptest.NewServer(engine)
			defer s.Close()
			args := []string{"serve", w.model, "--smoke", "--quiet", "--base", "oci:" + w.base, "--index-url", w.index.URL}
			for _, a := range tt.args {
				if strings.HasSuffix(a, ".json") {
					a = filepath.Join(dir, a)
				}
				args = append(args, a)
			}
			env := map[string]string{"DOCKER_HOST": "tcp://" + s.Listener.Addr().String(), "MLENV_CACHE_DIR": w.env["MLENV_CACHE_DIR"], "HOME": w.env["HOME"]}
			out, errs, code := command(t, env, args...)
			if engine.server != nil {
				defer engine.server.Close()
			}
			if code != tt.code {
				t.Errorf("exit code %d, want %d\n%s%s", code, tt.code, out, errs)
			}
			for _, want := range tt.want {
				if !strings.Contains(out+errs, want) {
					t.Errorf("nothing of %q in\n%s%s", want, out, errs)
				}
			}
			if asked := strings.Join(engine.asked, " "); code != exitFailure && (asked != "create start post10 dele" || !engine.loaded) {
				t.Errorf("the engine was asked to %s; loaded %v", asked, engine.loaded)
			}
			switch env := strings.Join(engine.request.Env, " "); {
			case name == "a shared network" && (!strings.HasPrefix(env, "PORT=") || engine.request.HostConfig.NetworkMode != "host"):
				t.Errorf("network %q, environment %s", engine.request.HostConfig.NetworkMode, env)
			case name == "a variable of ours" && env != "HOME="+w.env["HOME"]+" A=1":
				t.Errorf("environment %s", env)
			}
		})
	}
}

// TestServeWithoutEngine says that there is none, and what to do.
func TestServeWithoutEngine(t *testing.T) {
	w := newImageWorld(t)
	_, errs, code := command(t, map[string]string{"DOCKER_HOST": "unix:///nonexistent", "HOME": t.TempDir()}, "serve", w.model)
	if code != exitFailure || !strings.Contains(errs, "hint: start one, or name it in DOCKER_HOST") {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

func mustRead(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestModelOrImage tells a model's URI from an image, where a command takes both: an image may be called as a scheme is.
func TestModelOrImage(t *testing.T) {
	dir := t.TempDir()
	for arg, want := range map[string]bool{
		dir: true, "models:/churn/1": true, "models:/churn@champion": true, "models:churn@champion": true, "runs:/r/model": true, "s3://bucket/x": true,
		"gs://b/x": true, "mlflow-artifacts:/x": true, "file:///x": true, "dbfs:/x": true, "https://host/x": true,
		"s3:1": false, "gs:1": false, "models:latest": false, "runs:v1.2-rc": false, "mlflow-artifacts:1": false, "http:2": false, "file:x": false, "churn:1": false,
		"registry.example.com/s3:1": false, "localhost:5000/models:1": false, "oci:dir": false, "docker-tar:file": false, dir + "/none": false,
	} {
		if got := isModel(arg); got != want {
			t.Errorf("%s: %v, want %v", arg, got, want)
		}
	}
}
