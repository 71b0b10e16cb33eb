"""Record what rattler makes of conda's match specifications, for TestAgainstRattler.

    python -m pip install py-rattler
    python conda_vectors.py > conda.json
"""

import itertools
import json
import sys

from rattler import MatchSpec

NAMES = ["numpy", "conda-forge::numpy", "conda-forge/linux-64::numpy", "conda-forge/noarch::Py-Thon_x.y"]
VERSIONS = ["", "=1.2", "==1.2", "=1.2.*", "==1.2.*", " 1.2", " =1.2", " ==1.2", ">=1.2", " >=1.2", ">=1.2,<2", " >=1.2, <2", ">=1.2,<2|>3", "!=1.2", "~=1.2", " 1.2|1.3", "=1.2|=1.3", " *", "=3.10", "==3.8.13",
            "<=1.2.3", ">1", "<2.0a1", "=1.2rc1", " 1.2.*", "=1.2,!=1.2.3", " >=1.2,!=1.3.*"]
BUILDS = ["=py39_0", " py39_0", "=h12debd9_0", " *cuda*"]
BRACKETS = ["", "[build=py_0]", "[version='>=1,<2']", '[version=">=1,<2", build=py_0]', "[subdir=linux-64]", "[channel=conda-forge]", "[build_number='>=1']", "[md5=dd1ba9b6d2cb8e4dbd3a6ee2b1c1e3d4]"]


def specs():
    for n, v, b in itertools.product(NAMES, VERSIONS, BRACKETS[:1]):
        yield n + v
    for v, b in itertools.product(["=1.2", "==1.2", " 1.2", "=3.8.13", " >=1.2", ">=1.2,<2"], BUILDS):
        yield "numpy" + v + b
        yield "pytorch::numpy" + v + b
    for v, b in itertools.product(["", "=1.2", "==1.2", ">=1.2"], BRACKETS):
        if not (v and "version" in b):
            yield "numpy" + v + b
    yield from ["", "=", "=1.2", "::", "numpy[", "numpy]", "numpy[version", "numpy=1.2[", "_libgcc_mutex=0.1=main", "a b c d", "numpy # comment", "__cuda>=11", "NumPy=1.2", "numpy>=", "numpy==", "numpy 1.2 py_0 extra"]


def main():
    out = []
    for s in dict.fromkeys(specs()):
        v = {"spec": s}
        try:
            m = MatchSpec(s)
            v["read"] = {
                "name": getattr(m.name, "source", None) or str(getattr(m.name, "normalized", "")) or str(m.name),
                "version": str(m.version) if m.version is not None else "", "build": str(m.build) if m.build is not None else "",
                "channel": (m.channel.name or "") if m.channel else "", "subdir": m.subdir or "",
            }
        except Exception as e:
            v["refused"] = True
            if "-v" in sys.argv:
                print(s, e, file=sys.stderr)
        out.append(v)
    json.dump(out, sys.stdout, indent=0, sort_keys=True)


main()
