package gather

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"mlenv/resolve/dist"
	"mlenv/resolve/index"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
)

// Metadata reads the metadata of the wheels that a target would install of a lock. dir is the
// directory of the lock, to which its paths are relative. It leaves out what nobody can read here:
// wheels with a path that is not on this machine, and, if the client is offline, those whose
// metadata is not in the cache. missing are their names, in the order of the lock.
func Metadata(ctx context.Context, client *index.Client, l *pylock.Lock, dir string, t dist.Target) (found map[pep508.Name]*dist.Metadata, missing []pep508.Name, err error) {
	found = map[pep508.Name]*dist.Metadata{}
	picks, _ := l.Choose(t)
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for _, p := range picks {
		group.Go(func() error {
			f, err := listed(ctx, client, p, dir)
			if err != nil {
				return err
			}
			m, err := client.Metadata(ctx, f)
			var offline *index.OfflineError
			var gone *index.NotFoundError
			if errors.As(err, &offline) || p.File.Path != "" && errors.As(err, &gone) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("reading the licence of %s: %w", p.Name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			found[p.Name] = m
			return nil
		})
	}
	err = group.Wait()
	for _, p := range picks {
		if found[p.Name] == nil {
			missing = append(missing, p.Name)
		}
	}
	return found, missing, err
}

// listed returns the file of a pick as the index lists it, for with the hash of its metadata what is
// in the cache is found. Where no index has it, the lock's own words must do.
func listed(ctx context.Context, client *index.Client, p pylock.Pick, dir string) (dist.File, error) {
	if p.Index != "" && p.File.Hashes["sha256"] != "" {
		files, err := client.VersionFiles(ctx, p.Name, p.Version)
		i := slices.IndexFunc(files, func(f dist.File) bool { return f.Filename == p.File.Name && f.SHA256() == p.File.Hashes["sha256"] })
		if err == nil && i >= 0 {
			return files[i], nil
		}
	}
	f, err := dist.NewFile(p.Name, p.File.Name, p.File.URL)
	f.Size, f.Hashes, f.Index, f.HasMetadata = p.File.Size, p.File.Hashes, p.Index, p.Index != ""
	if p.File.Path != "" {
		at := filepath.FromSlash(p.File.Path)
		if !filepath.IsAbs(at) {
			at = filepath.Join(dir, at)
		}
		f.URL = (&url.URL{Scheme: "file", Path: filepath.ToSlash(at)}).String()
	}
	return f, err
}
