package diff

import (
	"maps"
	"slices"
	"strings"
	"time"

	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
)

// Locks returns the differences between a lock and an older one of the same model: first in what it
// was made for (requires-python, targets, serve, the time that files had to be older than; as far
// as the older lock records it), then in the versions of packages, by name. It does not compare
// files and hashes, because they follow from the versions.
func Locks(old, now *pylock.Lock) []Item {
	var out []Item
	for _, made := range []Item{
		{Name: "requires-python", Old: old.RequiresPython.String(), New: now.RequiresPython.String()},
		{Name: "targets", Old: targets(old), New: targets(now)},
		{Name: "serve", Old: old.Tool.Serve, New: now.Tool.Serve},
		{Name: "exclude-newer", Old: cutoff(old), New: cutoff(now)},
		{Name: "torch-backend", Old: backend(old), New: backend(now)},
	} {
		if made.Change = Changed; made.Old != "" && made.Old != made.New {
			out = append(out, made)
		}
	}
	was, is := versions(old), versions(now)
	names := slices.AppendSeq(slices.Collect(maps.Keys(was)), maps.Keys(is))
	slices.Sort(names)
	for _, n := range slices.Compact(names) {
		item := Item{Name: string(n), Change: Changed, Old: strings.Join(was[n], ", "), New: strings.Join(is[n], ", ")}
		switch {
		case item.Old == item.New:
			continue
		case item.Old == "":
			item.Change = Added
		case item.New == "":
			item.Change = Removed
		}
		out = append(out, item)
	}
	return out
}

// versions returns the versions of each package. A lock for several platforms may have several
// versions of one.
func versions(l *pylock.Lock) map[pep508.Name][]string {
	m := map[pep508.Name][]string{}
	for i := range l.Packages {
		p := &l.Packages[i]
		m[p.Name] = append(m[p.Name], p.Version.String())
	}
	return m
}

// cutoff returns the time that a lock's files had to be older than, or "" if the lock does not
// record what it was made for.
func cutoff(l *pylock.Lock) string {
	switch {
	case !l.Tool.ExcludeNewer.IsZero():
		return l.Tool.ExcludeNewer.UTC().Format(time.RFC3339Nano)
	case len(l.Tool.Targets) == 0:
		return ""
	}
	return "none"
}

// backend returns what PyTorch's packages were chosen for, as cutoff does.
func backend(l *pylock.Lock) string {
	if l.Tool.TorchBackend == "" && len(l.Tool.Targets) > 0 {
		return "none"
	}
	return l.Tool.TorchBackend
}

// targets returns the targets that a lock was made for, as one text.
func targets(l *pylock.Lock) string {
	words := make([]string, len(l.Tool.Targets))
	for i := range words {
		words[i] = l.Tool.Targets[i].String()
	}
	return strings.Join(words, ", ")
}
