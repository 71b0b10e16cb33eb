"""A module with every kind of constant that compiled code holds."""
from os import path as p
big = 1 << 100, -(1 << 100), 2**31, -2**31, 255, 1.5, -0.0, 0.0, 1e300, 2j, -0.0j, ..., None, True, False, b"bytes", b""
texts = "a", "*", "é", "ü", "", "two words", "two words", "name_like", "\ud800", "Ωμέγα", "x" * 300, "long text " * 40
nested = ((1, 2), (1, 2), (1.0, 2), (True, 2), ("*", ("*",)))
kinds = "x" in {"a", "b", "c", 1, 2.5, ("t", 1), b"b", "two words", "*"}, 3 in {1, 2, 3}


def größe(a, b=1, /, c="*", *args, d: int = 0, **kw):
    def inner(x):
        nonlocal a
        a += x
        return lambda: a if x in {"p", "q", "r", "s"} else (yield)
    try:
        return inner(b) + len(args)
    except (KeyError, ValueError) as e:
        raise RuntimeError(f"{e!r:>10} {c}") from e
    finally:
        with open(p.devnull) as f:
            f.read()


class Kind:
    __slots__ = ("a", "b")
    table = {"k": lambda: 1, "l": lambda: 1}

    async def run(self):
        async for x in self:
            print(x, sep="*")
        return [y for y in self.table if y not in {"k", "*", "Ω"}]
