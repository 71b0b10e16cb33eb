#!/usr/bin/env python3
"""Records which requests that one signature accepts are refused by another.

    python .ci/oracle/callers.py     writes resolve/diff/testdata/callers.json

A case is two signatures and what MLflow says of requests that the old one accepts, under the new
one: "none" are refused, "some" or "all". A request is made in two ways: as JSON, read by the scoring
server's _parse_json_data, and as the DataFrame, array or dictionary that a Python program would
pass; then _enforce_schema and _enforce_params_schema judge it.
"""

import base64
import itertools
import json
import logging
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.models.utils import _enforce_params_schema, _enforce_schema
from mlflow.pyfunc.scoring_server import _parse_json_data

OUT = Path(__file__).resolve().parents[2] / "resolve/diff/testdata/callers.json"
DTYPES = {"boolean": "bool", "integer": "int32", "long": "int64", "float": "float32", "double": "float64"}
VALUES = {
    "boolean": [[True, False]],
    "integer": [[1, 2], [-(2**31), 2**31 - 1]],
    "long": [[1, 2], [2**40, -5]],
    "float": [[0.5, 1.5], [2.0, 3.0]],
    "double": [[0.1, 1e300], [2.0, 3.0]],
    "string": [["x", "y"], ["1", "2"]],
    "binary": [[base64.b64encode(b"\x00\x01").decode(), base64.b64encode(b"text").decode()]],
    "datetime": [["2024-01-01T00:00:00", "2024-02-29T12:30:00"]],
}
ANY = {"type": "any"}


def array(of):
    return {"type": "array", "items": kind(of)}


def mapping(of):
    return {"type": "map", "values": kind(of)}


def obj(**properties):
    """obj(a="long", b__optional="string")"""
    return {"type": "object", "properties": {
        k.removesuffix("__optional"): {**kind(v), "required": not k.endswith("__optional")} for k, v in properties.items()}}


def kind(of):
    return {"type": of} if isinstance(of, str) else of


def values(of):
    """Columns of values of a type."""
    of = kind(of)
    match of["type"]:
        case "array":
            return [[[v[0], v[1]], [v[0]]] for v in values(of["items"])]
        case "map":
            return [[{"k": v[0], "l": v[1]}, {"k": v[0]}] for v in values(of["values"])]
        case "object":
            full = {k: values(p)[0] for k, p in of["properties"].items()}
            least = {k: v for k, v in full.items() if of["properties"][k]["required"]}
            return [[{k: v[i] for k, v in some.items()} for i in (0, 1)] for some in (full, least)]
        case "any":
            return [["x", "y"], [1.5, 2.5], [["x"], ["y"]]]
        case scalar:
            return VALUES[scalar]


def series(of, column):
    match kind(of)["type"]:
        case "binary":
            return pd.Series([base64.b64decode(v) for v in column], dtype=object)
        case "datetime":
            return pd.Series(pd.to_datetime(column))
        case scalar if scalar in DTYPES:
            return pd.Series(column, dtype=DTYPES[scalar])
    return pd.Series(column, dtype=object)


def column(name, of, required=True):
    c = {**kind(of), "required": required}
    return c if name is None else {**c, "name": name}


def frames(columns):
    """Requests of a column schema: all columns, then only those that are required."""
    for some in (columns, [c for c in columns if c["required"]]):
        if not some:
            continue
        # Each column's values are tried with the first ones of the others.
        choices = [values(c) for c in some]
        for i, choice in enumerate(choices):
            for picked in choice:
                data = [picked if j == i else choices[j][0] for j in range(len(some))]
                names = [c.get("name", str(j)) for j, c in enumerate(some)]
                split = {"columns": names, "data": [list(row) for row in zip(*data)]}
                yield json.dumps({"dataframe_split": split}), pd.DataFrame(
                    {n: series(c, d) for n, c, d in zip(names, some, data)})


def tensor(dtype, *shape, name=None):
    t = {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(shape)}}
    return t if name is None else {**t, "name": name}


def tensors(specs):
    def some(spec):
        for shape in itertools.product(*([2, 3] if n == -1 else [n] for n in spec["tensor-spec"]["shape"])):
            yield np.ones(shape, dtype=spec["tensor-spec"]["dtype"])

    for one in itertools.product(*map(some, specs)):
        if "name" in specs[0]:
            data = {s["name"]: v for s, v in zip(specs, one)}
            yield json.dumps({"inputs": {k: v.tolist() for k, v in data.items()}}), data
        else:
            yield json.dumps({"inputs": one[0].tolist()}), one[0]


def requests(signature):
    inputs, params = signature.get("inputs"), signature.get("params")
    if inputs is None:
        for data in frames([column("a", "double")]):
            yield *data, None
        return
    for text, data in (tensors if inputs[0]["type"] == "tensor" else frames)(inputs):
        yield text, data, None
        if params:
            given = {p["name"]: values(p)[0][0] for p in params}
            given = {p["name"]: [given[p["name"]]] if p["shape"] else given[p["name"]] for p in params}
            yield json.dumps({**json.loads(text), "params": given}), data, given


def refused(signature, text, data, params):
    """Whether the request is refused: as JSON, and as data."""
    texts = {k: json.dumps(v) for k, v in signature.items()}
    model = Model(signature=ModelSignature.from_dict(texts) if texts else None)
    schema, params_schema = model.get_input_schema(), model.get_params_schema()
    out = []
    for form in ("json", "data"):
        try:
            got, given = data, params
            if form == "json":
                parsed = _parse_json_data(text, model, schema)
                got, given = parsed.data, parsed.params
            if schema is not None:
                _enforce_schema(got, schema)
            _enforce_params_schema(given, params_schema)
            out.append(False)
        except Exception:
            out.append(True)
    return out


def verdict(old, new):
    seen = []
    for request in requests(old):
        for was, now in zip(refused(old, *request), refused(new, *request)):
            if not was:
                seen.append(now)
    if not seen:
        return None
    return "all" if all(seen) else "some" if any(seen) else "none"


def param(name, of, default, many=False):
    return {"name": name, "type": of, "default": [default] if many else default, "shape": [-1] if many else None}


def cases():
    kinds = [*VALUES, ANY, array("integer"), array("long"), array("float"), array("double"), array("string"), array("boolean"),
             array(array("long")), array(mapping("long")), mapping("integer"), mapping("long"), mapping("string"), mapping(array("long")),
             obj(x="integer"), obj(x="long"), obj(x=array("long")), obj(x="double"), obj(x="long", y="string"), obj(x="long", y__optional="string"), obj(y="string"), array(obj(x="long"))]
    for old, new in itertools.permutations(kinds, 2):
        yield {"inputs": [column("a", old)]}, {"inputs": [column("a", new)]}
    a, b = column("a", "long"), column("b", "string")
    maybe = column("b", "string", False)
    sets = [[a], [b], [a, b], [a, maybe], [b, a], [a, column("b", "string"), column("c", "double")],
            [column(None, "long")], [column(None, "long"), column(None, "long")]]
    for old, new in itertools.permutations(sets, 2):
        yield {"inputs": old}, {"inputs": new}
    all_tensors = [[tensor("float32", -1, 2)], [tensor("float64", -1, 2)], [tensor("float32", -1, 3)], [tensor("float32", -1, -1)],
                   [tensor("float32", 2, 2)], [tensor("float32", -1)], [tensor("int64", -1, 2)],
                   [tensor("float32", -1, 2, name="x")], [tensor("float32", -1, 2, name="x"), tensor("int64", -1, name="y")], [a], [a, b]]
    for old, new in itertools.permutations(all_tensors, 2):
        yield {"inputs": old}, {"inputs": new}
    yield {}, {"inputs": [column("a", "double")]}
    for some in ([a], [tensor("float32", -1, 2)]):
        yield {"inputs": some}, {}
    plain = {"inputs": [a]}
    scalars = [k for k in VALUES if k != "binary"]
    defaults = {k: VALUES[k][0][0] for k in scalars}
    params = [None, *([param("p", k, defaults[k])] for k in scalars), [param("p", "long", 7)], [param("p", "long", 1, True)],
              [param("q", "long", 1)], [param("p", "long", 1), param("q", "string", "x")]]
    for old, new in itertools.permutations(params, 2):
        yield {**plain, **({"params": old} if old else {})}, {**plain, **({"params": new} if new else {})}


def main():
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    out = []
    for old, new in cases():
        got = verdict(old, new)
        if got is not None:
            texts = [{k: json.dumps(v) for k, v in s.items()} for s in (old, new)]
            out.append({"old": texts[0], "new": texts[1], "refused": got})
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text("[\n" + ",\n".join(json.dumps(c) for c in out) + "\n]\n")
    print(len(out), {k: sum(c["refused"] == k for c in out) for k in ("none", "some", "all")})


if __name__ == "__main__":
    main()
