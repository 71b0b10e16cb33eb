package resolve_test

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"mlenv/resolve"
	"mlenv/resolve/model"
)

// lockedFS does not let its file be read.
type lockedFS struct {
	fstest.MapFS
	file string
}

func (l lockedFS) Open(name string) (fs.File, error) {
	if name == l.file {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return l.MapFS.Open(name)
}

// What is wrong with a file that other files include is said once, where it is met first.
func TestErrorsAreGivenOnce(t *testing.T) {
	const mlmodel = "flavors:\n  python_function:\n    loader_module: m\n    env: {conda: %s, virtualenv: %s}\nmlflow_version: 2.9.2\n"
	const python, conda = "dependencies:\n- -r requirements.txt\n", "dependencies:\n- python=3.11.7\n- pip\n- pip:\n  - -r requirements.txt\n"
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'h'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 10))
	}
	for _, tt := range []struct {
		name   string
		env    [2]string // conda, virtualenv
		files  map[string]string
		locked string
		want   []string // how the errors begin, in order
	}{
		{"included twice", [2]string{"conda.yaml", "python_env.yaml"},
			map[string]string{"python_env.yaml": python, "conda.yaml": conda, "requirements.txt": "six\na=>1\nb=1\n"}, "",
			[]string{"requirements.txt:2: ", "requirements.txt:3: "}},
		{"among others", [2]string{"conda.yaml", "python_env.yaml"},
			map[string]string{"python_env.yaml": python + "- c=1\n", "conda.yaml": conda + "  - c=1\n", "requirements.txt": "a=1\na=1\n"}, "",
			[]string{"requirements.txt:1: ", "requirements.txt:2: ", "python_env.yaml:3: ", "conda.yaml:6: "}},
		{"a bomb of two names", [2]string{"env.yaml", "env.yaml"},
			map[string]string{"env.yaml": bomb, "requirements.txt": "six\n"}, "",
			[]string{"env.yaml:6: the file holds"}},
		{"a file that may not be read", [2]string{"conda.yaml", "python_env.yaml"},
			map[string]string{"python_env.yaml": python, "conda.yaml": conda, "requirements.txt": "six\n"}, "requirements.txt",
			[]string{"python_env.yaml:2: cannot include requirements.txt: cannot be read"}},
		{"a file that is not there", [2]string{"conda.yaml", "python_env.yaml"},
			map[string]string{"python_env.yaml": python, "conda.yaml": conda}, "",
			[]string{"python_env.yaml:2: cannot include", "conda.yaml:5: cannot include"}}, // two lines to be mended
	} {
		t.Run(tt.name, func(t *testing.T) {
			fsys := fstest.MapFS{"MLmodel": {Data: []byte(fmt.Sprintf(mlmodel, tt.env[0], tt.env[1]))}}
			for name, text := range tt.files {
				fsys[name] = &fstest.MapFile{Data: []byte(text)}
			}
			m, err := model.Read(lockedFS{fsys, tt.locked})
			if err != nil {
				t.Fatal(err)
			}
			_, err = resolve.Model(m, resolve.Options{})
			if err == nil {
				t.Fatal("it is accepted")
			}
			got := strings.Split(err.Error(), "\n")
			same := len(got) == len(tt.want)
			for i := range min(len(got), len(tt.want)) {
				same = same && strings.HasPrefix(got[i], tt.want[i])
			}
			if !same {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}
