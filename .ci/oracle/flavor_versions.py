#!/usr/bin/env python3
"""Records what each flavor of the MLflow of this Python writes into MLmodel under *_version.

    python .ci/oracle/flavor_versions.py

It reads MLflow's source, and imports none of the flavors: of every call of add_flavor, and of the
dicts that are handed to one with **, the keywords that end in _version, with the expression that gives
the value and the MLflows that have it. resolve/check/testdata/flavor_versions.json collects them by flavor and key; run it with
each MLflow that the table in resolve/check is to hold for.
"""

import ast
import json
from pathlib import Path

import mlflow

OUT = Path(__file__).resolve().parents[2] / "resolve/check/testdata/flavor_versions.json"
ROOT = Path(mlflow.__file__).parent


def constants(trees):
    """The text constants of all modules, by name; flavors import each other's names."""
    out = {}
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        out[target.id] = node.value.value
    return out


def flavor_name(node, own, shared):
    """The flavor that the first argument of add_flavor names; None for that of the module's folder."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Attribute):  # mlflow.sklearn.FLAVOR_NAME
        return getattr(node.value, "attr", None)
    name = getattr(node, "id", None)
    return own.get(name) or (shared.get(name) if name != "FLAVOR_NAME" else None)


def local_values(tree):
    """The last assignment of each local name, for values that are computed before the call."""
    out = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    out.setdefault(target.id, []).append(ast.unparse(node.value))
    return out


def main():
    found = json.loads(OUT.read_text()) if OUT.exists() else {"mlflow": [], "flavors": {}}
    trees = {p: ast.parse(p.read_text()) for p in sorted(ROOT.rglob("*.py"))}
    shared = constants(trees.values())
    for path, tree in trees.items():
        own, values = constants([tree]), local_values(tree)
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_flavor"):
                continue
            args = [k.value for k in node.keywords if k.arg == "name"] or node.args[:1]
            flavor = flavor_name(args[0], own, shared) if args else None
            pairs = [(k.arg, ast.unparse(k.value)) for k in node.keywords if k.arg]
            for k in node.keywords:
                if k.arg is None:  # **options: what the module puts into dicts
                    pairs += dict_pairs(tree, own, shared)
            for key, value in pairs:
                if not key.endswith("_version") or key == "python_version":
                    continue
                if value in values:
                    value = " | ".join(sorted(set(values[value])))
                for name in flavor_names(flavor, path):
                    record(found["flavors"], name, key, value)
    found["mlflow"] = sorted(set(found["mlflow"]) | {mlflow.__version__}, key=lambda v: [int(p) for p in v.split(".")])
    OUT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


def flavor_names(flavor, path):
    return [flavor] if flavor else [path.relative_to(ROOT).parts[0].removesuffix(".py")]


def dict_pairs(tree, own, shared):
    out = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            for k, v in zip(node.keys, node.values):
                key = k.value if isinstance(k, ast.Constant) else own.get(getattr(k, "id", ""), shared.get(getattr(k, "id", "")))
                if isinstance(key, str):
                    out.append((key, ast.unparse(v)))
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
            s = node.targets[0].slice
            key = s.value if isinstance(s, ast.Constant) else own.get(getattr(s, "id", ""), shared.get(getattr(s, "id", "")))
            if isinstance(key, str):
                out.append((key, ast.unparse(node.value)))
    return out


def record(flavors, flavor, key, value):
    values = flavors.setdefault(flavor, {}).setdefault(key, {})
    versions = values.setdefault(value, [])
    if mlflow.__version__ not in versions:
        versions.append(mlflow.__version__)


if __name__ == "__main__":
    main()
