package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"mlenv/imagebuild/layer"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pylock"
	"mlenv/resolve/serving"
)

func servingFlags() []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{Name: "port", Usage: "listen on `PORT`", Value: serving.DefaultPort},
		&cli.IntFlag{Name: "workers", Usage: "run `N` processes", Value: 1},
		&cli.StringFlag{Name: "user", Usage: "run as `UID:GID`", Value: serving.DefaultUser},
		&cli.StringSliceFlag{Name: "env", Usage: "set the environment variable `KEY=VALUE` (repeatable)"},
		&cli.StringSliceFlag{Name: "entrypoint", Usage: "run `WORD` instead of the server; once for each word of the command (repeatable)"},
		&cli.StringSliceFlag{Name: "label", Usage: "add the label `KEY=VALUE` (repeatable)"},
		&cli.StringSliceFlag{Name: "annotation", Usage: "add the annotation `KEY=VALUE` (repeatable)"},
	}
}

// servingValues are the values of servingFlags.
type servingValues struct {
	env, labels, annotations map[string]string
	created                  time.Time // SOURCE_DATE_EPOCH, zero if not set
}

// latest is the last second of the last year that a time in a configuration (RFC 3339) can name.
const latest = 253402300799

func (a *app) readServingFlags(c *cli.Context) (f servingValues, err error) {
	var errs []error
	usage := func(format string, args ...any) {
		errs = append(errs, &usageError{msg: fmt.Sprintf(format, args...), command: c.Command.Name})
	}
	pairs := func(name string) map[string]string {
		out := map[string]string{}
		for _, text := range c.StringSlice(name) {
			key, value, ok := strings.Cut(text, "=")
			if !ok || key == "" {
				usage("--%s %q is not of the form KEY=VALUE", name, text)
			}
			out[key] = value
		}
		return out
	}
	f.env, f.labels, f.annotations = pairs("env"), pairs("label"), pairs("annotation")
	for _, name := range []string{"port", "workers"} {
		switch {
		case !c.IsSet(name):
		case c.String("serve") == string(serving.None):
			usage("--%s has no meaning with --serve none: there is no server", name)
		case c.Int(name) == 0: // which would be taken for the default
			usage("--%s must be at least 1", name)
		}
	}
	if text := a.env("SOURCE_DATE_EPOCH"); text != "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds < 0 || seconds > latest {
			errs = append(errs, fmt.Errorf("SOURCE_DATE_EPOCH is %q, which is no number of seconds between 0 and %d", text, int64(latest)))
		}
		f.created = time.Unix(seconds, 0).UTC()
	}
	if len(errs) > 0 {
		return f, errors.Join(errs...)
	}
	// What the contract makes of the values is not known yet; whether they can be used is.
	in, err := servingInput(c, f.env)
	if err == nil {
		_, err = serving.New(in)
	}
	if err != nil {
		return f, &usageError{msg: err.Error(), command: c.Command.Name}
	}
	return f, nil
}

// servingInput is what the flags say of how a model is served.
func servingInput(c *cli.Context, env map[string]string) (serving.Input, error) {
	kind, err := serving.ParseKind(c.String("serve"))
	return serving.Input{
		Kind: kind, ExtraCode: len(c.StringSlice("code-paths")) > 0,
		Port: c.Int("port"), Workers: c.Int("workers"), User: c.String("user"),
		Env: env, Entrypoint: c.StringSlice("entrypoint"),
	}, err
}

// runtime is the contract of the container that serves a model, the same for an image and a
// Dockerfile. mlflow is the version that will run.
func (in *inputs) runtime(c *cli.Context, mlflow pep440.Version, env map[string]string) (*serving.Runtime, error) {
	s, err := servingInput(c, env)
	if err != nil {
		return nil, err
	}
	s.MLflowVersion = mlflow
	s.Name, s.Version = in.Model.RegisteredName.Text, in.Model.RegisteredVersion.Text
	for _, code := range in.Model.Code {
		s.Code = append(s.Code, code.Text)
	}
	return serving.New(s)
}

// mlflowVersion is the MLflow that will run: the lock's, else what the model says; zero if nobody
// knows. The lock may be nil.
func (in *inputs) mlflowVersion(l *pylock.Lock) pep440.Version {
	if l != nil {
		for _, p := range l.Packages {
			if p.Name == "mlflow" || p.Name == "mlflow-skinny" {
				return p.Version
			}
		}
	}
	v, err := pep440.Parse(in.Spec.Model.MLflowVersion)
	if err != nil {
		return pep440.Version{} // old models do not say
	}
	return v
}

// created is when the image counts as made: the time that was asked for, else the model's own,
// else a constant, but never now.
func (in *inputs) created(asked time.Time) time.Time {
	if !asked.IsZero() {
		return asked
	}
	for _, form := range []string{"2006-01-02 15:04:05.999999", time.RFC3339Nano, "2006-01-02T15:04:05.999999"} {
		if t, err := time.Parse(form, in.Spec.Model.TimeCreated); err == nil {
			return t.UTC().Truncate(time.Second)
		}
	}
	return layer.Epoch
}

// facts are what the labels say of the model.
func (in *inputs) facts(created time.Time) serving.Facts {
	m := in.Spec.Model
	return serving.Facts{
		Title: in.Model.RegisteredName.Text, Version: in.Model.RegisteredVersion.Text,
		Created: created.Format(time.RFC3339), RunID: m.RunID, ModelID: m.ModelID, Flavors: m.Flavors,
		MLflowVersion: m.MLflowVersion, SpecDigest: in.Spec.Digest,
	}
}
