package envfile

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"mlenv/resolve/finding"
	"mlenv/resolve/internal/source"
	"mlenv/resolve/pattern"
	"mlenv/resolve/secret"
)

// Bounds on what a file that was made to do harm can cost. No real one comes near them.
const (
	maxErrors   = 50   // reported for one file; more are of no help to anybody
	maxIncludes = 1000 // files that one file includes, directly or not
	maxDepth    = 100  // files that include one another, each read while the one above it is
)

// reader collects entries from the lines of a requirements file, or of a YAML file that contains
// such lines.
type reader struct {
	open     func(name string) (fs.File, error)
	confined bool // paths may not leave the model
	file     *File
	errs     []error
	stack    []include // the files being read, outermost first; detects cycles
	read     map[include]bool
}

// include is a file and how to read it. A file may be included once as requirements and once as
// constraints: "-r a.txt" with "-c a.txt" is odd, but pip takes it.
type include struct {
	name       string
	constraint bool
}

func newReader(fsys fs.FS, kind Kind, name string) *reader {
	return &reader{open: fsys.Open, confined: true, file: &File{Path: name, Kind: kind}, read: map[include]bool{}}
}

// ParseRequirements reads a requirements file in fsys and the files it includes, in pip's full
// grammar. Paths of included files are relative to the file that includes them; paths of
// requirements are relative to the root of fsys. Neither may leave fsys.
//
// Environment variables are not expanded: ${VAR} stays as it is. pip replaces it, and so a model could
// send any variable of the machine to a server that it names.
func ParseRequirements(fsys fs.FS, path string) (*File, error) {
	r := newReader(fsys, Requirements, path)
	r.readFile(include{name: path}, finding.Origin{})
	return r.result()
}

// ParseRequirementArgs reads the values of flags such as --extra-pip-requirements: each is one line
// of a requirements file, or "-r FILE" or "-c FILE", where everything after the option is the name
// of the file. Open opens these files. They may be anywhere, and so may paths of requirements.
func ParseRequirementArgs(open func(name string) (fs.File, error), args []string) (*File, error) {
	r := &reader{open: open, file: &File{Path: finding.CommandLine, Kind: Flags}, read: map[include]bool{}}
	for _, arg := range args {
		arg = strings.TrimFunc(arg, isSpace)
		if name, constraint, ok := fileArg(arg); ok {
			text, _ := secret.Scrub(arg)
			r.include(name, constraint, finding.Origin{File: finding.CommandLine, Text: text})
			continue
		}
		for _, l := range logicalLines(splitLines(arg, 1)) {
			r.line(line{0, l.text}, include{name: finding.CommandLine})
		}
	}
	return r.result()
}

var fileFlag = pattern.New(`^(?:-r|-c|--requirement|--constraint)(?:\s+|=)(\S.*)$`)

// fileArg splits "-r FILE". The user's shell has already removed quotes.
func fileArg(arg string) (name string, constraint, ok bool) {
	m := fileFlag.FindStringSubmatch(arg)
	if m == nil || strings.ContainsAny(m[1], `'"`) {
		return "", false, false
	}
	return m[1], strings.HasPrefix(strings.TrimLeft(arg, "-"), "c"), true
}

func (r *reader) result() (*File, error) {
	if len(r.errs) > 0 {
		return nil, errors.Join(r.errs...)
	}
	return r.file, nil
}

func (r *reader) fail(o finding.Origin, hint, format string, args ...any) {
	r.failed(&Error{File: o.File, Line: o.Line, Msg: fmt.Sprintf(format, args...), Hint: hint})
}

// outside adds an error about a path that leaves the model.
func (r *reader) outside(o finding.Origin, hint, format string, args ...any) {
	r.failed(&Error{File: o.File, Line: o.Line, Kind: source.Outside, Msg: fmt.Sprintf(format, args...), Hint: hint})
}

func (r *reader) failed(err error) {
	switch {
	case len(r.errs) < maxErrors:
		r.errs = append(r.errs, err)
	case len(r.errs) == maxErrors:
		r.errs = append(r.errs, &Error{File: r.file.Path, Msg: "there are more errors, not shown"})
	}
}

func (r *reader) note(o finding.Origin, rule finding.ID, subject, format string, args ...any) {
	r.file.Notes = append(r.file.Notes, Note{Rule: rule, Subject: subject, Message: secret.Redact(fmt.Sprintf(format, args...)), From: o})
}

// include reads a file that is included at o.
func (r *reader) include(name string, constraint bool, o finding.Origin) {
	// pip would fetch it, each time anew. What a model needs must be in the model, or its digest says nothing.
	if scheme := urlScheme(name); scheme == "http" || scheme == "https" || scheme == "file" || strings.Contains(name, "://") {
		clean, _ := secret.Scrub(name)
		r.fail(o, "copy its lines into the model", "the requirements file %q is a URL, so its content could change", clean)
		return
	}
	dir := ""
	if len(r.stack) > 0 {
		dir = path.Dir(r.stack[len(r.stack)-1].name)
	}
	full := name
	if r.confined {
		var ok bool
		if full, ok = source.Clean(dir, name); !ok {
			r.outside(o, "copy the file into the model", "the file %q is not inside the model", name)
			return
		}
	} else if !source.IsAbs(name) {
		full = path.Join(dir, name)
	}
	in := include{full, constraint}
	if i := slices.IndexFunc(r.stack, func(s include) bool { return s.name == full }); i >= 0 {
		r.fail(o, "", "includes %s, which includes it", full)
		return
	}
	if r.read[in] {
		return // again, its lines would say nothing new; and files that include each other twice double each time
	}
	if len(r.read) > maxIncludes || len(r.stack) > maxDepth {
		r.fail(o, "", "too many included files")
		return
	}
	r.readFile(in, o)
}

// readFile reads one file. o is where it is included, or zero for the outermost file.
func (r *reader) readFile(in include, o finding.Origin) {
	r.read[in] = true
	data, err := r.bytes(in.name)
	var e *Error
	if errors.As(err, &e) && o.File != "" {
		line := &Error{File: o.File, Line: o.Line, Kind: e.Kind, Msg: fmt.Sprintf("cannot include %s: %s", in.name, e.Msg), Hint: e.Hint}
		if !r.missing(in.name) {
			line.Cause = e
		}
		err = line
	}
	if err != nil {
		r.failed(err)
		return
	}
	text, err := decode(in.name, data)
	if err != nil {
		r.failed(err)
		return
	}
	lines := splitLines(text, 1)
	if len(lines) > maxLines {
		r.failed(&Error{File: in.name, Msg: fmt.Sprintf("has more than %d lines", maxLines)})
		return
	}
	r.findLocked(lines)
	r.stack = append(r.stack, in)
	for _, l := range logicalLines(lines) {
		r.line(l, in)
	}
	r.stack = r.stack[:len(r.stack)-1]
}

func (r *reader) bytes(name string) ([]byte, error) {
	f, err := r.open(name)
	if err != nil {
		return nil, source.ReadError(name, err)
	}
	return source.ReadAll(f, name)
}

// missing reports whether a file does not exist. The error then belongs to the line that names it; of a
// file that is there but cannot be read, the fault is the file's own.
func (r *reader) missing(name string) bool {
	f, err := r.open(name)
	if err == nil {
		f.Close()
	}
	return errors.Is(err, fs.ErrNotExist)
}

// findLocked looks for the comment that MLflow writes above requirements it has locked. Such a file lists
// what the requirements bring with them, too: a pin in it is no wish of the user's.
func (r *reader) findLocked(lines []line) {
	for _, l := range lines {
		comment, ok := strings.CutPrefix(strings.TrimFunc(l.text, isSpace), "#")
		if ok && strings.EqualFold(strings.TrimSpace(comment), "locked requirements") {
			r.file.Locked = true
		}
	}
}

// line reads one logical line.
func (r *reader) line(l line, in include) {
	if secret.HasSpace(l.text) {
		// Split into words, the second half of a password would be an argument of its own.
		r.fail(finding.Origin{File: in.name, Line: l.n}, "write it percent-encoded, a space as %20",
			"the user or password of a URL holds white space")
		return
	}
	text, hadSecret := r.scrub(l.text)
	o := finding.Origin{File: in.name, Line: l.n, Text: text}
	args, rest := splitLine(text)
	words, err := splitWords(rest)
	if err != nil {
		r.fail(o, "", "%v", err)
		return
	}
	// A quote in the middle of a URL hides its password from scrub until the words are split.
	unquoted := false // removing quotes revealed credentials
	for i := range words {
		var found bool
		words[i], found = r.scrub(words[i])
		unquoted = unquoted || found
	}
	opts, other, err := parseOptions(words)
	if err != nil {
		r.fail(o, "", "%v", err)
		return
	}
	if hostOnly(opts) || unquoted {
		hadSecret = true
		o.Text = strings.TrimSpace(args + optionText(opts))
	}
	if args != "" {
		o.Text = args // leave out the hashes, which are long
	}
	r.secretVariable(l.text, o)
	if hadSecret {
		r.file.CredentialsIn = append(r.file.CredentialsIn, o)
	}
	if len(other) > 0 {
		r.note(o, finding.IgnoredText, "", "pip ignores %q after the options of a line", strings.Join(other, " "))
	}
	editable, isEditable := first(opts, "editable")
	switch {
	case args != "" && isEditable:
		r.fail(o, "put -e on a line of its own", "a requirement and -e cannot be on one line")
	case args != "":
		r.ignored(o, opts, "hash", "global-option", "config-settings")
		r.requirement(args, opts, o, in.constraint)
	case isEditable && editable != "":
		r.ignored(o, opts, "editable", "config-settings")
		r.editable(editable, o, in.constraint)
	default:
		r.optionLine(opts, o)
	}
}

// scrub removes credentials from a text and keeps them in Secrets, which are never printed.
func (r *reader) scrub(text string) (string, bool) {
	clean, taken, found := secret.Take(text)
	for _, s := range taken {
		r.file.Secrets = append(r.file.Secrets, secret.New(s))
	}
	return clean, found
}

// ignored adds notes about the options that have no effect on this line.
func (r *reader) ignored(o finding.Origin, opts []option, known ...string) {
	for _, opt := range opts {
		switch {
		case opt.name == "no-binary" || opt.name == "only-binary":
			r.setting(opt, o) // pip applies these on any line
		case !slices.Contains(known, opt.name):
			r.note(o, finding.IgnoredOption, "--"+opt.name, "pip ignores --%s here: it must be on a line of its own", opt.name)
		}
	}
}

// optionLine reads a line that has only options. If it names several files, pip reads the first.
func (r *reader) optionLine(opts []option, o finding.Origin) {
	name, isFile := first(opts, "requirement")
	constraint := false
	if !isFile {
		name, isFile = first(opts, "constraint")
		constraint = isFile
	}
	if isFile {
		r.ignored(o, opts, "requirement", "constraint")
		r.include(name, constraint, o)
		return
	}
	links := 0
	for _, opt := range opts {
		if opt.name == "find-links" {
			if links++; links > 1 {
				r.note(o, finding.IgnoredOption, "--find-links", "pip takes only the first --find-links of a line")
				continue
			}
		}
		r.setting(opt, o)
	}
}
