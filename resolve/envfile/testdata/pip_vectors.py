"""Record what pip itself makes of requirements files, for TestAgainstPip.

Run with any Python that has pip 24 or newer:

    python pip_vectors.py > pip.json

Each vector holds the files, and either what pip read from requirements.txt or that it refused it.
"""

import base64
import json
import logging
import optparse
import os
import random
import sys
import tempfile

import pip
from pip._internal.index.collector import LinkCollector
from pip._internal.index.package_finder import PackageFinder
from pip._internal.models.search_scope import SearchScope
from pip._internal.models.selection_prefs import SelectionPreferences
from pip._internal.network.session import PipSession
from pip._internal.req.constructors import install_req_from_parsed_requirement
from pip._internal.req.req_file import parse_requirements
from pip._vendor.packaging.utils import canonicalize_name

logging.disable(logging.CRITICAL)

A, B = "a" * 64, "b" * 64
U = "https://files.example"
# Every case may use these: pip asks whether a path exists.
PRESENT = ["pkg/setup.py", "sub/inner/setup.py", "sub/links/x", "wheels/foo-1.0-py3-none-any.whl",
           "wheels/Bar_Baz-2.0.1-1-cp310-cp310-linux_x86_64.whl", "wheels/foo-1.0.tar.gz", "foo-1.0.zip", "setup.py"]

CASES = [
    "", "\n\n", "# nothing\n", "foo", "foo\r\nbar\r\n", "foo\rbar", "foo\x0bbar\x0cbaz", "foo\x85bar\u2028baz",
    "foo==1.0 # comment", "foo==1.0# no comment", "foo==1.0\t#comment", "#foo\nbar", "  foo  ", "foo == 1.0", "foo ( >= 1 )", "foo>=1,<2 ; python_version<'3.9'",
    "foo[a,B_c]==1", "foo [ a ]", "foo[]", "Foo.Bar_baz==1", "foo===1.weird", "foo~=1.2", "foo==1.*", "foo=1", "foo=>1", "foo==", "==1", "foo bar", "foo,bar",
    '"foo==1"', "'foo'", "foo;", "foo ; ", "foo; python_version", 'foo; python_version>"3" and (os_name=="nt" or sys_platform!="x")',
    "foo==1 \\\n  # comment\nbar", "foo \\\n# comment \\\nbar", "foo==1 \\\n ; os_name=='nt'", "foo\\\n==1", "foo==1\\", "\\\nfoo", "foo==1 \\\n\nbar", "# c \\\nfoo", "foo \\\\\n==1",
    f"foo==1 --hash=sha256:{A}", f"foo==1 --hash sha256:{A}", f"foo==1 \\\n  --hash=sha256:{B} \\\n  --hash=sha256:{A}\n", f"foo==1 --hash=sha256:{A} --hash=sha512:{A}{A}",
    f"foo==1 --hash=md5:{A}", "foo==1 --hash=sha256", "foo==1 --hash", f"foo==1 --ha=sha256:{A}", f"--hash=sha256:{A}", f"foo==1\t--hash=sha256:{A}", f"foo==1 ; os_name=='nt' --hash=sha256:{A}",
    "foo --global-option=x", "foo --config-settings a=b", "foo --config-setting a=b", "foo -C a=b", "foo --config-set a=b", "foo --global-option='x y'", "foo --global-option='x", "foo --global-option=x\\",
    "-i https://a.example/simple", "-ihttps://a.example/simple", "--index-url https://a.example", "--index-url=https://a.example", "--pypi-url https://a.example", "--index https://a.example", "--ind=https://a.example", "--i https://a.example",
    "--extra-index-url https://b.example\n--extra-index-url=https://c.example", "--extra https://b.example", "--e x", "-i https://a.example\n--extra-index-url https://b.example\n-f https://c.example/x.html",
    "-i https://a.example -i https://b.example", "-i https://a.example --extra-index-url https://b.example --pre", "-i", "--index-url", "-i ''", "-i 'https://a.example'", '-i "https://a.example"', "-i https://a.example trailing words",
    "--no-index", "--no-index=x", "--no-index\n--pre\n--prefer-binary\n--require-hashes", "--no-i", "--pre --pre", "--pr", "--pref", "--re", "--req requirements2.txt", "--unknown", "-x", "-", "--", "-- foo", "-- -i https://a.example",
    "-f wheels", "--find-links=./wheels", "--find-links https://a.example/", "-f wheels -f sub", "-r sub/links.txt", "-fwheels",
    "--trusted-host a.example\n--trusted-host=b.example:8080", "--no-binary foo,Bar", "--no-binary :all:", "--no-binary=:all:\n--only-binary=foo", "--no-binary foo --only-binary foo", "--no-binary :all: --no-binary :none:", "--only-binary=:all:,:none:,foo", "--only-binary foo,:none:", "--no-binary -x", "--no-binary foo\n--only-binary Foo",
    "foo --no-binary foo", "foo -i https://a.example", "foo -r requirements2.txt", "-r requirements2.txt foo", "-rrequirements2.txt", "--requirement requirements2.txt", "--requirement=requirements2.txt", "--requ requirements2.txt", "-r  requirements2.txt", '-r "requirements2.txt"', "-r requirements2.txt -c constraints.txt", "-r requirements2.txt -r sub/r.txt",
    "-c constraints.txt", "-cconstraints.txt", "--constraint=constraints.txt\nfoo", "--con constraints.txt", "-r missing.txt", "-r sub/r.txt", "-r sub/r.txt\n-r sub/r.txt", "-r cycle.txt", "-r requirements.txt", "-c requirements.txt", "-c sub/mixed.txt", "-r sub/up.txt", "-r ''", "-r",
    "./pkg", "pkg/", "./pkg[a,b]", "pkg/[a]", "./pkg ; python_version<'3'", "./pkg; python_version<'3'", ".", ".[x]", "./", "sub/inner", "sub/../pkg", "./wheels/foo-1.0-py3-none-any.whl", "wheels/foo-1.0-py3-none-any.whl", "wheels/foo-1.0-py3-none-any.whl[x]", "wheels/Bar_Baz-2.0.1-1-cp310-cp310-linux_x86_64.whl",
    "wheels/foo-1.0.tar.gz", "foo-1.0.zip", "wheels/foo-1.0-py3-none-any.whl ; os_name=='nt'", f"wheels/foo-1.0-py3-none-any.whl --hash=sha256:{A}", "wheels/bad.whl", "file:wheels/foo-1.0.tar.gz#egg=foo",
    "-e .", "-e ./pkg", "-e pkg", "-epkg", "--editable=pkg", "--editable ./pkg[a]", "-e .[a,b]", "-e ./pkg -e ./sub/inner", "-e pkg ; os_name=='nt'", "-e", "-e foo", "foo -e ./pkg", "-e ./pkg --config-settings a=b",
    f"-e git+{U}/x.git#egg=foo", f"-e git+{U}/x.git@v1#egg=foo[a]&subdirectory=s", f"-e git+{U}/x.git", f"-e hg+{U}/x#egg=foo", "-e git+ssh://git@files.example/x.git@abc#egg=foo", f"-e {U}/x.tar.gz#egg=foo", "-e git://files.example/x.git#egg=foo", "-e svn+svn://files.example/x#egg=foo",
    f"git+{U}/x.git", f"git+{U}/x.git@rev#egg=foo", f"git+{U}/x.git@rev#egg=foo&subdirectory=a/b", f"git+{U}/x.git#subdirectory=a&egg=foo[x]", f"git+{U}/x.git#egg=foo ; os_name=='nt'", f"git+{U}/x.git#egg=foo; os_name=='nt'", "git+ssh://git@files.example/x.git#egg=foo",
    f"{U}/foo-1.0-py3-none-any.whl", f"{U}/foo-1.0-py3-none-any.whl#sha256={A}", f"{U}/foo-1.0+cu118-cp310-cp310-linux_x86_64.whl", f"{U}/foo-1.0%2Bcu118-cp310-cp310-linux_x86_64.whl", f"{U}/foo-1.0.tar.gz", f"{U}/foo-1.0.tar.gz#egg=foo", f"{U}/foo-1.0.tar.gz#egg=foo&sha256={A}", f"{U}/foo.zip?x=y#egg=foo", f"{U}/bad.whl", f"HTTPS://files.example/foo-1.0-py3-none-any.whl", f"{U}/foo-1.0-py3-none-any.whl ; os_name=='nt'",
    f"foo @ {U}/foo-1.0-py3-none-any.whl", f"foo@{U}/foo-1.0-py3-none-any.whl", f"foo[a] @ {U}/foo-1.0.tar.gz#sha256={A}", f"foo @ git+{U}/x.git@v1", f"foo @ git+{U}/x.git ; os_name=='nt'", f"foo @ {U}/x;os_name=='nt'", "foo @ ", f"foo @ {U}/foo-1.0-py3-none-any.whl --hash=sha256:{A}", f"foo=={U}",
    "foo==${VERSION_X1}", "-i https://${HOST_X1}/simple", "-i https://a.example/${lower}/", f"{U}/${{X1}}/foo-1.0-py3-none-any.whl", "foo # ${X}",
    "foo==1\nfoo==2\nFOO==1", "-r requirements2.txt\n-c constraints.txt\nfoo\n-e ./pkg\n--pre\n",
    "foo ; extra == 'x'", "foo ; python_full_version<'3.9.1' and platform_machine not in 'x86'", "foo>=1.0,!=1.5,<2", "foo>1.0.post1", "foo==1.0+local", "foo>=1.0+local", "foo<2.0a1", "a", "1a", "_a", "a_", "a-", "f\u00f6o", "foo==1.0\u00a0", "\ufefffoo", "foo\x1f#c", "foo --pre --hash=sha256:" + A,
]
BINARY = {
    "bom8": b"\xef\xbb\xbffoo==1\n", "bom16le": "\ufefffoo==1\nbar".encode("utf-16-le"), "bom16be": "\ufefffoo==1\nbar".encode("utf-16-be"), "bom32be": "\ufefffoo==1\n".encode("utf-32-be"),
    "coding latin": b"# -*- coding: latin-1 -*-\nfoo==1 # \xe9\n", "coding second": b"# x\n# vim: fileencoding=latin-1\nfoo # \xe9\n", "coding utf-8": "# coding: utf-8\nfoo # \u00e9\n".encode(), "coding unknown": b"# coding: nonsense\nfoo\n", "utf-8": "foo # \u00e9\n".encode(),
}
FILES = {
    "requirements2.txt": "two==2 # c\n-i https://two.example\n", "constraints.txt": "foo<3\nbar==1 ; os_name=='nt'\n", "cycle.txt": "-r requirements.txt\n",
    "sub/r.txt": "inner==1\n./pkg\n-r r2.txt\n", "sub/r2.txt": "deeper\n-c ../constraints.txt\n", "sub/mixed.txt": "mixed==1\n-r r2.txt\n", "sub/links.txt": "-f links\n-f wheels\n-f nowhere\n", "sub/up.txt": "-r ../requirements2.txt\n",
}


def generated(count):
    """Lines put together at random from what such files are made of."""
    rnd = random.Random(508)
    req = ["foo", "bar==1.0", "Foo_Bar[x]>=1,<2", "foo @ https://files.example/foo-1.0.tar.gz", "./pkg", "pkg/[a]", "wheels/foo-1.0-py3-none-any.whl", "git+https://files.example/x.git#egg=foo", "-e ./pkg", "-e git+https://files.example/x#egg=y", ""]
    glue = [" ", "", "\t", "  ", " \\\n", "\\\n", "\n", " ; ", "; ", ";", " #", "#", "\\", "'", '"', "=", "\r\n"]
    more = ["python_version<'3'", "os_name=='nt'", f"--hash=sha256:{A}", f"--hash sha256:{B}", "--pre", "--no-index", "-i https://i.example", "--extra-index-url=https://e.example", "-f wheels", "-r requirements2.txt", "-c constraints.txt", "--no-binary=:all:", "--only-binary foo", "--trusted-host t.example", "-C a=b", "word", "--", "--prefer-binary"]
    for _ in range(count):
        yield "".join(rnd.choice(rnd.choice([req, glue, more, glue])) for _ in range(rnd.randint(2, 9)))


def read(directory):
    session = PipSession()
    finder = PackageFinder.create(
        link_collector=LinkCollector(session=session, search_scope=SearchScope.create([], [], False)),
        selection_prefs=preferences(),
    )
    options = optparse.Values({"require_hashes": False, "features_enabled": []})
    reqs = []
    for parsed in parse_requirements("requirements.txt", session=session, finder=finder, options=options):
        r = install_req_from_parsed_requirement(parsed)
        link, path = (r.link.url if r.link else ""), ""
        if link.startswith("file:"):
            path, link = os.path.relpath(r.link.file_path, directory), ""
        file, line = parsed.line_source[len("line "):].split(" of ")[::-1]
        hashes = [f"{a}:{d}" for a, ds in r.hash_options.items() for d in ds]
        if r.link and r.link.hash_name in ("sha256", "sha384", "sha512"):
            hashes.append(f"{r.link.hash_name}:{r.link.hash}")
        spec = str(r.req.specifier) if r.req is not None else ""
        reqs.append({
            "name": canonicalize_name(r.req.name) if r.req is not None else "", "extras": sorted(canonicalize_name(e) for e in (r.extras or (r.req.extras if r.req is not None else []))),
            "specifier": spec, "marker": str(r.markers) if r.markers else "", "url": link, "path": path, "editable": r.editable, "hashes": sorted(set(hashes)), "constraint": parsed.constraint,
            "file": os.path.relpath(file), "line": int(line),
        })
    fc = finder.format_control
    return {
        "requirements": reqs, "index": finder.index_urls, "noIndex": finder.search_scope.no_index,
        "findLinks": [os.path.relpath(f, directory) if os.path.isabs(f) else f for f in finder.find_links],
        "pre": pre(finder), "preferBinary": bool(finder._candidate_prefs.prefer_binary), "requireHashes": options.require_hashes,
        "noBinary": sorted(fc.no_binary), "onlyBinary": sorted(fc.only_binary), "trustedHosts": [h if p is None else f"{h}:{p}" for h, p in session.pip_trusted_origins],
    }


def preferences():
    try:
        from pip._internal.models.release_control import ReleaseControl
    except ImportError:  # before pip 26
        return SelectionPreferences(allow_yanked=True)
    return SelectionPreferences(allow_yanked=True, release_control=ReleaseControl())


def pre(finder):
    if hasattr(finder, "allow_all_prereleases"):
        return bool(finder.allow_all_prereleases)
    return ":all:" in finder.release_control.all_releases


def vector(data):
    files = {**{k: v.encode() for k, v in FILES.items()}, "requirements.txt": data}
    directory = os.path.realpath(tempfile.mkdtemp())
    for name in PRESENT:
        os.makedirs(os.path.join(directory, os.path.dirname(name)), exist_ok=True)
        open(os.path.join(directory, name), "w").close()
    for name, content in files.items():
        with open(os.path.join(directory, name), "wb") as f:
            f.write(content)
    os.chdir(directory)
    out = {"data": base64.b64encode(data).decode()}
    try:
        out["read"] = read(directory)
    except (AttributeError, NameError, TypeError):  # a fault of this script, or of its use of pip's internals
        raise
    except Exception as e:  # what pip raises has no common base class
        out["refused"] = True
        if "-v" in sys.argv:
            print(data, type(e).__name__, str(e)[:100], file=sys.stderr)
    return out


def main():
    for name in list(os.environ):
        if name.isupper() and name not in ("PATH", "HOME", "TMPDIR", "LANG"):
            del os.environ[name]
    datas = [c.encode() for c in CASES] + list(BINARY.values()) + [g.encode() for g in generated(1200)]
    seen = list(dict.fromkeys(datas))
    json.dump({"pip": pip.__version__, "files": FILES, "present": PRESENT, "vectors": [vector(d) for d in seen]}, sys.stdout, separators=(",", ":"), sort_keys=True)


main()
