package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/urfave/cli/v2"

	"mlenv/imagebuild/base"
	"mlenv/render"
	"mlenv/resolve"
	"mlenv/resolve/dist"
	"mlenv/resolve/envfile"
	"mlenv/resolve/index"
	"mlenv/resolve/lock"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
	"mlenv/resolve/serving"
)

// condaBase is where micromamba comes from; it is Debian's current release below it.
const condaBase = "mambaorg/micromamba:2-debian12-slim"

// dockerfileOptions are the flags of dockerfile.
type dockerfileOptions struct {
	model     modelOptions
	lock      lockOptions
	base      baseOptions
	container containerOptions
	out       outputOptions

	output    string
	installer string
	template  string
	noLock    bool
	lockFile  string
	condaLock string
}

func dockerfileCommand(a *app) *cli.Command {
	s, o := &flagSet{}, &dockerfileOptions{output: "mlenv-dockerfile"}
	s.text(&o.output, "output, o", "write the build context to `DIR`, or the Dockerfile alone to - (stdout)")
	s.text(&o.installer, "installer", "install by uv, pip or conda (default: conda if the model needs conda packages, else uv)")
	s.text(&o.template, "template", "use your own template `FILE`, or a DIR of them")
	s.on(&o.noLock, "no-lock", "leave the choice of versions to the installer")
	s.text(&o.lockFile, "lock", "install exactly what the lock `FILE` says, resolving nothing")
	s.text(&o.condaLock, "conda-lock", "install the conda packages of the explicit lock `FILE`")
	o.out.bind(s)
	o.container.bind(s)
	o.base.bind(s)
	o.lock.bind(s, &o.model.index)
	o.model.bind(s, "dockerfile")
	a.bindNetwork(s)
	return &cli.Command{
		Name:      "dockerfile",
		Usage:     "write a build context for docker, BuildKit, buildah or Kaniko",
		ArgsUsage: "MODEL",
		Description: "Writes a directory that 'docker build' makes the image of MODEL from: a Dockerfile, the lock,\n" +
			"the model, its code and its wheels. For what only running a build can give: conda packages,\n" +
			"source distributions, system packages. -o - prints the Dockerfile alone.",
		Flags:  s.flags,
		Action: s.action(func(ctx context.Context, args []string) error { return a.dockerfile(ctx, args, o) }),
	}
}

// dockerfileRun is one run of the dockerfile command.
type dockerfileRun struct {
	*app
	o       *dockerfileOptions
	in      *inputs
	client  *index.Client
	bases   []*base.Found // none where none could be looked into
	targets []dist.Target
	out     render.Input
	lock    *pylock.Lock
	dir     string // to which the lock's paths are relative
	show    *lockProgress
}

func (a *app) dockerfile(ctx context.Context, args []string, o *dockerfileOptions) (err error) {
	box, err := a.container(o.container, o.lock.serve, o.model.codePaths)
	if err != nil {
		return err
	}
	a.verbose = o.out.verbose
	r := &dockerfileRun{app: a, o: o, show: a.lockProgress(o.out)}
	defer r.show.end()
	a.say = r.show.say
	if err := o.out.read(&o.model); err != nil {
		return err
	}
	if r.in, err = o.model.open(ctx, a, args); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.in.Close()) }()
	if err := a.reportForLock(o.out, r.in.Spec.Findings); err != nil {
		return err
	}
	if err := r.prepare(ctx, box); err != nil {
		return err
	}
	tmpl, name, err := ownTemplate(o.template)
	if err != nil {
		return err
	}
	r.show.end()
	if o.output == "-" {
		data, err := render.Dockerfile(r.out, tmpl, name)
		if err == nil {
			_, err = a.stdout.Write(data)
		}
		return err
	}
	files, err := render.Context(r.out, tmpl, name)
	if err != nil {
		return err
	}
	if err := r.writeContext(o.output, files); err != nil {
		return err
	}
	flags := ""
	if render.NeedsSSH(r.in.Spec) {
		flags = "--ssh default "
	}
	r.show.say("wrote %s; build it with: DOCKER_BUILDKIT=1 docker build %s%s", o.output, flags, o.output)
	return nil
}

// prepare gathers all that the Dockerfile depends on. Nothing is looked up when it is written, so that a
// failure leaves no half of a build context behind.
func (r *dockerfileRun) prepare(ctx context.Context, box container) (err error) {
	spec := r.in.Spec
	r.out = render.Input{Spec: spec}
	if r.out.Copies, err = r.copies(); err != nil {
		return err
	}
	if r.out.Installer, err = render.ParseInstaller(r.o.installer, spec); err != nil {
		return &usageError{msg: err.Error()}
	}
	if len(spec.Conda.Packages) > 0 && r.out.Installer != render.Conda {
		return &usageError{msg: fmt.Sprintf("the model needs conda packages, which %s cannot install", r.out.Installer),
			hint: "use --installer conda"}
	}
	if r.out.Title, err = imageName(r.in.opened.Source); err != nil {
		return err
	}
	digest, err := r.findBase(ctx)
	if err != nil {
		return err
	}
	if err := r.findIndexes(); err != nil {
		return err
	}
	if err := r.findLock(ctx); err != nil {
		return err
	}
	if file := r.o.condaLock; file != "" {
		if r.out.CondaExplicit, err = readCondaLock(file); err != nil {
			return err
		}
	}
	contract, err := serving.ForModel(r.in.Model, spec, r.lock, box.choices)
	if err != nil {
		return err
	}
	r.out.Runtime = contract.Runtime
	r.label(contract.Facts, digest, box.labels)
	return nil
}

// label adds the labels of the image: what they say of the model, the base and the lock, and the
// user's own, which win.
func (r *dockerfileRun) label(facts serving.Facts, digest string, own map[string]string) {
	facts.BaseName, facts.BaseDigest = r.baseName(), digest
	if r.lock != nil {
		sum := sha256.Sum256(pylock.Format(r.lock))
		facts.LockDigest = "sha256:" + hex.EncodeToString(sum[:])
	}
	for _, v := range serving.Labels(facts) {
		if _, ok := own[v.Name]; !ok {
			r.out.Labels = append(r.out.Labels, v)
		}
	}
	for _, name := range sortedKeys(own) {
		r.out.Labels = append(r.out.Labels, serving.Var{Name: name, Value: own[name]})
	}
}

// baseName is the full name of the base, or, where it could not be looked into, the one in FROM.
func (r *dockerfileRun) baseName() string {
	if name, _ := base.Recorded(r.bases); name != "" {
		return name
	}
	name, _, _ := strings.Cut(r.out.Base, "@")
	return name
}

// findBase names the base, pinned by digest where its registry can be asked, and finds the targets
// to lock for. It gives the digest that labels tell: the platform's, as an image has it, or of
// several platforms the index's.
func (r *dockerfileRun) findBase(ctx context.Context) (digest string, err error) {
	ref, python := r.o.base.ref, r.in.Spec.Python.Version
	if ref == "host" || base.IsFile(ref) {
		return "", &usageError{msg: "--base " + ref + " is nothing that a Dockerfile can build on", hint: "name an image of a registry"}
	}
	switch {
	case ref != "":
		r.out.Base = ref
	case r.out.Installer == render.Conda:
		r.out.Base = condaBase
	case python.IsZero():
		return "", base.ErrNoPython
	default:
		r.out.Base = base.DefaultRef(python.String())
	}
	if r.out.Installer == render.Conda {
		return r.pinBase(ctx)
	}
	if !r.o.model.index.offline {
		bases, findings, err := r.openBases(ctx, r.o.base, python)
		if err != nil && ref != "" {
			return "", err
		}
		r.bases = bases
		if err := r.reportForLock(r.o.out, findings); err != nil {
			return "", err
		}
	}
	if len(r.bases) == 0 {
		r.show.warn(fmt.Sprintf("no registry could be asked for %s: it is not pinned by its digest", r.out.Base))
		r.targets, err = defaultTargets(r.o.base, python, "")
		return "", err
	}
	first := r.bases[0]
	if ref == "" {
		r.out.Base = first.Name
	}
	if !strings.Contains(r.out.Base, "@") {
		r.out.Base += "@" + first.Named
	}
	r.targets = base.Targets(r.bases)
	if _, digest = base.Recorded(r.bases); digest == "" {
		digest = first.Named
	}
	return digest, nil
}

// pinBase pins a base without looking into it: micromamba's has no Python yet.
func (r *dockerfileRun) pinBase(ctx context.Context) (string, error) {
	if strings.Contains(r.out.Base, "@") || r.o.model.index.offline {
		return "", nil
	}
	digest, err := r.remote().Digest(ctx, r.out.Base)
	if err != nil {
		if r.o.base.ref != "" {
			return "", err
		}
		r.show.warn(fmt.Sprintf("no registry could be asked for %s: it is not pinned by its digest", r.out.Base))
		return "", nil
	}
	r.out.Base += "@" + digest
	return digest, nil
}

// findIndexes tells the installer which indexes the lock was made from, without credentials. A Dockerfile
// is kept in version control; the build gets them as a secret, which is in no layer.
func (r *dockerfileRun) findIndexes() error {
	var own []string // the indexes of some packages alone
	if file := r.o.lockFile; file != "" {
		if given, _, err := readLock(file); err == nil && given != nil { // else findLock says what is wrong
			r.o.model.index.keep(given)
			for _, x := range given.Tool.Indexes {
				own = append(own, x.URL)
			}
		}
	}
	settings, err := r.indexSettings(r.o.model.index, r.in)
	if err != nil {
		return err
	}
	for _, a := range settings.Assigned {
		own = append(own, a.Index)
	}
	clean := func(url string) string {
		url, _ = envfile.StripCredentials(url)
		return url
	}
	for i, url := range settings.Indexes {
		switch {
		case i < len(settings.Indexes)-1:
			r.out.ExtraIndexes = append(r.out.ExtraIndexes, clean(url))
		case !index.IsDefault(url):
			r.out.Index = clean(url)
		}
	}
	if len(own) > 0 && r.o.noLock {
		return &usageError{msg: "--no-lock leaves the choice to pip or uv, which would take any package from the index of --index or --torch-backend"}
	}
	for _, url := range own {
		// pip looks for the locked files; uv has their URLs.
		if url = clean(url); r.out.Installer == render.Pip && !slices.Contains(r.out.ExtraIndexes, url) {
			r.out.ExtraIndexes = append(r.out.ExtraIndexes, url)
		}
	}
	for _, where := range settings.FindLinks {
		if strings.HasPrefix(where, "http://") || strings.HasPrefix(where, "https://") {
			r.out.FindLinks = append(r.out.FindLinks, clean(where))
		}
	}
	return nil
}

// findLock reads or makes the lock, and that of the installer itself.
func (r *dockerfileRun) findLock(ctx context.Context) (err error) {
	if r.o.noLock || r.out.Installer == render.Conda {
		for _, p := range render.LocalWheels(r.in.Spec) {
			r.out.Copies.Wheels = append(r.out.Copies.Wheels, fileTree(filepath.Join(r.in.dir(), filepath.FromSlash(p))))
		}
		return nil
	}
	if r.client, err = r.indexClient(r.o.model.index, r.in, r.show.event); err != nil {
		return err
	}
	if file := r.o.lockFile; file != "" {
		r.dir = r.in.lockDir(file)
		if r.lock, _, err = mustReadLock(file); err == nil {
			err = errors.Join(r.o.lock.olderThan(r.lock, r.targets), lock.ForBackend(r.lock, r.o.model.index.torch))
		}
	} else {
		r.dir = r.in.dir()
		var needs []pep508.Requirement
		r.lock, needs, err = r.o.lock.solveBuilding(ctx, lockRequest{
			in: r.withoutSources(), client: r.client, index: r.o.model.index, targets: r.targets, bases: r.bases, dir: r.dir, warn: r.show.warn,
		})
		r.out.Build = r.toBuild(needs)
	}
	if err != nil {
		return err
	}
	if err := r.loadable(ctx); err != nil {
		return err
	}
	for _, file := range localFiles(r.lock, r.dir, r.in.dir()) {
		r.out.Copies.Wheels = append(r.out.Copies.Wheels, fileTree(file))
	}
	r.out.Lock = r.lock
	if r.out.Installer == render.UV && len(r.targets) > 0 {
		if r.out.InstallerLock, err = r.lockUV(ctx); err != nil {
			return fmt.Errorf("locking uv, which installs the packages: %w", err)
		}
	}
	return nil
}

// loadable makes sure that the base has the C library that the wheels need which nobody has checked.
func (r *dockerfileRun) loadable(ctx context.Context) error {
	err := lock.Loadable(ctx, r.client, r.lock, r.dir, r.targets)
	if errors.As(err, new(*index.OfflineError)) {
		r.show.warn(fmt.Sprintf("%v; whether the base's C library is new enough for it is not known", err))
		return nil
	}
	return err
}

// toBuild gives the requirements of packages that are published as source only: the model's own as it
// has them, with their hashes, and those of packages.
func (r *dockerfileRun) toBuild(needs []pep508.Requirement) []resolve.Requirement {
	var out []resolve.Requirement
	for _, n := range needs {
		want := resolve.Requirement{Name: n.Name, Extras: n.Extras, Specifier: n.Specifier}
		for _, own := range r.in.Spec.Requirements {
			if own.Name == n.Name {
				want.Hashes = append(want.Hashes, own.Hashes...)
			}
		}
		out = append(out, want)
	}
	return out
}

// withoutSources is the model less what comes as source, which only building can resolve.
func (r *dockerfileRun) withoutSources() *inputs {
	in, spec := *r.in, *r.in.Spec
	spec.Requirements = render.WithoutSources(r.in.Spec)
	in.Spec = &spec
	return &in
}

// lockUV pins the installer, so that not even that may change between two builds. It is locked for the same
// platforms and from the same indexes as the model's packages, which a closed network may not leave.
func (r *dockerfileRun) lockUV(ctx context.Context) (*pylock.Lock, error) {
	cutoff, err := parseCutoff(r.o.lock.newer)
	if err != nil {
		return nil, err
	}
	return lock.Solve(ctx, r.client, lock.Problem{
		Roots:   []lock.Root{{Requirement: pep508.Requirement{Name: "uv", Spelling: "uv"}, From: []string{"installer uv"}}},
		Targets: r.targets, Limits: lock.Limits{Cutoff: cutoff}, Dir: "/",
	})
}

// localFiles lists the files that a lock has by path, from its directory or in that of the model.
func localFiles(l *pylock.Lock, dir, model string) []string {
	var out []string
	add := func(p string) {
		if p != "" {
			out = append(out, pylock.Locate(p, dir, model))
		}
	}
	for _, p := range l.Packages {
		if p.Archive != nil {
			add(p.Archive.Path)
		}
		for _, w := range p.Wheels {
			add(w.Path)
		}
	}
	return out
}

// ownTemplate parses the built-in templates and those of --template; the name is that of the one
// to run, "" for the installer's. A file is run in the place of the installer's, and may call its parts;
// of a directory, the templates that it has replace the built-in ones of the same name.
func ownTemplate(file string) (*template.Template, string, error) {
	if file == "" {
		t, err := render.Templates(nil)
		return t, "", err
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, "", err
	}
	if info.IsDir() {
		t, err := render.Templates(os.DirFS(file))
		return t, "", err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, "", err
	}
	t, err := render.Templates(nil)
	if err == nil {
		t, err = t.New(path.Base(filepath.ToSlash(file))).Parse(string(data))
	}
	if err != nil {
		return nil, "", fmt.Errorf("reading --template: %w", err)
	}
	return t, t.Name(), nil
}

func readCondaLock(file string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(data)) {
		if strings.TrimSpace(line) == "@EXPLICIT" {
			return data, nil
		}
	}
	return nil, fmt.Errorf("%s is not an explicit conda lock: it has no line @EXPLICIT", file)
}
