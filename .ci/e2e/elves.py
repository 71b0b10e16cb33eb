"""Looks at every ELF file of an image that an OCI layout holds.

    python3 elves.py LAYOUT MACHINE

Reads the layers in order, so that what a later one replaces does not count. Fails if a file is for
another machine than MACHINE (x86_64, aarch64), or if a shared library that one under /opt/venv
needs is neither in the image nor beside it.
"""

import json
import os
import struct
import sys
import tarfile

MACHINES = {62: "x86_64", 183: "aarch64"}


def blob(layout, digest):
    return os.path.join(layout, "blobs", *digest.split(":"))


def layers(layout):
    index = json.load(open(os.path.join(layout, "index.json")))
    manifest = json.load(open(blob(layout, index["manifests"][0]["digest"])))
    while "layers" not in manifest:
        manifest = json.load(open(blob(layout, manifest["manifests"][0]["digest"])))
    return [blob(layout, layer["digest"]) for layer in manifest["layers"]]


def elf(data):
    """The machine of a 64-bit little-endian ELF file, its type, what it needs, and its soname."""
    kind, machine = struct.unpack_from("<HH", data, 16)
    phoff, = struct.unpack_from("<Q", data, 32)
    phentsize, phnum = struct.unpack_from("<HH", data, 54)
    loads, dynamic = [], None
    for i in range(phnum):
        p_type, _, offset, vaddr, _, filesz = struct.unpack_from("<IIQQQQ", data, phoff + i * phentsize)
        if p_type == 1:
            loads.append((vaddr, offset, filesz))
        if p_type == 2:
            dynamic = (offset, filesz)
    if not dynamic:
        return machine, kind, [], None
    entries = []
    for at in range(dynamic[0], dynamic[0] + dynamic[1] - 15, 16):
        tag, value = struct.unpack_from("<QQ", data, at)
        if tag == 0:
            break
        entries.append((tag, value))
    strtab = next((v for t, v in entries if t == 5), None)
    base = next((o + strtab - v for v, o, size in loads if strtab is not None and v <= strtab < v + size), None)

    def text(offset):
        return data[base + offset : data.index(b"\0", base + offset)].decode()

    if base is None:
        return machine, kind, [], None
    return machine, kind, [text(v) for t, v in entries if t == 1], next((text(v) for t, v in entries if t == 14), None)


def main():
    layout, want = sys.argv[1:]
    names, files = set(), {}
    for layer in layers(layout):
        with tarfile.open(layer) as tar:
            for member in tar:
                path = "/" + member.name.removeprefix("./").strip("/")
                head, tail = os.path.split(path)
                if tail.startswith(".wh."):
                    gone = os.path.join(head, tail[4:])
                    files = {p: f for p, f in files.items() if p != gone and not p.startswith(gone + "/")}
                    continue
                names.add(tail)
                files.pop(path, None)
                if member.isfile() and member.size > 64:
                    data = tar.extractfile(member).read()
                    if data[:6] == b"\x7fELF\x02\x01":
                        files[path] = elf(data)
    wrong = [f"{p} is for {MACHINES.get(m, m)}" for p, (m, _, _, _) in files.items() if MACHINES.get(m) != want]
    sonames = names | {soname for _, _, _, soname in files.values() if soname}
    for path, (_, _, needed, _) in sorted(files.items()):
        if path.startswith("/opt/venv/"):
            wrong += [f"{path} needs {n}" for n in needed if n not in sonames]
    ours = sum(p.startswith("/opt/venv/") for p in files)
    if wrong or not ours:
        sys.exit("\n".join(wrong[:20]) or "there is no ELF file under /opt/venv")
    print(f"{len(files)} ELF files, {ours} of them under /opt/venv, all for {want}, every needed library there")


main()
