package main

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"mlenv/resolve"
	"mlenv/resolve/envfile"
	"mlenv/resolve/finding"
	"mlenv/resolve/index"
	"mlenv/resolve/secret"
)

// onIndex is who is told of the index client's progress; it may change while a command runs, which
// has one client for all that it asks, so that all it sees of an index is of one moment.
type onIndex struct {
	to atomic.Pointer[func(index.Event)]
}

func (o *onIndex) set(f func(index.Event)) { o.to.Store(&f) }

func (o *onIndex) event(e index.Event) {
	if f := o.to.Load(); f != nil {
		(*f)(e)
	}
}

// besides prints beside the progress that is shown at the time, which changes while requests run that
// may have something to say.
type besides struct {
	to atomic.Pointer[func(format string, args ...any)]
}

func (b *besides) set(say func(format string, args ...any)) { b.to.Store(&say) }

func (b *besides) say(format string, args ...any) { (*b.to.Load())(format, args...) }

// indexClient gives the client of the package indexes that flags, model, environment and pip's own
// configuration name, in this order of strength.
func (a *app) indexClient(o indexOptions, in *inputs, progress func(index.Event)) (*index.Client, error) {
	settings, err := a.indexSettings(o, in)
	if err != nil {
		return nil, err
	}
	if settings.CacheDir, err = a.cacheDir(); err != nil {
		return nil, err
	}
	settings.Strategy = index.Strategy(o.strategy)
	settings.Offline = settings.Offline || o.offline
	settings.Progress = func(e index.Event) {
		if e.Kind == index.Waiting {
			a.waits(e.Name, e.Wait)
		} else if progress != nil {
			progress(e)
		}
	}
	if o.maxFile != "" {
		if settings.MaxFile, err = parseSize(o.maxFile); err != nil {
			return nil, &usageError{msg: "--max-file-size: " + err.Error()}
		}
	}
	if a.networkTimeout > 0 {
		settings.Timeout = time.Duration(a.networkTimeout) * time.Second
	}
	settings.UserAgent = userAgent()
	settings.Sleep = a.sleep
	return index.New(settings)
}

// revealed gives texts with their secrets, for the client that sends them.
func revealed(list []secret.Text) []string {
	var out []string
	for _, s := range list {
		out = append(out, s.Reveal())
	}
	return out
}

// direct gives the URLs of packages that the model names, and the command line does not.
func direct(spec *resolve.Spec) []string {
	var out []string
	for _, r := range spec.Requirements {
		if r.URL != "" && !slices.ContainsFunc(r.From, func(o finding.Origin) bool { return o.File == finding.CommandLine }) {
			out = append(out, r.URL)
		}
	}
	return out
}

// modelLinks gives the model's own find-links locations. Those that are paths start from the model's
// directory, wherever the command runs.
func modelLinks(o indexOptions, in *inputs) []string {
	var out []string
	for _, l := range in.Spec.PackageIndex.FindLinks {
		given := slices.ContainsFunc(o.findLinks, func(t secret.Text) bool {
			url, _ := envfile.StripCredentials(t.Reveal())
			return url == l
		})
		switch {
		case given: // the Spec has the command line's too
		case strings.Contains(l, "://") || filepath.IsAbs(l):
			out = append(out, l)
		default:
			out = append(out, filepath.Join(in.dir(), filepath.FromSlash(l)))
		}
	}
	return out
}

// indexSettings tells which indexes those are.
func (a *app) indexSettings(o indexOptions, in *inputs) (index.Settings, error) {
	spec := in.Spec
	assigned, err := o.assigned()
	if err != nil {
		return index.Settings{}, err
	}
	return index.Configure(index.Sources{
		Secrets: revealed(spec.Secrets), Direct: direct(spec),
		// The flags' own URLs, with the credentials that the Spec has lost.
		Flags: index.Options{IndexURL: o.url.Reveal(), ExtraIndexURLs: revealed(o.extra), FindLinks: revealed(o.findLinks), NoIndex: o.noIndex,
			Assigned: assigned, TorchBackend: o.torch},
		Model: index.Options{
			IndexURL:       spec.PackageIndex.IndexURL,
			ExtraIndexURLs: spec.PackageIndex.ExtraIndexURLs,
			FindLinks:      modelLinks(o, in),
			NoIndex:        spec.PackageIndex.NoIndex,
			TrustedHosts:   spec.PackageIndex.TrustedHosts,
		},
		Env: a.env, ReadFile: os.ReadFile, Home: a.env("HOME"), OS: runtime.GOOS,
	})
}
