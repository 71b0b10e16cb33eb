package envfile

import (
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"
)

// hunter is a password that no parser may let through.
const hunter = "hunter2secret"

// fuzz feeds a parser with one file and looks for the password in all that comes out.
func fuzz(f *testing.F, seeds []string, parse func(fsys fstest.MapFS, name string) (*File, error)) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fsys := fstest.MapFS{"f": {Data: data}, "requirements.txt": {Data: []byte("a==1\n-r requirements2.txt\n")}, "requirements2.txt": {Data: []byte("b\n")}}
		got, err := parse(fsys, "f")
		again, err2 := parse(fsys, "f")
		if (err == nil) != (got != nil) || dump(got, err) != dump(again, err2) {
			t.Fatal("not the same twice, or neither a file nor an error")
		}
		if text := dump(got, err); !utf8.ValidString(text) {
			t.Fatalf("not UTF-8: %q", text)
		}
		for _, form := range []string{"https://u:" + hunter + "@h.example/s", "https://" + hunter + "@h.example/s"} {
			if strings.Count(string(data), hunter) == strings.Count(string(data), form+"\n") && strings.Contains(dump(got, err), hunter) {
				t.Fatalf("the password came out:\n%s", dump(got, err))
			}
		}
	})
}

func FuzzRequirements(f *testing.F) {
	seeds := []string{
		"a==1 # c\nb[x]>=1,<2 ; python_version<'3' \\\n --hash=sha256:" + strings.Repeat("a", 64),
		"-i https://u:" + hunter + "@h.example/s\n--extra-index-url=https://" + hunter + "@h.example/s\n-f https://u:" + hunter + "@h.example/s\n",
		"git+https://u:" + hunter + "@h.example/s\nfoo @ https://u:" + hunter + "@h.example/s\n-e git+https://" + hunter + "@h.example/s\n",
		"-r requirements.txt\n-c requirements2.txt\n./x[a]\nwheels/a-1.0-py3-none-any.whl\n-e .\n",
		"--no-binary :all: --only-binary a,b\n--pre --trusted-host h -C a='b c'",
		"\xff\xfea\x00\n\x00", "# coding: latin-1\na # \xe9", "a==${X}\nfile:///x/y.whl\n",
		// What hostile hands write: long lines, names that steer a terminal, paths out of the model.
		"evil" + strings.Repeat("!=1.0,", 300) + "!=2\n", strings.Repeat("evil\n", 300), "evil[" + strings.Repeat("a,", 300) + "b]\n", "evil ; " + strings.Repeat("(", 300) + "os_name == 'x'" + strings.Repeat(")", 300),
		"evil\x1b[2J\n::add-mask::x\n-r \u202e\n--hash=sha256:\n--index-url \u2028\n", "-r ../../../../etc/passwd\n-c /etc/passwd\n-e /\n--find-links file:///proc/self/cwd/\n--index-url file:///\n",
		"-r f\n-r ./f\n", strings.Repeat("a \\\n", 300), "evil @ https://host/evil-1.0-py3-none-any.whl?X-Amz-Signature=x#sha256=0\n", "${HOME}\n$(id)\n`id`\n%s%n\n",
	}
	fuzz(f, seeds, requirements)
}

func FuzzConda(f *testing.F) {
	seeds := []string{
		"name: x\nchannels: [conda-forge, 'https://u:" + hunter + "@h.example/s\n']\ndependencies:\n- python=3.10\n- pip<=1\n- c/linux-64::numpy[version='>=1,<2',build=*x*]\n- pip:\n  - a==1\n  - -r requirements.txt\n  - |\n    --extra-index-url https://u:" + hunter + "@h.example/s\n  - '# c'\nvariables: {A: b}\nprefix: /x\n",
		"dependencies: &a [a, *a]\n", "a: &a [1]\nb: *a\n<<: {c: d}\n", "- a\n", "", "dependencies:\n- pip: null\n- {npm: [x]}\n- 3\n", "dependencies: [python 3.8 h_0, 'a=1=b', 'a|b']",
		"dependencies:\n" + strings.Repeat("- ", 300) + "a\n", strings.Repeat("[", 300), strings.Repeat("{a: ", 300), "a: &a [b]\nc: &c [*a,*a,*a]\nd: [*c,*c,*c]\n", "<<: *x\n",
		"channels: [\"https://h/t/x/\\u202e\", 1e999]\ndependencies: [\"a\\x1b[2J\", \"::error::x\", \"../../x\"]\n", "dependencies: [python=3.11, {pip: [-r /etc/passwd, \"\\x00\"]}]\n",
	}
	fuzz(f, seeds, conda)
}

func FuzzPythonEnv(f *testing.F) {
	seeds := []string{
		"python: 3.10\nbuild_dependencies:\n- pip==1\ndependencies:\n- -r requirements.txt\n- a @ https://u:" + hunter + "@h.example/s\n",
		"python: [1]\nx: y\n", "dependencies: a\n", "python: '3.8'\npython: '3.9'\n",
		"python: 99999999999999999999.1\n", "python: \"3.11\\n::error::x\"\ndependencies: [-r ../../x, -e /]\n", "build_dependencies: &a [*a]\n", "python: !!binary aaaa\n",
	}
	fuzz(f, seeds, pythonEnv)
}

func FuzzPythonVersionAndPyProject(f *testing.F) {
	for _, s := range []string{"3.11\n", "# c\ncpython-3.11.2-linux\n", "[project]\nname='a'\nrequires-python = \">=3.10\"\n", "project = {requires-python = '>=3'}\n", "project.requires-python=1\n[x]\n", "[project\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fsys := fstest.MapFS{"f": {Data: data}}
		ParsePythonVersion(fsys, "f")
		got, err := ParsePyProject(fsys, "f")
		if (err == nil) != (got != nil) {
			t.Fatal("neither a file nor an error")
		}
		if err == nil && len(got.Python) > 0 && got.Python[0].From.Line == 0 {
			t.Fatal("no line")
		}
	})
}
