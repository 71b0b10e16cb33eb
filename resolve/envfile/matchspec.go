package envfile

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"mlenv/resolve/pattern"
)

// matchSpec is conda's specification of a package. There is no grammar of it but conda's own code, which has
// taken in several forms over the years. What is read here is compared with what rattler, the other reader,
// makes of it (TestAgainstRattler).
type matchSpec struct {
	channel, subdir string
	name            string // lower case
	written         string // the version as written
	version         string // as conda stores it: "3.10.*" for "=3.10", "3.10" for "==3.10"
	build           string
	url             string // of an explicit package file
	fields          []matchField
}

// matchField is a field that only exists in the [key=value] form.
type matchField struct{ key, value string }

// matchFields are the keys of the bracket form, in the order in which conda prints them.
var matchFields = []string{"channel", "subdir", "name", "version", "build", "build_number", "track_features",
	"features", "url", "md5", "sha256", "license", "license_family", "fn"}

var (
	bracketsEnd = pattern.New(`^([^\[]*)\[(.*)\]\s*$`)
	bracketItem = pattern.New(`^\s*([A-Za-z0-9_-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^'",\s]+))\s*(?:,|$)`)
	parensEnd   = pattern.New(`\([^()]*\)\s*$`)
	nameRest    = pattern.New(`^([^ =<>!~]+)\s*([=<>!~ ].*)?$`)
	condaName   = pattern.New(`^(?:\*|[A-Za-z0-9_.*-]+)$`)
	platform    = pattern.New(`^(?:noarch|(?:linux|osx|win|emscripten|wasi|freebsd|zos)-[a-z0-9_]+)$`)
)

// parseMatchSpec reads all forms of conda's "package match specifications": channel/subdir::name,
// followed by version comparisons, or by a version and optionally a build that each follow "=" or
// spaces, and by [key=value, …].
func parseMatchSpec(text string) (matchSpec, error) {
	var m matchSpec
	text, _, _ = strings.Cut(text, "#")
	text = strings.TrimSpace(text)
	if strings.HasSuffix(text, ".conda") || strings.HasSuffix(text, ".tar.bz2") {
		return packageFile(text)
	}
	if b := bracketsEnd.FindStringSubmatch(text); b != nil {
		text = strings.TrimSpace(b[1])
		if err := m.brackets(b[2]); err != nil {
			return m, err
		}
	} else if strings.ContainsAny(text, "[]") {
		return m, errors.New("a bracket is not closed, or there is text after it")
	}
	text = strings.TrimSpace(parensEnd.ReplaceAllString(text, "")) // of an old form, which conda passes over
	if i := strings.LastIndex(text, ":"); i >= 0 {
		// channel::name or channel:namespace:name
		channel := text[:i]
		if j := strings.LastIndex(channel, ":"); j >= 0 && !strings.HasPrefix(channel[j:], "://") {
			channel = channel[:j]
		}
		m.setChannel(strings.TrimSpace(channel))
		text = strings.TrimSpace(text[i+1:])
	}
	rest := ""
	if text != "" {
		p := nameRest.FindStringSubmatch(text)
		if p == nil {
			return m, errors.New("there is no package name")
		}
		m.name, rest = strings.ToLower(p[1]), strings.TrimSpace(p[2])
	}
	if m.name == "" {
		return m, errors.New("there is no package name")
	}
	if !condaName.MatchString(m.name) {
		return m, fmt.Errorf("%q is not the name of a package", m.name)
	}
	if rest != "" && m.version == "" {
		version, build := splitBuild(rest)
		if m.build == "" {
			m.build = build
		}
		m.written = version
		m.version = normalVersion(version, build != "")
	}
	if m.written != "" && !strings.ContainsFunc(m.written, func(r rune) bool {
		return r == '*' || r == '^' || '0' <= r && r <= '9' || 'a' <= r|0x20 && r|0x20 <= 'z'
	}) {
		return m, fmt.Errorf("there is no version after %q", m.written)
	}
	return m, nil
}

// packageFile reads the URL or path of a package file, .../name-version-build.conda.
func packageFile(text string) (matchSpec, error) {
	m := matchSpec{url: text}
	base := path.Base(text)
	base = strings.TrimSuffix(strings.TrimSuffix(base, ".conda"), ".tar.bz2")
	parts := strings.Split(base, "-")
	if len(parts) < 3 {
		return m, errors.New("a package file is named NAME-VERSION-BUILD")
	}
	n := len(parts)
	m.name = strings.ToLower(strings.Join(parts[:n-2], "-"))
	m.written, m.version, m.build = parts[n-2], parts[n-2], parts[n-1]
	return m, nil
}

func (m *matchSpec) brackets(text string) error {
	for strings.TrimSpace(text) != "" {
		p := bracketItem.FindStringSubmatch(text)
		if p == nil {
			return fmt.Errorf("expected key=value in the brackets at %q", strings.TrimSpace(text))
		}
		text = text[len(p[0]):]
		value := p[2] + p[3] + p[4]
		switch key := p[1]; key {
		case "channel":
			m.setChannel(value)
		case "subdir":
			m.subdir = value
		case "name":
			m.name = strings.ToLower(value)
		case "version":
			m.written, m.version = value, normalVersion(strings.ReplaceAll(value, " ", ""), false)
		case "build":
			m.build = value
		default:
			if !slices.Contains(matchFields, key) {
				return fmt.Errorf("conda does not know the key %q", key)
			}
			m.fields = append(m.fields, matchField{key, value})
		}
	}
	return nil
}

// setChannel splits "channel/subdir". Channels may contain slashes themselves ("pkgs/main"), so the last part
// must be the name of a platform.
func (m *matchSpec) setChannel(text string) {
	m.channel = text
	if i := strings.LastIndexByte(text, '/'); i >= 0 && platform.MatchString(text[i+1:]) {
		m.channel, m.subdir = text[:i], text[i+1:]
	}
}

// splitBuild splits "1.2 py27_0" and "=1.2=py27_0" into version and build. Spaces around
// comparisons do not matter: in ">=1.2, <2" what follows the space is no build, since a comparison is before it.
func splitBuild(text string) (version, build string) {
	version = text
	for i := 1; i < len(text)-1; i++ {
		if text[i] != ' ' && text[i] != '=' || strings.IndexByte("=!|,<>~", text[i-1]) >= 0 {
			continue
		}
		tail := strings.TrimSpace(text[i+1:])
		if tail != "" && !strings.ContainsAny(tail, "-=,|<>~") {
			version, build = text[:i], tail
			break
		}
	}
	return strings.ReplaceAll(version, " ", ""), build
}

// normalVersion turns "=1.2", which is fuzzy, into "1.2.*", and "==1.2" into "1.2". If a build
// follows, "=1.2" is exact.
func normalVersion(version string, hasBuild bool) string {
	if exact, ok := strings.CutPrefix(version, "=="); ok && !strings.ContainsAny(exact, ",|") {
		return exact
	}
	fuzzy, ok := strings.CutPrefix(version, "=")
	switch {
	case !ok || strings.ContainsAny(fuzzy, "=,|"):
		return version
	case hasBuild || strings.HasSuffix(fuzzy, "*"):
		return fuzzy
	}
	return fuzzy + ".*"
}

// String returns the canonical form, as conda prints it. What the bare form would be read otherwise as, such
// as ">=1.2,<2" with a build behind it, goes into brackets.
func (m matchSpec) String() string {
	if m.url != "" {
		return m.url
	}
	var b strings.Builder
	var in []string
	bracket := func(key, value string) {
		if strings.ContainsAny(value, " =,><|$^'") {
			value = "'" + value + "'"
		}
		in = append(in, key+"="+value)
	}
	switch {
	case m.channel != "" && m.subdir != "":
		b.WriteString(m.channel + "/" + m.subdir + "::")
	case m.channel != "":
		b.WriteString(m.channel + "::")
	case m.subdir != "":
		bracket("subdir", m.subdir)
	}
	b.WriteString(m.name)
	exact := false
	switch v := m.version; {
	case v == "" || v == "*":
	case strings.ContainsAny(v, "><$^|,") || strings.ContainsAny(v[:1], "!~") && m.build != "":
		bracket("version", v)
	case strings.HasPrefix(v, "!=") || strings.HasPrefix(v, "~="):
		b.WriteString(v)
	case strings.HasSuffix(v, ".*") && !strings.Contains(v[:len(v)-2], "*"):
		b.WriteString("=" + v[:len(v)-2])
	case strings.Contains(v, "*"):
		bracket("version", v)
	default:
		b.WriteString("==" + v)
		exact = true
	}
	switch {
	case m.build == "":
	case exact && !strings.ContainsAny(m.build, "><$^|,*"):
		b.WriteString("=" + m.build)
	default:
		bracket("build", m.build)
	}
	for _, key := range matchFields {
		for _, f := range m.fields {
			if f.key == key {
				bracket(f.key, f.value)
			}
		}
	}
	if len(in) > 0 {
		b.WriteString("[" + strings.Join(in, ",") + "]")
	}
	return b.String()
}

// condaVersion matches one comparison of a conda version.
var condaVersion = pattern.New(`^(==|!=|~=|<=|>=|<|>|=)?([0-9A-Za-z!+._-]+?)(\.?\*)?$`)

// pep440 returns the version as PEP 440 expresses it. If conda names a single version, exactly or
// by its first parts, the result is a plain version and plain is true; else it is a set of
// specifiers. ok is false if PEP 440 cannot express it: it has no "or" ("1.2|1.4") and no regular
// expressions ("^1.*$"), and conda's versions may have letters anywhere.
func (m matchSpec) pep440() (text string, plain, ok bool) {
	if m.version == "" || m.version == "*" {
		return "", false, true
	}
	clauses := strings.Split(m.version, ",")
	for i, c := range clauses {
		p := condaVersion.FindStringSubmatch(c)
		if p == nil {
			return "", false, false
		}
		op, version, star := p[1], p[2], p[3] != ""
		// "1.2" is exactly 1.2 to conda, where a "*" or a single "=" does not make it fuzzy.
		if len(clauses) == 1 && (op == "" || op == "=" || op == "==") {
			return version, true, true
		}
		if op == "" || op == "=" {
			star = star || op == "="
			op = "=="
		}
		if star && (op == "==" || op == "!=") {
			version += ".*"
		}
		clauses[i] = op + version
	}
	return strings.Join(clauses, ","), false, true
}

// fuzzy reports whether a plain version stands for all versions that start with it.
func (m matchSpec) fuzzy() bool { return strings.HasSuffix(m.version, "*") }
