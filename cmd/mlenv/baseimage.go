package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"mlenv/imagebuild/base"
	"mlenv/imagebuild/image"
	"mlenv/resolve/finding"
	"mlenv/resolve/pep440"
)

// openBases finds a base for every platform that was asked for.
func (a *app) openBases(ctx context.Context, o baseOptions, python pep440.Version) ([]*base.Found, finding.List, error) {
	return a.findBases(ctx, o, python, nil)
}

// findBases is openBases with another memo than that of the cache.
func (a *app) findBases(ctx context.Context, o baseOptions, python pep440.Version, m base.Memo) ([]*base.Found, finding.List, error) {
	wanted, err := o.platforms()
	if err != nil {
		return nil, nil, err
	}
	dir, err := a.cache()
	if err != nil {
		return nil, nil, err
	}
	return base.Find(ctx, base.Request{Ref: o.ref, Python: python, Platforms: wanted}, base.Options{
		Remote: a.remote(), Cache: dir, Memo: m, HostDirs: a.pythonDirs(),
	})
}

// pythonDirs are where this machine may have its Pythons: on the PATH, in the usual places, and
// among pyenv's and uv's.
func (a *app) pythonDirs() []string {
	dirs := filepath.SplitList(a.env("PATH"))
	dirs = append(dirs, "/usr/local/bin", "/usr/bin")
	var patterns []string
	if root := a.env("PYENV_ROOT"); root != "" {
		patterns = append(patterns, filepath.Join(root, "versions/*/bin"))
	}
	if home := a.env("HOME"); home != "" {
		patterns = append(patterns, filepath.Join(home, ".pyenv/versions/*/bin"), filepath.Join(home, ".local/share/uv/python/*/bin"))
	}
	for _, p := range append(patterns, "/opt/python/*/bin") {
		found, err := filepath.Glob(p)
		if err != nil {
			continue // a home directory whose name is a malformed pattern has no Pythons for us
		}
		dirs = append(dirs, found...)
	}
	return dirs
}

// remote is how registries are spoken to.
func (a *app) remote() image.Remote {
	return image.Remote{
		Keychain: a.keychain(), Transport: a.registryTransport(), UserAgent: userAgent(),
		Timeout: time.Duration(max(0, a.networkTimeout)) * time.Second,
		Backoff: a.backoff, Sleep: a.sleep, OnWait: a.waits,
	}
}

// longWait is a wait that is worth a word: without one, the command would seem to hang.
const longWait = 5 * time.Second

// waits tells that a server asked for a pause. Several goroutines may call it.
func (a *app) waits(host string, d time.Duration) {
	say := a.say
	if say == nil {
		say = a.console().print
	}
	if d >= longWait {
		say("waiting %s, as %s asks", d.Round(time.Second), host)
	}
}

// registryTransport trusts the certificates that Docker and podman are told to trust.
func (a *app) registryTransport() *image.CertTransport {
	dirs := []string{"/etc/containers/certs.d", "/etc/docker/certs.d"}
	if home := a.env("HOME"); home != "" {
		dirs = append([]string{filepath.Join(home, ".config/containers/certs.d"), filepath.Join(home, ".docker/certs.d")}, dirs...)
	}
	next := a.transport
	if next == nil {
		next = remote.DefaultTransport
	}
	return &image.CertTransport{Dirs: dirs, Next: next}
}
