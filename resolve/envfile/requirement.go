package envfile

import (
	"errors"
	"net/url"
	"path"
	"slices"
	"strings"

	"mlenv/resolve/finding"
	"mlenv/resolve/internal/source"
	"mlenv/resolve/pattern"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/secret"
)

// urlScheme returns the scheme, in lower case, of something that pip treats as a URL, or "". Other words
// before a colon, such as the drive of a Windows path, make no URL for it.
func urlScheme(text string) string {
	scheme, _, ok := strings.Cut(text, ":")
	scheme = strings.ToLower(scheme)
	if !ok {
		return ""
	}
	switch scheme {
	case "http", "https", "file", "ftp":
		return scheme
	}
	if isVCS(scheme) {
		return scheme
	}
	return ""
}

// isVCS reports whether a scheme is that of a version control system, such as "git+https", or one that
// pip lists with them.
func isVCS(scheme string) bool {
	vcs, _, _ := strings.Cut(scheme, "+")
	switch vcs {
	case "git", "hg", "svn", "bzr":
		return true
	}
	return scheme == "ssh" || scheme == "sftp"
}

var (
	// What is before the "@" of a direct reference (PEP 508). An "@" elsewhere is part of a path or URL.
	direct  = pattern.New(`^\s*[A-Za-z0-9][A-Za-z0-9._-]*\s*(?:\[[^\]]*\])?\s*@`)
	archive = pattern.New(`(?i)\.(?:whl|zip|tgz|tbz|txz|tlz|tar|tar\.(?:gz|bz2|xz|lz|lzma))$`)
	// pip takes extras behind paths, "./dir[test]", which no standard does.
	extrasEnd = pattern.New(`^(.+)(\[[^\]]+\])$`)
	eggPart   = pattern.New(`[#&]egg=([^&]*)`)
	hashPart  = pattern.New(`[#&](sha256|sha384|sha512)=([0-9a-fA-F]+)`)
	hashValue = pattern.New(`^(sha256|sha384|sha512):([0-9a-fA-F]+)$`)
	// What pip calls strong. MD5 and SHA-1 it refuses in requirements files, for a file can be made to fit them.
	hashSize = map[string]int{"sha256": 64, "sha384": 96, "sha512": 128}
)

// requirement reads the part of a line before its options.
func (r *reader) requirement(text string, opts []option, o finding.Origin, constraint bool) {
	req := Requirement{From: o}
	ok := false
	switch name, marker := splitMarker(text); {
	case urlScheme(name) != "":
		ok = r.url(&req, name) && r.marker(&req, marker)
	case looksLocal(name):
		ok = r.local(&req, name) && r.marker(&req, marker)
	default:
		ok = r.named(&req, name) && r.marker(&req, marker)
	}
	for _, opt := range opts {
		switch opt.name {
		case "hash":
			ok = r.hash(&req, opt.value) && ok
		case "global-option", "config-settings":
			r.note(o, finding.BuildOption, string(req.Name), "--%s is for building a source distribution", opt.name)
		}
	}
	if ok {
		r.add(req, constraint)
	}
}

// splitMarker splits off the marker. After a URL it needs a space before the ";", as URLs may
// contain one.
func splitMarker(text string) (name, marker string) {
	sep := ";"
	if urlScheme(text) != "" {
		sep = "; "
	}
	name, marker, _ = strings.Cut(text, sep)
	return strings.TrimFunc(name, isSpace), strings.TrimFunc(marker, isSpace)
}

// looksLocal reports whether a requirement looks like a path. It goes by the form alone; pip would
// also check whether the path exists, so the same line would mean different things on different
// machines.
func looksLocal(name string) bool {
	if direct.MatchString(name) || strings.Contains(name, "://") {
		return false
	}
	bare := name
	if m := extrasEnd.FindStringSubmatch(name); m != nil {
		bare = m[1]
	}
	return strings.HasPrefix(name, ".") || strings.Contains(name, "/") && !strings.ContainsAny(name, "<>= \"'") || archive.MatchString(bare)
}

func (r *reader) marker(req *Requirement, text string) bool {
	if text == "" {
		return true
	}
	m, err := pep508.ParseMarker(text)
	if err != nil {
		r.fail(req.From, "", "invalid marker: %v", problem(err))
		return false
	}
	req.Marker = m
	return true
}

// named reads a PEP 508 requirement. If it is a direct reference to a wheel, the wheel's name must be the
// one before the "@": pip finds that out after the download.
func (r *reader) named(req *Requirement, text string) bool {
	parsed, err := pep508.Parse(text)
	if err != nil {
		r.fail(req.From, requirementHint(text), "invalid requirement: %v", problem(err))
		return false
	}
	req.Requirement = parsed
	if parsed.URL == "" {
		return true
	}
	name := parsed.Name
	if !r.url(req, parsed.URL) {
		return false
	}
	if req.Name != "" && req.Name != name {
		r.fail(req.From, "", "the URL is for %s, not %s", req.Name, name)
		return false
	}
	req.Name, req.Spelling, req.Extras = name, parsed.Spelling, parsed.Extras
	return true
}

// problem returns an error without the text that a syntax error repeats: messages show it anyway.
func problem(err error) error {
	var s *pep508.SyntaxError
	if !errors.As(err, &s) {
		return err
	}
	input, _ := secret.Scrub(s.Input)
	return &pep508.SyntaxError{Input: input, Column: s.Column, Problem: s.Problem}
}

var singleEquals = pattern.New(`^\s*[\w.-]+(?:\[[^\]]*\])?\s*=[^=]`)

// placeholder matches what other tools replace: $VAR, %VAR%, {{ var }} and <var>.
var placeholder = pattern.New(`\$\w+|%\w+%|\{\{.*\}\}|[=\s]<\w+>`)

// requirementHint says what somebody may have meant who wrote what is no requirement, "" if that is not
// known.
func requirementHint(text string) string {
	switch {
	case environmentVariable.MatchString(text):
		return "mlenv does not read environment variables: write the value instead of ${…}"
	case placeholder.MatchString(text):
		return "this looks like a placeholder that was not filled in: write the value instead"
	case singleEquals.MatchString(text):
		return `"=" is conda's syntax; pip uses "=="`
	case strings.HasPrefix(text, `"`) || strings.HasPrefix(text, "'"):
		return "pip does not accept quotes around a requirement"
	}
	return ""
}

// local reads a path to a wheel, an archive or a directory, optionally with extras.
func (r *reader) local(req *Requirement, name string) bool {
	if m := extrasEnd.FindStringSubmatch(name); m != nil {
		extras, err := pep508.Parse("x" + m[2])
		if err != nil {
			r.fail(req.From, "", "invalid extras: %v", problem(err))
			return false
		}
		name, req.Extras = m[1], extras.Extras
	}
	p, fragment := name, ""
	if i := strings.LastIndexByte(name, '#'); i >= 0 && (eggPart.MatchString(name[i:]) || hashPart.MatchString(name[i:])) {
		p, fragment = name[:i], name[i:]
	}
	return r.path(req, p) && r.identity(req, req.Path, fragment)
}

// path sets the path of a requirement. On the command line it may lead anywhere: who types it may read it.
func (r *reader) path(req *Requirement, name string) bool {
	if !r.confined {
		req.Path = path.Clean(name)
		return true
	}
	p, ok := source.Clean("", name)
	if !ok {
		r.outside(req.From, pathHint(req.Name, name), "the path %q is not inside the model", name)
		return false
	}
	req.Path = p
	return true
}

// condaBuild matches the directories in which conda builds packages. pip freeze writes them of packages
// that conda installed.
var condaBuild = pattern.New(`(?i)(?:^|/)(?:croot|conda-bld|feedstock_root|[A-Z]:/(?:ci|bld)|ci_py\w*|ci_\d+|tmp/build|perfconda-bld|abs_[0-9a-z]+|concourse/worker)/`)

// pathHint says what to write in the place of a path outside the model.
func pathHint(name pep508.Name, where string) string {
	slashed := strings.ReplaceAll(where, `\`, "/")
	if name == "" || !condaBuild.MatchString(slashed) {
		return "copy it into the model, for example into its code directory"
	}
	version := "VERSION, with the version that conda list tells"
	if file := path.Base(slashed); strings.HasSuffix(file, ".whl") {
		if _, v, ok := wheelName(file); ok {
			if pin, ok := v.Pin(); ok {
				version = pin.String()
			}
		}
	}
	return "conda built the package there, and pip freeze wrote it down: write " + string(name) + "==" + version
}

// filePath returns the path in a file: URL (RFC 8089). ok is false if the URL is for another machine, as
// "file://server/share/x.whl" is.
func filePath(text string) (string, bool) {
	if urlScheme(text) != "file" {
		return "", false
	}
	p := text[len("file:"):]
	if rest, ok := strings.CutPrefix(p, "//"); ok {
		host, _, _ := strings.Cut(rest, "/")
		if host != "" && !strings.EqualFold(host, "localhost") {
			return "", false
		}
		p = rest[len(host):]
	}
	p, _, _ = strings.Cut(p, "#")
	if un, err := url.PathUnescape(p); err == nil {
		p = un
	}
	return p, true
}

// url reads the URL of a file, an archive or a repository. One of a file on this machine becomes a path, with
// all that holds for paths.
func (r *reader) url(req *Requirement, text string) bool {
	clean, found := secret.Scrub(text)
	if found {
		r.file.CredentialsIn = append(r.file.CredentialsIn, req.From)
	}
	r.noteVariable(clean, req.From)
	_, fragment, _ := strings.Cut(clean, "#")
	if urlScheme(clean) == "file" {
		p, ok := filePath(clean)
		if !ok {
			r.fail(req.From, "", "%q is a file on another machine", clean)
			return false
		}
		req.URL = ""
		if m := extrasEnd.FindStringSubmatch(p); m != nil {
			p = m[1]
			if extras, err := pep508.Parse("x" + m[2]); err == nil {
				req.Extras = extras.Extras
			}
		}
		return r.path(req, p) && r.identity(req, req.Path, "#"+fragment)
	}
	req.URL = clean
	file, _, _ := strings.Cut(clean, "#")
	file, _, _ = strings.Cut(file, "?")
	if un, err := url.PathUnescape(file); err == nil {
		file = un
	}
	if isVCS(urlScheme(clean)) {
		file = ""
	}
	return r.identity(req, file, "#"+fragment)
}

// identity sets the name, from the file name of a wheel or the fragment of a URL, and the hash,
// from the fragment. "#egg=NAME" is older than "NAME @ URL", and pip still reads it.
func (r *reader) identity(req *Requirement, file, fragment string) bool {
	if m := hashPart.FindStringSubmatch(fragment); m != nil && !r.hash(req, m[1]+":"+m[2]) {
		return false
	}
	if strings.HasSuffix(strings.ToLower(file), ".whl") {
		name, version, ok := wheelName(path.Base(file))
		if !ok {
			r.fail(req.From, "a wheel is named NAME-VERSION-PYTHON-ABI-PLATFORM.whl", "%q is not the file name of a wheel", path.Base(file))
			return false
		}
		req.Spelling, req.Name, req.Specifier = name, pep508.NormalizeName(name), version
		return true
	}
	m := eggPart.FindStringSubmatch(fragment)
	if m == nil || m[1] == "" {
		return true
	}
	egg, err := pep508.Parse(m[1])
	if err != nil || egg.URL != "" || !egg.Marker.IsZero() {
		r.fail(req.From, "", "#egg=%s is not the name of a project", m[1])
		return false
	}
	req.Name, req.Spelling, req.Specifier = egg.Name, egg.Spelling, egg.Specifier
	if len(req.Extras) == 0 {
		req.Extras = egg.Extras
	}
	return true
}

// wheelName returns the name and version in a wheel's file name (binary distribution format, "File
// name convention"). Old tools wrote "_" instead of "-" in versions.
func wheelName(file string) (string, pep440.Specifiers, bool) {
	parts := strings.Split(file[:len(file)-len(".whl")], "-")
	if len(parts) != 5 && len(parts) != 6 || !pep508.ValidName(parts[0]) {
		return "", pep440.Specifiers{}, false
	}
	version, err := pep440.Parse(strings.ReplaceAll(parts[1], "_", "-"))
	if err != nil {
		return "", pep440.Specifiers{}, false
	}
	s, err := pep440.ParseSpecifiers("==" + version.String())
	return parts[0], s, err == nil
}

// editable reads the value of -e. A requirement that is editable in the author's folder can only be copied
// into an image; later stages decide about that, so that all of them are read here.
func (r *reader) editable(text string, o finding.Origin, constraint bool) {
	req := Requirement{Editable: true, From: o}
	if vcs, _, ok := strings.Cut(strings.ToLower(text), ":"); ok && slices.Contains([]string{"git", "hg", "svn", "bzr"}, vcs) {
		text = vcs + "+" + text
	}
	scheme := urlScheme(text)
	ok := false
	switch {
	case isVCS(scheme):
		if ok = r.url(&req, text); ok && req.Name == "" {
			r.fail(o, "add #egg=NAME to the URL", "pip cannot tell the name of this editable requirement")
			ok = false
		}
	case direct.MatchString(text):
		if ok = r.named(&req, text); ok && req.URL != "" && !isVCS(urlScheme(req.URL)) {
			r.fail(o, "", "only a directory or a repository can be editable")
			ok = false
		}
	case scheme == "file":
		ok = r.url(&req, text)
	case scheme != "" || strings.Contains(text, "://"):
		r.fail(o, "", "only a directory or a repository can be editable")
	default:
		ok = r.local(&req, text)
	}
	if ok {
		r.add(req, constraint)
	}
}

// hash adds a hash such as "sha256:…".
func (r *reader) hash(req *Requirement, text string) bool {
	m := hashValue.FindStringSubmatch(text)
	if m == nil || len(m[2]) != hashSize[m[1]] {
		r.fail(req.From, "hashes are sha256:HEX, sha384:HEX or sha512:HEX", "--hash=%.100s is not a hash that pip accepts", text)
		return false
	}
	h := m[1] + ":" + strings.ToLower(m[2])
	if i, ok := slices.BinarySearch(req.Hashes, h); !ok {
		req.Hashes = slices.Insert(req.Hashes, i, h)
	}
	return true
}

// add adds a requirement or constraint to the file. A constraint of a kind that pip rejects is an
// error.
func (r *reader) add(req Requirement, constraint bool) {
	if !constraint {
		r.file.Requirements = append(r.file.Requirements, req)
		return
	}
	what := ""
	switch {
	case req.Editable:
		what = "editable"
	case req.Name == "":
		what = "without a name"
	case len(req.Extras) > 0:
		what = "with extras"
	}
	if what != "" {
		r.fail(req.From, "", "a constraint cannot be %s", what)
		return
	}
	r.file.Constraints = append(r.file.Constraints, req)
}
