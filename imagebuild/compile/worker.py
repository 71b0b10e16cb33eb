# Compiles what it reads from standard input until that ends. A request is two numbers of four bytes, little-endian, the
# lengths of the path and the source, and these. An answer is one number and as many bytes: the marshalled code, or
# nothing where the source does not compile. The only modules are those of the interpreter itself.
import marshal, sys

read, write = sys.stdin.buffer.read, sys.stdout.buffer.write
while True:
    head = read(8)
    if len(head) < 8:
        break
    path = read(int.from_bytes(head[:4], "little")).decode("utf-8", "surrogateescape")
    source = read(int.from_bytes(head[4:], "little"))
    try:
        code = marshal.dumps(compile(source, path, "exec", dont_inherit=True, optimize=0))
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError, UnicodeError):
        code = b""
    del source
    write(len(code).to_bytes(4, "little"))
    write(code)
    sys.stdout.buffer.flush()
