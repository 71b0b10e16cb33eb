package main

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"mlenv/resolve/cache"

	"mlenv/resolve/secret"
)

// cacheCommand shows and empties the directory in which everything that is remembered lies.
func cacheCommand(a *app) *cli.Command {
	s, days := &flagSet{}, 30
	s.number(&days, "days", "keep what was used in the last `N` days")
	none := &flagSet{}
	return &cli.Command{
		Name:  "cache",
		Usage: "show or empty the cache",
		Description: "The cache holds index pages, package metadata, downloaded packages, layers of base images, and\n" +
			"notes on what was built and pushed. It lies in MLENV_CACHE_DIR, else in mlenv in the user's\n" +
			"cache directory. Losing it costs time and changes no result.",
		Subcommands: []*cli.Command{
			{
				Name:   "dir",
				Usage:  "print the cache's directory",
				Action: none.action(func(_ context.Context, args []string) error { return a.cacheDirectory(args) }),
			},
			{
				Name:  "prune",
				Usage: "remove what was not used lately",
				Description: "Removes index pages that were not confirmed in the last N days, and packages, metadata, layers\n" +
					"of base images and notes that were not used in them; what interrupted runs left a day ago or\n" +
					"more; and what older versions of mlenv kept in formats that are no longer read. Other commands\n" +
					"may run meanwhile. Files that are not mlenv's stay.",
				Flags:  s.flags,
				Action: s.action(func(_ context.Context, args []string) error { return a.pruneCache(args, days) }),
			},
			{
				Name:  "clean",
				Usage: "remove everything that is remembered",
				Description: "Removes all of the cache but what another command is writing just now. Files that are not\n" +
					"mlenv's stay.",
				Action: none.action(func(_ context.Context, args []string) error { return a.cleanCache(args) }),
			},
		},
		Action: none.action(func(_ context.Context, args []string) error {
			if len(args) > 0 {
				return &usageError{msg: fmt.Sprintf("cache has no command %q", secret.URL(args[0]))}
			}
			return &usageError{msg: "cache needs one of dir, prune, clean"}
		}),
	}
}

func (a *app) cacheDirectory(args []string) error {
	dir, err := a.cacheArguments("dir", args)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, dir)
	return err
}

func (a *app) pruneCache(args []string, days int) error {
	dir, err := a.cacheArguments("prune", args)
	if err != nil {
		return err
	}
	if days < 0 {
		return &usageError{msg: fmt.Sprintf("--days %d is negative", days)}
	}
	now := time.Now()
	removed, err := cache.Open(dir, nil).Prune(now, now.AddDate(0, 0, -days))
	return a.reportRemoved(removed, err)
}

func (a *app) cleanCache(args []string) error {
	dir, err := a.cacheArguments("clean", args)
	if err != nil {
		return err
	}
	removed, err := cache.Open(dir, nil).Clean()
	return a.reportRemoved(removed, err)
}

// cacheArguments gives the cache's directory to a command that takes no arguments.
func (a *app) cacheArguments(command string, args []string) (string, error) {
	if len(args) > 0 {
		return "", &usageError{msg: fmt.Sprintf("cache %s takes no argument, but there is %q", command, secret.URL(args[0]))}
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
