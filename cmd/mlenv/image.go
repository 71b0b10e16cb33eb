package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"mlenv/imagebuild"
	"mlenv/imagebuild/compile"
	"mlenv/imagebuild/layer"
	"mlenv/resolve/fetch"
	"mlenv/resolve/pattern"
)

// imageOptions are the flags of image.
type imageOptions struct {
	model     modelOptions
	lock      lockOptions
	base      baseOptions
	container containerOptions
	sinks     sinkOptions
	layers    layerOptions
	memo      memoOptions
	attach    attachOptions
	out       outputOptions

	target   string
	format   string
	lockFile string
	locked   bool
}

// sinkOptions say where an image goes.
type sinkOptions struct {
	push   []string
	output []string
	load   bool
	name   string // in tarballs and engines
}

// layerOptions say how layers are made.
type layerOptions struct {
	manifest      string
	manifestGiven bool
	compression   string
	maxSize       string
	maxGiven      bool
	jobs          int
	compile       string
}

func imageCommand(a *app) *cli.Command {
	s, o := &flagSet{}, &imageOptions{layers: layerOptions{maxSize: "8GiB", jobs: 4}}
	s.list(&o.sinks.push, "push", "push to `REGISTRY/NAME:TAG`")
	s.list(&o.sinks.output, "output, o", "write `oci:DIR`, oci-tar:FILE or docker-tar:FILE")
	s.on(&o.sinks.load, "load", "load into the running Docker or podman: that of DOCKER_HOST or CONTAINER_HOST, else the first socket found")
	s.text(&o.sinks.name, "name", "call the image `NAME:TAG` in tarballs and engines (default: as pushed, else the registered model's or the directory's name)")
	s.oneOf(&o.format, "format", "what is printed on stdout", "text", "json")
	s.on(&o.out.quiet, "quiet, q", "no progress output")
	bindTarget(s, &o.target, "build for the `PLATFORM`, with what it wants, and refuse what it would")
	o.out.bindGate(s)
	o.container.bind(s)
	s.text(&o.lockFile, "lock", "install exactly what the lock `FILE` says, resolving nothing")
	s.on(&o.locked, "locked", "fail if the lock does not fit the model any more")
	o.base.bind(s)
	s.oneOf(&o.layers.compression, "compression", "how layers are made; splice takes over the wheels' own compression", "splice", "gzip", "zstd")
	s.oneOf(&o.layers.manifest, "manifest", "write manifests as the OCI or as Docker (schema 2) has them, of the same blobs", "oci", "docker")
	s.given(&o.layers.manifestGiven, "manifest")
	s.optional(&o.layers.compile, "compile", "add compiled modules, for a start in half the time: runs the base's Python, confined, to compile and not to import; "+
		"--compile=unconfined where the kernel cannot confine it", compileNot, compileConfined, compileUnconfined)
	s.text(&o.layers.maxSize, "max-layer-size", "split layers of more than `SIZE`")
	s.given(&o.layers.maxGiven, "max-layer-size")
	s.number(&o.layers.jobs, "jobs", "make and send `N` layers at once")
	o.memo.bind(s)
	o.attach.bind(s)
	o.lock.bind(s, &o.model.index)
	o.model.bind(s, "image")
	o.model.key.bind(s)
	a.bindNetwork(s)
	return &cli.Command{
		Name:      "image",
		Usage:     "build and push the image that serves a model",
		ArgsUsage: "MODEL",
		Description: "Builds an OCI image of MODEL: a base image, a virtual environment of locked wheels, and the\n" +
			"model, and sends it to where --push, --output and --load say. No daemon, no Python and no root\n" +
			"are needed, and nothing is executed unless --compile asks for it. The same model gives the same\n" +
			"digest on any machine. Prints where it went, nothing else, on stdout: the reference with the\n" +
			"digest, or with --load the name and tag that docker run takes.",
		Flags:  s.flags,
		Action: s.action(func(ctx context.Context, args []string) error { return a.image(ctx, args, o) }),
	}
}

// layering is what layerOptions say, understood. All of it is part of what decides about the digest, but
// for jobs.
type layering struct {
	manifest    imagebuild.Manifest
	compression layer.Compression
	compile     string
	compilers   []*compile.Compiler // one for each platform, where modules are compiled
	max         int64               // bytes; 0: the default, over which a larger file is let through with a warning
	jobs        int
}

func (o *layerOptions) read() (l layering, err error) {
	var errs [3]error
	l.compression = map[string]layer.Compression{"splice": layer.Splice, "gzip": layer.Gzip, "zstd": layer.Zstd}[o.compression]
	l.compile = o.compile
	if o.manifest == "docker" {
		l.manifest = imagebuild.Docker
		if l.compression == layer.Zstd {
			errs[2] = &usageError{msg: "--compression zstd: a Docker manifest has no name for such layers"}
		}
	}
	if o.maxGiven {
		if l.max, err = parseSize(o.maxSize); err != nil {
			errs[0] = &usageError{msg: "--max-layer-size: " + err.Error()}
		}
	}
	if l.jobs = o.jobs; l.jobs < 1 {
		errs[1] = &usageError{msg: "--jobs must be at least 1"}
	}
	return l, errors.Join(errs[:]...)
}

var sizeText = pattern.New(`^(\d+)\s*(?:([kKmMgGtT])(i?)[bB]?|[bB])?$`)

// parseSize reads "500MB", "8GiB", "8G" (as GiB) or a number of bytes. "8G" is what registries and Docker
// write for 8 GiB.
func parseSize(text string) (int64, error) {
	m := sizeText.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("%q is not a size such as 500MB or 8GiB", text)
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	unit := int64(1)
	if m[2] != "" {
		step := int64(1024)
		if m[3] == "" && strings.ContainsAny(text, "bB") {
			step = 1000
		}
		for range strings.Index("kmgt", strings.ToLower(m[2])) + 1 {
			unit *= step
		}
	}
	if err != nil || n < 1 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is out of range", text)
	}
	return n * unit, nil
}

var notInName = pattern.New(`[^a-z0-9]+`)

// imageName gives the name of the image where nobody gave one: the registered model's, else that of the
// model's directory, or the last part of its URI. A name of an image has small letters, digits and few
// signs between them; all else becomes a dash.
func imageName(s fetch.Source) (string, error) {
	name := s.URI
	switch {
	case s.Name != "":
		name = s.Name
	case fetch.Scheme(name) == "":
		abs, err := filepath.Abs(name)
		if err != nil {
			return "", err
		}
		if name = abs; filepath.Base(abs) == "MLmodel" {
			name = filepath.Dir(abs)
		}
	}
	name = strings.Trim(notInName.ReplaceAllString(strings.ToLower(path.Base(filepath.ToSlash(name))), "-"), "-")
	if name == "" {
		name = "model"
	}
	return name, nil
}

// image runs the command: from the model to every sink. What can be known to fail is found out first, and
// the cheaper before the dearer: flags, the model, the sinks, the base, the index, and only then the bytes.
func (a *app) image(ctx context.Context, args []string, o *imageOptions) (err error) {
	run := &imageRun{app: a, o: o}
	if run.target, err = readTarget(o.target); err != nil {
		return err
	}
	if run.target != nil {
		o.preset(run.target)
	}
	run.box, err = a.container(o.container, o.lock.serve, o.model.codePaths)
	var layerErr error
	run.layers, layerErr = o.layers.read()
	if run.layers.manifest == imagebuild.Docker && len(o.container.annotation) > 0 {
		layerErr = errors.Join(layerErr, &usageError{msg: "--annotation: a Docker manifest has no place for annotations"})
	}
	if err := errors.Join(err, layerErr, o.memo.check()); err != nil {
		return err
	}
	if run.attaching, err = run.attacher(); err != nil {
		return err
	}
	if a.env("GOGC") == "" {
		// Many small values live for long here: the names of all files. Collecting twice as often
		// as Go does by default saves a third of the memory and costs no time that could be measured.
		debug.SetGCPercent(50)
	}
	run.progress = a.newProgress(o.out.quiet)
	defer run.progress.close()
	run.besides.set(run.progress.tell)
	a.say = run.besides.say
	o.model.fetch.progress = run.progress.model
	if err := o.out.read(&o.model); err != nil {
		return err
	}
	if run.in, err = o.model.open(ctx, a, args); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, run.in.Close(), run.closeCompilers()) }()
	if err := run.findSinks(ctx); err != nil {
		return err
	}
	if err := run.checkSinks(ctx); err != nil {
		return err
	}
	if err := run.openMemos(ctx); err != nil {
		return err
	}
	return run.do(ctx)
}
