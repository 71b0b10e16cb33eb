#!/usr/bin/env python3
"""Checks logged models with mlenv and writes docs/models.md; see .ci/oracle/kinds."""

import json
import re
import subprocess
import sys
from pathlib import Path

DOC = Path(__file__).resolve().parents[2] / "docs/models.md"
START, END = "<!-- table -->", "<!-- end of table -->"


def run(*args):
    return subprocess.run(args, capture_output=True, text=True)


def name(requirement):
    return re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", requirement)[0]).lower()


def compare(mlenv, model, said):
    """What was compared, or what differs."""
    report = json.loads(run(mlenv, "check", "--format", "json", "--date", "2026-11-25", model).stdout)
    if report["summary"]["errors"]:
        return None, "check: " + "; ".join(f["message"] for f in report["findings"] if f["severity"] == "error")
    spec = json.loads(run(mlenv, "resolve", "--format", "json", model).stdout)
    if spec["python"]["version"] != said["python"]:
        return None, f"Python {spec['python']['version']}, not {said['python']}"
    want = {name(l) for l in said["requirements"] if re.match(r"[A-Za-z0-9]", l) and not l.startswith("wheels/")}
    got = {r.get("name") for r in spec["requirements"]}
    if not want <= got:
        return None, f"requirements lack {sorted(want - got)}"
    n = report["summary"]
    return f"check: 0 errors, {n['warnings']} warnings; Python and {len(want)} requirements as MLflow's", None


def main(mlenv, models):
    rows, failed = [], []
    for file in sorted(Path(models).glob("*/*.json")):
        r = json.loads(file.read_text())
        if "kind" not in r:
            continue
        model = file.with_suffix("")
        if r["kind"] == "wheeled" and not (model / "MLmodel").exists():
            model = next(model.glob("**/MLmodel")).parent
        ok, bad = compare(mlenv, str(model), r["environment"])
        if bad:
            failed.append(f"{r['kind']} of MLflow {r['mlflow']}: {bad}")
            continue
        libraries = ", ".join(f"{n} {v}" for n, v in r["libraries"].items())
        flavors = [f for f in r["flavors"] if f != "python_function"] or ["python_function"]
        version = tuple(int(p) for p in r["mlflow"].split("."))
        rows.append((r["kind"], version, f"| {r['kind']} | {', '.join(flavors)} | {r['mlflow']} | {r['python']} | {libraries} | {r['mlflowSays']}; {ok} |"))
    table = ["| Kind | Flavor | MLflow | Python | Libraries | What was compared |", "|---|---|---|---|---|---|"]
    table += [row for _, _, row in sorted(rows)]
    text = DOC.read_text()
    before, after = text.split(START)[0], text.split(END)[1]
    DOC.write_text(before + START + "\n" + "\n".join(table) + "\n" + END + after)
    kinds = len({kind for kind, _, _ in rows})
    print(f"{len(rows)} models of {kinds} kinds agree, {len(failed)} do not")
    print("\n".join(failed))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
