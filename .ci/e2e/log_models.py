"""Logs the end-to-end models that are too large for the repository, with real MLflow.

    python log_models.py DIRECTORY

needs mlflow 3, scikit-learn, xgboost and lightgbm. Writes DIRECTORY/<name>/ and
DIRECTORY/predictions.json: for each model a request to /invocations and what the model, loaded
again in Python, answers to it.
"""

import json
import os
import shutil
import sys

import lightgbm
import mlflow.lightgbm
import mlflow.pyfunc
import mlflow.xgboost
import pandas
import sklearn.datasets
import xgboost

COLUMNS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


def iris():
    data = sklearn.datasets.load_iris()
    return pandas.DataFrame(data.data, columns=COLUMNS), data.target


def log_xgboost(path):
    x, y = iris()
    model = xgboost.XGBClassifier(n_estimators=5, max_depth=2, random_state=0).fit(x, y)
    mlflow.xgboost.save_model(model, path, input_example=x.head(2))


def log_lightgbm(path):
    x, y = iris()
    model = lightgbm.LGBMRegressor(n_estimators=5, num_leaves=4, random_state=0, n_jobs=1, verbose=-1).fit(x, y)
    mlflow.lightgbm.save_model(model, path, input_example=x.head(2))


def main():
    root = os.path.abspath(sys.argv[1])
    os.makedirs(root, exist_ok=True)
    x, _ = iris()
    rows = x.iloc[[0, 50, 100]]
    predictions = {}
    for name, log in {"xgboost": log_xgboost, "lightgbm": log_lightgbm}.items():
        path = os.path.join(root, name)
        shutil.rmtree(path, ignore_errors=True)
        log(path)
        answer = mlflow.pyfunc.load_model(path).predict(rows)
        predictions[name] = {
            "request": {"dataframe_split": {"columns": COLUMNS, "data": rows.values.tolist()}},
            "response": {"predictions": [v.item() for v in answer]},
        }
    with open(os.path.join(root, "predictions.json"), "w") as f:
        json.dump(predictions, f, indent=1)


if __name__ == "__main__":
    main()
