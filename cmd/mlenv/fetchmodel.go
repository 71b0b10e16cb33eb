package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"mlenv/resolve/fetch"
	"mlenv/resolve/fetch/bucket"
	"mlenv/resolve/secret"
)

// fetchOptions say where models that are named by a URI come from.
type fetchOptions struct {
	tracking secret.Text
	progress func(fetch.Event) // nil: nothing is told
	quiet    bool              // do not say what a URI stands for
}

func (o *fetchOptions) bind(s *flagSet) {
	s.secret(&o.tracking, "tracking-uri", "look for models:/ and runs:/ URIs on the MLflow server at `URI` (default: MLFLOW_TRACKING_URI)")
}

// fetchSettings are MLflow's own settings, with those of the command line.
func (a *app) fetchSettings(o fetchOptions) (fetch.Options, error) {
	world := fetch.Environment{Env: a.env, ReadFile: os.ReadFile, ReadDir: os.ReadDir, Home: a.env("HOME"), Tracking: o.tracking.Reveal()}
	out, err := fetch.Configure(world)
	if err != nil {
		return out, err
	}
	out.UserAgent, out.Sleep, out.Progress = userAgent(), a.sleep, o.progress
	if a.networkTimeout > 0 {
		out.Timeout = time.Duration(a.networkTimeout) * time.Second
	}
	out.Stores = bucket.Stores(bucket.Outside{Environment: world, Now: a.clock}, out)
	dir, err := a.cache()
	if err == nil {
		out.Memory = dir.Fetched()
		out.Dir, err = dir.Models()
	}
	if err != nil {
		return out, fmt.Errorf("making room for the model: %w", err)
	}
	return out, nil
}

// openModel opens what a path or a URI names.
func (a *app) openModel(ctx context.Context, name string, o fetchOptions) (*fetch.Opened, error) {
	if fetch.Scheme(name) == "" {
		return fetch.Open(ctx, name, fetch.Options{})
	}
	settings, err := a.fetchSettings(o)
	if err != nil {
		return nil, err
	}
	opened, err := fetch.Open(ctx, name, settings)
	if text := ""; err == nil && !o.quiet {
		if text = resolvedText(opened.Source); text != "" {
			a.tell("%s", text)
		}
	}
	return opened, err
}

// tell prints a line beside the progress of the command, if there is one.
func (a *app) tell(format string, args ...any) {
	if a.say != nil {
		a.say(format, args...)
		return
	}
	a.console().print(format, args...)
}

// resolvedText says what a URI stands for at this moment, "" where it says that itself.
func resolvedText(s fetch.Source) string {
	text := ""
	add := func(what, value string) {
		if value != "" {
			text += ", " + what + value
		}
	}
	add("logged model ", s.ModelID)
	add("run ", s.RunID)
	add("at ", s.Root)
	switch {
	case s.Name != "":
		return fmt.Sprintf("%s is version %s of %s%s", s.URI, s.Version, s.Name, text)
	case text != "":
		return s.URI + " is " + text[2:]
	}
	return ""
}
