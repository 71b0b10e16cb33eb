import mlflow
import pandas as pd
from shout import shout


class Loud(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return pd.DataFrame({"loud": [shout(t) for t in model_input["text"]]})


mlflow.models.set_model(Loud())
