package wheel

import (
	"bytes"
	"strconv"
	"strings"
)

// shebang returns the first lines of a script for an interpreter. Linux cuts a first line at 127 bytes and takes what is
// behind a space for an argument; then a shell starts the interpreter, in lines that are a string to Python.
func shebang(python string) string {
	if len(python)+3 <= 127 && !strings.Contains(python, " ") {
		return "#!" + python + "\n"
	}
	if strings.Contains(python, " ") {
		python = `"` + python + `"`
	}
	return "#!/bin/sh\n'''exec' " + python + " \"$0\" \"$@\"\n' '''\n"
}

// launcher returns the script of an entry point, in the bytes that pip gives it (its version 26 for Python 3.9 and
// later; removesuffix is not older).
func launcher(python, minor string, e entryPoint) []byte {
	first, _, _ := strings.Cut(e.attr, ".")
	var b strings.Builder
	b.WriteString(shebang(python))
	if before39(minor) {
		b.WriteString("# -*- coding: utf-8 -*-\nimport re\n")
	}
	b.WriteString("import sys\nfrom " + e.module + " import " + first + "\nif __name__ == '__main__':\n")
	if before39(minor) {
		b.WriteString("    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])\n")
	} else {
		b.WriteString("    sys.argv[0] = sys.argv[0].removesuffix('.exe')\n")
	}
	b.WriteString("    sys.exit(" + e.attr + "())\n")
	return []byte(b.String())
}

func before39(minor string) bool {
	_, n, _ := strings.Cut(minor, ".")
	i, err := strconv.Atoi(n)
	return strings.HasPrefix(minor, "3.") && err == nil && i < 9
}

// pythonLine is how a script in .data/scripts begins that wants the interpreter in its first line. "#!pythonw" does, too.
const pythonLine = "#!python"

// withInterpreter replaces the first line of a script.
func withInterpreter(script []byte, python string) []byte {
	_, rest, _ := bytes.Cut(script, []byte("\n"))
	return append([]byte(shebang(python)), rest...)
}
