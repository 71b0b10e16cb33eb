package lock

import (
	"cmp"
	"fmt"
	"net/url"
	"path"
	"strings"

	"mlenv/resolve"
	"mlenv/resolve/dist"
)

// RefusedError lists requirements that a lock for an image cannot hold.
type RefusedError struct {
	Refusals []Refusal // in the order of the requirements
}

func (e *RefusedError) Error() string {
	lines := make([]string, len(e.Refusals))
	for i, r := range e.Refusals {
		lines[i] = r.String()
	}
	return strings.Join(lines, "\n")
}

// Refusal is one requirement that a lock cannot hold.
type Refusal struct {
	Kind RefusalKind
	Text string   // the requirement as it was written
	From []string // where
	Why  string   // of a kind that does not say it all
}

// RefusalKind says why a lock cannot hold a requirement.
type RefusalKind int

// The kinds of refusals.
const (
	EditableInstall    RefusalKind = iota // of a folder of the machine
	SourceTree                            // a folder that would have to be built
	VersionControl                        // the same, in version control
	SourceDistribution                    // by its URL or path
	NotAWheel                             // its URL names no file that could be installed
	OtherProject                          // its URL is a wheel of another name
	Nameless                              // neither a name nor a URL
	ConstraintURL                         // a constraint by URL
)

// NeedsBuilding reports whether a wheel of one's own would help.
func (k RefusalKind) NeedsBuilding() bool { return k <= SourceDistribution }

// String is the refusal in a sentence.
func (r Refusal) String() string {
	const building = " would have to be built, and mlenv runs no code"
	why := map[RefusalKind]string{
		EditableInstall:    "an editable install points at a folder of the machine, which an image does not have",
		SourceTree:         "a source tree" + building,
		VersionControl:     "a source tree from version control" + building,
		SourceDistribution: "a source distribution" + building,
		NotAWheel:          r.Why,
		OtherProject:       r.Why,
		Nameless:           "has no name",
		ConstraintURL:      "a constraint must be a version specifier; write the URL among the requirements",
	}[r.Kind]
	return r.Text + where(r.From) + ": " + why
}

// refuse checks the roots, and names those that only their URL names. It works on a copy.
func (p *Problem) refuse() error {
	var e RefusedError
	complain := func(r *Root, kind RefusalKind, why string) {
		e.Refusals = append(e.Refusals, Refusal{Kind: kind, Text: cmp.Or(r.Text, r.Requirement.String()), From: r.From, Why: why})
	}
	p.Roots = append([]Root(nil), p.Roots...)
	for i := range p.Roots {
		r := &p.Roots[i]
		switch {
		case r.Editable:
			complain(r, EditableInstall, "")
		case r.Source:
			complain(r, SourceTree, "")
		case r.URL != "":
			if kind, why, ok := r.fix(); !ok {
				complain(r, kind, why)
			}
		case r.Name == "":
			complain(r, Nameless, "")
		}
	}
	for i := range p.Constraints {
		if r := &p.Constraints[i]; r.URL != "" {
			complain(r, ConstraintURL, "")
		}
	}
	if len(e.Refusals) > 0 {
		return &e
	}
	return nil
}

// fix completes a root that is a direct reference, or says why it cannot be one.
func (r *Root) fix() (kind RefusalKind, why string, ok bool) {
	f, err := r.file()
	scheme, _, _ := strings.Cut(r.URL, "://")
	switch {
	case !resolve.Fetchable(r.URL):
		return NotAWheel, "this URL is nothing that can be fetched; publish the wheel, or put it into the model and name its path", false
	case strings.Contains(scheme, "+"):
		return VersionControl, "", false
	case err != nil:
		return NotAWheel, err.Error(), false
	case !f.Wheel:
		return SourceDistribution, "", false
	case r.Name != "" && r.Name != f.Name:
		return OtherProject, fmt.Sprintf("the wheel is one of %s", f.Name), false
	}
	r.Name = f.Name
	return 0, "", true
}

// file gives the file of a direct reference.
func (r *Root) file() (dist.File, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return dist.File{}, fmt.Errorf("the URL cannot be read")
	}
	fragment := u.Fragment
	u.Fragment, u.RawFragment = "", ""
	name := path.Base(u.Path)
	f, err := dist.NewFile("", name, u.String())
	if err != nil && strings.HasSuffix(name, ".whl") {
		return f, err
	}
	for _, part := range strings.Split(fragment, "&") {
		if k, v, ok := strings.Cut(part, "="); ok && len(v) >= 32 && strings.HasPrefix(k, "sha") {
			f.Hashes = map[string]string{k: strings.ToLower(v)}
		}
	}
	for _, h := range r.Hashes {
		if k, v, ok := strings.Cut(h, ":"); ok && f.Hashes[k] == "" && len(r.Hashes) == 1 {
			if f.Hashes == nil {
				f.Hashes = map[string]string{}
			}
			f.Hashes[k] = strings.ToLower(v)
		}
	}
	return f, nil
}

// loadDirect makes a project of the one file that a root names.
func (w *targetView) loadDirect(pr *project, r *Root) {
	f, err := r.file()
	if err != nil {
		pr.err = err
		return
	}
	pr.direct = r
	// What the index might say of it (yanked, uploaded when) does not count, only whether it fits.
	c := &candidate{version: f.Version, files: []dist.File{f}}
	c.examined.Do(func() {
		c.wheels = []*dist.File{&c.files[0]}
		if _, ok := w.tags.Rank(f.Tags); !ok {
			c.late = wrongTags
		}
	})
	pr.versions = []*candidate{c}
}

// where says where a requirement was written, "" if nobody knows.
func where(from []string) string {
	if len(from) == 0 {
		return ""
	}
	return " (" + strings.Join(from, ", ") + ")"
}
