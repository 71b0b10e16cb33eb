package wheel

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/imagebuild/layer"
)

var scheme = Scheme{Prefix: "/opt/venv", Minor: "3.12"}

const (
	site     = "opt/venv/lib/python3.12/site-packages/"
	demoData = "demo_pkg-1.0.data/"
)

// installedFiles measures the layer of a wheel, which checks every hash, and returns its files.
func installedFiles(t *testing.T, w *Wheel, s Scheme, o Options) map[string]string {
	t.Helper()
	entries, err := w.Install(s, o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := w.Layer(s, o, layer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Measure(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		var body []byte
		c := e.Content
		if c.Size > 0 {
			r, err := c.Open()
			if err != nil {
				t.Fatal(err)
			}
			if body, err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
			if c.Deflated {
				body = []byte("spliced")
			}
		}
		out[e.Mode.String()+" "+e.Path] = string(body)
	}
	return out
}

func TestInstallPutsFilesWhereTheyBelong(t *testing.T) {
	const regular = 0o100000
	w := open(t, demo(
		zipped{name: "demo_pkg/tool.so", body: "elf", mode: regular | 0o755},
		zipped{name: "demo_pkg/odd", body: "no type, so not executable", mode: 0o755},
		zipped{name: "demo_pkg/", body: ""},
		zipped{name: "demo_pkg/stored.txt", body: "stored", stored: true},
		zipped{name: "demo_pkg/private", body: "x", mode: regular | 0o600},
		zipped{name: "demo_pkg/empty", body: ""},
		zipped{name: demoData + "purelib/pure.py", body: "p"},
		zipped{name: demoData + "platlib/plat.py", body: "p"},
		zipped{name: demoData + "headers/sub/demo.h", body: "h"},
		zipped{name: demoData + "data/share/demo/x.json", body: "{}"},
		zipped{name: demoData + "data/lib64/demo.conf", body: "c"},
		zipped{name: demoData + "scripts/demo-py", body: "#!python -E\r\nprint(1)\n"},
		zipped{name: demoData + "scripts/demo-pyw", body: "#!pythonw\nprint(2)\n"},
		zipped{name: demoData + "scripts/demo-sh", body: "#!/bin/sh\necho\n"},
		zipped{name: demoData + "scripts/demo-script.py", body: "setuptools' own"},
		zipped{name: demoData + "scripts/GUI.exe", body: "setuptools' own"},
		zipped{name: demoInfo + "entry_points.txt", body: "[console_scripts]\ndemo = demo_pkg.cli:main.run [extra]\n\n[gui_scripts]\nGUI=demo_pkg:gui\n[other]\nx = y\n"},
		zipped{name: demoInfo + "INSTALLER", body: "conda"},
		zipped{name: demoInfo + "direct_url.json", body: "{}"},
		zipped{name: demoData + "purelib/" + demoInfo + "direct_url.json", body: "{}"},
		zipped{name: demoData + "data/lib/python3.12/site-packages/" + demoInfo + "INSTALLER", body: "conda"},
	))
	got := installedFiles(t, w, scheme, Options{Requested: true})
	launch := func(imp, call string) string {
		return "#!/opt/venv/bin/python\nimport sys\nfrom " + imp + "\nif __name__ == '__main__':\n" +
			"    sys.argv[0] = sys.argv[0].removesuffix('.exe')\n    sys.exit(" + call + "())\n"
	}
	want := map[string]string{
		"-rw-r--r-- " + site + "demo_pkg/__init__.py":                     "spliced",
		"-rwxr-xr-x " + site + "demo_pkg/tool.so":                         "spliced",
		"-rw-r--r-- " + site + "demo_pkg/odd":                             "spliced",
		"-rw-r--r-- " + site + "demo_pkg/private":                         "spliced",
		"-rw-r--r-- " + site + "demo_pkg/stored.txt":                      "stored",
		"-rw-r--r-- " + site + "demo_pkg/empty":                           "",
		"-rw-r--r-- " + site + "pure.py":                                  "spliced",
		"-rw-r--r-- " + site + "plat.py":                                  "spliced",
		"-rw-r--r-- opt/venv/include/site/python3.12/demo-pkg/sub/demo.h": "spliced",
		"-rw-r--r-- opt/venv/share/demo/x.json":                           "spliced",
		"-rw-r--r-- opt/venv/lib/demo.conf":                               "spliced",
		"-rwxr-xr-x opt/venv/bin/demo-py":                                 "#!/opt/venv/bin/python\nprint(1)\n",
		"-rwxr-xr-x opt/venv/bin/demo-pyw":                                "#!/opt/venv/bin/python\nprint(2)\n",
		"-rwxr-xr-x opt/venv/bin/demo-sh":                                 "spliced",
		"-rwxr-xr-x opt/venv/bin/demo":                                    launch("demo_pkg.cli import main", "main.run"),
		"-rwxr-xr-x opt/venv/bin/GUI":                                     launch("demo_pkg import gui", "gui"),
		"-rw-r--r-- " + site + demoInfo + "METADATA":                      "spliced",
		"-rw-r--r-- " + site + demoInfo + "WHEEL":                         "spliced",
		"-rw-r--r-- " + site + demoInfo + "entry_points.txt":              "spliced",
		"-rw-r--r-- " + site + demoInfo + "INSTALLER":                     "mlenv\n",
		"-rw-r--r-- " + site + demoInfo + "REQUESTED":                     "",
	}
	record := got["-rw-r--r-- "+site+demoInfo+"RECORD"]
	delete(got, "-rw-r--r-- "+site+demoInfo+"RECORD")
	for name, body := range want {
		if b, ok := got[name]; !ok || b != body {
			t.Errorf("%s: %q, want %q", name, b, body)
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("%s should not be there", name)
	}
	checkRecord(t, record, len(want)+1)
}

// The version in the file's name is that of the .dist-info directory, however it is spelled.
func TestVersionOfFileName(t *testing.T) {
	for name, good := range map[string]bool{
		"demo_pkg-1.0-py3-none-any.whl": true, "demo_pkg-1.0.0-py3-none-any.whl": true, "Demo.Pkg-1-py3-none-any.whl": true,
		"demo_pkg-2.0-py3-none-any.whl": false, "demo_pkg-1.0+local-py3-none-any.whl": false, "demo_pkg-1.0rc1-py3-none-any.whl": false,
		"demo_pkg-one-py3-none-any.whl": false, "anything.zip": true,
	} {
		data, err := os.ReadFile(build(t, recorded(demo())))
		if err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(at, data, 0o600); err != nil {
			t.Fatal(err)
		}
		w, err := Open(at)
		if (err == nil) != good {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			w.Close()
		}
	}
}

func checkRecord(t *testing.T, record string, n int) {
	t.Helper()
	rows, _, err := parseRecord([]byte(record))
	if err != nil || len(rows) != n || strings.Count(record, "\r\n") != n {
		t.Errorf("%d rows, %d line ends, want %d: %v", len(rows), strings.Count(record, "\r\n"), n, err)
	}
	for i, r := range rows {
		if i > 0 && rows[i-1].path >= r.path {
			t.Errorf("RECORD is not sorted at %s", r.path)
		}
		if (r.hash == "" || r.size == "") != (r.path == demoInfo+"RECORD") {
			t.Errorf("RECORD: %+v", r)
		}
	}
	for _, line := range []string{
		"../../../bin/demo,sha256=", "../../../share/demo/x.json,sha256=RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o,2\r\n",
		demoInfo + "REQUESTED,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\r\n", demoInfo + "RECORD,,\r\n",
		demoInfo + "INSTALLER,sha256=",
	} {
		if !strings.Contains(record, line) {
			t.Errorf("RECORD has no %q", line)
		}
	}
}

func TestScriptsOfPip(t *testing.T) {
	w := open(t, demo(zipped{name: demoInfo + "entry_points.txt", body: "[console_scripts]\npip = p:m\npip2 = p:m\npip3.9 = p:m\npipx = p:m\neasy_install = p:m\neasy_install-2.7 = p:m\n"}))
	got := installedFiles(t, w, scheme, Options{})
	var scripts []string
	for name := range got {
		if b, ok := strings.CutPrefix(name, "-rwxr-xr-x opt/venv/bin/"); ok {
			scripts = append(scripts, b)
		}
	}
	for _, want := range []string{"pip", "pip3", "pip3.12", "pipx", "easy_install", "easy_install-3.12"} {
		if _, ok := got["-rwxr-xr-x opt/venv/bin/"+want]; !ok || len(scripts) != 6 {
			t.Errorf("no %s in %v", want, scripts)
		}
	}
}

func TestShebang(t *testing.T) {
	long := "/" + strings.Repeat("x", 124)
	for python, want := range map[string]string{
		"/usr/bin/python3": "#!/usr/bin/python3\n",
		long[:124]:         "#!" + long[:124] + "\n",
		long:               "#!/bin/sh\n'''exec' " + long + " \"$0\" \"$@\"\n' '''\n",
		"/a b/python":      "#!/bin/sh\n'''exec' \"/a b/python\" \"$0\" \"$@\"\n' '''\n",
	} {
		if got := shebang(python); got != want {
			t.Errorf("%s: %q, want %q", python, got, want)
		}
	}
	if old := launcher("/p", "3.8", entryPoint{"x", "m", "f"}); bytes.Contains(old, []byte("removesuffix")) || !bytes.Contains(old, []byte("re.sub")) {
		t.Errorf("Python 3.8 has no removesuffix: %s", old)
	}
}

func TestOptions(t *testing.T) {
	w := open(t, demo())
	got := installedFiles(t, w, scheme, Options{DirectURL: []byte(`{"url": "x"}`), Installer: "other"})
	if got["-rw-r--r-- "+site+demoInfo+"direct_url.json"] != `{"url": "x"}` || got["-rw-r--r-- "+site+demoInfo+"INSTALLER"] != "other\n" {
		t.Error(got)
	}
	if _, ok := got["-rw-r--r-- "+site+demoInfo+"REQUESTED"]; ok {
		t.Error("REQUESTED, but it was not")
	}
	for _, s := range []Scheme{{}, {Prefix: "opt", Minor: "3.1"}, {Prefix: "/", Minor: "3.1"}, {Prefix: "/a/../b", Minor: "3.1"},
		{Prefix: "/a", Minor: "3"}, {Prefix: "/a", Minor: "3.1/../.."}, {Prefix: "/a", Minor: "3.1", Python: "/x\ny"}, {Prefix: "/a", Minor: "3.1", Python: "/$(x)"}} {
		if _, err := w.Install(s, Options{}); err == nil {
			t.Errorf("%+v: no error", s)
		}
	}
	if _, err := w.Install(Scheme{Prefix: "/env", Minor: "3.8", Python: "/usr/bin/python3.8"}, Options{}); err != nil {
		t.Error(err)
	}
	md, err := w.Metadata()
	if err != nil || !bytes.HasPrefix(md, []byte("Metadata-Version: 2.1")) || w.Name != "demo_pkg" || w.Version != "1.0" || len(w.Tags) != 2 {
		t.Errorf("%q %v %+v", md, err, w)
	}
	if _, err := w.File("none"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestRefused holds a wheel for each thing that is refused when it is opened or installed.
func TestRefused(t *testing.T) {
	file := func(name string) []zipped { return demo(zipped{name: name, body: "x"}) }
	entry := func(text string) []zipped { return demo(zipped{name: demoInfo + "entry_points.txt", body: text}) }
	encrypted := zipped{name: "x", body: "x", change: func(h *zip.FileHeader) { h.Flags |= 1 }}
	for want, files := range map[string][]zipped{
		"clean, relative":       file("/etc/passwd"),
		"relative one":          file("demo_pkg/../../x"),
		"has a backslash":       file(`..\x`),
		"drive":                 file("c:x"),
		"control":               file("a\nb"),
		"UTF-8":                 file("a\xff"),
		"longer than Linux":     file(strings.Repeat("n", 256)),
		"twice":                 demo(zipped{name: "x", body: "x"}, zipped{name: "x", body: "y"}),
		"links or devices":      demo(zipped{name: "x", body: "/etc", mode: 0o120777}),
		"encrypted":             demo(encrypted),
		"directory with":        demo(zipped{name: "x/", body: "x"}),
		"several .dist-info":    file("other-1.0.dist-info/METADATA"),
		"2.0 is newer":          wheelFile("Wheel-Version: 2.0\n"),
		`"" is not`:             wheelFile("Tag: py3-none-any\n"),
		"not NAME":              entry("[console_scripts]\nx = os\n"),
		"NAME = MODULE":         entry("[console_scripts]\nx = os:system;import y\n"),
		"line 2: \"../x\"":      entry("[console_scripts]\n../x = os:f\n"),
		"line 3: a script":      entry("\n[gui_scripts]\npython3.12 = os:f\n"),
		"schemes purelib":       file(demoData + "stdlib/x"),
		"subdirectories":        file(demoData + "x"),
		"virtual environment":   file(demoData + "data/bin/python3"),
		"of the virtual":        file(demoData + "data/pyvenv.cfg"),
		"replace the interpret": file(demoData + "scripts/python"),
		"two different files":   demo(zipped{name: "a.py", body: "1"}, zipped{name: demoData + "purelib/a.py", body: "2"}),
		"is not a directory":    demo(zipped{name: "a", body: "1"}, zipped{name: "a/b", body: "2"}),
		"deletes files":         file("pkg/.wh.x"),
		"is below REQUESTED":    file(demoInfo + "REQUESTED/x"),
		"is below RECORD":       file(demoInfo + "RECORD/x"),
	} {
		w, err := Open(build(t, recordedLoosely(files)))
		if err == nil {
			_, err = w.Layer(scheme, Options{}, layer.Options{})
			w.Close()
		}
		var e *Error
		if !errors.As(err, &e) || e.Wheel != "demo_pkg-1.0-py3-none-any.whl" || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestSameFileTwice holds that a file may come from two places, and may be executed where one says so.
func TestSameFileTwice(t *testing.T) {
	const regular = 0o100000
	for _, modes := range [][2]uint32{{0o755, 0o644}, {0o644, 0o755}} {
		w := open(t, demo(
			zipped{name: "a.py", body: "1", mode: regular | modes[0]},
			zipped{name: demoData + "purelib/a.py", body: "1", mode: regular | modes[1], stored: true}))
		got := installedFiles(t, w, scheme, Options{})
		if _, ok := got["-rwxr-xr-x "+site+"a.py"]; !ok {
			t.Errorf("modes %o: %v", modes, got)
		}
	}
}

// recordedLoosely leaves out what would make RECORD itself wrong.
func recordedLoosely(files []zipped) []zipped {
	seen := map[string]bool{}
	var once []zipped
	for _, f := range files {
		if !seen[f.name] {
			once = append(once, f)
		}
		seen[f.name] = true
	}
	all := recorded(once)
	return append(files, all[len(all)-1])
}

func TestRecordIsChecked(t *testing.T) {
	right := recorded(demo(zipped{name: "a.py", body: "1"}))
	last := len(right) - 1
	change := func(old, new string) []zipped {
		f := append([]zipped(nil), right...)
		f[last].body = strings.Replace(f[last].body, old, new, 1)
		if f[last].body == right[last].body {
			t.Fatalf("%q is not in RECORD", old)
		}
		return f
	}
	changed := append([]zipped(nil), right...)
	changed[2].body += "Build: 1\n"
	line := right[last].body[:strings.Index(right[last].body, "\r\n")+2] // of a.py
	other := strings.Replace(line, "sha256=", "sha256=A", 1)
	for want, files := range map[string][]zipped{
		"a.py is listed twice":    change(line, line+other),
		"a.py is listed twice, ":  change(line, line+"./"+other),
		"RECORD: the wheel lacks": right[:last],
		"WHEEL: sha256 is":        changed,
	} {
		if _, err := Open(build(t, files)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestOddRecord holds that what pip and uv install is installed, with a note, and that the installed RECORD then says of
// the file what pip's would: the wheel's own row, or one without a hash.
func TestOddRecord(t *testing.T) {
	want := installedFiles(t, open(t, demo(zipped{name: "a.py", body: "1"})), scheme, Options{})
	const record = "-rw-r--r-- " + site + demoInfo + "RECORD"
	row := func(of func(fields []string) string) func([]string) []string {
		return func(lines []string) []string {
			lines[0] = of(strings.Split(strings.TrimSpace(lines[0]), ",")) + "\r\n"
			return lines
		}
	}
	for what, tt := range map[string]struct {
		change func(lines []string) []string // the first is of a.py
		row    string                        // of a.py in the installed RECORD, where it is another one
		quiet  bool
	}{
		"twice":            {change: func(l []string) []string { return append(l, l...) }},
		"with ./":          {change: prefixed, quiet: true},
		"with and without": {change: func(l []string) []string { return append(l, prefixed(l)...) }},
		"with //":          {change: row(func(f []string) string { f[0] = ".//" + f[0]; return strings.Join(f, ",") }), quiet: true},
		"left out":         {change: func(l []string) []string { return l[1:] }, row: "a.py,,"},
		"no hash":          {change: row(func(f []string) string { return "a.py,,1" }), row: "a.py,,1"},
		"malformed hash":   {change: row(func(f []string) string { return "a.py,sha256=?,1" }), row: "a.py,sha256=?,1"},
		"weak hash":        {change: row(func(f []string) string { return "a.py,md5=xMpCOKC5I4INzFCab3WEmw,1" }), row: "a.py,md5=xMpCOKC5I4INzFCab3WEmw,1"},
		"another size":     {change: row(func(f []string) string { return f[0] + "," + f[1] + ",2" }), row: "2"},
		"four fields":      {change: row(func(f []string) string { return strings.Join(f, ",") + ",x" })},
		"twice, once bare": {change: func(l []string) []string { return append([]string{"a.py,,\r\n"}, l...) }},
	} {
		files := recorded(demo(zipped{name: "a.py", body: "1"}))
		last := len(files) - 1
		lines := slices.Collect(strings.Lines(files[last].body))
		files[last].body = strings.Join(tt.change(lines), "")
		w, err := Open(build(t, files))
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		defer w.Close()
		got, want := installedFiles(t, w, scheme, Options{}), maps.Clone(want)
		if tt.row != "" {
			if !strings.Contains(got[record], tt.row+"\r\n") {
				t.Errorf("%s: RECORD has no row %q:\n%s", what, tt.row, got[record])
			}
			delete(got, record)
			delete(want, record)
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
		if len(w.Notes) == 0 != tt.quiet {
			t.Errorf("%s: notes %v", what, w.Notes)
		}
		for _, n := range w.Notes {
			if n.Rule != "wheel-record" {
				t.Errorf("%s: %+v", what, n)
			}
		}
	}
}

// TestOddPaths holds that paths which are not clean are installed where they are meant, and that a file which is there
// twice is installed once.
func TestOddPaths(t *testing.T) {
	want := installedFiles(t, open(t, demo(zipped{name: "pkg/a.py", body: "1"})), scheme, Options{})
	for what, odd := range map[string][]zipped{
		"./":              {{name: "./pkg/a.py", body: "1"}},
		"//":              {{name: "pkg//a.py", body: "1"}},
		"a backslash":     {{name: `pkg\a.py`, body: "1"}},
		"twice":           {{name: "pkg/a.py", body: "1"}, {name: "pkg/a.py", body: "1", stored: true}},
		"twice, one odd":  {{name: "pkg/a.py", body: "1"}, {name: "pkg/./a.py", body: "1"}},
		"and a directory": {{name: "./pkg/"}, {name: "./pkg/a.py", body: "1"}},
	} {
		files := demo(odd...)
		listed := recorded(demo(zipped{name: "pkg/a.py", body: "1"}))
		w, err := Open(build(t, append(files, listed[len(listed)-1])))
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		defer w.Close()
		if got := installedFiles(t, w, scheme, Options{}); !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
		if len(w.Notes) == 0 {
			t.Errorf("%s: no note", what)
		}
	}
}

func prefixed(lines []string) []string {
	var out []string
	for _, l := range lines {
		out = append(out, "./"+l)
	}
	return out
}

func TestHashesAreCheckedWhileMeasuring(t *testing.T) {
	for _, stored := range []bool{false, true} {
		files := recorded(demo(zipped{name: "a.py", body: "1"}))
		files[3].body, files[3].stored = "2", stored // the same size
		w, err := Open(build(t, files))
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		l, err := w.Layer(scheme, Options{}, layer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = l.Digest()
		var ce *layer.ContentError
		if !errors.As(err, &ce) || ce.Path != site+"a.py" || ce.Source != "demo_pkg-1.0-py3-none-any.whl" {
			t.Errorf("stored %v: %v", stored, err)
		}
	}
}

func TestNotes(t *testing.T) {
	files := recorded(demo(zipped{name: "a/B.py", body: "1"}, zipped{name: "a/b.py", body: "1"}))
	files[len(files)-1].body += "gone.py,,\r\n"
	files[2].body = strings.Replace(demoWheel, "1.0", "1.9", 1)
	all := recorded(files[:len(files)-1])
	all[len(all)-1].body += "gone.py,,\r\n"
	w, err := Open(build(t, all))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if len(w.Notes) != 3 || w.Notes[0].Path != "a/b.py" || w.Notes[1].Path != "gone.py" || !strings.Contains(w.Notes[2].Text, "1.9") {
		t.Error(w.Notes)
	}
}

func TestOtherFileName(t *testing.T) {
	path := build(t, recorded(demo()))
	for name, ok := range map[string]bool{"0123abcd": true, "x.whl": true, "Demo.Pkg-1.0-py3-none-any.whl": true, "other-1.0-py3-none-any.whl": false} {
		to := filepath.Join(filepath.Dir(path), name)
		if err := os.Link(path, to); err != nil {
			t.Fatal(err)
		}
		w, err := Open(to)
		if (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			w.Close()
		}
	}
}

// TestSameLayerEverywhere holds that a wheel's layer depends on the wheel, not on where it lies.
func TestSameLayerEverywhere(t *testing.T) {
	var digests []v1.Hash
	for range 2 {
		l, err := open(t, demo()).Layer(scheme, Options{}, layer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		d, err := l.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, d)
	}
	if digests[0] != digests[1] {
		t.Error(digests)
	}
}

// wheelFile is the demo wheel with another WHEEL file.
func wheelFile(text string) []zipped {
	f := demo()
	f[2].body = text
	return f
}

// A wheel of a newer minor version is installed as one of 1.0, with a word.
func TestNewerMinorVersion(t *testing.T) {
	w, err := Open(build(t, recordedLoosely(wheelFile("Wheel-Version: 1.5\nRoot-Is-Purelib: true\nTag: py3-none-any\n"))))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if len(w.Notes) != 1 || w.Notes[0].Rule != "wheel-version" || w.Notes[0].Text != "Wheel-Version 1.5 is newer than 1.0" {
		t.Errorf("%+v", w.Notes)
	}
}
