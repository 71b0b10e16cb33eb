#!/usr/bin/env python3
"""Breaks the example models by hand in the ways that people do, and records MLflow's word on each.

    python .ci/oracle/broken.py        writes resolve/check/testdata/broken.json

Each entry is a model of examples/, the edits that break it, the rule of mlenv check that must find
it, and under "mlflow" what MLflow does with it in an environment that has everything: "predicts" if
it loads the model and predicts from the serving example as if nothing were wrong, else the error.
Most of what breaks a model in production MLflow does not notice at all; that is the point.
"""

import json
import logging
import multiprocessing
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # its threads and a fork do not go together

import mlflow
from mlflow.pyfunc.scoring_server import _parse_json_data

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "resolve/check/testdata/broken.json"


def sub(file, old, new):
    """Replaces the first occurrence of old."""
    return {"file": file, "old": old, "new": new}


def both(old, new):
    """Replaces in requirements.txt and in conda.yaml."""
    return [sub("requirements.txt", old, new), sub("conda.yaml", old, new)]


def add(line):
    """Adds a requirement to both files."""
    return [sub("requirements.txt", "mlflow==3.17.2\n", f"mlflow==3.17.2\n{line}\n"),
            sub("conda.yaml", "  - mlflow==3.17.2\n", f"  - mlflow==3.17.2\n  - {line}\n")]


def drop(line):
    """Takes a requirement out of both files."""
    return [sub("requirements.txt", line, ""), sub("conda.yaml", "  - " + line, "")]


def remove(path):
    return {"remove": path}


def write(file, text):
    return {"file": file, "text": text}


HUMANIZE = "humanize<5,==4.17.0,>=4.9\n"

# (name, model, rule, edits)
TABLE = [
    ("the estimator was not uploaded", "sklearn", "missing-model-file", [remove("model.skops")]),
    ("an artifact was not uploaded", "pyfunc-code", "missing-model-file", [remove("artifacts/tariff.json")]),
    ("the code was not uploaded", "pyfunc-code", "missing-file", [remove("code")]),
    ("the code of a model logged as code was not uploaded", "skinny", "missing-model-file", [remove("words.py")]),
    ("python_env.yaml was not uploaded", "sklearn", "environment-file-missing", [remove("python_env.yaml")]),
    ("the input example was not uploaded", "sklearn", "missing-model-file", [remove("input_example.json")]),
    ("the wheel was not uploaded", "wheeled", "missing-file", [remove("code/shout-1.2.0-py3-none-any.whl")]),
    ("the path of the estimator leaves the model", "sklearn", "path-outside-model",
     [sub("MLmodel", "model_path: model.skops", "model_path: ../model.skops")]),
    ("conda.yaml has another Python", "sklearn", "python-minor-differs", [sub("conda.yaml", "python=3.11.7", "python=3.10")]),
    ("the Python is a number", "sklearn", "python-not-text", [sub("python_env.yaml", "3.11.7", "3.11")]),
    ("the Python is one that gets no fixes", "sklearn", "python-end-of-life",
     [sub("python_env.yaml", "3.11.7", "3.8.18"), sub("conda.yaml", "3.11.7", "3.8.18"), sub("MLmodel", "3.11.7", "3.8.18")]),
    ("requirements.txt was raised by hand", "sklearn", "conflicting-requirements",
     [sub("requirements.txt", "scikit-learn==1.7.2", "scikit-learn==1.8.0")]),
    ("both files were lowered by hand", "sklearn", "flavor-version-excluded", both("scikit-learn==1.7.2", "scikit-learn==1.5.2")),
    ("scikit-learn was taken out", "sklearn", "flavor-library-missing", drop("scikit-learn==1.7.2\n")),
    ("no version fits", "sklearn", "unsatisfiable-requirement", both("numpy==2.4.6", "numpy==2.4.6,<2")),
    ("conda's = in requirements.txt", "sklearn", "unreadable-file", [sub("requirements.txt", "numpy==", "numpy=")]),
    ("a tab in conda.yaml", "sklearn", "unreadable-file", [sub("conda.yaml", "- python", "\t- python")]),
    ("MLmodel was cut off", "sklearn", "unreadable-file", [sub("MLmodel", "flavors:\n  python_function:\n    env:", "flavors:\n  python_function: [")]),
    ("mlflow lost its version", "sklearn", "mlflow-unpinned", both("mlflow==3.17.2", "mlflow")),
    ("mlflow is too old for a model logged as code", "skinny", "mlflow-too-old", both("mlflow-skinny==3.17.2", "mlflow-skinny==2.10.2")),
    ("a password in the index URL", "sklearn", "credentials-in-url",
     [sub("requirements.txt", "mlflow==", "--extra-index-url https://ci:hunter2@pypi.example/simple/\nmlflow==")]),
    ("an index without TLS", "sklearn", "http-index", [sub("requirements.txt", "mlflow==", "--extra-index-url http://pypi.example/simple/\nmlflow==")]),
    ("a wheel of the author's machine", "sklearn", "local-path", add("/home/ann/dist/features-1.0-py3-none-any.whl")),
    ("a wheel of the author's machine, as pip freeze writes it", "sklearn", "local-path",
     add("features @ file:///home/ann/dist/features-1.0-py3-none-any.whl")),
    ("a branch", "sklearn", "vcs-without-commit", add("features @ git+https://git.example/features.git@main")),
    ("a requirement without a version", "sklearn", "unpinned-requirement", both("scipy==1.17.1", "scipy")),
    ("a requirement in one file only", "sklearn", "requirement-in-one-file", [sub("conda.yaml", "  - scipy==1.17.1\n", "")]),
    ("constraints that nothing applies", "sklearn", "orphan-constraints", [write("constraints.txt", "urllib3<2\n")]),
    ("code imports what nothing brings", "pyfunc-code", "import-without-requirement", drop(HUMANIZE)),
    ("code hides a module of Python", "pyfunc-code", "code-shadows-stdlib", [write("code/json.py", "loads = None\n")]),
    ("the signature was taken out", "sklearn", "signature-missing", [
        sub("MLmodel", 'signature:\n  inputs: \'[{"type": "double", "name": "petal_length", "required": true}, {"type":\n    "double", '
            '"name": "petal_width", "required": true}]\'\n  outputs: \'[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]\'\n  params: null\n', "")]),
    ("the signature is no JSON", "sklearn", "signature-unreadable", [sub("MLmodel", '[{"type": "double", "name": "petal_length"', '[{"type": "double" "name": "petal_length"')]),
    ("the example has another column", "sklearn", "example-mismatch", [sub("input_example.json", "petal_width", "petal_breadth")]),
    ("the example is no JSON", "sklearn", "example-unreadable", [sub("input_example.json", "{", "")]),
    ("the serving example has text for a number", "sklearn", "serving-example-mismatch", [sub("serving_input_example.json", "1.5,", '"wide",')]),
    ("the serving example has no format", "sklearn", "serving-example-mismatch", [sub("serving_input_example.json", "dataframe_split", "dataframe")]),
    ("a parameter of another type", "pyfunc-code", "serving-example-mismatch", [sub("serving_input_example.json", '"EUR"', "7")]),
]


def apply(model, edits):
    for e in edits:
        if "remove" in e:
            path = model / e["remove"]
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            continue
        path = model / e["file"]
        if "text" in e:
            path.write_text(e["text"])
            continue
        text = path.read_text()
        if e["old"] not in text:
            raise SystemExit(f"{path.name}: no {e['old']!r} to replace")
        path.write_text(text.replace(e["old"], e["new"], 1))


def ask(path, answer):
    """Loads the model and predicts from its serving example, in a process of its own."""
    sys.path += map(str, Path(path).glob("code/*.whl"))  # as if the requirements were installed
    try:
        model = mlflow.pyfunc.load_model(path)
        text = (Path(path) / "serving_input_example.json").read_text()
        data, params, _ = _parse_json_data(text, model.metadata, model.metadata.get_input_schema())
        model.predict(data, params=params)
        answer.put("predicts")
    except BaseException as e:
        line = (str(e).splitlines() or [""])[0].replace(path, "/project/model")
        answer.put(f"{type(e).__name__}: {line}"[:200])


def main():
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    fork = multiprocessing.get_context("fork")
    mlflow.pyfunc.load_model(str(ROOT / "examples/sklearn"))  # imports what the forked processes need

    record = []
    for name, model, rule, edits in TABLE:
        with tempfile.TemporaryDirectory() as work:
            path = Path(work, "model")
            shutil.copytree(ROOT / "examples" / model, path)
            apply(path, edits)
            answer = fork.Queue()
            process = fork.Process(target=ask, args=(str(path), answer))
            process.start()
            said = answer.get(timeout=60)
            process.join()
        record.append({"name": name, "model": model, "rule": rule, "edits": edits, "mlflow": said})
        print(f"{name}: {said}")
    OUT.write_text(json.dumps({"mlflow": mlflow.__version__, "models": record}, indent=1) + "\n")


if __name__ == "__main__":
    main()
