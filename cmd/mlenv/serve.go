package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"mlenv/imagebuild/engine"
	"mlenv/imagebuild/image"
	"mlenv/imagebuild/sink"
	"mlenv/resolve/fetch"
	"mlenv/resolve/model"
	"mlenv/resolve/pattern"
	"mlenv/resolve/serving"
)

// serveOptions are the flags of serve.
type serveOptions struct {
	image   imageOptions // for a MODEL, whose image is built
	port    int
	network string
	env     []string
	smoke   smokeOptions
}

func serveCommand(a *app) *cli.Command {
	s, o := &flagSet{}, &serveOptions{}
	o.smoke.bind(s)
	s.number(&o.port, "port", "answer on this `PORT` of the loopback interface, 0 for a free one")
	s.list(&o.env, "env", "set the environment variable `KEY=VALUE`, or hand on KEY from here")
	s.text(&o.network, "network", "run in the engine's network `NAME`, such as host (default: its own, with the port published)")
	o.image.bindBuild(s)
	return &cli.Command{
		Name:      "serve",
		Usage:     "run a model's image on this machine's Docker or podman, or try it out",
		ArgsUsage: "MODEL|IMAGE",
		Description: "Builds the image of MODEL, or takes IMAGE (a name that the engine knows, a registry's REFERENCE,\n" +
			"oci:DIR, oci-tar:FILE or docker-tar:FILE), loads it into the running Docker or podman, starts it\n" +
			"and prints its address; its log goes to stderr. Ctrl-C stops and removes the container.\n" +
			"With --smoke it waits for /ping, sends the model's own serving example and every --request,\n" +
			"prints the answers, and ends: with 2 where the model does not answer, answers with an error, or\n" +
			"answers otherwise than --expect says.",
		Flags:  s.flags,
		Action: s.action(func(ctx context.Context, args []string) error { return a.serve(ctx, args, o) }),
	}
}

// bindBuild declares the flags of a build whose image is for the engine of this machine alone.
func (o *imageOptions) bindBuild(s *flagSet) {
	o.layers = layerOptions{jobs: 4, compression: "splice", manifest: "oci", compile: compileNot}
	o.container = containerOptions{port: serving.DefaultPort, workers: 1, user: serving.DefaultUser}
	o.sinks.load, o.format = true, "text"
	s.on(&o.out.quiet, "quiet, q", "no progress output, and no log of the container")
	s.text(&o.lockFile, "lock", "install exactly what the lock `FILE` says, resolving nothing")
	o.base.bind(s)
	o.lock.bind(s, &o.model.index)
	o.model.bind(s, "serve")
}

// serveRun is one run of the command.
type serveRun struct {
	*app
	o      *serveOptions
	daemon sink.Daemon
	run    engine.Run
	tests  []smokeTest
}

func (a *app) serve(ctx context.Context, args []string, o *serveOptions) error {
	arg, err := oneArgument(args, "serve", "MODEL or IMAGE")
	if err != nil {
		return err
	}
	r := &serveRun{app: a, o: o, run: engine.Run{Port: o.port, Network: o.network, Inside: serving.DefaultPort}}
	if r.run.Env, err = a.handedOn(o.env); err != nil {
		return err
	}
	if r.tests, err = o.smoke.read(); err != nil {
		return err
	}
	if r.daemon, err = a.engine(ctx); err != nil {
		return err
	}
	if err := r.findImage(ctx, arg); err != nil {
		return err
	}
	c, err := engine.Start(ctx, r.daemon, r.run)
	if err != nil {
		return err
	}
	log := &lastLines{}
	if !o.image.out.quiet && !o.smoke.on {
		log.also = a.stderr
	}
	err = r.attended(ctx, c, log)
	// Whatever became of it, nothing stays behind: also after Ctrl-C.
	last := context.WithoutCancel(ctx)
	return errors.Join(err, c.Stop(last, stopGrace), c.Remove(last))
}

// stopGrace is how long a container may take to end, in seconds.
const stopGrace = 10

// handedOn gives the variables of --env: KEY alone has the value that it has here.
func (a *app) handedOn(list []string) ([]string, error) {
	var out []string
	for _, text := range list {
		if key, _, ok := strings.Cut(text, "="); key == "" {
			return nil, &usageError{msg: fmt.Sprintf("--env %q is not of the form KEY=VALUE or KEY", text)}
		} else if !ok {
			value, set := a.lookup(key)
			if !set {
				return nil, &usageError{msg: "--env " + key + ": there is no such variable here"}
			}
			text = key + "=" + value
		}
		out = append(out, text)
	}
	return out, nil
}

// attended does what the command is for while the container runs.
func (r *serveRun) attended(ctx context.Context, c *engine.Container, log *lastLines) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	alive, ended := context.WithCancelCause(ctx)
	defer ended(nil)
	logs := make(chan error, 1)
	go func() { logs <- c.Logs(ctx, log) }() // which ends when the container does
	go func() {
		if code, err := c.Wait(ctx); err == nil {
			ended(&endedError{code})
		}
	}()
	if !r.o.smoke.on {
		if _, err := fmt.Fprintln(r.stdout, c.Address); err != nil {
			return err
		}
		err := <-logs
		if err == nil {
			<-alive.Done()
			err = context.Cause(alive)
		}
		return err
	}
	err := r.smoke(alive, c)
	if err == nil || exitCode(err) != exitFindings {
		return err
	}
	// The end of the log says why. An engine may be behind with it while the container runs, so that the
	// container is stopped first: after that the log has an end.
	if stopErr := c.Stop(ctx, stopGrace); stopErr != nil {
		err = errors.Join(err, stopErr)
	} else {
		untilLogged(ctx, logs)
	}
	r.console().print("%s", "the container's log ends with:\n"+log.text())
	return err
}

// untilLogged waits for the end of a stopped container's log, but not for ever: an engine that keeps it
// open must not hold up a pipeline whose answer is known.
func untilLogged(ctx context.Context, logs <-chan error) {
	bound, cancel := context.WithTimeout(ctx, stopGrace*time.Second)
	defer cancel()
	select {
	case <-logs:
	case <-bound.Done():
	}
}

// hasEnded reports whether it is the container that has ended, rather than the command that was stopped.
func hasEnded(alive context.Context) bool {
	var ended *endedError
	return errors.As(context.Cause(alive), &ended)
}

// endedError says that a container has ended by itself.
type endedError struct{ code int }

func (e *endedError) Error() string {
	return fmt.Sprintf("the container has ended by itself, with exit code %d", e.code)
}

// findImage makes sure that the engine has the image, and finds what it is asked for.
func (r *serveRun) findImage(ctx context.Context, arg string) error {
	if isModel(arg) {
		return r.buildImage(ctx, arg)
	}
	if !image.IsFile(arg) {
		port, found, err := engine.Find(ctx, r.daemon, arg)
		if err != nil {
			return err
		}
		if found && (!r.o.smoke.on || len(r.tests) > 0) {
			r.run.Image, r.run.Inside = arg, port
			return nil
		}
	}
	img, err := image.Open(ctx, arg, nil, r.remote())
	if err != nil {
		return err
	}
	shape, err := img.Shape()
	if err != nil {
		return err
	}
	r.run.Inside = shape.Port
	if r.o.smoke.on {
		contents, err := image.Read(img)
		if err != nil {
			return fmt.Errorf("reading %s: %w", arg, err)
		}
		if contents.Model != nil {
			m, err := model.Read(contents.Model)
			if err != nil {
				return sideErrors(arg, err)
			}
			if err := r.example(m); err != nil {
				return err
			}
		}
	}
	r.run.Image = "mlenv/" + imageTagOf(nameOf("", arg))
	_, err = r.daemon.Load(r.run.Image).Send(ctx, sink.Artifact{Image: img.Image})
	return err
}

func imageTagOf(name string) string {
	return strings.Trim(notInName.ReplaceAllString(strings.ToLower(name), "-"), "-") + ":served"
}

// namedAsScheme is an image whose name alone could be a URI's scheme, with its tag: "s3:1".
var namedAsScheme = pattern.New(`^[a-z0-9]+(?:-[a-z0-9]+)*:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

// isModel tells a model, a directory or a URI, from an image, where a command takes both.
func isModel(arg string) bool {
	if image.IsFile(arg) {
		return false
	}
	if _, err := os.Stat(arg); err == nil {
		return true
	}
	return fetch.Scheme(arg) != "" && !namedAsScheme.MatchString(arg)
}

// buildImage builds the image of a model and loads it.
func (r *serveRun) buildImage(ctx context.Context, arg string) error {
	opened, err := r.openModel(ctx, arg, r.o.image.model.fetch)
	if err != nil {
		return err
	}
	name, err := imageName(opened.Source)
	if r.o.smoke.on {
		err = errors.Join(err, r.example(opened.Model))
	}
	if err := errors.Join(err, opened.Close()); err != nil {
		return err
	}
	r.run.Image = "mlenv/" + imageTagOf(name)
	r.o.image.sinks.name = r.run.Image
	quiet := *r.app
	quiet.stdout = io.Discard // where the image is, is not what this command prints
	return quiet.image(ctx, []string{arg}, &r.o.image)
}

// example adds the model's own example, where it has one, before all other requests.
func (r *serveRun) example(m *model.Model) error {
	if m.ServingExample == "" {
		return nil
	}
	body, err := fs.ReadFile(m.FS, m.ServingExample)
	if err != nil {
		return err
	}
	first := smokeTest{name: m.ServingExample, body: body}
	if len(r.o.smoke.requests) == 0 && len(r.tests) > 0 { // an --expect without a --request
		first.expect, r.tests = r.tests[0].expect, nil
	}
	r.tests = append([]smokeTest{first}, r.tests...)
	return nil
}

// lastLines keeps the end of a container's log, and may copy all of it. Why a server did not start is in its
// last lines; the whole log of one that ran for a day is not to be kept.
type lastLines struct {
	also io.Writer // nil: nobody
	mu   sync.Mutex
	kept []byte
}

// keptBytes is how much of a log is kept.
const keptBytes = 4096

func (l *lastLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept = append(l.kept, p...); len(l.kept) > keptBytes {
		l.kept = bytes.Clone(l.kept[len(l.kept)-keptBytes:])
	}
	if l.also != nil {
		return l.also.Write(p)
	}
	return len(p), nil
}

func (l *lastLines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.TrimRight(string(l.kept), "\n")
}
