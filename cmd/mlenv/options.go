package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/resolve/check"
	"mlenv/resolve/dist"
	"mlenv/resolve/finding"
	"mlenv/resolve/index"
	"mlenv/resolve/lock"
	"mlenv/resolve/pattern"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
	"mlenv/resolve/secret"
	"mlenv/resolve/serving"
)

// outputOptions say how much is printed, and which findings end a command. How much is printed changes
// nothing else: neither what is written nor the exit code.
type outputOptions struct {
	quiet, verbose, strict bool
	failOn                 string // "": error
	policy                 string // a file

	rules *check.Policy // what is in it, once read was called
}

func (o *outputOptions) bind(s *flagSet) {
	s.on(&o.quiet, "quiet, q", "print only errors")
	s.on(&o.verbose, "verbose", "print every step")
	o.bindGate(s)
}

// bindGate declares the flags of a command that writes nothing if the findings are too bad.
func (o *outputOptions) bindGate(s *flagSet) {
	o.bindStrict(s)
	s.oneOf(&o.failOn, "fail-on", "write nothing, and exit with 2, if there are findings of this severity or worse", failOnWords...)
	s.text(&o.policy, "policy", "obey the policy `FILE` (docs/policy.md)")
}

func (o *outputOptions) bindStrict(s *flagSet) {
	s.on(&o.strict, "strict", "count warnings as errors")
}

// failOnWords are the values of --fail-on.
var failOnWords = []string{"error", "warning", "never"}

// read reads the policy, which may decide about the model too.
func (o *outputOptions) read(m *modelOptions) (err error) {
	o.rules, err = readPolicy(o.policy)
	m.obey(o.rules)
	m.fetch.quiet = o.quiet
	return err
}

// readPolicy reads a policy file, nil where none is named.
func readPolicy(name string) (*check.Policy, error) {
	if name == "" {
		return nil, nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	return check.ParsePolicy(filepath.ToSlash(name), data)
}

// threshold is the severity that ends the command, "" for none.
func (o *outputOptions) threshold() finding.Severity {
	switch {
	case o.strict:
		return finding.Warning
	case o.failOn == "":
		return finding.Error
	case o.failOn == "never":
		return ""
	}
	return finding.Severity(o.failOn)
}

// modelOptions are what the command line adds to a model. Every command that reads models has all of them:
// what was checked, locked and built with the same options is the same environment.
type modelOptions struct {
	command      string   // whose options they are
	extra        []string // requirements beside the model's own
	requirements []string // instead of the model's own
	replace      bool     // requirements were given, if only none
	constraints  []string // files
	codePaths    []string
	python       string
	condaAsPip   bool
	index        indexOptions
	fetch        fetchOptions
	key          keyOptions
}

func (o *modelOptions) bind(s *flagSet, command string) {
	o.command = command
	o.fetch.bind(s)
	s.list(&o.extra, "extra-pip-requirements", "add the requirement `REQ`, or the file of \"-r FILE\"")
	s.list(&o.requirements, "pip-requirements", "replace the model's requirements by `REQ`, or by the file of \"-r FILE\"")
	s.given(&o.replace, "pip-requirements")
	s.list(&o.constraints, "constraint", "apply the constraints `FILE`")
	s.list(&o.codePaths, "code-paths", "add the file or directory of code `PATH`")
	s.text(&o.python, "python", "use Python `VERSION` instead of the model's")
	s.on(&o.condaAsPip, "conda-as-pip", "install the packages for conda in conda.yaml by pip, where they are Python packages")
	s.secret(&o.index.url, "index-url", "take packages from the index `URL` instead of the model's")
	s.secrets(&o.index.extra, "extra-index-url", "take packages from the index `URL` too")
	s.secrets(&o.index.findLinks, "find-links", "take packages from the folder or page `LOCATION` too")
	s.secrets(&o.index.named, "index", "call an index `NAME=URL`; it has the packages that --package-index gives it, and no others")
	s.list(&o.index.packages, "package-index", "take packages from a named index alone: `NAME=PACKAGE[,PACKAGE]`")
	s.text(&o.index.torch, "torch-backend", "take PyTorch's packages from its index of builds for `BACKEND`: cpu, cu118, cu126, cu128, rocm6.3, xpu and the like; a lock records it, and holds to it until --upgrade")
}

// obey takes over what a policy says of reading models.
func (o *modelOptions) obey(p *check.Policy) { o.condaAsPip = o.condaAsPip || p != nil && p.CondaAsPip }

// indexOptions say where packages come from. URLs are secret.Texts, since most private indexes are given
// with a password in them.
type indexOptions struct {
	url       secret.Text
	extra     []secret.Text
	findLinks []secret.Text
	noIndex   bool
	offline   bool
	strategy  string

	named    []secret.Text  // NAME=URL
	packages []string       // NAME=PACKAGE[,PACKAGE]
	torch    string         // the backend of PyTorch's packages
	kept     []pylock.Index // what a lock says of indexes for some packages
	maxFile  string         // the size of the largest package; "" for index's own bound
}

// keep takes over a lock's backend of PyTorch and its indexes for some packages, where no others were
// asked for: whoever renews a lock, or looks something up for it, means the same builds. A lock has no
// credentials: those of its indexes come from netrc, or from the environment and the URL where the index is
// named again, since a lock that was written by others must not lead a password to where they like.
func (o *indexOptions) keep(l *pylock.Lock) {
	if l == nil {
		return
	}
	if o.torch == "" && index.ValidTorchBackend(l.Tool.TorchBackend) {
		o.torch = l.Tool.TorchBackend
	}
	o.kept = l.Tool.Indexes
}

// withKept adds a lock's indexes to those that were asked for. An index that is named again has the
// lock's packages, unless it was given others.
func (o *indexOptions) withKept(given []index.Assignment) []index.Assignment {
	taken := map[pep508.Name]bool{}
	at := map[string]int{}
	for i, a := range given {
		at[a.Name] = i
		for _, p := range a.Packages {
			taken[p] = true
		}
	}
	for _, k := range o.kept {
		packages := slices.DeleteFunc(slices.Clone(k.Packages), func(p pep508.Name) bool { return taken[p] })
		i, named := at[k.Name]
		switch {
		case named && len(given[i].Packages) == 0:
			given[i].Packages = packages
		case !named && len(packages) > 0 && indexName.MatchString(k.Name):
			given = append(given, index.Assignment{Name: k.Name, Index: k.URL, Packages: packages, Recorded: true})
		}
	}
	return given
}

// recorded is what a lock says of the packages that have an index of their own.
func (o *indexOptions) recorded() (lock.Indexes, error) {
	list, err := o.assigned()
	out := lock.Indexes{TorchBackend: o.torch}
	for _, a := range list {
		out.Own = append(out.Own, pylock.Index{Name: a.Name, URL: index.Redact(a.Index), Packages: a.Packages})
	}
	return out, err
}

// decide reports whether the options may make another lock of the same Spec.
func (o *indexOptions) decide() bool { return o.torch != "" || len(o.named) > 0 }

var indexName = pattern.New(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

// assigned reads which packages have an index of their own. Names that do not fit together would
// otherwise have packages come from another index than was meant, in silence.
func (o *indexOptions) assigned() ([]index.Assignment, error) {
	var out []index.Assignment
	at := map[string]int{}
	for _, text := range o.named {
		name, url, ok := strings.Cut(text.Reveal(), "=")
		switch _, twice := at[name]; {
		case !ok || url == "" || !indexName.MatchString(name):
			return nil, &usageError{msg: fmt.Sprintf("--index %s is not of the form NAME=URL, with letters, digits, - and _ in NAME", text)}
		case twice:
			return nil, &usageError{msg: "--index " + name + "= is given twice"}
		}
		at[name] = len(out)
		out = append(out, index.Assignment{Name: name, Index: url})
	}
	for _, text := range o.packages {
		name, list, ok := strings.Cut(text, "=")
		i, known := at[name]
		if !ok || !known {
			return nil, &usageError{msg: fmt.Sprintf("--package-index %s: there is no --index %s=URL", text, name)}
		}
		for _, p := range strings.Split(list, ",") {
			n := pep508.NormalizeName(strings.TrimSpace(p))
			if !pep508.ValidName(string(n)) {
				return nil, &usageError{msg: fmt.Sprintf("--package-index %s: %q is no package name", text, p)}
			}
			out[i].Packages = append(out[i].Packages, n)
		}
	}
	out = o.withKept(out)
	for _, a := range out {
		if len(a.Packages) == 0 {
			return nil, &usageError{msg: "--index " + a.Name + "= has no packages: give it some with --package-index " + a.Name + "=PACKAGE"}
		}
	}
	if o.torch != "" && !index.ValidTorchBackend(o.torch) {
		return nil, &usageError{msg: fmt.Sprintf("--torch-backend %s is none of cpu, cu118, cu126, cu128, rocm6.3, xpu and the like", o.torch)}
	}
	return out, nil
}

// lockOptions are what decides about versions, beside the requirements.
type lockOptions struct {
	serve      string
	pre        bool
	newer      string // the time after which files do not count
	noBinary   []string
	onlyBinary []string
}

// bind declares the flags; those of the index go with them.
func (o *lockOptions) bind(s *flagSet, in *indexOptions) {
	s.oneOf(&o.serve, "serve", "add what this server needs", string(serving.MLflow), string(serving.MLServer), string(serving.None))
	s.on(&in.noIndex, "no-index", "take packages from --find-links alone")
	s.on(&in.offline, "offline", "use the cache and local files alone")
	s.oneOf(&in.strategy, "index-strategy", "with several indexes, take a package from the first that has it, or from all", string(index.FirstIndex), string(index.UnsafeBestMatch))
	s.text(&in.maxFile, "max-file-size", "download no package of more than `SIZE`, such as 500MB; 16GiB if it is not given")
	s.on(&o.pre, "pre", "admit pre-releases of every package")
	s.text(&o.newer, "exclude-newer", "ignore files uploaded to an index after `TIME`: 2025-01-31 (to the end of that day, UTC) or 2025-01-31T12:00:00Z; a lock records it, and holds to it until --upgrade")
	s.list(&o.noBinary, "no-binary", "use no wheels of the package `NAME`, or :all:")
	s.list(&o.onlyBinary, "only-binary", "use wheels of the package `NAME` in spite of --no-binary, or :all:")
}

// limits are what a lock takes of the options.
func (o *lockOptions) limits() (lock.Limits, error) {
	cutoff, err := parseCutoff(o.newer)
	return lock.Limits{Pre: o.pre, NoBinary: o.noBinary, OnlyBinary: o.onlyBinary, Cutoff: cutoff}, err
}

// decide reports whether the options may make another lock of the same Spec.
func (o *lockOptions) decide() bool {
	return o.newer != "" || o.pre || len(o.noBinary)+len(o.onlyBinary) > 0
}

// parseCutoff reads the value of --exclude-newer, as uv does: a date stands for the end of that day.
func parseCutoff(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return t, &usageError{msg: fmt.Sprintf("--exclude-newer %s is neither a date such as 2025-01-31 nor a time such as 2025-01-31T12:00:00Z", s)}
	}
	return t.AddDate(0, 0, 1), nil
}

// baseOptions choose a base image.
type baseOptions struct {
	ref   string
	names []string // platforms, as they were written
}

func (o *baseOptions) bind(s *flagSet) {
	s.text(&o.ref, "base", "build on `IMAGE`: a reference, oci:DIR, oci-tar:FILE, docker-tar:FILE, or host for this machine's own Python (default: python:<version>-slim)")
	s.list(&o.names, "platform", "build for `OS/ARCH`; several make an image index (default: linux/amd64)")
}

// platforms gives the platforms that were asked for.
func (o *baseOptions) platforms() ([]v1.Platform, error) {
	list := o.names
	if len(list) == 0 {
		// A constant, not the machine's own, so that the same command gives the same image.
		list = []string{"linux/amd64"}
	}
	var out []v1.Platform
	for _, name := range list {
		p, err := v1.ParsePlatform(name)
		if err != nil || p.OS != "linux" || p.Architecture == "" {
			return nil, &usageError{msg: fmt.Sprintf("--platform %s is not of the form linux/ARCH", name)}
		}
		if known := dist.Architectures(); !slices.Contains(known, p.Architecture) {
			e := &usageError{msg: fmt.Sprintf("--platform %s: there is no architecture %s", name, p.Architecture), hint: "want " + oneOf(known)}
			if near := nearest(p.Architecture, known); near != "" {
				e.hint = "did you mean linux/" + near + "?"
			}
			return nil, e
		}
		if p.Architecture == "arm64" && p.Variant == "v8" {
			p.Variant = "" // every arm64 is; many an index does not say so
		}
		for _, other := range out {
			if other.Equals(*p) {
				return nil, &usageError{msg: "--platform " + name + " is given twice"}
			}
		}
		out = append(out, *p)
	}
	return out, nil
}

// containerOptions are what the user decides about the container.
type containerOptions struct {
	port, workers           int
	portGiven, workersGiven bool
	user                    string
	userGiven               bool
	env, labels, annotation []string // KEY=VALUE
	entrypoint              []string
}

func (o *containerOptions) bind(s *flagSet) {
	o.port, o.workers, o.user = serving.DefaultPort, 1, serving.DefaultUser
	s.number(&o.port, "port", "listen on `PORT`")
	s.given(&o.portGiven, "port")
	s.number(&o.workers, "workers", "run `N` processes")
	s.given(&o.workersGiven, "workers")
	s.text(&o.user, "user", "run as `UID:GID`")
	s.given(&o.userGiven, "user")
	s.list(&o.env, "env", "set the environment variable `KEY=VALUE`")
	s.list(&o.entrypoint, "entrypoint", "run `WORD` instead of the server; once for each word of the command")
	s.list(&o.labels, "label", "add the label `KEY=VALUE`")
	s.list(&o.annotation, "annotation", "add the annotation `KEY=VALUE`")
}

// container is what containerOptions say, understood. It is read before anything is fetched, so that a
// typing mistake costs no minutes.
type container struct {
	choices             serving.Choices
	labels, annotations map[string]string
}

// latest is the last second of the last year that a time in a configuration (RFC 3339) can name. Go would
// write a year of five digits, which no reader takes.
const latest = 253402300799

// container reads the options, with the code that goes with the model and SOURCE_DATE_EPOCH.
func (a *app) container(o containerOptions, serve string, codePaths []string) (container, error) {
	r := &pairReader{}
	out := container{labels: r.pairs("label", o.labels), annotations: r.pairs("annotation", o.annotation)}
	env := r.pairs("env", o.env)
	for _, n := range []struct {
		name  string
		value int
		given bool
	}{{"port", o.port, o.portGiven}, {"workers", o.workers, o.workersGiven}} {
		switch {
		case !n.given:
		case serve == string(serving.None):
			r.usage("--%s has no meaning with --serve none: there is no server", n.name)
		case n.value == 0: // which would be taken for the default
			r.usage("--%s must be at least 1", n.name)
		}
	}
	created, err := a.sourceDate()
	if err := errors.Join(append(r.errs, err)...); err != nil {
		return out, err
	}
	kind, err := serving.ParseKind(serve)
	if err != nil {
		return out, &usageError{msg: err.Error()}
	}
	out.choices = serving.Choices{
		Kind: kind, ExtraCode: len(codePaths) > 0, Port: o.port, Workers: o.workers, User: o.user,
		Env: env, Entrypoint: o.entrypoint, Created: created,
	}
	// What the contract makes of the values is not known yet; whether they can be used is.
	if err := out.choices.Check(); err != nil {
		return out, &usageError{msg: err.Error()}
	}
	return out, nil
}

// sourceDate is SOURCE_DATE_EPOCH (reproducible-builds.org), zero where it is not set.
func (a *app) sourceDate() (time.Time, error) {
	text := a.env("SOURCE_DATE_EPOCH")
	if text == "" {
		return time.Time{}, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 || seconds > latest {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is not a number of seconds between 0 and %d", int64(latest))
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// pairReader reads KEY=VALUE, and collects what is wrong.
type pairReader struct{ errs []error }

func (r *pairReader) usage(format string, args ...any) {
	r.errs = append(r.errs, &usageError{msg: fmt.Sprintf(format, args...)})
}

func (r *pairReader) pairs(flag string, list []string) map[string]string {
	out := map[string]string{}
	for i, text := range list {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			// The text is not shown: it may be a value whose key was forgotten.
			r.usage("--%s number %d is not of the form KEY=VALUE", flag, i+1)
		}
		out[key] = value
	}
	return out
}

// packageNames normalizes names that a flag lists.
func packageNames(list []string) []pep508.Name {
	var out []pep508.Name
	for _, n := range list {
		out = append(out, pep508.NormalizeName(n))
	}
	return out
}

// texts are names as plain texts.
func texts(names []pep508.Name) []string {
	var out []string
	for _, n := range names {
		out = append(out, string(n))
	}
	return out
}
