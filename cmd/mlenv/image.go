package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"mlenv/imagebuild/layer"
)

func imageCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "image",
		Usage:     "build and push the image that serves a model",
		ArgsUsage: "MODEL",
		Description: "Builds an OCI image of MODEL: a base image, a virtual environment of locked wheels, and the\n" +
			"model, and sends it to where --push, --output and --load say. Nothing is executed: no daemon,\n" +
			"no Python and no root are needed. The same model gives the same digest on any machine.\n" +
			"Prints where it went, nothing else, on stdout: the reference with the digest, or with --load the\n" +
			"name and tag that docker run takes.",
		Flags:  slicesOf(sinkFlags(), servingFlags(), lockUseFlags(), baseFlags(), layerFlags(), lockFlags(), inputFlags()),
		Action: a.image,
	}
}

func sinkFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "push", Usage: "push to `REGISTRY/NAME:TAG` (repeatable)"},
		&cli.StringSliceFlag{Name: "output", Aliases: []string{"o"}, Usage: "write `oci:DIR`, oci-tar:FILE or docker-tar:FILE (repeatable)"},
		&cli.BoolFlag{Name: "load", Usage: "load into the running Docker or podman: that of DOCKER_HOST or CONTAINER_HOST, else the first socket found", DisableDefaultText: true},
		&cli.StringFlag{Name: "name", Usage: "call the image `NAME:TAG` in tarballs and engines (default: as pushed, else the model directory's name)"},
		choiceFlag("format", "what is printed on stdout", "text", "json"),
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "say nothing of how it goes on", DisableDefaultText: true},
		strictFlag(),
	}
}

func lockUseFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "lock", Usage: "install exactly what the lock `FILE` says, resolving nothing"},
		&cli.BoolFlag{Name: "locked", Usage: "fail if the lock does not fit the model any more", DisableDefaultText: true},
	}
}

func layerFlags() []cli.Flag {
	return []cli.Flag{
		choiceFlag("compression", "how layers are made; splice takes over the wheels' own compression", "splice", "gzip", "zstd"),
		&cli.StringFlag{Name: "max-layer-size", Usage: "split layers of more than `SIZE`", Value: "8GiB"},
		&cli.IntFlag{Name: "jobs", Usage: "make and send `N` layers at once", Value: 4},
	}
}

// imageFlags are the flags of image that are read at once.
type imageFlags struct {
	servingValues
	compression layer.Compression
	maxLayer    int64
	jobs        int
}

func (a *app) readImageFlags(c *cli.Context) (f imageFlags, err error) {
	var errs [3]error
	f.servingValues, errs[0] = a.readServingFlags(c)
	f.compression = map[string]layer.Compression{"splice": layer.Splice, "gzip": layer.Gzip, "zstd": layer.Zstd}[c.String("compression")]
	if !c.IsSet("max-layer-size") {
		f.maxLayer = 0 // the same size, but a larger file is let through with a warning
	} else if f.maxLayer, err = parseSize(c.String("max-layer-size")); err != nil {
		errs[1] = &usageError{msg: "--max-layer-size: " + err.Error(), command: c.Command.Name}
	}
	if f.jobs = c.Int("jobs"); f.jobs < 1 {
		errs[2] = &usageError{msg: "--jobs must be at least 1", command: c.Command.Name}
	}
	return f, errors.Join(errs[:]...)
}

var sizeText = regexp.MustCompile(`^(\d+)\s*(?:([kKmMgGtT])(i?)[bB]?|[bB])?$`)

// parseSize reads "500MB", "8GiB", "8G" (as GiB) or a number of bytes.
func parseSize(text string) (int64, error) {
	m := sizeText.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("%q is no size such as 500MB or 8GiB", text)
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

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// imageName gives the name of the image where nobody gave one: that of the model's directory.
func imageName(model string) (string, error) {
	abs, err := filepath.Abs(model)
	if err != nil {
		return "", err
	}
	if filepath.Base(abs) == "MLmodel" {
		abs = filepath.Dir(abs)
	}
	name := strings.Trim(notInName.ReplaceAllString(strings.ToLower(path.Base(filepath.ToSlash(abs))), "-"), "-")
	if name == "" {
		name = "model"
	}
	return name, nil
}

// image runs the command: from the model to every sink.
func (a *app) image(c *cli.Context) (err error) {
	flags, err := a.readImageFlags(c)
	if err != nil {
		return err
	}
	if a.env("GOGC") == "" {
		// Many small values live for long here: the names of all files. Collecting twice as often
		// as Go does by default saves a third of the memory and costs no time that could be measured.
		debug.SetGCPercent(50)
	}
	run := &imageRun{app: a, c: c, flags: flags, progress: a.newProgress(c.Bool("quiet"))}
	defer run.progress.close()
	if run.in, err = a.readInputs(c); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, run.in.Close()) }()
	if err := run.findSinks(); err != nil {
		return err
	}
	return run.do(c.Context)
}

// isStale tells that remembered layers turned out to be wrong.
func isStale(err error) bool { return errors.Is(err, layer.ErrChanged) }

func (r *imageRun) do(ctx context.Context) error {
	if err := r.prepare(ctx); err != nil {
		if exitCode(err) == exitFindings && r.c.String("format") == "json" {
			return errors.Join(r.printReport("", nil), err)
		}
		return err
	}
	built, err := r.build(ctx, false)
	if err != nil {
		return err
	}
	sent, err := r.send(ctx, built)
	if isStale(err) {
		// What was remembered of a layer does not agree with what it is made of: the cache was
		// tampered with. Nothing was tagged; do it again without believing the cache.
		r.progress.say("the cache is not to be trusted; building anew")
		if err = errors.Join(built.close(), r.reopenBases(ctx)); err != nil {
			return err
		}
		if built, err = r.build(ctx, true); err != nil {
			return err
		}
		sent, err = r.send(ctx, built)
	}
	err = errors.Join(err, built.close())
	r.progress.close()
	if err == nil || len(sent) > 0 {
		// What was sent stays where it is, whatever became of the other sinks.
		err = errors.Join(r.print(built, sent), err)
	}
	return err
}
