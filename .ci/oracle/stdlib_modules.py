"""Write the table of Python's own top-level modules, by minor version.

Needs a Python with the package stdlib-list (0.12), which has collected the names of every version:
older Pythons than 3.10 have no sys.stdlib_module_names. Where the running Python is one of those
listed, its own sys.stdlib_module_names are added, underscored ones included.

    python .ci/oracle/stdlib_modules.py > resolve/check/stdlib.txt
"""

import sys

import stdlib_list

VERSIONS = [f"3.{minor}" for minor in range(6, 15)]


def names(version):
    found = {name.partition(".")[0] for name in stdlib_list.stdlib_list(version)}
    if version == "%d.%d" % sys.version_info[:2]:
        found |= set(sys.stdlib_module_names)
    return {name for name in found if name.isidentifier() and name not in ("__main__", "this", "antigravity")}


def main():
    table = {version: names(version) for version in VERSIONS}
    print("# Python's own top-level modules: name, first and last minor version of those listed that have it.")
    for name in sorted(set().union(*table.values())):
        having = [v for v in VERSIONS if name in table[v]]
        print(name, having[0], having[-1])


main()
