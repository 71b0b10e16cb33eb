#!/usr/bin/env python3
"""Checks the models of one environment with mlenv, and writes their rows of docs/models.md.

    python kinds_table.py MLENV DIR      DIR: as kinds.py filled it; see .ci/oracle/kinds

A row takes the place of the one with the same kind, MLflow and Python; all other rows stay.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

DOC = Path(__file__).resolve().parents[2] / "docs/models.md"
START, END = "<!-- table -->", "<!-- end of table -->"
HEAD = "| Kind | Flavor | MLflow | Python | Libraries | By MLflow | mlenv check, resolve | Image |\n|---|---|---|---|---|---|---|---|"


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
    return f"0 errors, {plural(n['warnings'], 'warning')}; Python and {plural(len(want), 'requirement')}", None


def plural(n, word):
    return f"{n} {word}" + ("" if n == 1 else "s")


def order(row):
    kind, version, python = key(row)
    return kind, [int(p) for p in version.split(".")], [int(p) for p in python.split(".")]


def key(row):
    cells = [c.strip() for c in row.strip("|").split("|")]
    return cells[0], cells[2], cells[3]


def main(mlenv, models):
    before, rest = DOC.read_text().split(START)
    table, after = rest.split(END)
    rows = {key(line): line for line in table.strip().splitlines()[2:]}
    failed, done = [], 0
    for file in sorted(Path(models).glob("*.json")):
        r = json.loads(file.read_text())
        if "kind" not in r:
            continue
        ok, bad = compare(mlenv, str(Path(models) / r["model"]), r["environment"])
        if bad:
            failed.append(f"{r['kind']} of MLflow {r['mlflow']}: {bad}")
            continue
        libraries = ", ".join(f"{n} {v}" for n, v in r["libraries"].items())
        flavors = [f for f in r["flavors"] if f != "python_function"] or ["python_function"]
        cells = [r["kind"], ", ".join(flavors), r["mlflow"], r["python"], libraries, r["mlflowSays"], ok, r.get("served", "–")]
        row = "| " + " | ".join(cells).replace("|  |", "| |") + " |"
        rows[key(row)] = row
        done += 1
    DOC.write_text(before + START + "\n" + "\n".join([HEAD, *sorted(rows.values(), key=order)]) + "\n" + END + after)
    kinds = len({kind for kind, _, _ in rows})
    print(f"{done} models agree, {len(failed)} do not; the table has {len(rows)} models of {kinds} kinds")
    print("\n".join(failed))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
