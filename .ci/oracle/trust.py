#!/usr/bin/env python3
"""Holds bills of materials against the official schemas, and against what is installed.

    trust.py schema FILE...                 SPDX 2.3 and CycloneDX 1.6, as their own libraries validate them
    trust.py packages SPDX PIP DPKG         the packages of the document are those of `pip list --format json`
                                            and of `dpkg-query -W -f '${Package} ${Version}\\n'`

    trust.py base TAR DIR                   an OCI layout of one layer, called "base", of a root file system
    trust.py unpack LAYOUT DIR              the files of the only image of an OCI layout
    trust.py sign MODEL KEY SIGNATURE FORM  OpenSSF Model Signing, in the form shards, blake2 or blake3

Needs cyclonedx-python-lib[json-validation], spdx-tools and model-signing.
"""
import gzip
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys


def validate(name):
    text = open(name, encoding="utf-8").read()
    if "spdxVersion" in text[:200]:
        from spdx_tools.spdx.parser.parse_anything import parse_file
        from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

        found = validate_full_spdx_document(parse_file(name))
        return [f"{m.validation_message} ({m.context.spdx_id})" for m in found]
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    return [str(error)] if error else []


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def packages(document, pip, dpkg):
    doc = json.load(open(document, encoding="utf-8"))
    mine = {"pypi": {}, "deb": {}}
    for p in doc["packages"]:
        kind = p["SPDXID"].split("-")[1]
        if kind in mine:
            mine[kind][p["name"]] = p["versionInfo"]
    theirs = {
        "pypi": {normal(p["name"]): p["version"] for p in json.load(open(pip, encoding="utf-8"))},
        "deb": dict(line.split() for line in open(dpkg, encoding="utf-8")),
    }
    out = []
    for kind in mine:
        for name in sorted(mine[kind].keys() | theirs[kind].keys()):
            a, b = mine[kind].get(name), theirs[kind].get(name)
            if a != b:
                out.append(f"{kind} {name}: the document has {a}, the image {b}")
    print(f"   {len(mine['pypi'])} Python packages, {len(mine['deb'])} of Debian")
    return out


def blob(layout, data):
    digest = hashlib.sha256(data).hexdigest()
    with open(os.path.join(layout, "blobs", "sha256", digest), "wb") as f:
        f.write(data)
    return {"digest": "sha256:" + digest, "size": len(data)}


def base(tar, layout):
    os.makedirs(os.path.join(layout, "blobs", "sha256"), exist_ok=True)
    raw = open(tar, "rb").read()
    kind = "application/vnd.oci.image."
    layer = {"mediaType": kind + "layer.v1.tar+gzip", **blob(layout, gzip.compress(raw, 1, mtime=0))}
    settings = {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"], "Cmd": ["python3"]}
    rootfs = {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(raw).hexdigest()]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": settings, "rootfs": rootfs})
    config = {"mediaType": kind + "config.v1+json", **blob(layout, config.encode())}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": kind + "manifest.v1+json", "config": config, "layers": [layer]})
    entry = {"mediaType": kind + "manifest.v1+json", **blob(layout, manifest.encode())}
    entry["annotations"] = {"org.opencontainers.image.ref.name": "base"}
    for name, text in {"index.json": {"schemaVersion": 2, "manifests": [entry]}, "oci-layout": {"imageLayoutVersion": "1.0.0"}}.items():
        with open(os.path.join(layout, name), "w", encoding="utf-8") as f:
            json.dump(text, f)


def unpack(layout, root):
    def read(d):
        return os.path.join(layout, "blobs", *d["digest"].split(":"))

    index = json.load(open(os.path.join(layout, "index.json"), encoding="utf-8"))
    os.makedirs(root, exist_ok=True)
    for layer in json.load(open(read(index["manifests"][0]), encoding="utf-8"))["layers"]:
        subprocess.run(["tar", "-C", root, "-xzf", read(layer)], check=True)


def sign(model, key, signature, form):
    import model_signing

    hashing = model_signing.hashing.Config()
    if form == "shards":
        hashing.use_shard_serialization()
    else:
        hashing.use_file_serialization(hashing_algorithm=form)
    hashing.set_ignored_paths(paths=[pathlib.Path(signature)], ignore_git_paths=True)
    signing = model_signing.signing.Config().use_elliptic_key_signer(private_key=pathlib.Path(key))
    signing.set_hashing_config(hashing).sign(model, signature)


problems = []
match sys.argv[1]:
    case "schema":
        problems = [f"{name}: {p}" for name in sys.argv[2:] for p in validate(name)]
    case "packages":
        problems = packages(*sys.argv[2:])
    case "base":
        base(*sys.argv[2:])
    case "unpack":
        unpack(*sys.argv[2:])
    case "sign":
        sign(*sys.argv[2:])
for p in problems:
    print(p)
sys.exit(1 if problems else 0)
