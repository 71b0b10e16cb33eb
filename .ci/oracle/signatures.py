#!/usr/bin/env python3
"""Records what real MLflow says of pairs of a signature and an input example.

    python .ci/oracle/signatures.py            writes resolve/check/testdata/signatures.json.gz
    python .ci/oracle/signatures.py --again    marks the pairs that this Python judges otherwise

A pair is what stands in a model: the signature and saved_input_example_info of MLmodel, and the
text of one file, input_example.json or serving_input_example.json. The verdict is that of the
code that runs when such a file is used: for an input example Model.load_input_example's
_read_example and then _enforce_schema and _enforce_params_schema; for a serving example the scoring
server's _parse_json_data and then the same two. A pair's "stage" says which of them refused: read,
schema or params. "varies" names a pandas with which the verdict is the opposite.

The pairs come from three places, all with a fixed seed: models saved by MLflow with some fifty
kinds of example (natural), the same with their signatures edited (edited), and grids of types,
values and forms (the rest).
"""

import base64
import datetime as dt
import gzip
import itertools
import json
import logging
import random
import sys
import tempfile
import warnings
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.models.utils import (
    _enforce_params_schema,
    _enforce_schema,
    _read_example,
    _read_example_params,
)
from mlflow.pyfunc.scoring_server import _parse_json_data

OUT = Path(__file__).resolve().parents[2] / "resolve/check/testdata/signatures.json.gz"
EXAMPLE, SERVING = "input_example.json", "serving_input_example.json"
FRAME = {"artifact_path": EXAMPLE, "type": "dataframe", "pandas_orient": "split"}
OBJECT = {"artifact_path": EXAMPLE, "type": "json_object"}
ARRAY = {"artifact_path": EXAMPLE, "type": "ndarray"}
SCALARS = ["boolean", "integer", "long", "float", "double", "string", "binary", "datetime"]


def load(case):
    """Gives the data and params of a case's file as MLflow reads them, and the two schemas."""
    signature = ModelSignature.from_dict(case["signature"])
    signature._is_signature_from_type_hint = case.get("typeHint", False)
    model = Model(signature=signature, saved_input_example_info=case["info"])
    schemas = model.get_input_schema(), model.get_params_schema()
    if case["file"] == SERVING:
        parsed = _parse_json_data(case["text"], model, schemas[0])
        return (parsed.data, parsed.params, *schemas)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, EXAMPLE).write_text(case["text"])
        return (_read_example(model, folder), _read_example_params(model, folder), *schemas)


def first_line(error):
    text = str(error.message if isinstance(error, mlflow.MlflowException) else error)
    name = "" if isinstance(error, mlflow.MlflowException) else type(error).__name__ + ": "
    return (name + (text.splitlines() or [""])[0])[:300]


def verdict(case):
    """What MLflow says: {ok} or {ok, stage, error}."""
    stage = "read"
    try:
        data, params, schema, params_schema = load(case)
        stage = "schema"
        if schema is not None and not case.get("typeHint"):
            _enforce_schema(data, schema)
        stage = "params"
        _enforce_params_schema(params, params_schema)
    except Exception as e:
        return {"ok": False, "stage": stage, "error": first_line(e)}
    return {"ok": True}


def column(name, kind, required=True):
    return {"type": kind, "name": name, "required": required} if isinstance(kind, str) else {
        **kind, "name": name, "required": required}


def signature(inputs=None, params=None):
    got = {}
    if inputs is not None:
        got["inputs"] = json.dumps(inputs)
    if params is not None:
        got["params"] = json.dumps(params)
    got["outputs"] = json.dumps([{"type": "long", "required": True}])
    return got


def pair(name, sig, info, file, value, **more):
    text = value if isinstance(value, str) and more.pop("raw", False) else json.dumps(value)
    return {"name": name, "signature": sig, "info": info, "file": file, "text": text, **more}


# --- models saved by MLflow ---------------------------------------------------------------------


class Echo(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [1]


def examples():
    """Examples as people give them to log_model, by name."""
    from scipy.sparse import csc_matrix, csr_matrix

    day = dt.datetime(2024, 2, 29, 12, 30)
    sparse = np.array([[1.0, 0.0], [0.0, 2.5]])
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    frame = pd.DataFrame
    yield from {
        "frame of longs": frame({"a": [1, 2], "b": [3, 4]}),
        "frame of integers": frame({"a": np.array([1, 2], dtype=np.int32)}),
        "frame of small integers": frame({"a": np.array([1, 2], dtype=np.int8), "b": np.array([1, 2], dtype=np.uint8)}),
        "frame of doubles": frame({"a": [1.5, 2.5], "b": [0.1, 1e300]}),
        "frame of whole doubles": frame({"a": [1.0, 2.0]}),
        "frame of floats": frame({"a": np.array([1.5, 2.5], dtype=np.float32)}),
        "frame of strings": frame({"a": ["x", "y"]}),
        "frame of booleans": frame({"a": [True, False]}),
        "frame of datetimes": frame({"a": [pd.Timestamp("2024-01-01"), pd.Timestamp("2024-02-01 10:20:30.123456")]}),
        "frame with a missing double": frame({"a": [1.0, None], "b": [1, 2]}),
        "frame with only missing doubles": frame({"a": [float("nan"), float("nan")]}),
        "frame with infinite doubles": frame({"a": [float("inf"), 1.0]}),
        "frame with a missing string": frame({"a": ["x", None]}),
        "frame with a missing boolean": frame({"a": [True, None]}),
        "frame with a missing datetime": frame({"a": [pd.Timestamp(day), pd.NaT]}),
        "frame of bytes": frame({"a": [b"\x00\x01", b"text"]}),
        "frame of lists": frame({"a": [[1, 2], [3]]}),
        "frame of lists of strings": frame({"a": [["x"], ["y", "z"]]}),
        "frame of lists of lists": frame({"a": [[[1.5]], [[2.5, 3.5]]]}),
        "frame of arrays": frame({"a": [np.array([1.0, 2.0]), np.array([3.0, 4.0])]}),
        "frame of dicts": frame({"a": [{"x": 1, "y": "s"}, {"x": 2, "y": "t"}]}),
        "frame of dicts that differ": frame({"a": [{"x": 1}, {"x": 2, "y": "t"}]}),
        "frame of lists of dicts": frame({"a": [[{"x": 1.5}], [{"x": 2.5}]]}),
        "frame of all kinds": frame({"l": [1], "d": [1.5], "s": ["x"], "b": [True], "t": [pd.Timestamp(day)]}),
        "frame without names": frame([[1.0, 2.0], [3.0, 4.0]]),
        "frame without rows": frame({"a": np.array([], dtype=np.float64)}),
        "frame with number names": frame({1: [1.0], 2: [2.0]}),
        "categories": frame({"a": pd.Categorical(["x", "y"])}),
        "dict of arrays": {"a": np.array([[1.0, 2.0]]), "b": np.array([1, 2])},
        "dict of scalars": {"a": 1, "b": 2.5, "c": "x", "d": True},
        "dict of lists": {"a": [1, 2], "b": ["x", "y"]},
        "dict of dicts": {"a": {"x": 1, "y": [1.5]}, "b": "s"},
        "dict with none": {"a": None, "b": "s"},
        "dict with an empty list": {"a": [], "b": "s"},
        "array of 1": np.array([1.5, 2.5]),
        "array of 2": np.array([[1.5, 2.5], [3.5, 4.5]]),
        "array of 3": np.zeros((1, 2, 3)),
        "array of 4": np.zeros((1, 2, 2, 3), dtype=np.float32),
        "array of bytes of a picture": np.zeros((1, 2, 2, 3), dtype=np.uint8),
        "array of longs": np.array([[1, 2]]),
        "array of booleans": np.array([[True, False]]),
        "array of strings": np.array(["x", "yy"]),
        "array with a missing value": np.array([[1.5, float("nan")]]),
        "array of objects": np.array([["x", 1]], dtype=object),
        "list of strings": ["x", "y"],
        "list of longs": [1, 2],
        "list of doubles": [1.5, 2.5],
        "list of lists": [[1, 2], [3, 4]],
        "list of dicts": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}],
        "list of dicts that differ": [{"a": 1}, {"a": 2, "b": "y"}],
        "list of dicts with none": [{"a": None, "b": "x"}, {"a": None, "b": "y"}],
        "chat": {"messages": chat},
        "chat with options": {"messages": chat, "temperature": 0.5, "max_tokens": 10, "stop": ["\n"]},
        "chat in a list": [{"messages": chat}],
        "prompt": {"prompt": "Hi", "max_tokens": 5},
        "input of an embedding": {"input": ["x", "y"]},
        "a string": "question",
        "a long": 3,
        "a double": 3.5,
        "a boolean": True,
        "a datetime": day,
        "sparse rows": csr_matrix(sparse),
        "sparse columns": csc_matrix(sparse),
        "params": (frame({"a": [1.5]}), {"t": 0.5, "k": 3, "s": "x", "b": True}),
        "params of lists": (frame({"a": [1.5]}), {"t": [0.5, 1.5], "s": ["x", "y"]}),
        "params with a dict": (frame({"a": [1.5]}), {"o": {"x": 1, "y": {"z": "s"}}}),
        "params with none": (frame({"a": [1.5]}), {"n": None}),
        "params with an array": (np.array([[1.5]]), {"t": np.array([1, 2])}),
        "params of chat": ({"messages": chat}, {"temperature": 0.5}),
        "params of a string": ("question", {"top": 2}),
    }.items()


def saved(name, example):
    """Saves a model with that example; gives its signature, info and files, or the error."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model")
        try:
            mlflow.pyfunc.save_model(
                str(path), python_model=Echo(), input_example=example, pip_requirements=["mlflow"]
            )
        except Exception as e:
            print(f"not saved: {name}: {first_line(e)}")
            return
        model = Model.load(str(path))
        if model.signature is None:
            print(f"saved without a signature: {name}")
            return
        sig = {k: v for k, v in model.signature.to_dict().items() if v is not None}
        info = {k: v for k, v in model.saved_input_example_info.items()}
        for file in (EXAMPLE, SERVING):
            if (path / file).exists():
                yield pair(f"natural: {name}", sig, info, file, (path / file).read_text(), raw=True)


def natural():
    for name, example in examples():
        yield from saved(name, example)


def other(kind):
    """Another type, likely to clash."""
    return {"long": "string", "double": "long", "string": "double", "boolean": "long", "integer": "boolean"}.get(
        kind, "double")


def edits(inputs):
    """Edits of a signature's inputs, each with a name."""
    first = inputs[0]
    if first.get("type") == "tensor":
        spec = first["tensor-spec"]
        for dtype in ("int64", "float32", "float64", "object", "str"):
            if dtype != spec["dtype"]:
                yield f"dtype {dtype}", [{**first, "tensor-spec": {**spec, "dtype": dtype}}, *inputs[1:]]
        for shape in ([-1], [-1, -1], [7] + spec["shape"][1:], spec["shape"] + [-1], spec["shape"][:-1] + [9]):
            yield f"shape {shape}", [{**first, "tensor-spec": {**spec, "shape": shape}}, *inputs[1:]]
        yield "named", [{**first, "name": first.get("name", "") + "_x"}, *inputs[1:]]
        return
    if "name" in first:
        yield "renamed", [{**first, "name": str(first["name"]) + "_x"}, *inputs[1:]]
        yield "one more", [*inputs, column("extra", "long")]
        yield "one more, optional", [*inputs, column("extra", "long", False)]
        yield "one less", inputs[1:] or [column("other", "long", False)]
        yield "required", [{**c, "required": True} for c in inputs]
    else:
        yield "one more without a name", [*inputs, {"type": "long", "required": True}]
    base = {k: v for k, v in first.items() if k in ("name", "required")}
    yield "another type", [{**base, "type": other(first["type"])}, *inputs[1:]]
    yield "any", [{**base, "type": "any"}, *inputs[1:]]
    yield "string", [{**base, "type": "string"}, *inputs[1:]]
    yield "array of it", [{**base, "type": "array", "items": {k: v for k, v in first.items() if k not in ("name", "required")}}, *inputs[1:]]
    if first["type"] == "array":
        yield "array of binary", [{**first, "items": {"type": "binary"}}, *inputs[1:]]
    if first["type"] == "object":
        yield "object with more", [
            {**first, "properties": {**first["properties"], "zzz": {"type": "long", "required": True}}}, *inputs[1:]]
        yield "object with more, optional", [
            {**first, "properties": {**first["properties"], "zzz": {"type": "long", "required": False}}}, *inputs[1:]]
        yield "map", [{**base, "type": "map", "values": {"type": "string"}}, *inputs[1:]]


def edited(pairs):
    for p in pairs:
        if "inputs" not in p["signature"]:
            continue
        for name, inputs in edits(json.loads(p["signature"]["inputs"])):
            sig = {**p["signature"], "inputs": json.dumps(inputs)}
            yield {**p, "name": p["name"].replace("natural", "edited", 1) + ", " + name, "signature": sig}


# --- grids --------------------------------------------------------------------------------------

VALUES = {
    "zero and one": [0, 1],
    "whole": [3, -4],
    "past 32 bits": [2**40, 1],
    "past 64 bits": [2**70, 1],
    "whole decimals": [3.0, 4.0],
    "decimals": [1.5, -2.25],
    "past float32": [1e300, 1.0],
    "mixed numbers": [1, 2.5],
    "strings": ["x", ""],
    "number strings": ["1", "2.5"],
    "base64": [base64.b64encode(b"abc").decode(), ""],
    "dates": ["2024-01-31", "2024-02-01"],
    "times": ["2024-01-31T10:20:30", "2024-01-31T10:20:30.123456"],
    "zoned times": ["2024-01-31T10:20:30Z", "2024-01-31T10:20:30+02:00"],
    "booleans": [True, False],
    "a null": [None, 1],
    "a null and a string": [None, "x"],
    "nulls": [None, None],
    "number and string": [1, "x"],
    "boolean and number": [True, 2],
    "lists": [[1, 2], [3]],
    "objects": [{"x": 1}, {"x": 2}],
}


def forms(name, values):
    """One column of values in every form that MLflow writes or serves: (form, info, file, content)."""
    split = {"columns": [name], "data": [[v] for v in values]}
    records = [{name: v} for v in values]
    yield "frame", FRAME, EXAMPLE, split
    yield "list of records", OBJECT, EXAMPLE, records
    yield "record", OBJECT, EXAMPLE, records[0]
    yield "split", FRAME, SERVING, {"dataframe_split": split}
    yield "records", FRAME, SERVING, {"dataframe_records": records}
    yield "inputs", FRAME, SERVING, {"inputs": {name: values}}
    yield "instances", FRAME, SERVING, {"instances": records}


def columns():
    for kind, (label, values) in itertools.product(SCALARS + ["any"], VALUES.items()):
        if kind == "any":
            kind = {"type": "any"}
        for form, info, file, content in forms("a", values):
            for required in (True, False):
                if not required and (None not in values or form in ("record", "instances")):
                    continue
                sig = signature([column("a", kind, required)])
                word = kind if isinstance(kind, str) else "any"
                yield pair(f"column: {word}{'' if required else '?'}, {label}, {form}", sig, info, file, content)


def presence():
    """Missing, extra, reordered, optional, unnamed and repeated columns."""
    a, b, c = column("a", "long"), column("b", "string"), column("c", "double", False)
    data = {
        "all": {"a": 1, "b": "x", "c": 2.5}, "without the optional": {"a": 1, "b": "x"},
        "without a required": {"b": "x"}, "more": {"a": 1, "b": "x", "z": 9}, "other order": {"b": "x", "a": 1},
        "other case": {"A": 1, "b": "x"}, "nothing": {},
    }
    for (label, row), inputs in itertools.product(data.items(), ([a, b, c], [a], [c], [b, a])):
        names = "".join(i["name"] for i in inputs)
        split = {"columns": list(row), "data": [list(row.values())]}
        for form, info, file, content in (
            ("frame", FRAME, EXAMPLE, split), ("record", OBJECT, EXAMPLE, row), ("records", OBJECT, EXAMPLE, [row]),
            ("split", FRAME, SERVING, {"dataframe_split": split}), ("inputs", FRAME, SERVING, {"inputs": row}),
            ("served records", FRAME, SERVING, {"dataframe_records": [row]}),
            ("instances", FRAME, SERVING, {"instances": [row]}),
        ):
            yield pair(f"presence: {names}, {label}, {form}", signature(inputs), info, file, content)
    unnamed = [{"type": "double", "required": True}, {"type": "double", "required": True}]
    for n, inputs in itertools.product(range(4), (unnamed, unnamed[:1])):
        row = [1.5] * n
        for form, info, file, content in (
            ("frame", FRAME, EXAMPLE, {"data": [row]}), ("list", OBJECT, EXAMPLE, [row]),
            ("split", FRAME, SERVING, {"dataframe_split": {"data": [row]}}), ("inputs", FRAME, SERVING, {"inputs": [row]}),
            ("instances", FRAME, SERVING, {"instances": [row]}),
        ):
            yield pair(f"presence: {len(inputs)} without names, {n} given, {form}", signature(inputs), info, file, content)
    ragged = {"columns": ["a", "b"], "data": [[1, "x"], [2]]}
    yield pair("presence: ragged rows", signature([a, b]), FRAME, EXAMPLE, ragged)
    yield pair("presence: a name too many", signature([a, b]), FRAME, EXAMPLE, {"columns": ["a", "b", "c"], "data": [[1, "x"]]})
    yield pair("presence: an index", signature([a, b]), FRAME, EXAMPLE, {"columns": ["a", "b"], "index": [5], "data": [[1, "x"]]})


def nested():
    long, string, double = {"type": "long"}, {"type": "string"}, {"type": "double"}
    person = {"type": "object", "properties": {"age": {"type": "long", "required": True}, "name": {"type": "string", "required": False}}}
    kinds = {
        "array of long": {"type": "array", "items": long},
        "array of double": {"type": "array", "items": double},
        "array of string": {"type": "array", "items": string},
        "array of datetime": {"type": "array", "items": {"type": "datetime"}},
        "array of array": {"type": "array", "items": {"type": "array", "items": long}},
        "array of object": {"type": "array", "items": person},
        "object": person,
        "object in object": {"type": "object", "properties": {"p": {**person, "required": True}}},
        "map of long": {"type": "map", "values": long},
        "map of array": {"type": "map", "values": {"type": "array", "items": string}},
        "map of any": {"type": "map", "values": {"type": "any"}},
        "array of any": {"type": "array", "items": {"type": "any"}},
        "sparkml vector": {"type": "sparkml_vector", "items": double},
    }
    values = {
        "longs": [1, 2], "decimals": [1.5, 2.5], "strings": ["x", "y"], "no items": [], "with null": [1, None],
        "dates": ["2024-01-31", "2024-02-01"], "mixed": [1, "x"], "lists": [[1], [2, 3]], "people": [{"age": 1}, {"age": 2, "name": "x"}],
        "person": {"age": 1, "name": "x"}, "person without age": {"name": "x"}, "person with more": {"age": 1, "size": 2},
        "person with null": {"age": 1, "name": None}, "person with text": {"age": "old"}, "person in": {"p": {"age": 1}},
        "dict of longs": {"x": 1, "y": 2}, "dict of lists": {"x": ["a"], "y": []}, "empty dict": {}, "null": None, "scalar": 5,
    }
    for (kind, k), (label, v) in itertools.product(kinds.items(), values.items()):
        for required in (True, False):
            if not required and label != "null":
                continue
            sig = signature([column("a", k, required)])
            for form, info, file, content in list(forms("a", [v]))[:6]:
                yield pair(f"nested: {kind}{'' if required else '?'}, {label}, {form}", sig, info, file, content)


def tensors():
    data = {
        "of 1": [1.5, 2.5], "of 2": [[1.5, 2.5], [3.5, 4.5]], "of 3": [[[1.5], [2.5]]], "whole": [[1, 2], [3, 4]],
        "booleans": [[True, False]], "strings": [["x", "y"]], "ragged": [[1.5], [2.5, 3.5]], "null": [[1.5, None]],
        "empty": [], "scalar": 1.5, "past 32 bits": [[2**40, 1]], "mixed": [[1, "x"]], "negative": [[-1, 300]],
    }
    specs = [(d, s) for d in ("float64", "float32", "int64", "int32", "uint8", "bool", "str", "object")
             for s in ([-1], [-1, 2], [2, 2], [-1, -1, 1])]
    for (label, v), (dtype, shape) in itertools.product(data.items(), specs):
        spec = {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}
        forms = [(ARRAY, EXAMPLE, v, "array"), (ARRAY, SERVING, {"inputs": v}, "inputs"), (ARRAY, SERVING, {"instances": v}, "instances")]
        for info, file, content, form in forms:
            yield pair(f"tensor: {dtype}{shape}, {label}, {form}", signature([spec]), info, file, content)
    for dtype, shape in itertools.product(("float64", "int64"), ([-1], [-1, 2])):
        two = [{"name": n, "type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}} for n in ("a", "b")]
        for label, v in {
            "both": {"a": [[1, 2]], "b": [[3, 4]]}, "one": {"a": [[1, 2]]}, "three": {"a": [[1, 2]], "b": [[3, 4]], "c": [1]},
            "flat": {"a": [1, 2], "b": [3, 4]}, "lengths": {"a": [[1, 2], [3, 4]], "b": [[3, 4]]}, "decimals": {"a": [[1.5, 2]], "b": [[3, 4]]},
        }.items():
            rows = [dict(zip(v, items)) for items in zip(*v.values())]
            for info, file, content, form in (
                (ARRAY, EXAMPLE, v, "array"), (ARRAY, SERVING, {"inputs": v}, "inputs"), (ARRAY, SERVING, {"instances": rows}, "instances"),
                (FRAME, SERVING, {"dataframe_split": {"columns": list(v), "data": [list(r.values()) for r in rows]}}, "split"),
                (FRAME, EXAMPLE, {"columns": list(v), "data": [list(r.values()) for r in rows]}, "frame"),
            ):
                yield pair(f"tensor: two {dtype}{shape}, {label}, {form}", signature(two), info, file, content)
    sparse = {"data": [1.5, 2.5], "indices": [0, 1], "indptr": [0, 1, 2], "shape": [2, 2]}
    for kind, dtype, shape in itertools.product(("csr", "csc"), ("float64", "int64"), ([-1, 2], [-1, 3])):
        spec = {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}
        info = {"artifact_path": EXAMPLE, "type": f"sparse_matrix_{kind}"}
        yield pair(f"tensor: sparse {kind}, {dtype}{shape}", signature([spec]), info, EXAMPLE, sparse)


def params():
    defaults = {"boolean": True, "integer": 1, "long": 1, "float": 0.5, "double": 0.5, "string": "s", "datetime": "2024-01-31"}
    values = {"one": 1, "zero": 0, "big": 2**40, "decimal": 2.5, "whole decimal": 2.0, "text": "x", "true": True, "date": "2024-01-31",
              "null": None, "list": [1, 2], "texts": ["x"], "decimals": [0.5, 1], "empty": [], "dict": {"x": 1}, "mixed": [1, "x"]}
    inputs = [column("a", "double")]
    split = {"columns": ["a"], "data": [[1.5]]}
    for (kind, default), shape, (label, v) in itertools.product(defaults.items(), (None, [-1]), values.items()):
        spec = {"name": "p", "type": kind, "default": default if shape is None else [default], "shape": shape}
        sig = signature(inputs, [spec])
        word = f"params: {kind}{'' if shape is None else ' list'}, {label}"
        info = {**FRAME, "params": "true"}
        yield pair(word, sig, info, EXAMPLE, {"inputs": split, "params": {"p": v}})
        yield pair(word + ", served", sig, info, SERVING, {"dataframe_split": split, "params": {"p": v}})
    spec = [{"name": "p", "type": "long", "default": 1, "shape": None}]
    for label, v in {"none": None, "nothing": {}, "unknown": {"q": 1}, "a list": [1], "a text": "x"}.items():
        yield pair(f"params: given {label}", signature(inputs, spec), FRAME, SERVING, {"dataframe_split": split, "params": v})
        yield pair(f"params: none known, given {label}", signature(inputs), FRAME, SERVING, {"dataframe_split": split, "params": v})
    nested = [{"name": "p", "type": "object", "default": None, "shape": None,
               "properties": {"x": {"type": "long", "required": True}, "y": {"type": "string", "required": False}}}]
    for label, v in {"fits": {"x": 1}, "all": {"x": 1, "y": "s"}, "lacks": {"y": "s"}, "text": {"x": "s"}, "more": {"x": 1, "z": 1}, "scalar": 3, "null": None}.items():
        yield pair(f"params: object {label}", signature(inputs, nested), FRAME, SERVING, {"dataframe_split": split, "params": {"p": v}})


def odd():
    """Files that are no example at all, and signatures without inputs."""
    sig = signature([column("a", "double")])
    split = {"columns": ["a"], "data": [[1.5]]}
    for label, text in {
        "not JSON": "{", "empty": "", "a list": "[1]", "a text": '"x"', "null": "null", "no format": '{"data": [1]}', "nothing": "{}",
        "two formats": json.dumps({"inputs": [1], "dataframe_split": split}), "bare split": json.dumps(split),
        "not a number": '{"dataframe_split": {"columns": ["a"], "data": [[NaN]]}}', "infinite": '{"dataframe_split": {"columns": ["a"], "data": [[Infinity]]}}',
        "a key twice": '{"inputs": {"a": "x"}, "inputs": {"a": 1.5}}', "columns twice": '{"dataframe_split": {"columns": ["a", "a"], "data": [[1.5, 2.5]]}}',
    }.items():
        yield pair(f"odd: served {label}", sig, FRAME, SERVING, text, raw=True)
    for label, text in {"not JSON": "{", "empty": "", "a list": "[1.5]", "a text": '"x"', "null": "null", "records": '[{"a": 1.5}]', "nothing": "{}",
                        "no data": '{"columns": ["a"]}', "not a number": '{"columns": ["a"], "data": [[NaN]]}'}.items():
        yield pair(f"odd: frame {label}", sig, FRAME, EXAMPLE, text, raw=True)
    info = {"artifact_path": EXAMPLE, "type": "mystery"}
    yield pair("odd: unknown type of example", sig, info, EXAMPLE, split)
    yield pair("odd: params without params", sig, {**FRAME, "params": "true"}, EXAMPLE, split)
    for label, v in {"split": {"dataframe_split": split}, "inputs": {"inputs": "x"}, "nothing": {}, "other": {"x": 1}}.items():
        yield pair(f"odd: no inputs in the signature, {label}", signature(None, []), FRAME, SERVING, v)
        yield pair(f"odd: type hint, {label}", sig, OBJECT, SERVING, v, typeHint=True)
    chat = {"messages": [{"role": "user", "content": "Hi"}], "temperature": 1}
    message = {"type": "array", "items": {"type": "object", "properties": {
        "content": {"type": "string", "required": True}, "role": {"type": "string", "required": True}}}}
    for label, inputs in {
        "messages": [column("messages", message)], "messages and temperature": [column("messages", message), column("temperature", "double", False)],
        "long temperature": [column("messages", message), column("temperature", "long")], "no messages": [column("a", "long", False)],
        "max_tokens": [column("messages", message), column("max_tokens", "long")],
    }.items():
        yield pair(f"odd: chat, {label}", signature(inputs), OBJECT, SERVING, chat)
        yield pair(f"odd: chat with a param, {label}", signature(inputs, [{"name": "temperature", "type": "double", "default": 0.5, "shape": None}]), OBJECT, SERVING, chat)
        yield pair(f"odd: chat in inputs, {label}", signature(inputs), OBJECT, SERVING, {"inputs": chat})
        yield pair(f"odd: chat example, {label}", signature(inputs), OBJECT, EXAMPLE, chat)


def mixed(count):
    """Random frames of several columns and rows."""
    rng = random.Random(6)
    good = {"boolean": "booleans", "integer": "whole", "long": "whole", "float": "decimals", "double": "decimals",
            "string": "strings", "binary": "base64", "datetime": "dates"}
    for n in range(count):
        names = [f"c{i}" for i in range(rng.randint(1, 5))]
        kinds = [rng.choice(SCALARS) for _ in names]
        inputs = [column(name, kind, rng.random() < 0.8) for name, kind in zip(names, kinds)]
        table = {name: VALUES[good[k] if rng.random() < 0.85 else rng.choice(list(VALUES))] for name, k in zip(names, kinds)}
        for name in names:
            if rng.random() < 0.08:
                del table[name]
        if rng.random() < 0.2:
            table["extra"] = [1, 2]
        rows = [dict(zip(table, r)) for r in zip(*table.values())]
        split = {"columns": list(table), "data": [list(r.values()) for r in rows]}
        form, info, file, content = rng.choice([
            ("frame", FRAME, EXAMPLE, split), ("records", OBJECT, EXAMPLE, rows), ("split", FRAME, SERVING, {"dataframe_split": split}),
            ("served records", FRAME, SERVING, {"dataframe_records": rows}), ("inputs", FRAME, SERVING, {"inputs": table}),
            ("instances", FRAME, SERVING, {"instances": rows}),
        ])
        yield pair(f"mixed: {n}, {form}", signature(inputs), info, file, content)


def sampled(cases, count):
    """A fixed choice of a grid that is larger than it need be, in the grid's order."""
    cases = list(cases)
    chosen = sorted(random.Random(len(cases)).sample(range(len(cases)), min(count, len(cases))))
    return [cases[i] for i in chosen]


def generate():
    real = list(natural())
    return [
        *real, *sampled(edited(real), 500), *sampled(columns(), 700), *sampled(presence(), 160), *sampled(nested(), 500),
        *sampled(tensors(), 500), *sampled(params(), 250), *odd(), *mixed(150),
    ]


def write(record):
    text = "{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in record.items() if k != "cases")
    text += ',\n"cases": [\n' + ",\n".join(json.dumps(c) for c in record["cases"]) + "\n]}\n"
    OUT.parent.mkdir(parents=True, exist_ok=True)
    with open(OUT, "wb") as f:
        f.write(gzip.compress(text.encode(), mtime=0))


def versions():
    return {"mlflow": mlflow.__version__, "pandas": pd.__version__, "numpy": np.__version__}


def again():
    with gzip.open(OUT) as f:
        record = json.load(f)
    changed = 0
    for case in record["cases"]:
        case.pop("varies", None)
        if verdict(case)["ok"] != case["ok"]:
            case["varies"] = "pandas " + pd.__version__
            changed += 1
    record["again"] = versions()
    write(record)
    print(f"{changed} of {len(record['cases'])} pairs vary")


def main():
    cases = [{**c, **verdict(c)} for c in generate()]
    seen = set()
    cases = [c for c in cases if (k := json.dumps({**c, "name": ""})) not in seen and not seen.add(k)]
    write({**versions(), "cases": cases})
    groups = {}
    for c in cases:
        groups.setdefault(c["name"].split(":")[0], []).append(c["ok"])
    print({k: f"{sum(v)} of {len(v)} fit" for k, v in groups.items()}, len(cases), OUT.stat().st_size)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    again() if "--again" in sys.argv[1:] else main()
