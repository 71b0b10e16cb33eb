package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"text/template"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/urfave/cli/v2"

	"mlenv/imagebuild/base"
	"mlenv/render"
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

func dockerfileCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "dockerfile",
		Usage:     "write a build context for docker, BuildKit, buildah or Kaniko",
		ArgsUsage: "MODEL",
		Description: "Writes a directory that 'docker build' makes the image of MODEL from: a Dockerfile, the lock,\n" +
			"the model, its code and its wheels. For what only running a build can give: conda packages,\n" +
			"source distributions, system packages. -o - prints the Dockerfile alone.",
		Flags: slicesOf([]cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "mlenv-dockerfile", Usage: "write the build context to `DIR`, or the Dockerfile alone to - (stdout)"},
			&cli.StringFlag{Name: "installer", Usage: "install by uv, pip or conda (default: conda if the model needs conda packages, else uv)"},
			&cli.StringFlag{Name: "template", Usage: "use your own template `FILE`, or a DIR of them"},
			&cli.BoolFlag{Name: "no-lock", Usage: "leave the choice of versions to the installer", DisableDefaultText: true},
			&cli.StringFlag{Name: "lock", Usage: "install exactly what the lock `FILE` says, resolving nothing"},
			&cli.StringFlag{Name: "conda-lock", Usage: "install the conda packages of the explicit lock `FILE`"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print errors alone", DisableDefaultText: true},
			&cli.BoolFlag{Name: "verbose", Usage: "print every step", DisableDefaultText: true},
			strictFlag(),
		}, servingFlags(), baseFlags(), lockFlags(), inputFlags()),
		Action: a.dockerfile,
	}
}

// dockerfileRun is one run of the dockerfile command.
type dockerfileRun struct {
	*app
	c      *cli.Context
	in     *inputs
	out    render.Input
	lock   *pylock.Lock
	dir    string // to which the lock's paths are relative
	show   *lockProgress
	wheels []string // local wheels that the context needs
}

func (a *app) dockerfile(c *cli.Context) (err error) {
	flags, err := a.readServingFlags(c)
	if err != nil {
		return err
	}
	r := &dockerfileRun{app: a, c: c, show: a.lockProgress(c)}
	defer r.show.end()
	if r.in, err = a.readInputs(c); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.in.Close()) }()
	if err := a.reportForLock(c, r.in.Spec.Findings); err != nil {
		return err
	}
	if err := r.prepare(c.Context, flags); err != nil {
		return err
	}
	tmpl, name, err := ownTemplate(c.String("template"))
	if err != nil {
		return err
	}
	r.show.end()
	if c.String("output") == "-" {
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
	if err := r.writeContext(c.String("output"), files); err != nil {
		return err
	}
	r.show.say("wrote %s; build it with: DOCKER_BUILDKIT=1 docker build %s", c.String("output"), c.String("output"))
	return nil
}

// prepare gathers all that the Dockerfile depends on.
func (r *dockerfileRun) prepare(ctx context.Context, flags servingValues) (err error) {
	spec := r.in.Spec
	r.out = render.Input{Spec: spec, ModelCode: len(r.in.Model.Code) > 0, ExtraCode: len(r.c.StringSlice("code-paths")) > 0}
	if r.out.Installer, err = render.ParseInstaller(r.c.String("installer"), spec); err != nil {
		return &usageError{msg: err.Error(), command: r.c.Command.Name}
	}
	if len(spec.Conda.Packages) > 0 && r.out.Installer != render.Conda {
		return &usageError{msg: fmt.Sprintf("the model needs conda packages, which %s cannot install", r.out.Installer),
			hint: "use --installer conda", command: r.c.Command.Name}
	}
	if r.out.Title, err = imageName(r.in.Path); err != nil {
		return err
	}
	request := lockRequest{Inputs: r.withoutSources(), Dir: r.in.dir(), Warn: r.show.warn}
	digest, err := r.findBase(ctx, &request)
	if err != nil {
		return err
	}
	if err := r.findIndexes(); err != nil {
		return err
	}
	if err := r.findLock(ctx, request); err != nil {
		return err
	}
	if file := r.c.String("conda-lock"); file != "" {
		if r.out.CondaExplicit, err = readCondaLock(file); err != nil {
			return err
		}
	}
	contract, err := r.in.contract(r.c, flags, r.lock)
	if err != nil {
		return err
	}
	r.out.Runtime = contract.Runtime
	facts := contract.Facts
	facts.BaseName, facts.BaseDigest, _ = strings.Cut(r.out.Base, "@")
	facts.BaseDigest = digest
	if r.lock != nil {
		sum := sha256.Sum256(pylock.Format(r.lock))
		facts.LockDigest = "sha256:" + hex.EncodeToString(sum[:])
	}
	for _, v := range serving.Labels(facts) {
		if _, own := flags.labels[v.Name]; !own {
			r.out.Labels = append(r.out.Labels, v)
		}
	}
	for _, name := range sortedKeys(flags.labels) {
		r.out.Labels = append(r.out.Labels, serving.Var{Name: name, Value: flags.labels[name]})
	}
	return nil
}

// withoutSources is the model less what comes as source, which only building can resolve.
func (r *dockerfileRun) withoutSources() *inputs {
	in, spec := *r.in, *r.in.Spec
	spec.Requirements = render.WithoutSources(r.in.Spec)
	in.Spec = &spec
	return &in
}

// findBase names the base, pinned by digest where its registry can be asked, and fills in the
// targets to lock for.
func (r *dockerfileRun) findBase(ctx context.Context, request *lockRequest) (digest string, err error) {
	ref, python := r.c.String("base"), r.in.Spec.Python.Version.String()
	if ref == "host" || base.IsFile(ref) {
		return "", &usageError{msg: "--base " + ref + " is nothing that a Dockerfile can build on", hint: "name an image of a registry", command: r.c.Command.Name}
	}
	switch {
	case ref != "":
		r.out.Base = ref
	case r.out.Installer == render.Conda:
		r.out.Base = condaBase
	case python == "":
		return "", errNoPython
	default:
		r.out.Base = "python:" + python + "-slim"
	}
	if r.out.Installer == render.Conda {
		return r.pinBase(ctx)
	}
	wanted, err := platforms(r.c)
	if err != nil {
		return "", err
	}
	for _, p := range wanted {
		var b *openedBase
		if !r.c.Bool("offline") {
			if b, err = r.openBase(ctx, ref, python, p); err != nil && ref != "" {
				return "", err
			}
		}
		if b == nil {
			r.show.warn(fmt.Sprintf("no registry could be asked for %s: it is not pinned by its digest", r.out.Base))
			if err := r.plainTarget(request, p); err != nil {
				return "", err
			}
			continue
		}
		if err := r.reportForLock(r.c, b.Findings); err != nil {
			return "", err
		}
		t, err := b.Base.Target()
		if err != nil {
			return "", err
		}
		request.Targets = append(request.Targets, t)
		request.BaseName, request.BaseDigest = b.Name, b.Digest
		if digest = b.Digest; ref == "" {
			r.out.Base = b.Name
		}
	}
	if digest != "" && !strings.Contains(r.out.Base, "@") {
		r.out.Base += "@" + digest
	}
	return digest, nil
}

// plainTarget locks for a platform whose base could not be looked into.
func (r *dockerfileRun) plainTarget(request *lockRequest, p v1.Platform) error {
	if r.in.Spec.Python.Version.IsZero() {
		return errNoPython
	}
	t, err := dist.NewTarget(p.OS, p.Architecture, r.in.Spec.Python.Version, "")
	if err != nil {
		return err
	}
	request.Targets = append(request.Targets, t)
	return nil
}

// pinBase pins a base without looking into it: micromamba's has no Python yet.
func (r *dockerfileRun) pinBase(ctx context.Context) (string, error) {
	if strings.Contains(r.out.Base, "@") || r.c.Bool("offline") {
		return "", nil
	}
	digest, err := r.remote().Digest(ctx, r.out.Base)
	if err != nil {
		if r.c.String("base") != "" {
			return "", err
		}
		r.show.warn(fmt.Sprintf("no registry could be asked for %s: it is not pinned by its digest", r.out.Base))
		return "", nil
	}
	r.out.Base += "@" + digest
	return digest, nil
}

// findIndexes tells the installer which indexes the lock was made from, without credentials.
func (r *dockerfileRun) findIndexes() error {
	settings, err := r.indexSettings(r.c, r.in.Spec)
	if err != nil {
		return err
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
	for _, where := range settings.FindLinks {
		if strings.HasPrefix(where, "http://") || strings.HasPrefix(where, "https://") {
			r.out.FindLinks = append(r.out.FindLinks, clean(where))
		}
	}
	return nil
}

// findLock reads or makes the lock, and that of the installer itself.
func (r *dockerfileRun) findLock(ctx context.Context, request lockRequest) (err error) {
	if r.c.Bool("no-lock") || r.out.Installer == render.Conda {
		for _, p := range render.LocalWheels(r.in.Spec) {
			r.wheels = append(r.wheels, filepath.Join(r.in.dir(), filepath.FromSlash(p)))
		}
		r.out.LocalWheels = len(r.wheels) > 0
		return nil
	}
	if request.Client, err = r.indexClient(r.c, r.in.Spec, r.show.event); err != nil {
		return err
	}
	if file := r.c.String("lock"); file != "" {
		if r.lock, _, err = readLock(file); err == nil && r.lock == nil {
			err = &os.PathError{Op: "reading the lock", Path: file, Err: fs.ErrNotExist}
		}
		r.dir = filepath.Dir(file)
	} else {
		r.lock, err = r.lockModel(ctx, r.c, request)
		r.dir = request.Dir
	}
	if err != nil {
		return err
	}
	r.wheels = localFiles(r.lock, r.dir)
	r.out.Lock, r.out.LocalWheels = r.lock, len(r.wheels) > 0
	if r.out.Installer == render.UV && len(request.Targets) > 0 {
		if r.out.InstallerLock, err = r.lockUV(ctx, request.Client, request.Targets); err != nil {
			return fmt.Errorf("locking uv, which installs the packages: %w", err)
		}
	}
	return nil
}

// lockUV pins the installer, so that not even that may change between two builds.
func (r *dockerfileRun) lockUV(ctx context.Context, client *index.Client, targets []dist.Target) (*pylock.Lock, error) {
	cutoff, err := parseCutoff(r.c)
	if err != nil {
		return nil, err
	}
	return lock.Solve(ctx, client, lock.Problem{
		Roots:   []lock.Root{{Requirement: pep508.Requirement{Name: "uv", Spelling: "uv"}, From: []string{"installer uv"}}},
		Targets: targets, Limits: lock.Limits{Cutoff: cutoff}, Dir: "/",
	})
}

// localFiles lists the files that a lock has by path.
func localFiles(l *pylock.Lock, dir string) []string {
	var out []string
	add := func(p string) {
		if p == "" {
			return
		}
		if p = filepath.FromSlash(p); !filepath.IsAbs(p) {
			p = filepath.Join(dir, p)
		}
		out = append(out, p)
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
// to run, "" for the installer's.
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
	return nil, fmt.Errorf("%s is no explicit conda lock: it has no line @EXPLICIT", file)
}
