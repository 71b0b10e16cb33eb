package wheel

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"mlenv/imagebuild/layer"
	"mlenv/resolve/pattern"
)

// A Scheme says where a wheel's files go: the layout of a virtual environment on Linux.
type Scheme struct {
	// Prefix is the environment's directory, absolute in the image: "/opt/venv".
	Prefix string
	// Minor is Python's version of two numbers: "3.12".
	Minor string
	// Python is the interpreter that scripts name in their first line; Prefix + "/bin/python" where empty.
	Python string
}

// Options says what is written down about an installation.
type Options struct {
	// Requested says that the user asked for this package, not another package: a REQUESTED file is written (PEP 376).
	Requested bool
	// DirectURL is the content of direct_url.json (PEP 610); empty for a package from an index.
	DirectURL []byte
	// Installer goes into the INSTALLER file; "mlenv" where empty.
	Installer string
}

var (
	minorRE  = pattern.New(`^[0-9]+\.[0-9]+$`)
	pythonRE = pattern.New(`^/[^\x00-\x1f"'\\$` + "`" + `]+$`) // it is put into shell scripts
)

// installer is one installation under way.
type installer struct {
	w       *Wheel
	prefix  string // without the leading slash
	site    string
	python  string
	wrapped map[string]bool // names of entry points' scripts
	entries map[string]layer.Entry
	rows    map[string]row // by the path in the image
}

// Install returns the files of the installed wheel, sorted by path, without directories (see layer.WithParents).
// Every content's Sum is set but for RECORD's signatures. Nothing is read but small scripts, which are rewritten.
// purelib and platlib are one directory, lib/pythonX.Y/site-packages.
func (w *Wheel) Install(s Scheme, o Options) ([]layer.Entry, error) {
	in, err := w.newInstaller(s)
	if err != nil {
		return nil, w.fail("", err)
	}
	rows := make(map[string]row, len(w.record))
	for _, r := range w.record {
		rows[r.path] = r
	}
	for _, m := range w.members {
		if err := in.member(m, rows[m.name]); err != nil {
			return nil, w.fail(m.name, err)
		}
	}
	for _, e := range scriptsFor(w.scripts, s.Minor) {
		if err := in.generate(path.Join(in.prefix, "bin", e.name), 0o755, launcher(in.python, s.Minor, e)); err != nil {
			return nil, w.fail("entry_points.txt", err)
		}
	}
	if err := in.metadata(o); err != nil {
		return nil, w.fail(w.distInfo, err)
	}
	return slices.SortedFunc(maps.Values(in.entries), func(a, b layer.Entry) int { return strings.Compare(a.Path, b.Path) }), nil
}

func (w *Wheel) newInstaller(s Scheme) (*installer, error) {
	if !path.IsAbs(s.Prefix) || path.Clean(s.Prefix) != s.Prefix || s.Prefix == "/" {
		return nil, fmt.Errorf("the prefix %q is not a clean absolute path", s.Prefix)
	}
	if !minorRE.MatchString(s.Minor) {
		return nil, fmt.Errorf("%q is not a Python version of two numbers", s.Minor)
	}
	if s.Python == "" {
		s.Python = s.Prefix + "/bin/python"
	}
	if !pythonRE.MatchString(s.Python) {
		return nil, fmt.Errorf("%q cannot be the interpreter of scripts", s.Python)
	}
	prefix := s.Prefix[1:]
	in := &installer{
		w: w, prefix: prefix, site: prefix + "/lib/python" + s.Minor + "/site-packages", python: s.Python,
		wrapped: map[string]bool{}, entries: make(map[string]layer.Entry, len(w.members)+8), rows: map[string]row{},
	}
	for _, e := range w.scripts {
		in.wrapped[e.name] = true
	}
	return in, nil
}

// ownFiles are the files of .dist-info that the installer writes.
var ownFiles = map[string]bool{"RECORD": true, "INSTALLER": true, "REQUESTED": true, "direct_url.json": true}

// member puts one file of the wheel where it belongs.
func (in *installer) member(m *member, r row) error {
	top, rest, _ := strings.Cut(m.name, "/")
	if !strings.HasSuffix(top, ".data") || rest == "" {
		return in.copy(m, in.site+"/"+m.name, r)
	}
	key, rest, _ := strings.Cut(rest, "/")
	if rest == "" {
		return errors.New("it is in a .data directory, but not in one of its subdirectories")
	}
	switch key {
	case "purelib", "platlib":
		return in.copy(m, in.site+"/"+rest, r)
	case "scripts":
		return in.script(m, rest, r)
	case "headers":
		return in.copy(m, path.Join(in.prefix, "include/site", path.Base(path.Dir(in.site)), canonical(in.w.Name), rest), r)
	case "data":
		return in.data(m, rest, r)
	}
	return fmt.Errorf("%q is not one of the schemes purelib, platlib, scripts, headers and data", key)
}

// data puts a file below the prefix.
func (in *installer) data(m *member, rest string, r row) error {
	if below, ok := strings.CutPrefix(rest, "lib64/"); ok {
		rest = "lib/" + below // in a virtual environment lib64 is a link, and stays one
	}
	if name, ok := strings.CutPrefix(rest, "bin/"); ok && interpreter.MatchString(name) || rest == "pyvenv.cfg" || rest == "lib64" {
		return errors.New("it would replace a part of the virtual environment")
	}
	return in.copy(m, in.prefix+"/"+rest, r)
}

// script puts a file into bin, with the right interpreter where it leaves that open.
func (in *installer) script(m *member, rest string, r row) error {
	if wraps(rest, in.wrapped) {
		return nil
	}
	if interpreter.MatchString(rest) {
		return errors.New("it would replace the interpreter")
	}
	dest := in.prefix + "/bin/" + rest
	is, err := m.startsWith(in.w.file, pythonLine)
	if err != nil {
		return err
	}
	if is {
		b, err := m.read(in.w.file, maxScript)
		if err != nil {
			return err
		}
		return in.generate(dest, 0o755, withInterpreter(b, in.python))
	}
	exec := *m
	exec.executable = true
	return in.copy(&exec, dest, r)
}

// copy puts a file where a scheme wants it. By whatever way it comes to the .dist-info directory, what
// installers write there is not taken from a wheel: direct_url.json, say, tells where it is from.
func (in *installer) copy(m *member, dest string, r row) error {
	dir, file, inside := strings.Cut(strings.TrimPrefix(dest, in.site+"/"), "/")
	if inside && strings.HasPrefix(dest, in.site+"/") && dir == in.w.distInfo {
		file, _, below := strings.Cut(file, "/")
		switch {
		case ownFiles[file] && below:
			return fmt.Errorf("it is below %s, a file that installers write", file)
		case ownFiles[file]:
			return nil
		}
	}
	e := layer.Entry{Path: dest, Content: m.content(in.w.file), Source: in.w.base, Mode: 0o644}
	if m.executable {
		e.Mode = 0o755
	}
	return in.add(e, row{in.recordPath(dest), r.hash, r.size})
}

func (in *installer) generate(dest string, mode uint32, b []byte) error {
	e := layer.Entry{Path: dest, Content: layer.Bytes(b), Source: in.w.base, Mode: 0o644}
	if mode == 0o755 {
		e.Mode = 0o755
	}
	return in.add(e, rowOf(in.recordPath(dest), b))
}

// add refuses a second file for one path, unless it is the same: a file may be in the wheel's root and in .data/purelib.
func (in *installer) add(e layer.Entry, r row) error {
	if old, ok := in.entries[e.Path]; ok {
		if !old.Same(e) {
			return fmt.Errorf("/%s comes from two different files", e.Path)
		}
		e = layer.Either(old, e)
	}
	in.entries[e.Path] = e
	in.rows[e.Path] = r
	return nil
}

// recordPath returns a path as RECORD has it: relative to site-packages.
func (in *installer) recordPath(dest string) string {
	if p, ok := strings.CutPrefix(dest, in.site+"/"); ok {
		return p
	}
	return "../../../" + strings.TrimPrefix(dest, in.prefix+"/") // site-packages is three below the prefix
}

// metadata writes what an installer has to say, and RECORD last.
func (in *installer) metadata(o Options) error {
	dir := in.site + "/" + in.w.distInfo + "/"
	if o.Installer == "" {
		o.Installer = "mlenv"
	}
	files := map[string][]byte{"INSTALLER": []byte(o.Installer + "\n")}
	if o.Requested {
		files["REQUESTED"] = nil
	}
	if len(o.DirectURL) > 0 {
		files["direct_url.json"] = o.DirectURL
	}
	for name, b := range files {
		if err := in.generate(dir+name, 0o644, b); err != nil {
			return err
		}
	}
	rows := slices.Collect(maps.Values(in.rows))
	rows = append(rows, row{path: in.w.distInfo + "/RECORD"})
	return in.generate(dir+"RECORD", 0o644, formatRecord(rows))
}
