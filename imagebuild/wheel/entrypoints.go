package wheel

import (
	"fmt"
	"path"
	"strings"

	"mlenv/resolve/pattern"
)

// An entryPoint is a line of entry_points.txt that asks for a script.
type entryPoint struct {
	name   string
	module string
	attr   string // may be dotted
}

// readEntryPoints reads the scripts of entry_points.txt, where there is one.
func (w *Wheel) readEntryPoints() error {
	name := w.distInfo + "/entry_points.txt"
	if w.byName[name] == nil {
		return nil
	}
	b, err := w.small(name, maxMetadata)
	if err != nil {
		return err
	}
	if w.scripts, err = parseEntryPoints(string(b)); err != nil {
		return w.fail(name, err)
	}
	return nil
}

// The value of an entry point (Entry points specification, "Data model"), of which a script needs the part after the colon.
var entryValue = pattern.New(`^([\pL_][\pL\pN_]*(?:\.[\pL_][\pL\pN_]*)*)\s*(?::\s*([\pL_][\pL\pN_]*(?:\.[\pL_][\pL\pN_]*)*))?\s*(?:\[[^\[\]]*\])?$`)

// parseEntryPoints reads console_scripts and gui_scripts, as importlib.metadata does: names are case-sensitive, and of
// several with one name the last holds; what a graphical one asks for goes before a console one.
func parseEntryPoints(text string) ([]entryPoint, error) {
	var out []entryPoint
	index := map[string]int{}
	for _, group := range []string{"console_scripts", "gui_scripts"} {
		section, n := "", 0
		for line := range strings.Lines(text) {
			n++
			line = strings.TrimSpace(line)
			switch {
			case line == "" || line[0] == '#' || line[0] == ';':
			case line[0] == '[' && line[len(line)-1] == ']':
				section = strings.TrimSpace(line[1 : len(line)-1])
			case section == group:
				e, err := parseScript(line)
				if err != nil {
					return nil, fmt.Errorf("line %d: %w", n, err)
				}
				if i, ok := index[e.name]; ok {
					out[i] = e
					continue
				}
				index[e.name] = len(out)
				out = append(out, e)
			}
		}
	}
	return out, nil
}

func parseScript(line string) (entryPoint, error) {
	name, value, ok := strings.Cut(line, "=")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	m := entryValue.FindStringSubmatch(value)
	if !ok || m == nil || m[2] == "" {
		return entryPoint{}, fmt.Errorf("%q is not NAME = MODULE:FUNCTION", line)
	}
	if err := checkScriptName(name); err != nil {
		return entryPoint{}, err
	}
	return entryPoint{name, m[1], m[2]}, nil
}

func checkScriptName(name string) error {
	if name == "" || name == ".." || strings.Contains(name, "/") || checkPath(name) != nil {
		return fmt.Errorf("%q cannot be the name of a script", name)
	}
	if interpreter.MatchString(name) {
		return fmt.Errorf("a script named %q would replace the interpreter", name)
	}
	return nil
}

// interpreter matches the names in bin that belong to Python itself.
var interpreter = pattern.New(`^pythonw?(\d+(\.\d+)?t?)?$`)

var (
	pipNames     = pattern.New(`^pip\d+(\.\d+)?$`)
	easyInstalls = pattern.New(`^easy_install-\d+\.\d+$`)
)

// scriptsFor returns the scripts to make for one Python. Pip and easy_install have their Python's version in the names
// of scripts, and their wheels were built by one Python for all: pip makes these names anew, and so do we.
func scriptsFor(in []entryPoint, minor string) []entryPoint {
	major, _, _ := strings.Cut(minor, ".")
	versioned := map[string]*pattern.Pattern{}
	for _, e := range in {
		switch e.name {
		case "pip":
			versioned["pip"] = pipNames
		case "easy_install":
			versioned["easy_install"] = easyInstalls
		}
	}
	var out []entryPoint
	for _, e := range in {
		if re := versioned["pip"]; re != nil && re.MatchString(e.name) {
			continue
		}
		if re := versioned["easy_install"]; re != nil && re.MatchString(e.name) {
			continue
		}
		out = append(out, e)
		switch e.name {
		case "pip":
			out = append(out, entryPoint{"pip" + major, e.module, e.attr}, entryPoint{"pip" + minor, e.module, e.attr})
		case "easy_install":
			out = append(out, entryPoint{"easy_install-" + minor, e.module, e.attr})
		}
	}
	return out
}

// wraps says whether a file of .data/scripts is a wrapper that setuptools made for an entry point.
func wraps(file string, scripts map[string]bool) bool {
	name := path.Base(file)
	low := strings.ToLower(name)
	for _, suffix := range []string{".exe", "-script.py", ".pya"} {
		if strings.HasSuffix(low, suffix) {
			return scripts[name[:len(name)-len(suffix)]]
		}
	}
	return scripts[name]
}
