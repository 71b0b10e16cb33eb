package model

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write the golden files anew")

// dump is all that Read gives, as text.
func dump(m *Model, err error) string {
	var b strings.Builder
	if err != nil {
		for _, e := range flatErrors(err) {
			fmt.Fprintln(&b, e)
			if e, ok := e.(*Error); ok && e.Hint != "" {
				fmt.Fprintf(&b, "    hint: %s\n", e.Hint)
			}
		}
		return b.String()
	}
	value := func(name string, v Value) {
		if v != (Value{}) {
			fmt.Fprintf(&b, "%s: %q (%s:%d)\n", name, v.Text, v.File, v.Line)
		}
	}
	fields := func(name string, fs []Field) {
		for _, f := range fs {
			value(name+" "+f.Key, f.Value)
		}
	}
	for _, f := range m.Flavors {
		fmt.Fprintf(&b, "flavor %s (%d)\n", f.Name, f.Line)
		fields("   ", f.Fields)
	}
	value("mlflow_version", m.MLflowVersion)
	value("model id", m.ModelID)
	value("run id", m.RunID)
	value("artifact path", m.ArtifactPath)
	value("time created", m.TimeCreated)
	value("python version", m.PythonVersion)
	value("size", m.SizeBytes)
	value("inputs", m.Signature.Inputs)
	value("outputs", m.Signature.Outputs)
	value("params", m.Signature.Params)
	value("input example", m.InputExample)
	for _, v := range m.Code {
		value("code", v)
	}
	for _, v := range m.EnvVars {
		value("env var", v)
	}
	value("conda", m.CondaEnv)
	value("virtualenv", m.VirtualEnv)
	value("registered name", m.RegisteredName)
	value("registered version", m.RegisteredVersion)
	for _, file := range []struct{ name, path string }{
		{"unnamed conda", m.UnnamedConda}, {"unnamed virtualenv", m.UnnamedVirtual}, {"serving example", m.ServingExample},
		{"requirements", m.RequirementsTxt}, {"constraints", m.ConstraintsTxt}, {"original requirements", m.OriginalRequirementsTxt},
		{"python version file", m.PythonVersionFile}, {"pyproject", m.PyProject}, {"uv lock", m.UVLock},
	} {
		if file.path != "" {
			fmt.Fprintf(&b, "%s: %s\n", file.name, file.path)
		}
	}
	for _, w := range m.Wheels {
		fmt.Fprintf(&b, "wheel: %s\n", w)
	}
	fields("metadata", m.Metadata)
	fields("other", m.Other)
	return b.String()
}

func flatErrors(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range many.Unwrap() {
			out = append(out, flatErrors(e)...)
		}
		return out
	}
	return []error{err}
}

// Every testdata/golden/*.txtar is a model; its file "want" is what Read gives.
func TestGolden(t *testing.T) {
	names, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			fsys := fstest.MapFS{}
			want := -1
			for i, f := range a.Files {
				if f.Name == "want" {
					want = i
					continue
				}
				fsys[f.Name] = &fstest.MapFile{Data: f.Data}
			}
			got := dump(Read(fsys))
			if *update {
				if want < 0 {
					a.Files = append(a.Files, txtar.File{Name: "want"})
					want = len(a.Files) - 1
				}
				a.Files[want].Data = []byte(got)
				if err := os.WriteFile(name, txtar.Format(a), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want < 0 || got != string(a.Files[want].Data) {
				t.Errorf("got:\n%s", got)
			}
		})
	}
}

const plain = "flavors:\n  python_function:\n    loader_module: x\n"

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "model", "MLmodel"), plain)
	write(t, filepath.Join(dir, "model", "conda.yaml"), "{}")
	write(t, filepath.Join(dir, "requirements.txt"), "secret\n")
	for _, path := range []string{"model", filepath.Join("model", "MLmodel")} {
		m, err := Open(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		if m.Flavor("python_function").Get("loader_module").Text != "x" || m.UnnamedConda != "conda.yaml" {
			t.Errorf("%s: %s", path, dump(m, nil))
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	for path, want := range map[string]string{
		".":                "there is no such file, so this is not an MLflow Model; there are model/, requirements.txt",
		"nowhere":          "there is no such directory or file",
		"requirements.txt": "is neither a model directory nor an MLmodel file",
	} {
		_, err := Open(filepath.Join(dir, path))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	var e *Error
	_, err := Open(dir)
	if !errors.As(err, &e) || e.Hint != "did you mean model/?" {
		t.Errorf("hint: %+v", e)
	}
}

func TestSymlinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("symbolic links need a privilege on Windows")
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "outside.txt"), "secret\n")
	model := filepath.Join(dir, "model")
	write(t, filepath.Join(model, "MLmodel"), plain)
	write(t, filepath.Join(model, "real.yaml"), "{}")
	if err := os.Symlink("real.yaml", filepath.Join(model, "conda.yaml")); err != nil {
		t.Fatal(err)
	}
	m, err := Open(model)
	if err != nil || m.UnnamedConda != "conda.yaml" {
		t.Fatalf("a link inside the model: %v", err)
	}
	m.Close()
	for _, target := range []string{"../outside.txt", filepath.Join(dir, "outside.txt"), "nowhere", "requirements.txt"} {
		link := filepath.Join(model, "requirements.txt")
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		m, err := Open(model)
		if err != nil || len(m.BadLinks) != 1 || m.BadLinks[0].Name != "requirements.txt" || m.BadLinks[0].Target != target || m.RequirementsTxt != "" {
			t.Errorf("%s: %v, %+v", target, err, m)
		}
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLinkedLayouts reads models that are made of links, as MLflow reads them: their files are what the
// links lead to, each once.
func TestLinkedLayouts(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("symbolic links need a privilege on Windows")
	}
	for what, tt := range map[string]struct {
		files []string
		links map[string]string // "ROOT" begins an absolute path
		want  []string
		bad   []string
	}{
		"Kubernetes": {
			files: []string{"..2026_01_02/MLmodel", "..2026_01_02/code/a.py"},
			links: map[string]string{"..data": "..2026_01_02", "MLmodel": "..data/MLmodel", "code": "..data/code"},
			want:  []string{"MLmodel", "code/a.py"},
		},
		"a directory": {
			files: []string{"MLmodel", "v1/a.bin"}, links: map[string]string{"data": "v1", "data2": "./data"},
			want: []string{"MLmodel", "data/a.bin", "data2/a.bin", "v1/a.bin"},
		},
		"absolute": {
			files: []string{"real/MLmodel", "real/a.bin"}, links: map[string]string{"MLmodel": "ROOT/real/MLmodel", "all": "ROOT/real"},
			want: []string{"MLmodel", "all/MLmodel", "all/a.bin", "real/MLmodel", "real/a.bin"},
		},
		"within a directory": {
			files: []string{"MLmodel", "code/a.py", "lib/b.py"}, links: map[string]string{"code/b.py": "../lib/b.py"},
			want: []string{"MLmodel", "code/a.py", "code/b.py", "lib/b.py"},
		},
		"circles": {
			files: []string{"MLmodel", "a/x", "b/y"},
			links: map[string]string{"a/up": "..", "a/b": "../b", "b/a": "../a", "self": "self", "here": "."},
			want:  []string{"MLmodel", "a/b/y", "a/x", "b/a/x", "b/y"},
			bad:   []string{"a/b/a", "a/up", "b/a/b", "b/a/up", "here", "self"},
		},
		"out and back": {
			files: []string{"MLmodel"}, links: map[string]string{"out": "../model/MLmodel", "up": "../..", "etc": "/etc/hostname"},
			want: []string{"MLmodel"}, bad: []string{"etc", "out", "up"},
		},
	} {
		t.Run(what, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "model")
			for _, name := range tt.files {
				text := "x"
				if filepath.Base(name) == "MLmodel" {
					text = plain
				}
				write(t, filepath.Join(root, name), text)
			}
			for name, target := range tt.links {
				if err := os.Symlink(strings.Replace(target, "ROOT", root, 1), filepath.Join(root, name)); err != nil {
					t.Fatal(err)
				}
			}
			by := filepath.Join(filepath.Dir(root), "by-a-link")
			if err := os.Symlink(root, by); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{root, by} {
				m, err := Open(name)
				if err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				var walked, bad []string
				err = fs.WalkDir(m.FS, ".", func(name string, d fs.DirEntry, err error) error {
					if err == nil && !d.IsDir() {
						walked = append(walked, name)
						_, err = fs.ReadFile(m.FS, name)
					}
					return err
				})
				for _, l := range m.BadLinks {
					bad = append(bad, l.Name)
				}
				if err != nil || !slices.Equal(walked, tt.want) || !slices.Equal(bad, tt.bad) {
					t.Errorf("walked %q, %v, want %q; bad %q, want %q", walked, err, tt.want, bad, tt.bad)
				}
			}
		})
	}
}

// What is too large, too deep or not a file is refused with a sentence.
func TestRefused(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'j'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	tests := map[string]struct {
		file *fstest.MapFile
		want string
	}{
		"large":     {&fstest.MapFile{Data: make([]byte, 11<<20)}, "MLmodel: is larger than 10 MiB"},
		"directory": {&fstest.MapFile{Mode: os.ModeDir}, "MLmodel: is a directory, not a file"},
		"device":    {&fstest.MapFile{Mode: os.ModeDevice}, "MLmodel: is not a regular file"},
		"bomb":      {&fstest.MapFile{Data: []byte(bomb)}, "the file holds, with its aliases, more than"},
		"wide":      {&fstest.MapFile{Data: []byte("a: [" + strings.Repeat("a,", 4<<20) + "]")}, "holds more than"},
		"deep":      {&fstest.MapFile{Data: []byte(strings.Repeat("[", 5000) + strings.Repeat("]", 5000))}, "nested"},
		"very deep": {&fstest.MapFile{Data: []byte(strings.Repeat("[", 100000))}, "is not YAML"},
		"cycle":     {&fstest.MapFile{Data: []byte("a: &a [*a]\n")}, "MLmodel:1: the alias *a refers to a value that contains it"},
		"bytes":     {&fstest.MapFile{Data: []byte("a: b\nc: \xff\n")}, "MLmodel:2: byte 0xff is not UTF-8"},
		"list":      {&fstest.MapFile{Data: []byte("- a\n")}, "MLmodel:1: must be a mapping with the key flavors, but it is a list"},
		"empty":     {&fstest.MapFile{}, "must be a mapping with the key flavors, but it is empty"},
	}
	for name, test := range tests {
		_, err := Read(fstest.MapFS{"MLmodel": test.file})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %.200v, want %q", name, err, test.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	names, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil || len(names) == 0 {
		f.Fatal("no golden files", err)
	}
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(a.Files[0].Data)
	}
	for _, s := range []string{
		"flavors: " + strings.Repeat("[", 500), "flavors: {a: &a [*a]}\n", "<<: *x\n", "flavors:\n  \"\\x1b[2J\\n::error::x\":\n    code: ../../etc\n  python_function: {loader_module: \"\\u202e\", code: /etc, env: ../conda.yaml}\n",
		"flavors: {python_function: {env: {conda: /etc/passwd, virtualenv: \"a\\x00\"}}}\nsignature: {inputs: '" + strings.Repeat("[", 500) + "'}\n", "flavors: {python_function: 1e999}\nmodel_size_bytes: -1\nutc_time_created: 99999999999999999999\n",
		"flavors: {python_function: {}}\nmetadata: " + strings.Repeat("{a: ", 500) + "\n", "flavors: !!python/object/apply:os.system [id]\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fsys := fstest.MapFS{"MLmodel": {Data: data}, "conda.yaml": {}, "python_env.yaml": {}}
		m, err := Read(fsys)
		if (err == nil) != (m != nil) || dump(m, err) != dump(Read(fsys)) {
			t.Fatal("not the same twice, or neither a model nor an error")
		}
		if m != nil && m.Flavor("python_function") == nil {
			t.Fatal("a model without the flavor was read")
		}
	})
}

// A key of a flavor is known by its whole path: below long keys, each value would take as much memory as
// all of them together, and a file of 3 MB gigabytes.
func TestLongKeys(t *testing.T) {
	var b strings.Builder
	b.WriteString("flavors:\n  python_function:\n    loader_module: a\n    data: b\n")
	indent := "    "
	for range 50 {
		fmt.Fprintf(&b, "%s%s:\n", indent, strings.Repeat("k", 1000))
		indent += " "
	}
	for i := range 1000 {
		fmt.Fprintf(&b, "%sa%d: 1\n", indent, i)
	}
	m, err := Read(fstest.MapFS{"MLmodel": {Data: []byte(b.String())}})
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, f := range m.Flavors[0].Fields {
		sum += len(f.Key)
	}
	if sum > 1<<20 || m.Flavors[0].Get("loader_module").Text != "a" {
		t.Errorf("the keys have %d bytes", sum)
	}
}
