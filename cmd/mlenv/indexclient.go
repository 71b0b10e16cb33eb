package main

import (
	"os"
	"runtime"

	"github.com/urfave/cli/v2"

	"mlenv/resolve"
	"mlenv/resolve/index"
)

// indexClient gives the client of the package indexes that flags, model, environment and pip's own
// configuration name, in this order of strength.
func (a *app) indexClient(c *cli.Context, spec *resolve.Spec, progress func(index.Event)) (*index.Client, error) {
	settings, err := a.indexSettings(c, spec)
	if err != nil {
		return nil, err
	}
	if settings.CacheDir, err = a.cacheDir(); err != nil {
		return nil, err
	}
	settings.Strategy = index.Strategy(c.String("index-strategy"))
	settings.Offline = settings.Offline || c.Bool("offline")
	settings.Progress = progress
	settings.UserAgent = userAgent()
	settings.Sleep = a.sleep
	return index.New(settings)
}

// indexSettings tells which indexes those are.
func (a *app) indexSettings(c *cli.Context, spec *resolve.Spec) (index.Settings, error) {
	var secrets []string
	for _, s := range spec.Secrets {
		secrets = append(secrets, s.Reveal())
	}
	return index.Configure(index.Sources{
		Secrets: secrets,
		Flags: index.Options{
			IndexURL:       c.String("index-url"), // with the credentials that the Spec has lost
			ExtraIndexURLs: c.StringSlice("extra-index-url"),
			FindLinks:      c.StringSlice("find-links"),
			NoIndex:        c.Bool("no-index"),
		},
		Model: index.Options{
			IndexURL:       spec.PackageIndex.IndexURL,
			ExtraIndexURLs: spec.PackageIndex.ExtraIndexURLs,
			FindLinks:      spec.PackageIndex.FindLinks,
			NoIndex:        spec.PackageIndex.NoIndex,
			TrustedHosts:   spec.PackageIndex.TrustedHosts,
		},
		Env: a.env, ReadFile: os.ReadFile, Home: a.env("HOME"), OS: runtime.GOOS,
	})
}
