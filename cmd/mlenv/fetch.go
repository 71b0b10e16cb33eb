package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"mlenv/render/printable"
	"mlenv/resolve/fetch"
	"mlenv/resolve/index"
	"mlenv/resolve/model"
)

// fetchCommandOptions are the flags of fetch.
type fetchCommandOptions struct {
	fetch fetchOptions
	key   keyOptions
	out   outputOptions
}

func fetchCommand(a *app) *cli.Command {
	s, o := &flagSet{}, &fetchCommandOptions{}
	s.on(&o.out.quiet, "quiet, q", "no progress output")
	o.fetch.bind(s)
	o.key.bind(s)
	a.bindNetwork(s)
	return &cli.Command{
		Name:      "fetch",
		Usage:     "download a model",
		ArgsUsage: "URI [DIR]",
		Description: "Downloads the files of the model that URI names to DIR, which must be empty or not exist (default:\n" +
			"the model's name), and prints DIR. Other commands take the URI itself. A download that breaks off\n" +
			"is kept where the server can prove that its files are still the same; the same command goes on.",
		Flags:  s.flags,
		Action: s.action(func(ctx context.Context, args []string) error { return a.fetch(ctx, args, o) }),
	}
}

func (a *app) fetch(ctx context.Context, args []string, o *fetchCommandOptions) error {
	switch {
	case len(args) == 0:
		return &usageError{msg: "URI is missing"}
	case len(args) > 2:
		return &usageError{msg: fmt.Sprintf("fetch takes one URI and one DIR, but there is also %q", args[2])}
	case fetch.Scheme(args[0]) == "":
		return &usageError{msg: fmt.Sprintf("%q is not a URI such as models:/NAME/VERSION", fetch.Shown(args[0]))}
	}
	show := a.lockProgress(o.out)
	defer show.end()
	show.doing = "fetching"
	a.say, o.fetch.quiet = show.say, o.out.quiet
	o.fetch.progress = func(e fetch.Event) {
		if !e.Done {
			show.event(index.Event{Kind: index.FileBytes, Name: e.File, Bytes: e.Bytes, Total: max(0, e.Total)})
		}
	}
	settings, err := a.fetchSettings(o.fetch)
	if err != nil {
		return err
	}
	dir, err := "", error(nil)
	if len(args) == 2 {
		dir = args[1]
	} else if dir, err = a.fetchDir(ctx, args[0], settings); err != nil {
		return err
	}
	source, err := fetch.Download(ctx, args[0], dir, settings)
	show.end()
	if err != nil {
		if errors.Is(err, fetch.ErrUnfinished) {
			show.warn("the same command goes on with what is in " + dir)
		}
		return err
	}
	// The directory is not named on stdout, so that no script goes on with it.
	_, found, err := o.key.verify(model.Files(os.DirFS(dir)))
	if err != nil {
		return err
	}
	if len(found) > 0 {
		return fmt.Errorf("%s is not to be used: %s", dir, found[0].Message)
	}
	if text := resolvedText(*source); text != "" {
		show.say("%s", text)
	}
	_, err = fmt.Fprintln(a.stdout, printable.Line(filepath.ToSlash(dir)))
	return err
}

// fetchDir is the directory for a model where none is named: it has the model's name.
func (a *app) fetchDir(ctx context.Context, uri string, settings fetch.Options) (string, error) {
	at, err := fetch.Locate(ctx, uri, settings)
	if err != nil {
		return "", err
	}
	at.URI = fetch.Shown(uri)
	return imageName(at.Source)
}
