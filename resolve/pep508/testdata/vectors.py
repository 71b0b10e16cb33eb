"""Writes what the packaging library says of generated requirements and markers.

The tests compare the Go code with it. To record anew, with the newest
packaging installed for some Python:

    python resolve/pep508/testdata/vectors.py > resolve/pep508/testdata/vectors.json.gz

The seed is fixed; another may be given as the argument. With MLENV_PYTHON set
to such a Python, the tests run this script with a fresh seed.
"""

import gzip
import json
import random
import sys
import warnings

import packaging
from packaging.markers import (InvalidMarker, Marker, UndefinedComparison,
                               UndefinedEnvironmentName)
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

warnings.simplefilter("ignore")
SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 508
rnd = random.Random(SEED)

VARIABLES = ["os_name", "sys_platform", "platform_machine", "platform_python_implementation",
             "platform_release", "platform_system", "platform_version", "python_version",
             "python_full_version", "implementation_name", "implementation_version", "extra",
             "python_version", "python_full_version", "extra", "sys_platform", "extras",
             "dependency_groups", "os.name", "sys.platform", "platform.version",
             "platform.machine", "platform.python_implementation", "python_implementation"]
OPS = ["==", "==", "!=", "<", "<=", ">", ">=", "~=", "===", "in", "not in"]
VERSIONS = ["3", "3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.8.1", "3.8.*", "3.*", "2.7", "3.10.0",
            "3.13.0a1", "3.13.0", "3.13.0+", "3.8.post1", "v3.8", " 3.8 ", "3.8 3.9", "3.8,3.9", "", "6.1.0",
            "5.15.0-91-generic", "5", "4.0", "3.8+local", "1!3.8", "3.x", "=3", "3.13.0+local", "3.9.18"]
STRINGS = ["posix", "nt", "linux", "linux2", "win32", "darwin", "x86_64", "aarch64", "CPython", "cpython",
           "PyPy", "Linux", "Windows", "", "lin", "os_name", "sys_platform", "extra", "x86_64 aarch64",
           "win32,linux", "Foo_Bar", "foo-bar", "dev", "dev test", "it's", "a.b", "é", "Test.Extra",
           "#1 SMP Debian"]
ESCAPES = [r"a\x41b", r"\101", r"tab\t", r"q\'q", r"\d+", r"\u00e9", r"\x4", r"\U00110000", r"\8", "a\\"]
NAMES = ["foo", "Foo.Bar", "a", "zope.interface", "A-B_C", "x1", "foo_", "1a", "python_dateutil", "n--m", "é", "_x", "in"]
CLAUSES = ["==1.0", ">=2", "<3", "~=1.4.2", "!=1.5.*", "==2.*", "===weird;", "===1.0-custom", ">1.0a1", "<=1.0.post1",
           "== 1.0", ">=1.0+local", "==1.0+cu118", "~=1", ">=1.*", "==1.0rc1.*", "=1.0", "<>1", "1.0", "== v1.0",
           "==1.0-1", ">=1.0.dev", "<2.0,", "===", ">= 2024.1.1", "!=1!2"]
URLS = ["https://files.example/a-1.0-py3-none-any.whl", "git+https://git.example/a/b.git@v1#egg=a", "file:///x/y",
        "https://files.example/a;b", "./local", "", "https://files.example/a.whl#sha256=00"]
JUNK = [" ", "\t", "\n", "(", ")", "[", "]", ",", ";", "'", '"', "@", "and", "or", "in", "not", "=", "\\", "é", "x", ".", "#", "\u00a0"]

ENVIRONMENTS = []
for py, full, impl, machine, plat, release in [
        ("3.8", "3.8.18", "cpython", "x86_64", "linux", ""),
        ("3.10", "3.10.0", "cpython", "aarch64", "linux", "6.1.0-18-amd64"),
        ("3.13", "3.13.0+", "cpython", "x86_64", "linux", "5.15.0"),
        ("3.13", "3.13.0a1", "cpython", "AMD64", "win32", "10"),
        ("2.7", "2.7.18", "pypy", "arm64", "darwin", "6.1.0")]:
    for extra in ["", "Foo_Bar", "dev"]:
        ENVIRONMENTS.append({
            "os_name": "nt" if plat == "win32" else "posix",
            "sys_platform": plat,
            "platform_machine": machine,
            "platform_python_implementation": {"cpython": "CPython", "pypy": "PyPy"}[impl],
            "platform_release": release,
            "platform_system": {"linux": "Linux", "win32": "Windows", "darwin": "Darwin"}[plat],
            "platform_version": "#1 SMP Debian",
            "python_version": py,
            "python_full_version": full,
            "implementation_name": impl,
            "implementation_version": full.rstrip("+"),
            "extra": extra,
            "extras": sorted({e for e in [extra] if e}),
            "dependency_groups": ["Test.Extra", "dev"] if extra else [],
        })


def space():
    return rnd.choice(["", "", " ", " ", "  ", "\t"])


def quote(s):
    q = "'" if '"' in s or (rnd.random() < 0.4 and "'" not in s) else '"'
    return q + s + q


def literal(variable):
    k = rnd.random()
    if k < 0.02:
        return quote(rnd.choice(ESCAPES))
    versions = "version" in variable or "release" in variable
    return quote(rnd.choice(VERSIONS if (k < 0.9) == versions else STRINGS))


def comparison():
    v = rnd.choice(VARIABLES)
    op = rnd.choice(OPS)
    k = rnd.random()
    if v in ("extras", "dependency_groups") and k < 0.9:
        left, op, right = literal(v), rnd.choice(["in", "not in", "in", "=="]), v
    elif k < 0.8:
        left, right = v, literal(v)
    elif k < 0.95:
        left, right = literal(v), v
    elif k < 0.98:
        left, right = v, rnd.choice(VARIABLES)
    else:
        left, right = literal(v), literal(v)
    gap = " " if op in ("in", "not in") else space()
    return left + gap + op + gap + right


def marker(depth=0):
    n = rnd.choice([1, 1, 1, 2, 2, 3])
    parts = []
    for _ in range(n):
        if depth < 3 and rnd.random() < 0.25:
            parts.append("(" + space() + marker(depth + 1) + space() + ")")
        else:
            parts.append(comparison())
    s = parts[0]
    for p in parts[1:]:
        s += " " + rnd.choice(["and", "or"]) + " " + p
    return s


def requirement():
    s = rnd.choice([" ", ""]) * (rnd.random() < 0.1) + rnd.choice(NAMES)
    if rnd.random() < 0.3:
        extras = ("," + space()).join(rnd.choice(NAMES[:8]) for _ in range(rnd.choice([0, 1, 1, 2, 3])))
        s += space() + "[" + space() + extras + space() + "]"
    k = rnd.random()
    if k < 0.2:
        s += space() + "@" + space() + rnd.choice(URLS)
        if rnd.random() < 0.5:
            s += rnd.choice([" ", " ", ""]) + ";" + marker()
        return s
    if k < 0.85:
        clauses = (space() + "," + space()).join(rnd.choice(CLAUSES[:8] if rnd.random() < 0.6 else CLAUSES)
                                                 for _ in range(rnd.choice([0, 1, 1, 2, 3])))
        s += space() + ("(" + space() + clauses + space() + ")" if rnd.random() < 0.25 else clauses)
    if rnd.random() < 0.5:
        s += space() + ";" + space() + marker() + space()
    return s


def mutate(s):
    i = rnd.randrange(len(s) + 1)
    if rnd.random() < 0.6:
        return s[:i] + rnd.choice(JUNK) + s[i:]
    return s[:i] + s[i + 1:]


def evaluate(m):
    """One letter for every environment: 0, 1, or - where packaging refuses."""
    out = ""
    for env in ENVIRONMENTS:
        env = dict(env, extras=set(env["extras"]), dependency_groups=set(env["dependency_groups"]))
        try:
            out += "01"[m.evaluate(env)]
        except (UndefinedComparison, UndefinedEnvironmentName):
            out += "-"
    return out


def text(m):
    try:
        return str(m)
    except ValueError:  # a string with both quotes
        return None


def markers():
    rows = []
    for i in range(4000):
        s = marker()
        if i % 4 == 0:
            s = mutate(s)
        try:
            m = Marker(s)
            rows.append([s, text(m), evaluate(m)])
        except InvalidMarker:
            rows.append([s])
    return rows


def requirements():
    rows = []
    for i in range(5000):
        s = requirement()
        if i % 4 == 0:
            s = mutate(s)
        try:
            r = Requirement(s)
        except InvalidRequirement:
            rows.append([s])
            continue
        spelling = r.name
        r.name = canonicalize_name(r.name)
        r.extras = {canonicalize_name(e) for e in r.extras}
        rows.append([s, text(r), spelling, r.name, sorted(r.extras), r.url or ""])
    return rows


out = {
    "packaging": packaging.__version__,
    "seed": SEED,
    "environments": ENVIRONMENTS,
    "markers": markers(),
    "requirements": requirements(),
}
with gzip.GzipFile(fileobj=sys.stdout.buffer, mode="wb", mtime=0) as f:
    f.write(json.dumps(out, separators=(",", ":")).encode())
