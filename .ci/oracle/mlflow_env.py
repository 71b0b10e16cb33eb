#!/usr/bin/env python3
"""Saves models with the MLflow of this Python and records how MLflow reads their environment.

    python .ci/oracle/mlflow_env.py [CASE...]

For each case it writes resolve/testdata/mlflow/MAJOR.MINOR/CASE, the model as MLflow wrote it but
without its pickles, and in resolve/testdata/mlflow/MAJOR.MINOR.json what MLflow's own code gives:

    python_env    _PythonEnv.from_yaml of python_env.yaml
    conda         _PythonEnv.from_conda_yaml of conda.yaml, or its error
    pip_deps      _get_pip_deps of conda.yaml
    requirements  _parse_requirements of requirements.txt: [text, is it a constraint]

The newest MLflow also writes conda.json: how _PythonEnv reads the forms of a conda dependency.

Every requirement is recorded as packaging writes it (name by PEP 503, extras, specifier, marker),
or null where packaging does not take the line. Three things are rewritten before anything is read:
the working folder becomes /project, the hosts in a uv.lock become pypi.example (indexes) and
files.example (files), and a wheeled model's platform names no kernel. Nothing else is.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import mlflow
import yaml
from mlflow.utils.environment import _get_pip_deps, _PythonEnv
from mlflow.utils.requirements_utils import _parse_requirements
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

OUT = Path(__file__).resolve().parents[2] / "resolve/testdata/mlflow"
VERSION = tuple(int(p) for p in mlflow.__version__.split(".")[:2])
MINOR = ".".join(map(str, VERSION))
PIN = "mlflow==" + mlflow.__version__
KEPT = {".txt", ".yaml", ".json", ".py", ".toml", ".lock", ".whl", ""}  # suffixes; "" is MLmodel


class Echo(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input


def pyfunc(path, code=None, **kw):
    """Saves an echoing model; the argument for code was called code_path until 2.12."""
    if code:
        kw["code_paths" if VERSION >= (2, 13) else "code_path"] = code
    mlflow.pyfunc.save_model(path, python_model=Echo(), **kw)


def write(files):
    for name, text in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def sklearn(path):
    import numpy as np
    from mlflow.models import infer_signature
    from sklearn.linear_model import LinearRegression

    x = np.array([[1.0], [2.0], [3.0]])
    model = LinearRegression().fit(x, x[:, 0])
    mlflow.sklearn.save_model(model, path, signature=infer_signature(x, model.predict(x)), input_example=x)


def sklearn_params(path):
    """Options beside the model, as a pipeline of a team passes them."""
    from sklearn.linear_model import LinearRegression

    mlflow.sklearn.save_model(
        LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0]),
        path,
        extra_pip_requirements=["Joblib>=1", "scikit_learn<9", "charset-normalizer[unicode_backport]"],
    )


def code(path):
    write({"helper/__init__.py": "", "helper/numbers.py": "ANSWER = 42\n", "solo.py": "X = 1\n"})
    pyfunc(path, code=["helper", "solo.py"], extra_pip_requirements=["requests>=2.25,<3", "PyYAML"])


def constraints(path):
    write({
        "reqs.txt": "-r more.txt\nidna  # names\n\n# a comment\n",
        "more.txt": "requests \\\n  >=2.25\n",
        "limits.txt": "urllib3<3\ncertifi>=2020.1.1\n",
    })
    pyfunc(path, pip_requirements=["-r reqs.txt", "-c limits.txt"])


def constraints_extra(path):
    write({"limits.txt": "urllib3<3\n"})
    pyfunc(path, extra_pip_requirements=["requests>=2.25", "-c limits.txt"])


def requirements_file(path):
    write({
        "all.txt": PIN + "\n--extra-index-url https://pypi.example/simple\n"
        "six>=1.15 ; python_version < '4'\n"
    })
    pyfunc(path, pip_requirements="all.txt")


def conda(path):
    pyfunc(path, conda_env={
        "name": "team-env",
        "channels": ["conda-forge", "nvidia"],
        "dependencies": [
            "python=3.8.13", "pip=22.3.1", "setuptools<70", "libgomp=13.2.0", "nvidia::cudatoolkit=11.8",
            "numpy>=1.21,<2", {"pip": ["scikit-learn==1.0.2", "requests[socks]~=2.28"]},
        ],
    })


def conda_nothing(path):
    """A conda environment without a pip section: MLflow adds one for itself."""
    pyfunc(path, conda_env={
        "name": "plain", "channels": ["defaults"], "dependencies": ["python=3.9", "pip", "scikit-learn=1.0.2"],
    })


def conda_constraints(path):
    write({"limits.txt": "urllib3<3\n"})
    pyfunc(path, conda_env={
        "name": "c", "channels": ["conda-forge"],
        "dependencies": ["python=3.10.4", {"pip": [PIN, "requests", "-c limits.txt", "# a comment"]}],
    })


def skinny(path):
    pyfunc(path, pip_requirements=["mlflow-skinny==" + mlflow.__version__, "pandas", "cloudpickle"])


def forms(path):
    """Every form of a requirement that pip takes and MLflow hands on as an opaque line."""
    pyfunc(path, pip_requirements=[
        "--index-url https://pypi.example/simple",
        "--extra-index-url=https://ci:hunter2@pypi.example/team/simple",
        "--find-links https://files.example/links/",
        "--pre",
        PIN,
        "Flask_Cors==4.0.0",
        "zope.interface>=5",
        "six ; python_version < '3.13' and sys_platform == 'linux'",
        "colorama==0.4.6; os_name == \"nt\"",
        "requests[socks,use_chardet_on_py3]>=2.25,!=2.26.0",
        "tiny @ https://files.example/tiny-1.0-py3-none-any.whl",
        "demo @ git+https://git.example/demo.git@0123456789012345678901234567890123456789",
        "packaging>=20 --hash=sha256:" + "0" * 64,
        "torch==2.1.0+cu118",
    ])


def duplicates(path):
    """The same package several times: what MLflow folds, and the names it does not see as equal."""
    pyfunc(path, pip_requirements=[
        PIN, "requests>=2.25", "requests", "requests[socks]", "typing-extensions>=3", "typing_extensions>=4",
    ])


def markers(path):
    """One package twice with different markers."""
    pyfunc(path, pip_requirements=[
        PIN, "idna>=2.5 ; python_version < '3.11'", "idna>=3 ; python_version >= '3.11'",
    ])


def unpinned(path):
    """What models before 2.1 have, and what people write by hand since."""
    pyfunc(path, pip_requirements=["mlflow", "numpy", "pandas>=1"])


def no_requirements(path):
    pyfunc(path, pip_requirements=[])


def wheel_in_code(path):
    name = "tiny-1.0-py3-none-any.whl"
    import zipfile

    info = "tiny-1.0.dist-info"
    with zipfile.ZipFile(name, "w") as z:
        for n, text in {
            "tiny.py": "",
            info + "/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
            info + "/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            info + "/RECORD": "tiny.py,,\n",
        }.items():
            z.writestr(zipfile.ZipInfo(n, (2024, 1, 1, 0, 0, 0)), text)
    pyfunc(path, code=[name], pip_requirements=[PIN, "code/" + name])


def locked(path, constraint=False):
    """MLFLOW_LOCK_MODEL_DEPENDENCIES: uv pip compile --universal at log time."""
    os.environ["MLFLOW_LOCK_MODEL_DEPENDENCIES"] = "true"
    try:
        requirements = [PIN.replace("mlflow", "mlflow-tracing"), "requests>=2.25"]
        if constraint:
            write({"limits.txt": "urllib3<2.5\n"})
            requirements.append("-c limits.txt")
        pyfunc(path, pip_requirements=requirements)
    finally:
        del os.environ["MLFLOW_LOCK_MODEL_DEPENDENCIES"]
    if "# Locked requirements" not in (Path(path) / "requirements.txt").read_text():
        raise SystemExit("nothing was locked: is uv on the PATH?")


def locked_constraints(path):
    locked(path, constraint=True)


def uv_project(path):
    """A uv project: uv.lock, pyproject.toml and .python-version travel with the model."""
    Path("pyproject.toml").write_text(
        '[project]\nname = "team"\nversion = "0.1.0"\nrequires-python = ">=3.10,<3.13"\n'
        f'dependencies = ["mlflow-tracing=={mlflow.__version__}", "requests>=2.25", '
        "\"colorama ; sys_platform == 'win32'\"]\n"
        '[project.optional-dependencies]\nsocks = ["PySocks"]\n[dependency-groups]\nserve = ["h11"]\n'
    )
    Path(".python-version").write_text("3.11\n")
    subprocess.run(["uv", "lock", "-q"], check=True)
    pyfunc(path, uv_project_path=".", uv_groups=["serve"], uv_extras=["socks"])


def wheeled(path):
    """add_libraries_to_model: every requirement as a wheel in the model."""
    from mlflow.models.utils import add_libraries_to_model

    mlflow.set_tracking_uri("sqlite:///" + os.path.abspath("mlflow.db"))
    with mlflow.start_run():
        info = mlflow.pyfunc.log_model(
            name="m", python_model=Echo(), registered_model_name="m",
            pip_requirements=["mlflow-tracing==" + mlflow.__version__, "requests>=2.25"],
        )
    with mlflow.start_run():
        add_libraries_to_model("models:/m/1")
    got = mlflow.artifacts.download_artifacts("models:/m/2", dst_path=os.path.abspath("got"))
    shutil.copytree(got, path)
    for wheel in Path(path, "wheels").glob("*.whl"):  # only their names matter here
        wheel.write_bytes(b"")


def xgboost(path):
    import xgboost as xgb

    model = xgb.XGBRegressor(n_estimators=2).fit([[1.0], [2.0], [3.0]], [1.0, 2.0, 3.0])
    mlflow.xgboost.save_model(model, path, input_example=[[1.0]])


def lightgbm(path):
    import lightgbm as lgb
    import numpy as np

    x = np.arange(40.0).reshape(40, 1)
    model = lgb.LGBMRegressor(n_estimators=2).fit(x, x[:, 0])
    mlflow.lightgbm.save_model(model, path, input_example=x[:2], extra_pip_requirements=["pandas<4"])


CASES = [
    sklearn, sklearn_params, code, constraints, constraints_extra, requirements_file, conda, conda_nothing,
    conda_constraints, skinny, forms, duplicates, markers, unpinned, no_requirements, wheel_in_code,
]
if VERSION >= (3, 1):
    CASES += [locked, locked_constraints]
if VERSION >= (3, 11):
    CASES += [uv_project, wheeled]
FLAVORS = [xgboost, lightgbm] if VERSION >= (3, 11) else []  # by name only: they need their libraries


def canonical(text):
    """One requirement as packaging writes it, or null."""
    try:
        r = Requirement(text)
    except InvalidRequirement:
        return None
    extras = "[" + ",".join(sorted(canonicalize_name(e) for e in r.extras)) + "]" if r.extras else ""
    return {
        "name": canonicalize_name(r.name),
        "extras": extras,
        "specifier": str(r.specifier),
        "marker": str(r.marker or ""),
        "url": r.url or "",
    }


def env(make, path):
    try:
        got = make(path)
    except Exception as e:  # what MLflow makes of a file it cannot read is part of the record
        return {"error": type(e).__name__ + ": " + str(e).splitlines()[0]}
    return {
        "python": got.python,
        "buildDependencies": got.build_dependencies,
        "dependencies": got.dependencies,
    }


def record(model):
    requirements = [
        {"text": r.req_str, "constraint": r.is_constraint, "requirement": canonical(r.req_str)}
        for r in _parse_requirements(str(model / "requirements.txt"), is_constraint=False)
    ]
    with open(model / "conda.yaml") as f:
        deps = _get_pip_deps(yaml.safe_load(f))
    return {
        "python_env": env(_PythonEnv.from_yaml, model / "python_env.yaml"),
        "conda": env(_PythonEnv.from_conda_yaml, model / "conda.yaml"),
        "pip_deps": deps,
        "requirements": requirements,
    }


def scrub(model, work):
    for path in list(model.rglob("*")):
        if path.is_dir():
            continue
        if path.suffix not in KEPT or path.name == ".mlflowignore":
            path.unlink()
            continue
        if path.suffix == ".whl":
            continue
        text = path.read_text().replace(str(work), "/project")
        if path.name == "uv.lock":
            text = re.sub(r'registry = "https://[^"]*"', 'registry = "https://pypi.example/simple"', text)
            text = re.sub(r'url = "https://[^/"]*/', 'url = "https://files.example/', text)
        if path.name == "MLmodel":
            text = re.sub(r"platform: Linux-.*-x86_64", "platform: Linux-6.1.0-x86_64", text)
        path.write_text(text)
    for cache in list(model.rglob("__pycache__")):
        shutil.rmtree(cache)


CONDA_FORMS = [
    "python=3.8.13", "python==3.8.13", "python 3.8", "python 3.8.13", "python", "python=3.8.*", "python=3.10",
    "python=3.8.13=h12debd9_0_cpython", "python>=3.8,<3.9", "python>=3.8", "python<=3.9", "python>3.8", "python<3.10",
    "python!=3.9", "python~=3.9", "conda-forge::python=3.8", "Python=3.8", "python =3.8", "python = 3.8.13", "python=3.11.0rc1",
    "pip", "pip=22.3.1", "pip<=23.0.1", "pip==22.*", "pip>=21,<24", "setuptools<70", "setuptools=65.5.0=py38_0", "wheel=0.38.4",
    "wheel !=0.39", "numpy=1.21", "conda-forge::pip=22.3",
]
CONDA_FILES = {
    "no python": "dependencies: [pip]\n",
    "two pythons": "dependencies: [python=3.8.13, python=3.9.7]\n",
    "python of three numbers as a number": "dependencies: [3.9]\n",
    "no dependencies": "name: x\n",
    "pip null": "dependencies: [python=3.9, {pip: null}]\n",
    "two pip sections": "dependencies: [python=3.9, {pip: [a]}, {pip: [b]}]\n",
    "another section": "dependencies: [python=3.9, {npm: [a]}]\n",
    "a comment in pip": "dependencies:\n- python=3.9\n- pip:\n  - '# note'\n  - a # b\n",
    "empty": "",
}


def conda_forms():
    """How MLflow reads each form of a conda dependency, and whole files that are odd."""
    got = []
    files = {form: "dependencies:\n- " + json.dumps(form) + "\n" for form in CONDA_FORMS}
    files.update(CONDA_FILES)
    with tempfile.TemporaryDirectory() as work:
        path = Path(work, "conda.yaml")
        for name, text in files.items():
            path.write_text(text)
            got.append({"name": name, "text": text, "gives": env(_PythonEnv.from_conda_yaml, path)})
    known = {"mlflow": mlflow.__version__, "python": sys.version.split()[0], "files": got}
    (OUT / "conda.json").write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


def main(names):
    os.environ.setdefault("MLFLOW_DISABLE_ENV_MANAGER_CONDA_WARNING", "true")
    file = OUT / (MINOR + ".json")
    records = json.loads(file.read_text())["models"] if file.exists() else {}
    for case in CASES + FLAVORS:
        name = case.__name__.replace("_", "-")
        if name not in names and (names or case in FLAVORS):
            continue
        target = OUT / MINOR / name
        shutil.rmtree(str(target), ignore_errors=True)
        with tempfile.TemporaryDirectory() as work:
            os.chdir(work)
            try:
                case(os.path.join(work, "model"))
            except Exception as e:
                records[name] = {"refused": type(e).__name__ + ": " + str(e).splitlines()[0]}
                print(MINOR, name, records[name]["refused"], flush=True)
                continue
            finally:
                os.chdir(str(OUT.parents[1]))
            shutil.copytree(os.path.join(work, "model"), str(target))
            scrub(target, work)
        records[name] = record(target)
        print(MINOR, name, "saved", flush=True)
    known = {"mlflow": mlflow.__version__, "python": sys.version.split()[0], "models": records}
    file.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
    if VERSION >= (3, 11):
        conda_forms()


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    main(sys.argv[1:])
