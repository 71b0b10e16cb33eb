"""Logs two versions of the model churn, and one with an odd name, on the MLflow server of argv[1].

Prints, last, the run and the logged model ("-" before MLflow 3) of version 1.
"""

import pathlib
import sys
import tempfile

import mlflow
import numpy as np
from mlflow import MlflowClient
from sklearn.linear_model import LogisticRegression

mlflow.set_tracking_uri(sys.argv[1])
code = pathlib.Path(tempfile.mkdtemp()) / "churncode"
(code / "deep").mkdir(parents=True)
(code / "deep" / "__init__.py").write_text("X = 1\n")
x = np.random.RandomState(0).rand(20, 3)
model = LogisticRegression().fit(x, (x[:, 0] > 0.5).astype(int))
name = {"name": "model"} if int(mlflow.__version__.split(".")[0]) >= 3 else {"artifact_path": "model"}
pins = ["mlflow==" + mlflow.__version__, "scikit-learn==" + __import__("sklearn").__version__, "numpy==" + np.__version__]


def log(registered, more=()):
    with mlflow.start_run() as run:
        info = mlflow.sklearn.log_model(
            model, **name, input_example=x[:2], code_paths=[str(code)],
            registered_model_name=registered, pip_requirements=pins + list(more),
        )
    return run.info.run_id, getattr(info, "model_id", None) or "-"


first = log("churn")
log("churn", ["six==1.16.0"])
log("a name.of ü")
client = MlflowClient()
client.set_registered_model_alias("churn", "champion", "1")
client.transition_model_version_stage("churn", "1", "Production")
print(*first)
