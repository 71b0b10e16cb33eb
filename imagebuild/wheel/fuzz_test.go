package wheel

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"mlenv/imagebuild/layer"
)

func FuzzOpen(f *testing.F) {
	for _, files := range [][]zipped{
		recorded(demo()), demo(), nil,
		recorded(demo(zipped{name: demoData + "scripts/x", body: "#!python\n"}, zipped{name: "d/", body: ""},
			zipped{name: demoInfo + "entry_points.txt", body: "[console_scripts]\na = b:c\n"})),
		recorded(demo(zipped{name: "s", body: strings.Repeat("stored", 100), stored: true, mode: 0o100755})),
		// What hostile hands make: paths that climb, links, forged records, other packages' files, control characters.
		recorded(demo(zipped{name: "../../../../etc/passwd", body: "x"}, zipped{name: "/etc/passwd", body: "x"}, zipped{name: `..\..\x`, body: "x"})),
		recorded(demo(zipped{name: "l", body: "../../../etc/passwd", mode: 0o120777}, zipped{name: "p", body: "", mode: 0o010644})),
		recorded(demo(zipped{name: demoData + "purelib/" + demoInfo + "direct_url.json", body: "{}"}, zipped{name: demoData + "data/bin/python3", body: "x"})),
		recorded(demo(zipped{name: "other-2.0.dist-info/METADATA", body: "Name: other\nVersion: 2.0\n"})),
		recorded(demo(zipped{name: "a\x1b[2J\n::add-mask::x", body: "x"}, zipped{name: strings.Repeat("d/", 2000) + "f", body: "x"})),
		recorded(demo(zipped{name: "same", body: "a"}, zipped{name: "same", body: "b"}, zipped{name: "same/below", body: "c"})),
		recorded(demo(zipped{name: demoInfo + "entry_points.txt", body: "[console_scripts]\n../x = a:b\na = b:c\n::error::x\na\x00 = os:system\n"})),
	} {
		b, err := os.ReadFile(build(f, files))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := read(bytes.NewReader(b), int64(len(b)), "x.whl")
		if err != nil || w.Unpacked > 1<<20 {
			return
		}
		entries, err := w.Install(scheme, Options{})
		if err != nil {
			return
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Path, "opt/venv/") || slices.Contains(strings.Split(e.Path, "/"), "..") {
				t.Fatalf("%q is outside", e.Path)
			}
		}
		l, err := w.Layer(scheme, Options{}, layer.Options{})
		if err != nil {
			return
		}
		l.Digest()
	})
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte("a,sha256=x,1\r\n\"b,c\",,\n"))
	f.Add([]byte("\ufeffa\n\n\"\"\"\",\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		rows, _, err := parseRecord(b)
		if err != nil {
			return
		}
		for _, r := range rows {
			r.sum()
		}
		again, _, err := parseRecord(formatRecord(slices.Clone(rows)))
		slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.path, b.path) })
		key := func(r row) string { return r.path + "\x00" + r.hash + "\x00" + r.size }
		byKey := func(a, b row) int { return strings.Compare(key(a), key(b)) }
		slices.SortFunc(rows, byKey)
		slices.SortFunc(again, byKey)
		if err != nil || !slices.Equal(rows, again) {
			t.Fatalf("%q: %q, %q: %v", b, rows, again, err)
		}
	})
}

func FuzzEntryPoints(f *testing.F) {
	f.Add("[console_scripts]\na = b.c:d.e [x]\n#\n;\n[gui_scripts]\na=b:c")
	f.Add("[x")
	f.Fuzz(func(t *testing.T, text string) {
		es, err := parseEntryPoints(text)
		if err != nil {
			return
		}
		for _, e := range scriptsFor(es, "3.12") {
			if strings.ContainsAny(e.name, "/\x00\n") || strings.ContainsAny(e.module+e.attr, " \n;()'\"") || e.attr == "" {
				t.Fatalf("%+v", e)
			}
		}
	})
}
