package pyimports

import (
	"fmt"
	"strings"
	"testing"
)

// brief writes an import as "line module [soft] [nested]", a relative one with its dots.
func brief(i Import) string {
	s := fmt.Sprintf("%d %s%s", i.Line, strings.Repeat(".", i.Level), i.Module)
	if i.Soft {
		s += " soft"
	}
	if i.Nested {
		s += " nested"
	}
	return s
}

func TestScan(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"forms", "import os\nimport a.b as c, d\nfrom x.y import z as w, v\nfrom q import *\n", "1 os; 2 a.b; 2 d; 3 x.y; 4 q"},
		{"relative", "from . import a\nfrom .b import c\nfrom ... import d\nfrom .. e import f\n", "1 .; 2 .b; 3 ...; 4 ..e"},
		{"brackets and backslashes", "from a import (\n  b,  # one\n  c,\n)\nimport \\\n  d\nimport e; import f\n", "1 a; 5 d; 7 e; 7 f"},
		{"strings", "x = '''\nimport no\n'''\ny = \"import no\"\n\"\"\"doc\nimport no\"\"\"\nimport yes\n", "7 yes"},
		{"raw and escaped", "x = r'\\'\ny = '\\''\nimport a\nz = '\\\\'\nimport b\n", "3 a; 5 b"},
		{"unterminated", "x = 'abc\nimport a\n", "2 a"},
		{"formatted", "x = f'{y['k']}import no' \nz = f\"{'a':{w}}\"\nimport a\nq = f'''{\nx}\nimport no'''\nimport b\nr = f'{{\"'\nimport c\n", "3 a; 7 b; 9 c"},
		{"comment", "# import no\nx = 1 # import no\nimport a # yes\n", "3 a"},
		{"try", "try:\n  import a\nexcept ImportError:\n  import b\nelse:\n  import c\nimport d\n", "2 a soft; 4 b soft; 6 c; 7 d"},
		{"try, late handler", "try:\n  import a\nexcept KeyError:\n  import b\nexcept (ValueError, ModuleNotFoundError):\n  pass\n", "2 a soft; 4 b"},
		{"try, other error", "try:\n  import a\nexcept ValueError:\n  pass\nfinally:\n  import b\n", "2 a; 6 b"},
		{"bare except", "try:\n  import a\nexcept:\n  pass\n", "2 a soft"},
		{"nested try", "try:\n  try:\n    import a\n  except KeyError:\n    pass\nexcept ImportError:\n  a = None\n", "3 a soft"},
		{"one line", "try: import a\nexcept ImportError: a = None\nif x: import b\n", "1 a soft; 3 b"},
		{"type checking", "if TYPE_CHECKING:\n  import a\nelse:\n  import b\nif typing.TYPE_CHECKING:\n  import c\nimport d\n", "2 a soft; 4 b; 6 c soft; 7 d"},
		{"other Pythons", "if sys.version_info >= (3, 11):\n  import tomllib\nelse:\n  import tomli\nif sys.platform == 'win32': import winreg\n", "2 tomllib soft; 4 tomli soft; 5 winreg soft"},
		{"script", "if __name__ == '__main__':\n  import a\n", "2 a soft"},
		{"function", "class A:\n  def f(self, x: int = {1: 2}[1]) -> None:\n    import a\n  async def g(self):\n    from b import c\nimport d\n", "3 a nested; 5 b nested; 6 d"},
		{"lambda", "if x or lambda a: a: import b\nwhile f(lambda: 1): import c\n", "1 b; 2 c"},
		{"suppress", "with contextlib.suppress(ImportError):\n  import a\nwith open(x) as f:\n  import b\n", "2 a soft; 4 b"},
		{"not statements", "importer = 1\nfrom_x = 2\nx.import_y\nprint('import z')\nimport\nfrom\n", ""},
		{"tabs", "def f():\n\timport a\n\tif x:\n\t\timport b\nimport c\n", "2 a nested; 4 b nested; 5 c"},
		{"carriage returns and a mark", "\ufeffimport a\r\nimport b\r\n", "1 a; 2 b"},
	}
	for _, test := range tests {
		var got []string
		for _, i := range Scan([]byte(test.in)) {
			got = append(got, brief(i))
		}
		if s := strings.Join(got, "; "); s != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, s, test.want)
		}
	}
}

func FuzzScan(f *testing.F) {
	f.Add([]byte("try:\n  import a\nexcept ImportError:\n  from .b import (c,\n d)\n"))
	f.Add([]byte("x = f'{a!r:{b}}' # c\n\tif x: import y; import z\n"))
	f.Add([]byte("'''\\\n\"\"\"{{\nimport a"))
	f.Add([]byte("import " + strings.Repeat("a,", 500) + "a"))
	f.Add([]byte(strings.Repeat("(", 500) + "import a" + strings.Repeat(")", 500)))
	f.Add([]byte(strings.Repeat("f'{", 200) + "x" + strings.Repeat("}'", 200) + "\nfrom . import \x1b[2J, b\u2028\n"))
	f.Add([]byte(strings.Repeat("try:\n ", 100) + "import a\r\r\n\x0c\x00import b\\\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := 1 + strings.Count(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data)), "\n")
		for _, i := range Scan(data) {
			if i.Line < 1 || i.Line > lines || i.Level == 0 && i.Module == "" || strings.ContainsAny(i.Module, " \n\t'\"#;") {
				t.Errorf("%+v in %q", i, data)
			}
		}
	})
}
