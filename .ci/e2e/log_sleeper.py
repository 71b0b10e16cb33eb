"""Logs a model that takes as long as it is told, for the tests of timeouts and signals.

    python3 log_sleeper.py DIR NAME

Its input has a column "x" and a column "seconds"; it sleeps for the most of these and gives x * 2. Its
class lies in a file of code, so that nothing depends on how this version of Python pickles.
"""

import inspect
import os
import sys
import tempfile

import mlflow
import pandas as pd

CODE = '''import time

import mlflow.pyfunc


class Sleeper(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        time.sleep(float(model_input["seconds"].max()))
        return model_input["x"] * 2
'''


def main():
    folder, name = sys.argv[1:]
    with tempfile.TemporaryDirectory() as code:
        with open(os.path.join(code, "sleeper.py"), "w") as file:
            file.write(CODE)
        sys.path.insert(0, code)
        import sleeper

        accepted = inspect.signature(mlflow.pyfunc.save_model).parameters
        paths = "code_paths" if "code_paths" in accepted else "code_path"
        mlflow.pyfunc.save_model(
            os.path.join(folder, name),
            python_model=sleeper.Sleeper(),
            **{paths: [os.path.join(code, "sleeper.py")]},
            input_example=pd.DataFrame({"x": [1.5, 2.0], "seconds": [0.0, 0.0]}),
            pip_requirements=["mlflow==" + mlflow.__version__] + sys.argv[3:],
        )


main()
