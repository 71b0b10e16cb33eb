"""Compiles sources in this process and checks canonical forms, for TestAgainstPython.

    oracle.py compile ORDER LIST OUT     each source of LIST to OUT/<number>, in an order and a state of its own
    oracle.py compare LIST RAW CANONICAL each canonical form loads as an equal code object
"""
import marshal, os, random, sys, types


def compile_all(order, list_file, out):
    jobs = list(enumerate(open(list_file).read().split("\n")))
    if order == "b":
        import decimal, email.message, html.entities, json  # a process that has done other things before
        keep = [sys.intern(chr(i)) for i in range(256)]
        random.Random(7).shuffle(jobs)
    held = []
    for number, path in jobs:
        try:
            code = compile(open(path, "rb").read(), "/opt/venv/" + path, "exec", dont_inherit=True, optimize=0)
        except (SyntaxError, ValueError, RecursionError):
            continue  # sources of another Python, and test data that are meant to be wrong
        if order == "b":
            held.append(code.co_consts)
        with open(os.path.join(out, str(number)), "wb") as f:
            f.write(marshal.dumps(code))


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, types.CodeType):
        names = [n for n in dir(a) if n.startswith("co_") and n not in ("co_consts", "co_lines", "co_positions", "co_branches", "co_lnotab")]
        return all(getattr(a, n) == getattr(b, n) for n in names) and same(a.co_consts, b.co_consts) and list(a.co_lines() if hasattr(a, "co_lines") else ()) == list(b.co_lines() if hasattr(b, "co_lines") else ())
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, frozenset):
        return sorted(map(repr, a)) == sorted(map(repr, b)) and a == b
    return repr(a) == repr(b)


def compare(list_file, raw, canonical):
    bad = 0
    for number in sorted(os.listdir(raw), key=int):
        a = marshal.loads(open(os.path.join(raw, number), "rb").read())
        b = marshal.loads(open(os.path.join(canonical, number), "rb").read())
        if not same(a, b):
            bad += 1
            print("unequal:", open(list_file).read().split("\n")[int(number)])
    sys.exit(bad > 0)


if sys.argv[1] == "compile":
    compile_all(*sys.argv[2:])
else:
    compare(*sys.argv[2:])
