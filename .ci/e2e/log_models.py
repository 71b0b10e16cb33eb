"""Logs the end-to-end models that are too large for the repository, with real MLflow.

    python log_models.py DIRECTORY NAME...      NAME: xgboost, lightgbm or pytorch

needs mlflow 3, scikit-learn and the library of each NAME. Writes DIRECTORY/<name>/ and adds to
DIRECTORY/predictions.json: for each model a request to /invocations and what the model, loaded
again in Python, answers to it.
"""

import json
import shutil
import sys
from pathlib import Path

import mlflow.pyfunc
import pandas

COLUMNS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


def iris():
    import sklearn.datasets

    data = sklearn.datasets.load_iris()
    return pandas.DataFrame(data.data, columns=COLUMNS), data.target


def log_xgboost(path):
    import mlflow.xgboost
    import xgboost

    x, y = iris()
    model = xgboost.XGBClassifier(n_estimators=5, max_depth=2, random_state=0).fit(x, y)
    mlflow.xgboost.save_model(model, path, input_example=x.head(2))


def log_lightgbm(path):
    import lightgbm
    import mlflow.lightgbm

    x, y = iris()
    model = lightgbm.LGBMRegressor(n_estimators=5, num_leaves=4, random_state=0, n_jobs=1, verbose=-1).fit(x, y)
    mlflow.lightgbm.save_model(model, path, input_example=x.head(2))


def log_pytorch(path):
    """A network of about 50 MB of weights, in double precision: sums depend on how many threads add them up."""
    import mlflow.pytorch
    import torch

    torch.manual_seed(0)
    layers = [torch.nn.Linear(4, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, WIDTH), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(WIDTH, 1)).double().eval()
    x, _ = iris()
    mlflow.pytorch.save_model(model, path, input_example=x.head(2).to_numpy(dtype="float64"))


WIDTH = 2500
LOG = {"xgboost": log_xgboost, "lightgbm": log_lightgbm, "pytorch": log_pytorch}


def answer(name, path, rows):
    """The request for some rows and Python's response to it."""
    model = mlflow.pyfunc.load_model(path)
    if name == "pytorch":
        # The example was an array, so the signature is a tensor's.
        values = rows.to_numpy(dtype="float64")
        return {"inputs": values.tolist()}, [[v.item() for v in row] for row in model.predict(values)]
    return {"dataframe_split": {"columns": COLUMNS, "data": rows.values.tolist()}}, [v.item() for v in model.predict(rows)]


def main():
    root, names = Path(sys.argv[1]).resolve(), sys.argv[2:]
    root.mkdir(parents=True, exist_ok=True)
    record = root / "predictions.json"
    predictions = json.loads(record.read_text()) if record.exists() else {}
    x, _ = iris()
    rows = x.iloc[[0, 50, 100]]
    for name in names:
        path = root / name
        shutil.rmtree(path, ignore_errors=True)
        LOG[name](str(path))
        request, response = answer(name, str(path), rows)
        predictions[name] = {"request": request, "response": {"predictions": response}}
        record.write_text(json.dumps(predictions, indent=1) + "\n")
        print(name, "logged", flush=True)


if __name__ == "__main__":
    main()
