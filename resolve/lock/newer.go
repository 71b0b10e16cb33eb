package lock

import (
	"slices"
	"strings"
	"time"

	"mlenv/resolve/dist"
	"mlenv/resolve/pylock"
)

// NewerError says that a lock would install files that are newer than they may be.
type NewerError struct {
	Cutoff  time.Time
	Newer   []string // file names, sorted
	Undated []string // file names of which the lock does not say when they were uploaded, sorted
}

func (e *NewerError) Error() string {
	var parts []string
	if len(e.Newer) > 0 {
		parts = append(parts, "not uploaded before "+formatTime(e.Cutoff)+": "+and(e.Newer))
	}
	if len(e.Undated) > 0 {
		parts = append(parts, "of unknown age: "+and(e.Undated))
	}
	return "the lock has files that are too new: " + strings.Join(parts, "; ")
}

// formatTime is a moment as messages say it.
func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// OlderThan makes sure that every file that a lock installs on the targets was uploaded to its index
// before a time, as solving with that time as the cutoff would have; the error is a *NewerError. What
// came from a folder or by its own URL the user has chosen, so that its age does not matter.
func OlderThan(l *pylock.Lock, cutoff time.Time, targets []dist.Target) error {
	if cutoff.IsZero() || !l.Tool.ExcludeNewer.IsZero() && !l.Tool.ExcludeNewer.After(cutoff) {
		return nil
	}
	packages := map[string]*pylock.Package{}
	for i := range l.Packages {
		for _, f := range l.Packages[i].Wheels {
			packages[f.FileName()] = &l.Packages[i]
		}
	}
	e := &NewerError{Cutoff: cutoff}
	for _, t := range targets {
		picks, _ := l.Choose(t)
		for _, p := range picks {
			from := packages[p.File.FileName()]
			switch {
			case from == nil, p.File.URL == "", from.Index == "" && len(l.Tool.Targets) > 0:
			case p.File.UploadTime.IsZero():
				e.Undated = append(e.Undated, p.File.FileName())
			case !p.File.UploadTime.Before(cutoff):
				e.Newer = append(e.Newer, p.File.FileName())
			}
		}
	}
	if len(e.Newer)+len(e.Undated) == 0 {
		return nil
	}
	for _, list := range []*[]string{&e.Newer, &e.Undated} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return e
}
