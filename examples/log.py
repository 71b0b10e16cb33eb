#!/usr/bin/env python3
"""Logs the example models with real MLflow and records what they predict.

    python examples/log.py [--into DIR] [NAME...]    (no NAME: every example that this MLflow logs)

Each example wants one minor version of MLflow (see EXAMPLES); .ci/oracle/README.md makes the
environments. The models are logged through a tracking server on loopback with proxied artifacts,
so that MLmodel's artifact_path is the server's and not a path of the machine. What MLflow makes
anew each time stays: run_id, model_id, model_uuid, the time, and with them nothing else. MLflow 2
writes no such path, and logs into a folder. A model logged as code keeps the absolute path of that
code in model_code_path (unused when it is loaded): its folder is written as /project here.

predictions.json maps each example to its input (what a client posts to /invocations) and to the
prediction that the model gave in Python when it was loaded back from the directory.

--into leaves the examples alone and logs the same models into another folder.
"""

import argparse
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import infer_signature

HERE = Path(__file__).resolve().parent
FIXED = (2024, 1, 1, 0, 0, 0)  # the date of every entry of the wheel


def flowers():
    """Two kinds of flower as numbers: small, fixed, and easy to tell apart."""
    rng = np.random.default_rng(7)
    small = rng.normal([1.5, 0.3], 0.2, size=(40, 2))
    large = rng.normal([4.5, 1.5], 0.4, size=(40, 2))
    x = pd.DataFrame(np.vstack([small, large]).round(2), columns=["petal_length", "petal_width"])
    return x, np.array([0] * 40 + [1] * 40)


def classifier():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = flowers()
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y), x.iloc[[0, 1, 40, 41]], y


def where(name):
    """The argument that names a logged model: artifact_path until MLflow 3, then name."""
    return {"name": name} if mlflow.__version__.startswith("3.") else {"artifact_path": name}


def log_sklearn(_):
    model, x, _ = classifier()
    more = {}
    if mlflow.__version__.startswith("2."):
        # MLflow 2.9 imports pkg_resources, names no setuptools among its requirements, and wrote it
        # without a version in python_env.yaml; what setuptools is today no longer has that module.
        more["extra_pip_requirements"] = ["setuptools==69.5.1"]
    return mlflow.sklearn.log_model(
        model,
        **where("flowers"),
        signature=infer_signature(x, model.predict(x)),
        input_example=x,
        **more,
    )


PRICING = {
    "pricing/__init__.py": '"""Prices of fares."""\n',
    "pricing/fares.py": '''"""Fares by distance and hour."""

import humanize

from pricing.rates import rate


def price(distance, hour, currency):
    """The fare as people write it."""
    return f"{humanize.intcomma(round(distance * rate(hour), 2), 2)} {currency}"
''',
    "pricing/model.py": '''"""The model: its class is pickled by name, so its code must come along."""

import json

import mlflow

from pricing.fares import price


class Fares(mlflow.pyfunc.PythonModel):
    """Fares of rides, with a booking fee."""

    def load_context(self, context):
        with open(context.artifacts["tariff"]) as f:
            self.fee = json.load(f)["booking_fee"]

    def predict(self, context, model_input, params=None):
        currency = (params or {}).get("currency", "EUR")
        rides = zip(model_input["distance"], model_input["hour"])
        return [price(distance + self.fee, hour, currency) for distance, hour in rides]
''',
    "pricing/rates.py": '''"""Rates of the hours."""


def rate(hour):
    """Units of currency for each kilometre at that hour."""
    return 2.5 if 7 <= hour < 19 else 4.0
''',
}


def write(folder, files):
    for name, text in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def log_pyfunc_code(work):
    write(work, PRICING)
    Path("tariff.json").write_text('{"booking_fee": 1.5}\n')
    sys.path.insert(0, str(work))
    from pricing.model import Fares

    x = pd.DataFrame({"distance": [3.2, 812.0], "hour": [9, 23]})
    signature = infer_signature(x, ["10.00 EUR"], params={"currency": "EUR"})
    return mlflow.pyfunc.log_model(
        **where("fares"),
        python_model=Fares(),
        artifacts={"tariff": "tariff.json"},
        code_paths=["pricing"],
        extra_pip_requirements=["humanize>=4.9,<5", "python-dateutil==2.9.0.post0"],
        signature=signature,
        input_example=(x, {"currency": "EUR"}),
    )


SKINNY = '''"""Counts words: a model logged as code, without a pickle."""

import mlflow
import pandas as pd


class Words(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return pd.DataFrame({"words": [len(t.split()) for t in model_input["text"]]})


mlflow.models.set_model(Words())
'''


def log_skinny(_):
    Path("words.py").write_text(SKINNY)
    x = pd.DataFrame({"text": ["one", "to be or not to be"]})
    return mlflow.pyfunc.log_model(
        **where("words"),
        python_model="words.py",
        pip_requirements=[f"mlflow-skinny=={mlflow.__version__}", "pandas==2.3.3", "numpy==2.3.5"],
        signature=infer_signature(x, pd.DataFrame({"words": [1, 6]})),
        input_example=x,
    )


def wheel(path, name, version, files):
    """Writes a pure wheel whose bytes depend on its content alone."""
    import base64
    import hashlib

    info = f"{name}-{version}.dist-info"
    files = dict(files)
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files[f"{info}/WHEEL"] = (
        "Wheel-Version: 1.0\nGenerator: examples/log.py\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    record = io.StringIO()
    for n, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        record.write(f"{n},sha256={digest.decode()},{len(text.encode())}\n")
    record.write(f"{info}/RECORD,,\n")
    files[f"{info}/RECORD"] = record.getvalue()
    with zipfile.ZipFile(path, "w") as z:
        for n, text in files.items():
            entry = zipfile.ZipInfo(n, FIXED)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            z.writestr(entry, text)


SHOUT = {
    "shout/__init__.py": '"""Makes text loud."""\n\n\ndef shout(text):\n    return text.upper() + "!"\n'
}


def log_wheeled(work):
    name = "shout-1.2.0-py3-none-any.whl"
    wheel(name, "shout", "1.2.0", SHOUT)
    sys.path.insert(0, str(work / name))
    Path("loud.py").write_text(
        "import mlflow\nimport pandas as pd\nfrom shout import shout\n\n\n"
        "class Loud(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n"
        '        return pd.DataFrame({"loud": [shout(t) for t in model_input["text"]]})\n\n\n'
        "mlflow.models.set_model(Loud())\n"
    )
    x = pd.DataFrame({"text": ["hello", "world"]})
    return mlflow.pyfunc.log_model(
        **where("loud"),
        python_model="loud.py",
        code_paths=[name],
        pip_requirements=[
            f"mlflow=={mlflow.__version__}",
            "pandas==2.3.3",
            "numpy==2.3.5",
            f"code/{name}",
        ],
        signature=infer_signature(x, pd.DataFrame({"loud": ["HELLO!", "WORLD!"]})),
        input_example=x,
    )


# name: (minor version of MLflow, how it is logged)
EXAMPLES = {
    "sklearn": ("3.17", log_sklearn),
    "pyfunc-code": ("3.17", log_pyfunc_code),
    "skinny": ("3.17", log_skinny),
    "wheeled": ("3.17", log_wheeled),
    "sklearn-2.9": ("2.9", log_sklearn),
}


def disagree():
    """Breaks a copy of the sklearn example by hand, as people do, so that its files disagree."""
    target = HERE / "disagree"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(HERE / "sklearn", target)

    def edit(file, *changes):
        path = target / file
        text = path.read_text()
        for old, new in changes:
            if old not in text:
                raise SystemExit(f"disagree/{file}: no {old!r} to replace")
            text = text.replace(old, new, 1)
        path.write_text(text)

    edit(
        "conda.yaml",
        ("- python=3.11.7", "- python=3.10\n- libgomp=13.2.0"),
        ("scikit-learn==1.7.2", "scikit-learn==1.6.1"),
    )
    edit("MLmodel", ("python_version: 3.11.7", "python_version: 3.11.5"))
    requirements = target / "requirements.txt"
    requirements.write_text(
        "--extra-index-url https://ci:s3cret-token@pypi.example.com/simple/\n"
        + requirements.read_text()
        + "\ninternal-features==0.4.1\n"
    )


def wait(url, server):
    for _ in range(600):
        if server.poll() is not None:
            raise SystemExit(f"the tracking server ended with {server.returncode}")
        try:
            urllib.request.urlopen(url, timeout=1)
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the tracking server does not answer")


def start_server(folder):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        + ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"]
        + ["--artifacts-destination", f"{folder}/artifacts"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait(f"http://127.0.0.1:{port}/health", server)
    return server, f"http://127.0.0.1:{port}"


def stop(server):
    os.killpg(server.pid, 15)  # the session that start_server began: the server and its workers
    server.wait()


def log(name, how, target):
    """Logs one example in a folder of its own and copies what MLflow stored to target."""
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        with mlflow.start_run(run_name=name):
            info = how(Path(work))
        got = mlflow.artifacts.download_artifacts(artifact_uri=info.model_uri, dst_path=work + "/got")
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(got, target, ignore=shutil.ignore_patterns("__pycache__", "registered_model_meta"))
        os.chdir(HERE)
    mlmodel = target / "MLmodel"
    mlmodel.write_text(mlmodel.read_text().replace(work, "/project"))


def request(model):
    """What a client posts: MLflow's own serving example, or for MLflow 2.9 the example itself."""
    serving = model / "serving_input_example.json"
    if serving.exists():
        return json.loads(serving.read_text())
    return {"dataframe_split": json.loads((model / "input_example.json").read_text())}


def predict(model):
    """Loads the model back in a fresh Python and asks it."""
    body = request(model)
    code = (
        "import json,sys,mlflow,pandas as pd\n"
        "from mlflow.pyfunc.scoring_server import predictions_to_json\n"
        "import io\n"
        "name, body = sys.argv[1], json.loads(sys.argv[2])\n"
        "split = body['dataframe_split']\n"
        "frame = pd.DataFrame(split['data'], columns=split['columns'])\n"
        "kw = {'params': body['params']} if 'params' in body else {}\n"
        "out = io.StringIO()\n"
        "predictions_to_json(mlflow.pyfunc.load_model(name).predict(frame, **kw), out)\n"
        "print(out.getvalue())\n"
    )
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(str(p) for p in model.glob("code/*.whl")))
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    out = subprocess.run(
        [sys.executable, "-c", code, str(model), json.dumps(body)],
        check=True, capture_output=True, text=True, env=env,
    ).stdout
    return {"request": body, "response": json.loads(out.splitlines()[-1])}


def arguments():
    parser = argparse.ArgumentParser(description="Logs the example models with real MLflow.")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--into", type=Path, default=HERE, metavar="DIR")
    return parser.parse_args()


def main():
    args = arguments()
    names, into = args.names, args.into.resolve()
    version = ".".join(mlflow.__version__.split(".")[:2])
    names = names or [n for n, (v, _) in EXAMPLES.items() if v == version]
    for name in names:
        if EXAMPLES[name][0] != version:
            raise SystemExit(f"{name} is logged with MLflow {EXAMPLES[name][0]}; this is {version}")
    sys.dont_write_bytecode = True
    into.mkdir(parents=True, exist_ok=True)
    predictions = into / "predictions.json"
    record = json.loads(predictions.read_text()) if predictions.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        server, uri = None, Path(folder).as_uri()
        if version.startswith("3."):
            server, uri = start_server(folder)
        try:
            mlflow.set_tracking_uri(uri)
            mlflow.set_experiment("examples")
            for name in names:
                log(name, EXAMPLES[name][1], into / name)
                record[name] = predict(into / name)
                print(name, "logged", flush=True)
        finally:
            if server:
                stop(server)
    if "sklearn" in names and into == HERE:
        disagree()
        record["disagree"] = record["sklearn"]
    lines = (f"  {json.dumps(k)}: {json.dumps(record[k])}" for k in sorted(record))
    predictions.write_text("{\n" + ",\n".join(lines) + "\n}\n")  # one line for each model


if __name__ == "__main__":
    main()
