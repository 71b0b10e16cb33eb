"""Counts words: a model logged as code, without a pickle."""

import mlflow
import pandas as pd


class Words(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return pd.DataFrame({"words": [len(t.split()) for t in model_input["text"]]})


mlflow.models.set_model(Words())
