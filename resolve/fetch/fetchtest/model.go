package fetchtest

import (
	"encoding/pem"
	"strings"
)

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// Model gives the files of a small model, as MLflow 3 logs it, with weights of so many bytes.
func Model(weights int) map[string]string {
	return map[string]string{
		"MLmodel": "flavors:\n  python_function:\n    code: code\n    env: {conda: conda.yaml, virtualenv: python_env.yaml}\n" +
			"    loader_module: mlflow.sklearn\n    model_path: model.pkl\n    python_version: 3.11.9\nmlflow_version: 3.1.0\nmodel_id: m-1\nrun_id: r1\n",
		"python_env.yaml":  "python: 3.11.9\nbuild_dependencies: [pip==24.0]\ndependencies: [-r requirements.txt]\n",
		"conda.yaml":       "dependencies: [python=3.11.9, pip, {pip: [mlflow==3.1.0]}]\n",
		"requirements.txt": "mlflow==3.1.0\n",
		"code/mine/a.py":   "import os\n",
		"model.pkl":        strings.Repeat("weights ", weights/8+1)[:weights],
	}
}

// Churn fills the server with two versions of the model churn: 1 with the alias champion, and 2; the
// artifacts are at roots that begin with base, such as "mlflow-artifacts:/0" or "s3://bucket/0".
func (s *Server) Churn(base string, weights int) {
	for i, id := range []string{"m-1", "m-2"} {
		root, run, number := base+"/models/"+id+"/artifacts", "r"+id[2:], id[2:]
		files := Model(weights)
		files["MLmodel"] = strings.NewReplacer("m-1", id, "r1", run).Replace(files["MLmodel"])
		if i == 1 {
			files["requirements.txt"] += "six==1.16.0\n"
		}
		s.Put(root, files)
		s.Logged = append(s.Logged, Logged{ID: id, Name: "model", RunID: run, Root: root, Created: int64(i)})
		s.Runs = append(s.Runs, Run{ID: run, Root: base + "/" + run + "/artifacts", Outputs: []string{id}})
		v := Version{Name: "churn", Number: number, Stage: "None", Source: "models:/" + id, Root: root, RunID: run}
		if i == 0 {
			v.Stage, v.Aliases = "Production", "champion"
		}
		s.Versions = append(s.Versions, v)
	}
}
