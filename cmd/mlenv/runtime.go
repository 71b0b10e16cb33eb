package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

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
	in, err := choices(c, f)
	if err == nil {
		err = in.Check()
	}
	if err != nil {
		return f, &usageError{msg: err.Error(), command: c.Command.Name}
	}
	return f, nil
}

// choices are what the flags say of the container.
func choices(c *cli.Context, f servingValues) (serving.Choices, error) {
	kind, err := serving.ParseKind(c.String("serve"))
	return serving.Choices{
		Kind: kind, ExtraCode: len(c.StringSlice("code-paths")) > 0,
		Port: c.Int("port"), Workers: c.Int("workers"), User: c.String("user"),
		Env: f.env, Entrypoint: c.StringSlice("entrypoint"), Created: f.created,
	}, err
}

// contract is what the container of the model is like, with a lock or without.
func (in *inputs) contract(c *cli.Context, f servingValues, l *pylock.Lock) (*serving.Contract, error) {
	o, err := choices(c, f)
	if err != nil {
		return nil, err
	}
	return serving.ForModel(in.Model, in.Spec, l, o)
}
