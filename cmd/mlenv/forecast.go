package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sync/errgroup"

	"mlenv/imagebuild/base"
	"mlenv/resolve/dist"
	"mlenv/resolve/index"
	"mlenv/resolve/model"
	"mlenv/resolve/pylock"
)

// forecast is what the packages of a lock come to on one platform. Wheels become layers of their own
// size, so that this is nearly what an image will have; the layers are compressed, as it is pushed.
type forecast struct {
	target   dist.Target
	packages int
	download int64 // bytes of the wheels that an index has; some may be in the cache
	local    int64 // bytes of those that lie here
	model    int64 // bytes, before they are compressed
	base     int64 // bytes of its layers; -1: there is no base
	unknown  int   // wheels whose size nobody says
}

// forecaster makes forecasts of a lock.
type forecaster struct {
	lock   *pylock.Lock
	dir    string        // which the paths in the lock start from
	client *index.Client // asked for sizes that the lock does not say; nil: nobody is
	in     *inputs
}

// of makes the forecast for a platform. found is its base, nil where none is known.
func (f forecaster) of(ctx context.Context, t dist.Target, found *base.Found) (forecast, error) {
	out := forecast{target: t, base: -1}
	picks, _ := f.lock.Choose(t)
	out.packages = len(picks)
	sizes := make([]int64, len(picks))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i, p := range picks {
		group.Go(func() (err error) {
			sizes[i], err = f.size(ctx, p)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return out, err
	}
	for i, p := range picks {
		switch {
		case sizes[i] == 0:
			out.unknown++
		case p.File.Path != "":
			out.local += sizes[i]
		default:
			out.download += sizes[i]
		}
	}
	var err error
	if out.model, err = modelSize(model.Files(f.in.Model.FS)); err != nil || found == nil {
		return out, err
	}
	manifest, err := found.Image.Manifest()
	if err != nil {
		return out, err
	}
	out.base = 0
	for _, l := range manifest.Layers {
		out.base += l.Size
	}
	return out, nil
}

// size is how many bytes a wheel has, 0 where nobody says.
func (f forecaster) size(ctx context.Context, p pylock.Pick) (int64, error) {
	if p.File.Path == "" && f.client == nil {
		return p.File.Size, nil
	}
	if p.File.Path == "" {
		return f.client.Size(ctx, dist.File{Filename: p.File.Name, URL: p.File.Address(), Size: p.File.Size, Index: p.Index})
	}
	info, err := os.Stat(pylock.Locate(p.File.Path, f.dir, f.in.dir()))
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// String words it: "linux/amd64: 41 packages, 190.4 MB to download; the image has about 240.1 MB, of
// which the base has 45.2 MB".
func (f forecast) String() string {
	var b strings.Builder
	least := ""
	if f.unknown > 0 {
		least = "at least "
	}
	fmt.Fprintf(&b, "%s: %s, %s%s to download; the image has about ", f.target.Platform(), plural(f.packages, "package"), least, bytesText(f.download))
	all := f.download + f.local + f.model
	if f.base < 0 {
		fmt.Fprintf(&b, "%s%s beside its base", least, bytesText(all))
	} else {
		fmt.Fprintf(&b, "%s%s, of which the base has %s", least, bytesText(all+f.base), bytesText(f.base))
	}
	if f.unknown > 0 {
		fmt.Fprintf(&b, " (without %s of unknown size)", plural(f.unknown, "wheel"))
	}
	return b.String()
}

// bytesText writes a number of bytes in powers of 1000, as registries, pip and disks count them.
func bytesText(n int64) string {
	switch {
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.2f GB", float64(n)/1e9)
}

// forecast prints what a lock comes to on every platform that it was made for.
func (a *app) forecast(ctx context.Context, f forecaster, r lockRequest) error {
	for i, t := range r.targets {
		var found *base.Found
		if i < len(r.bases) {
			found = r.bases[i]
		}
		one, err := f.of(ctx, t, found)
		if err != nil {
			return fmt.Errorf("finding the sizes: %w", err)
		}
		if _, err := fmt.Fprintln(a.stdout, one); err != nil {
			return err
		}
	}
	return nil
}
