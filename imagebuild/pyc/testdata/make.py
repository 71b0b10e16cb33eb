# Writes testdata/3.N[ab].marshal: run from the directory above by each CPython 3.N, with -S -s and any argument, then a or b,
# under another PYTHONHASHSEED each.
import sys, marshal
warm = sys.argv[2] == "b"
if warm:
    import json, decimal, email.message, html.entities  # what other modules have interned
    keep = [sys.intern(s) for s in ("*", "two words", "long text " * 40, "é", "Ωμέγα")]
    chars = [chr(i) for i in range(256)]
src = open("testdata/sample.py", "rb").read()
code = compile(src, "/opt/venv/lib/python3/site-packages/sample.py", "exec", dont_inherit=True, optimize=0)
if warm:
    held = [code.co_consts, code.co_names, code.co_code, [c for c in code.co_consts], marshal.loads(marshal.dumps(code))]
open("testdata/3.%d%s.marshal" % (sys.version_info[1], sys.argv[2]), "wb").write(marshal.dumps(code))
