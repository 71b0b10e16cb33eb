package main

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"mlenv/resolve/cache"
)

// cacheCommand shows and empties the directory in which everything that is remembered lies.
func cacheCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:  "cache",
		Usage: "show or empty the cache",
		Description: "The cache holds index pages, package metadata, downloaded packages and built layers.\n" +
			"It lies in MLENV_CACHE_DIR, else in mlenv in the user's cache directory.",
		Subcommands: []*cli.Command{
			{
				Name:  "dir",
				Usage: "print the cache's directory",
				Action: func(c *cli.Context) error {
					dir, err := a.cacheArguments(c)
					if err != nil {
						return err
					}
					_, err = fmt.Fprintln(a.stdout, dir)
					return err
				},
			},
			{
				Name:  "prune",
				Usage: "remove what is out of date: old pages, remains of interrupted runs, old formats",
				Flags: []cli.Flag{
					&cli.IntFlag{Name: "days", Value: 30, Usage: "keep pages that were confirmed in the last `N` days"},
				},
				Action: func(c *cli.Context) error {
					dir, err := a.cacheArguments(c)
					if err != nil {
						return err
					}
					days := c.Int("days")
					if days < 0 {
						return &usageError{msg: fmt.Sprintf("--days %d is negative", days), command: "cache prune"}
					}
					now := time.Now()
					removed, err := cache.Prune(dir, now, now.AddDate(0, 0, -days))
					return a.reportRemoved(removed, err)
				},
			},
			{
				Name:  "clean",
				Usage: "remove everything that is remembered",
				Action: func(c *cli.Context) error {
					dir, err := a.cacheArguments(c)
					if err != nil {
						return err
					}
					removed, err := cache.Clean(dir)
					return a.reportRemoved(removed, err)
				},
			},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return &usageError{msg: fmt.Sprintf("cache has no command %q", c.Args().First()), command: "cache"}
			}
			return &usageError{msg: "cache needs one of dir, prune, clean", command: "cache"}
		},
	}
}

// cacheArguments gives the cache's directory to a command that takes no arguments.
func (a *app) cacheArguments(c *cli.Context) (string, error) {
	if c.NArg() > 0 {
		return "", &usageError{msg: fmt.Sprintf("cache %s takes no argument, but there is %q", c.Command.Name, c.Args().First()),
			command: "cache " + c.Command.Name}
	}
	return a.cacheDir()
}

func (a *app) reportRemoved(r cache.Removed, err error) error {
	if err != nil {
		return fmt.Errorf("emptying the cache: %w", err)
	}
	_, err = fmt.Fprintf(a.stdout, "removed %s, %.1f MB\n", plural(r.Files, "file"), float64(r.Bytes)/1e6)
	return err
}
