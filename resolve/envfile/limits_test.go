package envfile

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// What is too large or not a file is refused with a sentence.
func TestRefused(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'j'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 10))
	}
	tests := []struct {
		name string
		file *fstest.MapFile
		want string
	}{
		{"requirements.txt", nil, "requirements.txt: there is no such file"},
		{"requirements.txt", &fstest.MapFile{Mode: os.ModeDir}, "requirements.txt: is a directory, not a file"},
		{"requirements.txt", &fstest.MapFile{Data: make([]byte, 11<<20)}, "requirements.txt: is larger than 10 MiB, which no environment file is"},
		{"requirements.txt", &fstest.MapFile{Data: []byte(strings.Repeat("\n", 1<<20))}, "requirements.txt: has more than 500000 lines"},
		{"requirements.txt", &fstest.MapFile{Data: []byte("a\n\xe9\n")}, "requirements.txt:2: byte 0xe9 is not UTF-8"},
		{"requirements.txt", &fstest.MapFile{Data: []byte("# coding: cp1250\na")}, `requirements.txt:1: the encoding "cp1250" is not supported`},
		{"conda.yaml", &fstest.MapFile{Data: []byte(bomb)}, "conda.yaml:6: the file holds, with its aliases, more than 262144 values"},
		{"conda.yaml", &fstest.MapFile{Data: []byte("a: b\nc: \xff\n")}, "conda.yaml:2: byte 0xff is not UTF-8"},
		{"conda.yaml", &fstest.MapFile{}, "conda.yaml: is empty"},
		{"conda.yaml", &fstest.MapFile{Data: []byte("- a\n")}, "conda.yaml:1: the file must be a mapping of keys to values, but it is a list"},
		{"python_env.yaml", &fstest.MapFile{Data: []byte("python: &a [*a]\n")}, "python_env.yaml:1: the alias *a refers to a value that contains it"},
		{"python_env.yaml", &fstest.MapFile{Mode: os.ModeDir}, "python_env.yaml: is a directory, not a file"},
		{".python-version", &fstest.MapFile{Data: []byte("\xff")}, ".python-version:1: byte 0xff is not UTF-8"},
		{"pyproject.toml", &fstest.MapFile{Mode: os.ModeDir}, "pyproject.toml: is a directory, not a file"},
	}
	for _, test := range tests {
		fsys := fstest.MapFS{}
		if test.file != nil {
			fsys[test.name] = test.file
		}
		f, err := parseByName(fsys, test.name)
		if f != nil || err == nil || err.Error() != test.want {
			t.Errorf("%s: got %.300v, want %q", test.name, err, test.want)
		}
	}
}

// Files that include one another twice each do not take exponential time.
func TestIncludesAreReadOnce(t *testing.T) {
	fsys := fstest.MapFS{}
	for i := range 60 {
		fsys[fmt.Sprintf("%d.txt", i)] = &fstest.MapFile{Data: []byte(fmt.Sprintf("-r %d.txt\n-r %d.txt\n", i+1, i+1))}
	}
	fsys["60.txt"] = &fstest.MapFile{Data: []byte("a\n")}
	f, err := ParseRequirements(fsys, "0.txt")
	if err != nil || len(f.Requirements) != 1 {
		t.Errorf("%v %v", f, err)
	}
}

// A file with a thousand faults reports fifty.
func TestManyErrors(t *testing.T) {
	_, err := ParseRequirements(fstest.MapFS{"r": {Data: []byte(strings.Repeat("=\n", 1000))}}, "r")
	if n := len(flatErrors(err)); n != maxErrors+1 {
		t.Errorf("%d errors", n)
	}
}

// Unquoting can bring credentials to light, and a host without a scheme may have some.
func TestHiddenCredentials(t *testing.T) {
	for _, text := range []string{
		`--index-url https\://user:` + hunter + `@pypi.example/simple`,
		`--index-url=user:` + hunter + `@pypi.example/simple`,
		`--extra-index-url "https:/""/user:` + hunter + `@pypi.example/simple"`,
		`-e git+https\://user:` + hunter + `@git.example/x#egg=x`,
		`-iuser:` + hunter + `@pypi.example/simple`,
		`--pre --index-url user:` + hunter + `@pypi.example/simple --no-index`,
		`-fuser:` + hunter + `@pypi.example/simple`,
		`-f https\://` + hunter + `@pypi.example/simple`,
		`-r https\://user:` + hunter + `@pypi.example/r.txt`,
		`-e https\://user:` + hunter + `@git.example/x#egg=x`,
		`foo --hash=https\://user:` + hunter + `@git.example/x`,
		`--no-binary https\://user:` + hunter + `@git.example/x`,
		`--use-feature https\://user:` + hunter + `@git.example/x`,
		`--all-releases https\://user:` + hunter + `@git.example/x`,
		`--pre https\://user:` + hunter + `@git.example/x`,
		`--https\://user:` + hunter + `@git.example/x`,
		`-e ./https\://user:` + hunter + `@git.example/x`,
		`--trusted-host user:` + hunter + `@git.example`,
		`--index-url https://user:a ` + hunter + `@pypi.example/simple`,
		`--index-url "https://user:a ` + hunter + `@pypi.example/simple"`,
		`--index-url https://us er:` + hunter + `@pypi.example/simple`,
		`--extra-index-url=https://user:12 ` + hunter + `@pypi.example`,
		`evil @ https://user:a ` + hunter + `@git.example/x.whl`,
		`evil @ https://user:` + hunter + ` b@git.example/x.whl`,
		`evil @ https://user:a/b ` + hunter + `@git.example/x.whl ; python_version>"3"`,
		"evil @ https://user:a\t" + hunter + `@git.example/x.whl`,
		"-f https://user:a\u00a0" + hunter + `@git.example/`,
		"-r https://user:a \\\n " + hunter + `@pypi.example/r.txt`,
		"evil==1 --hash=https://user:a " + hunter + `@git.example/`,
	} {
		f, err := ParseRequirements(fstest.MapFS{"r": {Data: []byte(text)}}, "r")
		if strings.Contains(dump(f, err), hunter) {
			t.Errorf("%s:\n%s", text, dump(f, err))
		}
	}
}
