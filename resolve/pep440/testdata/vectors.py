"""Writes what the packaging library says of generated versions and specifiers.

The tests compare the Go code with it. To record anew, with the newest
packaging installed for some Python:

    python resolve/pep440/testdata/vectors.py > resolve/pep440/testdata/vectors.json.gz

The seed is fixed; another may be given as the argument. With MLENV_PYTHON set
to such a Python, the tests run this script with a fresh seed.
"""

import gzip
import json
import random
import sys

import packaging
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 440
rnd = random.Random(SEED)

PRE = ["a", "b", "c", "rc", "alpha", "beta", "pre", "preview", "A", "RC", "Alpha"]
POST = ["post", "rev", "r", "POST"]
SEP = ["", "", "", ".", "-", "_"]
JUNK = [".", "-", "_", "+", "!", "*", ".*", "v", " ", "\t", "x", "dev", "é", "\u0661", "..", "1", "\x1c"]
OPS = ["~=", "==", "!=", "<=", ">=", "<", ">", "==="]


def number(small=False):
    if small or rnd.random() < 0.8:
        return str(rnd.choice([0, 0, 1, 1, 2, 3, 9, 10]))
    return rnd.choice(["00", "01", "11", "99", "191", "192", "255", "256", "2024", "65535", "65536",
                       "20240131", "4294967296", "999999999999999999", "1000000000000000000",
                       "18446744073709551615", "18446744073709551616",
                       "340282366920938463463374607431768211456"])


def sep_number():
    return rnd.choice(SEP) + (number() if rnd.random() < 0.8 else "")


def release(least=1):
    return ".".join(number() for _ in range(max(least, rnd.choice([1, 2, 2, 3, 3, 4]))))


def suffix():
    s = ""
    if rnd.random() < 0.35:
        s += rnd.choice(SEP) + rnd.choice(PRE) + sep_number()
    if rnd.random() < 0.25:
        s += "-" + number() if rnd.random() < 0.3 else rnd.choice(SEP) + rnd.choice(POST) + sep_number()
    if rnd.random() < 0.25:
        s += rnd.choice(SEP) + rnd.choice(["dev", "DEV", "Dev"]) + sep_number()
    return s


def local():
    parts = [rnd.choice(["cu118", "CPU", "abc", "ab", "0a", "z", number(), number()])
             for _ in range(rnd.choice([1, 1, 2, 3]))]
    s = parts[0]
    for p in parts[1:]:
        s += rnd.choice(".-_") + p
    return "+" + s


def version(locals_=True, least=1):
    s = rnd.choice(["", "", "", "", "v", "V"]) if rnd.random() < 0.2 else ""
    if rnd.random() < 0.1:
        s += number() + "!"
    s += release(least) + suffix()
    if locals_ and rnd.random() < 0.2:
        s += local()
    return s


def mutate(s):
    i = rnd.randrange(len(s) + 1)
    k = rnd.random()
    if k < 0.5:
        return s[:i] + rnd.choice(JUNK) + s[i:]
    if k < 0.8:
        return s[:i] + s[i + 1:]
    return s[i:] + s[:i]


# A dense family: every relation between neighbours occurs often.
FAMILY = [b + p + o + d + l
          for b in ["0", "1", "1.0", "1.0.0", "1.1", "1.0.1", "2", "1!1", "2.0"]
          for p in ["", "a1", "rc1"]
          for o in ["", ".post0", ".post1"]
          for d in ["", ".dev0", ".dev1"]
          for l in ["", "+x", "+1"]]


def clause():
    op = rnd.choice(OPS[:7]) if rnd.random() < 0.95 else "==="
    if rnd.random() < 0.6:
        v = rnd.choice(FAMILY)
        if op not in ("==", "!=", "==="):
            v = v.split("+")[0]
        if op == "~=" and "." not in v.split("a")[0].split("r")[0].split(".p")[0].split(".d")[0]:
            v = v.replace("0", "0.0", 1) if v[0] == "0" else "1." + v.split("!")[-1]
    else:
        v = version(op in ("==", "!=", "==="), 2 if op == "~=" else 1)
    if op in ("==", "!=") and rnd.random() < 0.3:
        v = rnd.choice(["", "", "v", "1!", "0!"]) + ".".join(number(True) for _ in range(rnd.choice([1, 2, 3]))) + ".*"
    return rnd.choice(["", " ", "  "]) * (rnd.random() < 0.2) + op + " " * (rnd.random() < 0.1) + v


def specifiers():
    s = ",".join(clause() for _ in range(rnd.choice([1, 1, 1, 2, 2, 3, 4])))
    k = rnd.random()
    if k < 0.05:
        s += ","
    elif k < 0.15:
        s = mutate(s)
    return s


def parse(text):
    try:
        return Version(text)
    except InvalidVersion:
        return None


def versions():
    rows = []
    texts = [version() for _ in range(2500)] + [mutate(version()) for _ in range(1500)] + FAMILY
    for text in texts:
        v = parse(text)
        if v is None:
            rows.append([text])
        else:
            rows.append([text, str(v), v.is_prerelease, v.is_postrelease, v.local or "",
                         [str(n) for n in v.release]])
    valid = sorted({v for v in map(parse, texts) if v is not None})
    rank = {v: i for i, v in enumerate(valid)}
    for row in rows:
        if len(row) > 1:
            row.append(rank[Version(row[0])])
    return rows


def probes():
    return rnd.sample(FAMILY, 110) + [str(v) for v in (parse(version()) for _ in range(40)) if v]


def sets(against):
    rows = []
    for _ in range(5000):
        text = specifiers()
        try:
            s = SpecifierSet(text)
        except InvalidSpecifier:
            rows.append([text])
            continue
        bits = "".join("01"[s.contains(v, prereleases=True)] for v in against)
        rows.append([text, str(s), bool(s.prereleases), s.is_unsatisfiable(), f"{int(bits, 2):x}"])
    return rows


against = probes()
out = {
    "packaging": packaging.__version__,
    "seed": SEED,
    "versions": versions(),
    "probes": against,
    "sets": sets([Version(v) for v in against]),
}
with gzip.GzipFile(fileobj=sys.stdout.buffer, mode="wb", mtime=0) as f:
    f.write(json.dumps(out, separators=(",", ":")).encode())
