#!/usr/bin/env python3
"""Logs the kinds of models that this Python's MLflow and libraries allow, for .ci/oracle/kinds.

    python .ci/oracle/kinds.py OUT [KIND...]

Each kind becomes OUT/KIND, saved by real MLflow. OUT/KIND.json says what was done: the flavor, the
versions, and what MLflow itself reads of the environment, which `mlenv resolve` is compared with. Where
that needs no service and no secret, MLflow loads the model again, and its own scoring code answers a
request in this Python: OUT/predictions.json has the request and the answer, which the model's image is
compared with. The answer is asked for twice, for what differs then can be compared with nothing. A
kind whose library is not installed is left out; one that MLflow cannot save is reported and fails.
"""

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import traceback
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd

VERSION = tuple(int(p) for p in mlflow.__version__.split(".")[:2])
KINDS = {}


def kind(*needs, since=(0, 0), until=(99, 0), ask=None, load=True):
    """Registers a kind: the modules that it needs, the first MLflow that has it and the first that no
    longer has it, what to ask where the model has no example, and whether it can be loaded here."""

    def register(f):
        KINDS[f.__name__.replace("_", "-")] = (f, needs, (since, until), ask, load)
        return f

    return register


def table(rows=40):
    # From 1 on, so that no prediction is about 0, where a relative difference says nothing.
    a = np.arange(1, rows + 1, dtype=float)
    x = pd.DataFrame({"a": a, "b": a % 7})
    return x, x["a"] * 2 + x["b"]


def script(path, text):
    """A file of code beside the model, for models that are logged from code."""
    file = Path(str(path) + ".py")
    file.write_text(text)
    return str(file)


TWO_ROWS = table()[0][:2]


@kind("sklearn", ask=TWO_ROWS)
def sklearn(path):
    from sklearn.linear_model import LinearRegression

    x, y = table()
    mlflow.sklearn.save_model(LinearRegression().fit(x, y), path, input_example=x[:2])


@kind("xgboost")
def xgboost(path):
    import xgboost

    x, y = table()
    mlflow.xgboost.save_model(xgboost.XGBRegressor(n_estimators=2).fit(x, y), path, input_example=x[:2])


@kind("lightgbm")
def lightgbm(path):
    import lightgbm

    x, y = table()
    mlflow.lightgbm.save_model(lightgbm.LGBMRegressor(n_estimators=2, verbose=-1).fit(x, y), path, input_example=x[:2])


@kind("catboost")
def catboost(path):
    import catboost

    x, y = table()
    mlflow.catboost.save_model(catboost.CatBoostRegressor(iterations=2, silent=True, allow_writing_files=False).fit(x, y), path, input_example=x[:2])


@kind("statsmodels")
def statsmodels(path):
    import statsmodels.api as sm

    x, y = table()
    mlflow.statsmodels.save_model(sm.OLS(y, x).fit(), path, input_example=x[:2])


@kind("onnx", "onnxruntime")
def onnx(path):
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])], "twice",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    mlflow.onnx.save_model(model, path, input_example=np.ones((1, 2), dtype=np.float32))


@kind("spacy", ask=pd.DataFrame({"text": ["good", "bad"]}))
def spacy(path):
    import spacy

    nlp = spacy.blank("en")
    textcat = nlp.add_pipe("textcat")
    textcat.add_label("GOOD")
    textcat.add_label("BAD")
    nlp.initialize()
    mlflow.spacy.save_model(nlp, path)


@kind("prophet")
def prophet(path):
    from prophet import Prophet

    days = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=60), "y": np.arange(60.0)})
    mlflow.prophet.save_model(Prophet(uncertainty_samples=0).fit(days), path, input_example=days[["ds"]][:2])


@kind("pmdarima")
def pmdarima(path):
    import pmdarima

    mlflow.pmdarima.save_model(pmdarima.ARIMA(order=(1, 0, 0)).fit(np.sin(np.arange(50.0))), path, input_example=pd.DataFrame({"n_periods": [2]}))


@kind("keras", "tensorflow")
def keras3(path):
    import keras

    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    net.compile(loss="mse")
    mlflow.tensorflow.save_model(net, path, input_example=np.ones((1, 2), dtype=np.float32))


@kind("keras", "tensorflow", since=(2, 14), ask=np.ones((1, 2), dtype=np.float32))
def keras_flavor(path):
    import keras

    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    net.compile(loss="mse")
    mlflow.keras.save_model(net, path)


@kind("tensorflow")
def tensorflow(path):
    import tensorflow as tf

    class Twice(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32)])
        def __call__(self, x):
            return x + x

    mlflow.tensorflow.save_model(Twice(), path, input_example=np.ones((1, 2), dtype=np.float32))


@kind("torch")
def pytorch(path):
    import torch

    mlflow.pytorch.save_model(torch.nn.Linear(2, 1), path, input_example=np.ones((1, 2), dtype=np.float32))


@kind("transformers", "torch", since=(2, 3))
def transformers(path):
    """A BERT of two layers with a vocabulary of its own, made here: nothing is downloaded."""
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast, pipeline

    vocab = Path(str(path) + ".vocab")
    vocab.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad"]) + "\n")
    config = BertConfig(vocab_size=7, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
    pipe = pipeline("text-classification", model=BertForSequenceClassification(config), tokenizer=BertTokenizerFast(str(vocab)))
    mlflow.transformers.save_model(pipe, path, input_example=["good"])


@kind("sentence_transformers", "torch", since=(2, 4))
def sentence_transformers(path):
    """A BERT of two layers with a vocabulary of its own, and the mean of its vectors: nothing is downloaded."""
    from sentence_transformers import SentenceTransformer, models
    from transformers import BertConfig, BertModel, BertTokenizerFast

    base, vocab = str(path) + ".base", Path(str(path) + ".vocab")
    vocab.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad"]) + "\n")
    BertModel(BertConfig(vocab_size=7, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)).save_pretrained(base)
    BertTokenizerFast(str(vocab)).save_pretrained(base)
    word = models.Transformer(base)
    mlflow.sentence_transformers.save_model(SentenceTransformer(modules=[word, models.Pooling(8)]), path, input_example=["good"])


@kind("fastai", "torch", until=(3, 0), ask=TWO_ROWS)
def fastai(path):
    from fastai.tabular.all import TabularDataLoaders, tabular_learner

    x, y = table()
    loaders = TabularDataLoaders.from_df(x.assign(y=y), y_names="y", cont_names=["a", "b"], bs=8)
    learner = tabular_learner(loaders, layers=[4])
    learner.fit(1)
    mlflow.fastai.save_model(learner, path)


@kind("h2o", ask=TWO_ROWS)
def h2o(path):
    import h2o
    from h2o.estimators import H2OGeneralizedLinearEstimator

    x, y = table()
    h2o.init(bind_to_localhost=True, nthreads=1, max_mem_size="1g")
    model = H2OGeneralizedLinearEstimator(lambda_=0)
    model.train(x=["a", "b"], y="y", training_frame=h2o.H2OFrame(x.assign(y=y)))
    mlflow.h2o.save_model(model, path)


@kind("pyspark", ask=TWO_ROWS)
def spark(path):
    from pyspark.ml import Pipeline
    from pyspark.ml.feature import VectorAssembler
    from pyspark.ml.regression import LinearRegression
    from pyspark.sql import SparkSession

    x, y = table()
    session = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config("spark.driver.host", "127.0.0.1").getOrCreate()
    stages = [VectorAssembler(inputCols=["a", "b"], outputCol="features"), LinearRegression(labelCol="y")]
    mlflow.spark.save_model(Pipeline(stages=stages).fit(session.createDataFrame(x.assign(y=y))), path)


@kind("shap", "sklearn", ask=TWO_ROWS)
def shap(path):
    import shap
    from sklearn.linear_model import LinearRegression

    x, y = table()
    model = LinearRegression().fit(x, y)
    mlflow.shap.save_explainer(shap.Explainer(model.predict, x, algorithm="permutation"), path, serialize_model_using_mlflow=False)


@kind("paddle", ask=np.ones((1, 2), dtype=np.float32))
def paddle(path):
    import paddle

    class Net(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.line = paddle.nn.Linear(2, 1)

        @paddle.jit.to_static(input_spec=[paddle.static.InputSpec([None, 2], "float32")])
        def forward(self, x):
            return self.line(x)

    mlflow.paddle.save_model(Net(), path)


@kind("openai", since=(2, 3), load=False)
def openai(path):
    mlflow.openai.save_model(model="gpt-4o-mini", task="chat.completions", path=path,
                             messages=[{"role": "user", "content": "{question}"}])


@kind("dspy", since=(2, 18), load=False)
def dspy(path):
    import dspy

    mlflow.dspy.save_model(dspy.Predict("question -> answer"), path)


@kind("langchain", since=(2, 14))
def langchain_from_code(path):
    code = script(path, "import mlflow\nfrom langchain_core.runnables import RunnableLambda\n\n"
                        "mlflow.models.set_model(RunnableLambda(lambda x: str(x)[::-1]))\n")
    mlflow.langchain.save_model(code, path, input_example="abc")


@kind("llama_index", since=(2, 15), ask={"inputs": ["x"]})
def llama_index(path):
    code = script(path, "import mlflow\nfrom llama_index.core import Document, VectorStoreIndex\n"
                        "from llama_index.core.embeddings import MockEmbedding\n\n"
                        "mlflow.models.set_model(VectorStoreIndex.from_documents([Document(text='x')], embed_model=MockEmbedding(embed_dim=3)))\n")
    mlflow.llama_index.save_model(code, path, engine_type="retriever")


@kind(ask=TWO_ROWS)
def pyfunc(path):
    class Echo(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return model_input

    mlflow.pyfunc.save_model(path, python_model=Echo())


@kind(since=(2, 20))
def type_hints(path):
    class Length(mlflow.pyfunc.PythonModel):
        def predict(self, model_input: list[str]) -> list[int]:
            return [len(s) for s in model_input]

    mlflow.pyfunc.save_model(path, python_model=Length(), input_example=["ab"])


@kind(since=(2, 13))
def model_from_code(path):
    code = script(path, "import mlflow\n\n\nclass Twice(mlflow.pyfunc.PythonModel):\n"
                        "    def predict(self, context, model_input, params=None):\n        return model_input * 2\n\n\n"
                        "mlflow.models.set_model(Twice())\n")
    mlflow.pyfunc.save_model(path, python_model=code, input_example=pd.DataFrame({"a": [1]}))


@kind(since=(2, 13), ask={"messages": [{"role": "user", "content": "Hello!"}]})
def chat_model(path):
    # Called ChatResponse, with more that has to be given, before MLflow 2.17.
    response = "ChatCompletionResponse" if VERSION >= (2, 17) else "ChatResponse"
    code = script(path, f"""import mlflow
from mlflow.types.llm import ChatChoice, ChatMessage, TokenUsageStats, {response}


class Echo(mlflow.pyfunc.ChatModel):
    def predict(self, context, messages, params):
        said = ChatMessage(role="assistant", content=messages[-1].content)
        return {response}(id="1", created=1, model="echo", choices=[ChatChoice(index=0, message=said, finish_reason="stop")],
                          usage=TokenUsageStats(prompt_tokens=1, completion_tokens=1, total_tokens=2))


mlflow.models.set_model(Echo())
""")
    mlflow.pyfunc.save_model(path, python_model=code)


@kind(since=(2, 20))
def chat_agent(path):
    code = script(path, """import mlflow
from mlflow.types.agent import ChatAgentMessage, ChatAgentResponse


class Echo(mlflow.pyfunc.ChatAgent):
    def predict(self, messages, context=None, custom_inputs=None):
        return ChatAgentResponse(messages=[ChatAgentMessage(role="assistant", content=messages[-1].content, id="1")])


mlflow.models.set_model(Echo())
""")
    mlflow.pyfunc.save_model(path, python_model=code)


@kind(since=(3, 0))
def responses_agent(path):
    code = script(path, """import mlflow
from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentResponse


class Echo(mlflow.pyfunc.ResponsesAgent):
    def predict(self, request: ResponsesAgentRequest) -> ResponsesAgentResponse:
        return ResponsesAgentResponse(output=[self.create_text_output_item(text="hello", id="msg_1")])


mlflow.models.set_model(Echo())
""")
    mlflow.pyfunc.save_model(path, python_model=code)


@kind("sklearn", since=(3, 11))
def uv_project(path):
    """Logged within a uv project, whose lock MLflow takes over."""
    project = Path(str(path) + ".project")
    project.mkdir()
    (project / "pyproject.toml").write_text(
        '[project]\nname = "churn"\nversion = "0.1"\nrequires-python = ">=3.11,<3.12"\n'
        f'dependencies = ["mlflow=={mlflow.__version__}", "scikit-learn=={importlib.metadata.version("scikit-learn")}"]\n')
    before = os.getcwd()
    os.chdir(project)
    try:
        subprocess.run(["uv", "lock", "-q"], check=True)
        sklearn(path)
    finally:
        os.chdir(before)


@kind(since=(3, 11), ask=TWO_ROWS)
def wheeled(path):
    """Logged to a registry of its own, and given its libraries as wheels there."""
    class Echo(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return model_input

    mlflow.set_tracking_uri("sqlite:///" + str(path) + ".db")
    mlflow.set_experiment("wheeled-" + str(os.getpid()))
    with mlflow.start_run():
        mlflow.pyfunc.log_model(name="m", python_model=Echo(), registered_model_name="wheeled",
                                pip_requirements=["mlflow-skinny==" + mlflow.__version__, "humanize==4.9.0"])
        mlflow.models.add_libraries_to_model("models:/wheeled/1")
    mlflow.artifacts.download_artifacts("models:/wheeled/2", dst_path=str(path))


def request(path, ask):
    """What to send to /invocations: the model's own serving example, or else what the kind says."""
    example = Path(path) / "serving_input_example.json"
    if example.exists():
        return json.loads(example.read_text())
    if isinstance(ask, pd.DataFrame):
        split = json.loads(ask.to_json(orient="split", index=False))
        return {"dataframe_split": split} if VERSION >= (2, 0) else split
    return {"inputs": ask.tolist()} if isinstance(ask, np.ndarray) else ask


def answered(model, body):
    """What MLflow's scoring server would answer, without a server: its own code, in this process."""
    from mlflow.pyfunc import scoring_server

    if hasattr(scoring_server, "invocations"):
        answer = scoring_server.invocations(body, "application/json", model, model.metadata.get_input_schema())
        status, text = answer.status, answer.response
    else:  # MLflow before 2.12: the answer is made within its Flask application
        answer = scoring_server.init(model).test_client().post("/invocations", data=body, content_type="application/json")
        status, text = answer.status_code, answer.get_data(as_text=True)
    if status != 200:
        raise RuntimeError(f"MLflow answers {status}: {text[:500]}")
    return json.loads(text)


def record(path, ask):
    """A request and MLflow's answer to it in this Python."""
    model = mlflow.pyfunc.load_model(str(path))
    asked = request(path, ask)
    if asked is None:
        raise RuntimeError("the kind has no example, and says not what to ask")
    first, second = (answered(model, json.dumps(asked)) for _ in range(2))
    if first != second:
        raise RuntimeError(f"MLflow answers {first}, and the second time {second}")
    return {"request": asked, "response": first}


def note(file, name, entry):
    """Adds an entry to a file of JSON."""
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**known, name: entry}, indent=1) + "\n")


def environment(path):
    """What MLflow itself reads: the Python, and requirements.txt as it stands."""
    from mlflow.utils.environment import _PythonEnv

    env = _PythonEnv.from_yaml(str(Path(path) / "python_env.yaml"))
    return {"python": env.python, "requirements": (Path(path) / "requirements.txt").read_text().splitlines()}


def main(out, names):
    out = Path(out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    os.chdir(out)  # where MLflow puts the database of its traces
    failed = []
    for name, (save, needs, (since, until), ask, load) in KINDS.items():
        if names and name not in names or not since <= VERSION < until or not all(importlib.util.find_spec(n) for n in needs):
            continue
        path = out / name
        shutil.rmtree(path, ignore_errors=True)
        try:
            save(str(path))
            model = next(path.glob("**/MLmodel")).parent
            result = {"kind": name, "mlflow": mlflow.__version__, "python": platform.python_version(),
                      "flavors": sorted(mlflow.models.Model.load(str(model)).flavors), "model": str(model.relative_to(out))}
            result["mlflowSays"] = "saved by MLflow"
            if load:
                note(out / "predictions.json", name, record(model, ask))
                result["mlflowSays"] = "loaded and asked by MLflow"
            result["environment"] = environment(model)
            result["libraries"] = {n: importlib.metadata.version({"llama_index": "llama-index-core"}.get(n, d)) for n in needs
                                   for d in importlib.metadata.packages_distributions().get(n, [])[:1]}
            Path(str(path) + ".json").write_text(json.dumps(result, indent=1) + "\n")
            print("logged", name)
        except Exception as e:
            traceback.print_exc()
            failed.append(name)
            print("failed", name, type(e).__name__, e)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
