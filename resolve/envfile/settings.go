package envfile

import (
	"path"
	"slices"
	"strings"

	"mlenv/resolve/finding"
	"mlenv/resolve/internal/source"
	"mlenv/resolve/pattern"
	"mlenv/resolve/pep508"
	"mlenv/resolve/secret"
)

// setting applies an option that is valid for the whole file, in the order of the lines: of --index-url
// the last one counts, as with pip.
func (r *reader) setting(opt option, o finding.Origin) {
	f := &r.file.Options
	d := Declaration{Value: opt.value, From: o}
	switch opt.name {
	case "index-url":
		if d, ok := r.urlSetting(d, opt.name); ok {
			f.IndexURL = &d
		}
	case "extra-index-url":
		if d, ok := r.urlSetting(d, opt.name); ok {
			f.ExtraIndexURLs = append(f.ExtraIndexURLs, d)
		}
	case "find-links":
		r.findLinks(d)
	case "trusted-host":
		if strings.Contains(d.Value, "://") {
			r.note(o, finding.IgnoredOption, "--trusted-host", "pip takes no URL for --trusted-host, but a HOST or HOST:PORT: %s has no effect", d.Value)
			return
		}
		if i := strings.IndexAny(d.Value, "/?#"); i >= 0 {
			d.Value = d.Value[:i]
		}
		if _, port, ok := strings.Cut(d.Value, ":"); ok && !strings.HasPrefix(d.Value, "[") && !digits.MatchString(port) {
			r.fail(o, "", "--trusted-host %q has a port that is not a number", d.Value)
			return
		}
		f.TrustedHosts = append(f.TrustedHosts, d)
	case "no-index":
		f.NoIndex = switchedOn(o)
	case "pre":
		f.Pre = switchedOn(o)
	case "prefer-binary":
		f.PreferBinary = switchedOn(o)
	case "require-hashes":
		f.RequireHashes = switchedOn(o)
	case "no-require-hashes":
		f.RequireHashes = nil
	case "all-releases":
		r.allReleases(d)
	case "no-binary":
		r.formats(d, &f.NoBinary, &f.OnlyBinary)
	case "only-binary":
		r.formats(d, &f.OnlyBinary, &f.NoBinary)
	case "use-feature":
		f.UseFeatures = append(f.UseFeatures, d)
	default:
		if opt.name == "only-final" {
			r.note(o, finding.IgnoredOption, "--only-final", "--only-final is not supported")
			return
		}
		r.note(o, finding.IgnoredOption, "--"+opt.name, "pip ignores --%s on a line without a requirement", opt.name)
	}
}

// allReleases allows pre-releases of all projects. mlenv cannot do that for single projects.
func (r *reader) allReleases(d Declaration) {
	if d.Value == ":all:" {
		r.file.Options.Pre = switchedOn(d.From)
		return
	}
	r.note(d.From, finding.IgnoredOption, "--all-releases", "--all-releases is supported for :all: only, not for %q", d.Value)
}

var digits = pattern.New(`^[0-9]*$`)

func switchedOn(o finding.Origin) *Declaration { return &Declaration{Value: "true", From: o} }

// hostOnly removes credentials before a host without a scheme, and reports whether there were any.
// Those in URLs have been removed already. "user:password@host" is no URL that pip would take, but a
// mistake that people make, and the password is a real one.
func hostOnly(opts []option) bool {
	found := false
	for i, opt := range opts {
		at := strings.LastIndexByte(opt.value, '@')
		if at < 0 || strings.Contains(opt.value, "://") {
			continue
		}
		switch opt.name {
		case "find-links": // a directory may have an @ in its name
			if !strings.Contains(opt.value[:at], ":") {
				continue
			}
		case "index-url", "extra-index-url", "trusted-host":
		default:
			continue
		}
		opts[i].value = opt.value[at+1:]
		found = true
	}
	return found
}

func (r *reader) urlSetting(d Declaration, opt string) (Declaration, bool) {
	if d.Value == "" {
		r.note(d.From, finding.IgnoredOption, "", "pip ignores an option with an empty URL")
		return d, false
	}
	// An index on this machine could name any file of it, which would then be installed from.
	if r.confined && opt != "find-links" && urlScheme(d.Value) == "file" {
		r.outside(d.From, "copy the distributions into the model and name their directory by --find-links", "--%s %q is an index outside the model", opt, d.Value)
		return d, false
	}
	r.noteVariable(d.Value, d.From)
	return d, true
}

// environmentVariable matches what pip would expand.
var environmentVariable = pattern.New(`\$\{[A-Z0-9_]+\}`)

func (r *reader) noteVariable(url string, o finding.Origin) {
	if v := environmentVariable.FindString(url); v != "" {
		r.note(o, finding.EnvironmentVariable, v, "pip would replace %s from the environment; mlenv leaves it as it is", v)
	}
}

// secretVariable notes a variable that stands for a password.
func (r *reader) secretVariable(text string, o finding.Origin) {
	if v := secret.Variable(text); v != "" {
		r.note(o, finding.EnvironmentVariable, v, "pip would put the value of %s into the URL; mlenv leaves the user and password out, and takes them from netrc or from a URL given on the command line", v)
	}
}

// findLinks adds a URL, or a directory or file. Its path is relative to the file that names it if
// it exists there, else to the root of the model, in the place of the directory that pip is started in.
func (r *reader) findLinks(d Declaration) {
	d, ok := r.urlSetting(d, "find-links")
	if !ok {
		return
	}
	if scheme := urlScheme(d.Value); scheme != "" && scheme != "file" {
		r.file.Options.FindLinks = append(r.file.Options.FindLinks, d)
		return
	}
	name := d.Value
	if p, ok := filePath(name); ok {
		name = p
	}
	if !r.confined {
		r.file.Options.FindLinks = append(r.file.Options.FindLinks, d)
		return
	}
	p, ok := source.Clean("", name)
	if len(r.stack) > 0 {
		if beside, inside := source.Clean(path.Dir(r.stack[len(r.stack)-1].name), name); inside && r.exists(beside) {
			p, ok = beside, true
		}
	}
	if !ok {
		r.outside(d.From, "copy the distributions into the model", "--find-links %q is not inside the model", d.Value)
		return
	}
	d.Value = p
	r.file.Options.FindLinks = append(r.file.Options.FindLinks, d)
}

func (r *reader) exists(name string) bool {
	f, err := r.open(name)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// formats applies --no-binary or --only-binary. The value is ":all:", ":none:", which empties the
// list, or names, which are removed from the other list: of what is said of a project, the last counts.
func (r *reader) formats(d Declaration, to, other *[]Declaration) {
	if strings.HasPrefix(d.Value, "-") {
		r.fail(d.From, "", "--no-binary and --only-binary need a value")
		return
	}
	names := strings.Split(d.Value, ",")
	none := -1 // the last :none:
	for i, name := range names {
		if name == ":none:" {
			none = i
		}
	}
	for i := len(names) - 1; i >= 0; i-- {
		if names[i] != ":all:" {
			continue
		}
		*other, *to = nil, []Declaration{{Value: ":all:", From: d.From}}
		if names = names[i+1:]; none <= i {
			return // :all: includes any names after it
		}
		break
	}
	given := map[string]bool{}
	have := map[string]bool{}
	for _, d := range *to {
		have[d.Value] = true
	}
	for _, name := range names {
		if name == ":none:" {
			*to = nil
			clear(have)
			continue
		}
		name = string(pep508.NormalizeName(name))
		given[name] = true
		if !have[name] {
			have[name] = true
			*to = append(*to, Declaration{Value: name, From: d.From})
		}
	}
	*other = slices.DeleteFunc(*other, func(d Declaration) bool { return given[d.Value] })
}
