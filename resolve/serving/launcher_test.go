package serving

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// python3 is this machine's Python itself: what stands on the PATH may be a script that chooses one.
var python3 = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	return strings.TrimSpace(string(out)), err
})

// launched runs launchers with this machine's Python and servers that only say how they were started.
type launched struct {
	python, dir string
}

func newLaunched(t *testing.T) launched {
	t.Helper()
	python, err := python3()
	if err != nil {
		t.Skipf("the launcher is a Python program, and this machine has none: %v", err)
	}
	l := launched{python, t.TempDir()}
	say := "import json, os, sys\nprint(json.dumps(sys.argv[1:]), os.getpid(), "
	for name, text := range map[string]string{
		"uvicorn/__init__.py": "", "uvicorn/__main__.py": say + "'')\n",
		"uvicorn-0.54.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: uvicorn\nVersion: 0.54.0\n",
		"gunicorn/__init__.py":              "", "gunicorn/app/__init__.py": "",
		"gunicorn/app/wsgiapp.py": gunicornDouble,
		"mlserver":                say + "os.environ['MLSERVER_HTTP_PORT'], os.environ['MLSERVER_PARALLEL_WORKERS'])\n",
	} {
		l.write(t, name, text)
	}
	return l
}

// gunicornDouble has what the launcher uses of gunicorn, in the order in which gunicorn does it: the
// worker's file changes, as the arbiter would see it, while the app is imported.
const gunicornDouble = `
import json, os, sys, time

class Worker:
    beats = 0

    def notify(self):
        self.beats += 1

class Config(dict):
    set = dict.__setitem__

class WSGIApplication:
    def __init__(self, usage):
        self.cfg = Config()
        self.load_config()

    def load_config(self):
        pass

    def run(self):
        cfg, worker = self.cfg, Worker()
        cfg.pop("post_fork")(None, worker)
        while worker.beats < 2:
            time.sleep(0.05)
        cfg.pop("post_worker_init")(worker)
        print(json.dumps(sys.argv), os.getpid(), json.dumps(cfg, sort_keys=True))
`

func (l launched) write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(l.dir, filepath.FromSlash(name))
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o755)); err != nil {
		t.Fatal(err)
	}
	return file
}

// run starts the launcher of a contract. The process is the server's in the end: its number is taken
// out of what it prints.
func (l launched) run(t *testing.T, in Input, env string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	r, err := New(in)
	if err != nil {
		t.Fatal(err)
	}
	file := l.write(t, LauncherName, string(r.Launcher))
	c := exec.Command(l.python, append([]string{file}, args...)...)
	c.Env = append(strings.Fields(env), "PYTHONPATH="+l.dir, "PATH="+os.Getenv("PATH"), "HOME="+os.Getenv("HOME"))
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err = c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return strings.TrimSpace(strings.Replace(out.String(), fmt.Sprint(" ", c.Process.Pid, " "), " PID ", 1)), errs.String(), c.ProcessState.ExitCode()
}

// TestLauncherStarts says for each server what becomes of variables and arguments, and that the
// server is the process that the container started.
func TestLauncherStarts(t *testing.T) {
	old := Input{MLflowVersion: version(t, "1.30.1")}
	uvicorn := func(port, workers, more string) string {
		return `["--host", "0.0.0.0", "--port", "` + port + `", "--workers", "` + workers + `", ` + more + `"mlflow.pyfunc.scoring_server.app:app"] PID`
	}
	patient := `"--timeout-worker-healthcheck", "300", `
	gunicorn := func(port, workers, timeout string) string {
		return `["gunicorn", "mlflow.pyfunc.scoring_server.wsgi:app"] PID {"bind": "0.0.0.0:` + port + `", "timeout": ` + timeout + `, "worker_tmp_dir": "/dev/shm", "workers": ` + workers + `}`
	}
	for _, tt := range []struct {
		name string
		in   Input
		env  string
		args string
		want string
		says string
	}{
		{name: "the defaults", want: uvicorn("8080", "1", ""), says: "starting uvicorn: port 8080, workers 1, request timeout 60 s"},
		{name: "SageMaker's word", args: "serve", want: uvicorn("8080", "1", "")},
		{name: "the image's own", in: Input{Port: 9000, Workers: 2}, want: uvicorn("9000", "2", patient)},
		{name: "Cloud Run's port", in: Input{Port: 9000}, env: "PORT=80", want: uvicorn("80", "1", "")},
		{name: "Vertex AI's port before it", env: "PORT=80 AIP_HTTP_PORT=81", want: uvicorn("81", "1", "")},
		{name: "SageMaker's port before both", env: "PORT=80 AIP_HTTP_PORT=81 SAGEMAKER_BIND_TO_PORT=82", want: uvicorn("82", "1", "")},
		{name: "an empty variable is none", env: "AIP_HTTP_PORT= PORT=80", want: uvicorn("80", "1", "")},
		{name: "workers", in: Input{Workers: 5}, env: "WEB_CONCURRENCY=3", want: uvicorn("8080", "3", patient)},
		{name: "MLflow's workers before others", env: "WEB_CONCURRENCY=3 MLFLOW_MODELS_WORKERS=2", want: uvicorn("8080", "2", patient)},
		{name: "MLServer's variables are its own", env: "MLSERVER_HTTP_PORT=81 MLSERVER_PARALLEL_WORKERS=4", want: uvicorn("8080", "1", "")},
		{name: "gunicorn", in: old, args: "serve", want: gunicorn("8080", "1", "60"), says: "starting gunicorn: port 8080, workers 1, request timeout 60 s"},
		{name: "gunicorn's variables", in: old, env: "PORT=9000 MLFLOW_MODELS_WORKERS=2 MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT=200", want: gunicorn("9000", "2", "200")},
		{name: "mlserver", in: Input{Kind: MLServer, Workers: 2}, args: "serve", want: `["start", "/opt/ml/model"] PID 8080 2`, says: "starting mlserver: port 8080, workers 2\n"},
		{name: "mlserver's variables", in: Input{Kind: MLServer}, env: "MLSERVER_PARALLEL_WORKERS=0 WEB_CONCURRENCY=3 PORT=80 MLSERVER_HTTP_PORT=81", want: `["start", "/opt/ml/model"] PID 81 0`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, code := newLaunched(t).run(t, tt.in, tt.env, strings.Fields(tt.args)...)
			if code != 0 || stdout != tt.want {
				t.Errorf("exit code %d, %s\n got %s\nwant %s", code, stderr, stdout, tt.want)
			}
			if !strings.HasPrefix(stderr, "mlenv-serve: "+tt.says) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("stderr is not one line with %q: %s", tt.says, stderr)
			}
		})
	}
}

// TestLauncherTraces says where MLflow's traces go: from 3.7 on it wants a database for them, and by itself
// it would make one in the working directory, which cannot be written to.
func TestLauncherTraces(t *testing.T) {
	nowhere := "sqlite:////tmp/mlflow.db 0"
	for _, tt := range []struct{ name, mlflow, env, want string }{
		{"no version known", "", "", nowhere},
		{"a database by default", "3.7.0", "", nowhere},
		{"an empty variable is none", "3.17.2", "MLFLOW_TRACKING_URI= OTEL_EXPORTER_OTLP_ENDPOINT= MLFLOW_TRACE_SAMPLING_RATIO=", nowhere},
		{"files by default", "3.6.0", "", "None None"},
		{"a server for them", "3.17.2", "MLFLOW_TRACKING_URI=http://mlflow:5000", "http://mlflow:5000 None"},
		{"a server for some of them", "3.17.2", "MLFLOW_TRACKING_URI=http://mlflow:5000 MLFLOW_TRACE_SAMPLING_RATIO=0.1", "http://mlflow:5000 0.1"},
		{"in the container", "3.17.2", "MLFLOW_TRACE_SAMPLING_RATIO=1", "sqlite:////tmp/mlflow.db 1"},
		{"OpenTelemetry's", "3.17.2", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://otel:4318/v1/traces", "None None"},
		{"OpenTelemetry's for all", "3.17.2", "OTEL_EXPORTER_OTLP_ENDPOINT=http://otel:4318", "None None"},
		{"a place of Databricks'", "3.17.2", "MLFLOW_TRACING_DESTINATION=main.traces", "None None"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLaunched(t)
			l.write(t, "uvicorn/__main__.py", "import os\nprint(*(os.environ.get(n) for n in ('MLFLOW_TRACKING_URI', 'MLFLOW_TRACE_SAMPLING_RATIO')))\n")
			in := Input{}
			if tt.mlflow != "" {
				in.MLflowVersion = version(t, tt.mlflow)
			}
			if stdout, stderr, code := l.run(t, in, tt.env); code != 0 || stdout != tt.want {
				t.Errorf("exit code %d, %s\n got %s\nwant %s", code, stderr, stdout, tt.want)
			}
		})
	}
}

// TestLauncherRefuses gives a sentence for what cannot be meant.
func TestLauncherRefuses(t *testing.T) {
	l := newLaunched(t)
	for _, tt := range []struct{ env, args, want string }{
		{"", "train", "'train' is not understood"},
		{"", "serve --port 9000", "replace its entrypoint: docker run --entrypoint"},
		{"PORT=tcp://10.0.0.1:80", "", "PORT is 'tcp://10.0.0.1:80': a whole number from 1 to 65535 is needed"},
		{"PORT=0", "", "PORT is '0'"},
		{"WEB_CONCURRENCY=0", "", "WEB_CONCURRENCY is '0': a whole number from 1"},
		{"MLFLOW_MODELS_WORKERS=two", "", "MLFLOW_MODELS_WORKERS is 'two'"},
		{"MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT=-1", "", "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT is '-1'"},
	} {
		stdout, stderr, code := l.run(t, Input{}, tt.env, strings.Fields(tt.args)...)
		if code != 2 || stdout != "" || !strings.HasPrefix(stderr, "mlenv-serve: ") || !strings.Contains(stderr, tt.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s %s: exit code %d, %s%s", tt.env, tt.args, code, stdout, stderr)
		}
	}
}

// TestLauncherPings asks the port that the variables say, as the health check does.
func TestLauncherPings(t *testing.T) {
	l := newLaunched(t)
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/ping" {
			t.Errorf("it asks for %s %s", r.Method, r.URL)
		}
		w.WriteHeader(status)
	}))
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := l.run(t, Input{}, "PORT="+port, "ping"); code != 0 || stderr != "" {
		t.Errorf("a server that answers: exit code %d, %s", code, stderr)
	}
	status = http.StatusServiceUnavailable
	if _, stderr, code := l.run(t, Input{}, "PORT="+port, "ping"); code == 0 || !strings.Contains(stderr, "503") {
		t.Errorf("a server that is not ready: exit code %d, %s", code, stderr)
	}
	server.Close()
	if _, stderr, code := l.run(t, Input{}, "PORT="+port, "ping"); code == 0 || !strings.Contains(stderr, "no answer to /ping") {
		t.Errorf("no server: exit code %d, %s", code, stderr)
	}
}

// TestLauncherIsReachableAsItIs holds the launcher to what the image needs of it: the environment's
// own Python, isolated from variables that a model may set, and nothing that a template left over.
func TestLauncherIsReachableAsItIs(t *testing.T) {
	for _, in := range []Input{{}, {MLflowVersion: version(t, "2.9.2")}, {Kind: MLServer}, {Entrypoint: []string{"/wrapper", Launcher}}} {
		r, err := New(in)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(r.Launcher, []byte("#!/opt/venv/bin/python -I\n")) || bytes.Contains(r.Launcher, []byte("{{")) {
			t.Errorf("%+v: the launcher is\n%s", in, r.Launcher)
		}
	}
	if r, err := New(Input{Kind: None}); err != nil || r.Launcher != nil {
		t.Errorf("there is a launcher where there is no server: %v", err)
	}
}
