"""Writes what the packaging library says of tags, file names and metadata.

The tests compare the Go code with it. To record anew, with the newest
packaging installed for some Python:

    python resolve/dist/testdata/vectors.py > resolve/dist/testdata/vectors.json.gz

The seed is fixed; another may be given as the argument. With MLENV_PYTHON set
to such a Python, the tests run this script with a fresh seed.
"""

import email.parser
import gzip
import itertools
import json
import random
import sys
import sysconfig

import packaging
from packaging import _manylinux, _musllinux, tags
from packaging.utils import (InvalidSdistFilename, InvalidWheelFilename,
                             parse_sdist_filename, parse_wheel_filename)

SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 427
rnd = random.Random(SEED)

MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "ppc64le": "ppc64le", "s390x": "s390x"}


def target_tags(python, arch, libc):
    """sys_tags() of a CPython on a platform that this process does not run on."""
    kind, version = libc.split(":")
    version = tuple(map(int, version.split(".")))
    sysconfig.get_platform = lambda: "linux-" + MACHINES[arch]
    _manylinux._get_glibc_version = lambda: _manylinux._GLibCVersion(*(version if kind == "glibc" else (-1, -1)))
    _manylinux._get_manylinux_module = lambda: None
    _musllinux._get_musl_version = lambda _: _musllinux._MuslVersion(*version) if kind == "musl" else None
    major_minor = tuple(map(int, python.split(".")[:2]))
    cp = "cp" + "".join(map(str, major_minor))
    platforms = list(tags._linux_platforms(is_32bit=False))
    return [str(t) for t in itertools.chain(
        tags.cpython_tags(major_minor, [cp], platforms),
        tags.compatible_tags(major_minor, cp, platforms))]


def targets():
    rows = []
    for python in ["3.8", "3.9.18", "3.10", "3.11.7", "3.12", "3.13", "3.14.0rc1"]:
        for arch in MACHINES:
            for libc in ["glibc:2.17", "glibc:2.28", "glibc:2.36", "glibc:2.5", "musl:1.1", "musl:1.2"]:
                if rnd.random() < 0.5:
                    rows.append([python, arch, libc, " ".join(target_tags(python, arch, libc))])
    for python, arch, libc in [("3.11", "amd64", "glibc:3.20"), ("3.12", "arm64", "musl:2.0")]:
        rows.append([python, arch, libc, " ".join(target_tags(python, arch, libc))])
    return rows


NAMES = ["foo", "Foo_Bar", "zope.interface", "a", "foo__bar", "A1", "ruamel.yaml", "_x", "é", "x-y", "", "foo.", "b_"]
VERSIONS = ["1.0", "1.0.post1", "2!1.0", "1.0+cu118", "1.0+cu_118", "1.0_1", "2024.1", "1.0rc1", "x", "", "1.0.dev0", "v1",
            "1.0.linux_x86_64", "1.0-1"]
BUILDS = ["1", "0", "20240101", "1_conda", "b1", "", "12abc", "1.2"]
PYTHONS = ["py3", "cp311", "py2.py3", "cp38", "CP39", "pp39", "3", "", "py3.", "cp310.cp311"]
ABIS = ["none", "abi3", "cp311", "cp37m", "NONE", "", "abi3.none"]
PLATFORMS = ["any", "manylinux_2_17_x86_64.manylinux2014_x86_64", "linux_x86_64", "musllinux_1_1_aarch64", "win_amd64",
             "macosx_10_9_x86_64.macosx_11_0_arm64", "manylinux1_x86_64.manylinux2010_x86_64", "", "Any"]


def pick(values, good):
    return rnd.choice(values[:good] if rnd.random() < 0.85 else values)


def wheels():
    rows = []
    for _ in range(1500):
        parts = [pick(NAMES, 7), pick(VERSIONS, 5)]
        if rnd.random() < 0.25:
            parts.append(pick(BUILDS, 4))
        parts += [pick(PYTHONS, 4), pick(ABIS, 4), pick(PLATFORMS, 7)]
        name = "-".join(parts) + rnd.choice([".whl"] * 20 + [".WHL", ".zip"])
        try:
            project, version, build, tag_set = parse_wheel_filename(name)
        except InvalidWheelFilename:
            rows.append([name])
            continue
        rows.append([name, project, str(version), "".join(map(str, build)), sorted(map(str, tag_set))])
    return rows


def sdists():
    rows = []
    for _ in range(800):
        name = pick(NAMES, 7) + "-" + pick(VERSIONS, 5) + rnd.choice([".tar.gz"] * 5 + [".zip", ".tar.bz3", ".exe", ""])
        try:
            project, version = parse_sdist_filename(name)
            rows.append([name, project, str(version)])
        except InvalidSdistFilename:
            rows.append([name])
    return rows


FIELDS = ["Name", "Version", "Requires-Dist", "Requires-Python", "Classifier", "License", "Summary", "requires-dist",
          "Provides-Extra", "Dynamic", "Description", "X-é", "Author Email"]
VALUES = ["1.0", "foo >=1.0", "MIT", "", "a: b", "  padded  ", "line one\n  two", "x\n\tfolded\n\n", "tail\n ", "caf\u00e9",
          "a\n       |b", "x\r\n  y"]


def headers():
    """Pairs of fields as Python's email library, and so pip, reads them."""
    rows = []
    for _ in range(600):
        end = rnd.choice(["\n", "\n", "\n", "\r\n", "\r"])
        text = "".join(rnd.choice(FIELDS) + rnd.choice([": ", ":", ":  "]) + rnd.choice(VALUES) + "\n"
                       for _ in range(rnd.randrange(1, 8)))
        if rnd.random() < 0.3:
            text += rnd.choice(["\nBody: x\n", "no header\nName: x\n", "\n", "   \nName: y\n"])
        text = text.replace("\r\n", "\n").replace("\n", end)
        message = email.parser.HeaderParser().parsestr(text)
        rows.append([text, [[k.lower(), " ".join(l.strip() for l in v.splitlines()).strip()]
                            for k, v in message.items()]])
    return rows


out = {
    "packaging": packaging.__version__,
    "seed": SEED,
    "targets": targets(),
    "wheels": wheels(),
    "sdists": sdists(),
    "headers": headers(),
}
with gzip.GzipFile(fileobj=sys.stdout.buffer, mode="wb", mtime=0) as f:
    f.write(json.dumps(out, separators=(",", ":")).encode())
