package serving

import (
	"strings"
	"testing"

	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"

	"github.com/google/go-cmp/cmp"
)

func version(t *testing.T, s string) pep440.Version {
	t.Helper()
	if s == "" {
		return pep440.Version{}
	}
	v, err := pep440.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestServerNeeds(t *testing.T) {
	for _, tt := range []struct {
		kind        Kind
		mlflow      string
		declared    string
		want        string
		constraints string
	}{
		{MLflow, "3.18.0", "mlflow", "", ""},
		{MLflow, "3.6.0", "mlflow scikit-learn", "", "starlette<1"},
		{MLflow, "2.20.4", "mlflow", "", ""},
		{MLflow, "2.9.2", "mlflow", "setuptools<82", ""},
		{MLflow, "2.9.2", "mlflow setuptools", "", ""},
		{MLflow, "3.18.0", "mlflow-skinny", "fastapi<1 numpy<3 pandas<4 uvicorn<1", ""},
		{MLflow, "3.6.0", "mlflow-skinny pandas", "fastapi<1 numpy<3 uvicorn<1", "starlette<1"},
		{MLflow, "2.20.0", "mlflow-skinny numpy", "flask<4 gunicorn<24 pandas<3", ""},
		{MLflow, "1.30.1", "mlflow-skinny", "flask<3 gunicorn<24 numpy<2 pandas<2 setuptools<82", ""},
		{MLflow, "", "mlflow-skinny", "fastapi<1 numpy<3 pandas<4 uvicorn<1", ""},
		{MLServer, "2.9.2", "mlflow", "mlserver!=1.3.1,!=1.7.0,<2,>=1.2.0 mlserver-mlflow!=1.3.1,!=1.7.0,<2,>=1.2.0 setuptools<82", "uvloop<0.22"},
		{MLServer, "3.6.0", "mlflow mlserver", "mlserver-mlflow!=1.3.1,!=1.7.0,<2,>=1.2.0", "uvloop<0.22"},
		{None, "2.9.2", "mlflow-skinny", "", ""},
	} {
		var declared []pep508.Name
		for _, n := range strings.Fields(tt.declared) {
			declared = append(declared, pep508.Name(n))
		}
		got, err := ServerNeeds(tt.kind, version(t, tt.mlflow), declared)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tt.want, joined(got.Requirements)); d != "" {
			t.Errorf("%s %s %s: requirements (-want +got)\n%s", tt.kind, tt.mlflow, tt.declared, d)
		}
		if d := cmp.Diff(tt.constraints, joined(got.Constraints)); d != "" {
			t.Errorf("%s %s %s: constraints (-want +got)\n%s", tt.kind, tt.mlflow, tt.declared, d)
		}
	}
}

func joined(reqs []pep508.Requirement) string {
	var out []string
	for _, r := range reqs {
		out = append(out, r.String())
	}
	// By name, so that the table reads well whatever the order of the rules.
	for i := range out {
		for j := i; j > 0 && out[j] < out[j-1]; j-- {
			out[j], out[j-1] = out[j-1], out[j]
		}
	}
	return strings.Join(out, " ")
}

func TestEveryVersionIsCoveredOnce(t *testing.T) {
	// Two rules for one package must never both apply, and none may leave a gap.
	for major := uint64(1); major < 4; major++ {
		for minor := uint64(0); minor < 60; minor++ {
			v := version(t, strings.Join([]string{itoa(major), itoa(minor), "0"}, "."))
			n, err := ServerNeeds(MLflow, v, []pep508.Name{"mlflow-skinny"})
			if err != nil {
				t.Fatal(err)
			}
			count := map[pep508.Name]int{}
			for _, r := range n.Requirements {
				count[r.Name]++
			}
			server := pep508.Name("gunicorn")
			if usesASGI(v) {
				server = "uvicorn"
			}
			for _, name := range []pep508.Name{"numpy", "pandas", server} {
				if count[name] != 1 {
					t.Errorf("mlflow %s: %s is required %d times", v, name, count[name])
				}
			}
		}
	}
}

func itoa(n uint64) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

func TestNew(t *testing.T) {
	env := func(r *Runtime, name string) string {
		for _, v := range r.Env {
			if v.Name == name {
				return v.Value
			}
		}
		return ""
	}
	for _, tt := range []struct {
		name  string
		in    Input
		entry string
		check func(*Runtime) string // what is wrong, or ""
	}{
		{"uvicorn from 2.21", Input{MLflowVersion: version(t, "2.21.0")},
			"/opt/venv/bin/mlenv-serve",
			func(r *Runtime) string {
				if r.Port != 8080 || r.User != "1000:0" || env(r, "__pyfunc_model_path__") != ModelPath {
					return "the defaults are off"
				}
				if env(r, "PYTHONPATH") != "" {
					return "PYTHONPATH is MLflow's business here"
				}
				return ""
			}},
		{"gunicorn before", Input{MLflowVersion: version(t, "2.20.4"), Port: 9000, Workers: 3},
			"/opt/venv/bin/mlenv-serve",
			func(r *Runtime) string {
				if strings.Join(r.Healthcheck, " ") != Launcher+" ping" || r.Port != 9000 || r.Workers != 3 {
					return "the launcher knows the port that the health check has to ask"
				}
				return ""
			}},
		{"mlserver", Input{Kind: MLServer, Name: "churn", Version: "7"}, "/opt/venv/bin/mlenv-serve",
			func(r *Runtime) string {
				if env(r, "MLSERVER_MODEL_NAME") != "churn" || env(r, "MLSERVER_MODEL_VERSION") != "7" {
					return "the registered model's name is lost"
				}
				return ""
			}},
		{"none", Input{Kind: None, Code: []string{"code"}}, "/opt/venv/bin/python",
			func(r *Runtime) string {
				if r.Port != 0 || r.Healthcheck != nil || env(r, "PYTHONPATH") != "/opt/ml/model/code" {
					return "a bare environment serves nothing and finds its code"
				}
				return ""
			}},
		{"code from outside", Input{Code: []string{"code"}, ExtraCode: true},
			"/opt/venv/bin/mlenv-serve",
			func(r *Runtime) string {
				if env(r, "PYTHONPATH") != CodePath {
					return "MLflow cannot find code that MLmodel does not name"
				}
				return ""
			}},
		{"own entrypoint", Input{Entrypoint: []string{"/serve"}, Code: []string{"code"}, Env: map[string]string{"LANG": "de_DE.UTF-8"}}, "/serve",
			func(r *Runtime) string {
				if env(r, "LANG") != "de_DE.UTF-8" || env(r, "PYTHONPATH") == "" {
					return "the user's own settings win"
				}
				return ""
			}},
	} {
		r, err := New(tt.in)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got := strings.Join(r.Entrypoint, " "); got != tt.entry {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.entry)
		}
		if msg := tt.check(r); msg != "" {
			t.Errorf("%s: %s: %+v", tt.name, msg, r)
		}
	}
	for _, bad := range []Input{
		{Port: 70000}, {Port: -1}, {Workers: -2}, {User: "model"}, {User: "1:2:3"}, {User: ":0"}, {Entrypoint: []string{""}},
		{Env: map[string]string{"A B": "1"}}, {Env: map[string]string{"A": "\x00"}},
	} {
		if _, err := New(bad); err == nil {
			t.Errorf("New(%+v) is accepted", bad)
		}
	}
}

func TestLabels(t *testing.T) {
	got := Labels(Facts{Flavors: []string{"sklearn", "python_function"}, RunID: "r1", Created: "2026-01-02T03:04:05Z"})
	want := []Var{
		{"io.mlenv.flavors", "python_function,sklearn"},
		{"io.mlenv.run.id", "r1"},
		{"org.opencontainers.image.created", "2026-01-02T03:04:05Z"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
