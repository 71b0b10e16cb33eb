package lock

import (
	"fmt"
	"net/url"
	"path"
	"strings"

	"mlenv/resolve/dist"
)

// RefusedError lists requirements that a lock for an image cannot hold.
type RefusedError struct {
	Problems []string // one sentence each
}

func (e *RefusedError) Error() string { return strings.Join(e.Problems, "\n") }

// refuse checks the roots, and names those that only their URL names. It works on a copy.
func (p *Problem) refuse() error {
	var e RefusedError
	complain := func(r *Root, why string) {
		text := r.Text
		if text == "" {
			text = r.Requirement.String()
		}
		e.Problems = append(e.Problems, fmt.Sprintf("%s%s: %s", text, where(r.From), why))
	}
	const build = "build a wheel of it (pip wheel) and require that, or put it in a folder given by --find-links"
	p.Roots = append([]Root(nil), p.Roots...)
	for i := range p.Roots {
		r := &p.Roots[i]
		switch {
		case r.Editable:
			complain(r, "an editable install points at a folder of the machine, which an image does not have; "+build)
		case r.Source:
			complain(r, "a source tree would have to be built, and mlenv runs no code; "+build)
		case r.URL != "":
			if why := r.fix(); why != "" {
				complain(r, why)
			}
		case r.Name == "":
			complain(r, "has no name")
		}
	}
	for i := range p.Constraints {
		if r := &p.Constraints[i]; r.URL != "" {
			complain(r, "a constraint must be a version specifier; write the URL among the requirements")
		}
	}
	if len(e.Problems) > 0 {
		return &e
	}
	return nil
}

// fix completes a root that is a direct reference, or says why it cannot be one.
func (r *Root) fix() string {
	f, err := r.file()
	scheme, _, _ := strings.Cut(r.URL, "://")
	switch {
	case strings.Contains(scheme, "+"):
		return "a source tree from version control would have to be built, and mlenv runs no code; " +
			"build a wheel of it (pip wheel) and require that, or put it in a folder given by --find-links"
	case err != nil:
		return err.Error()
	case !f.Wheel:
		return "a source distribution would have to be built, and mlenv runs no code; " +
			"build a wheel of it (pip wheel) and require that, or put it in a folder given by --find-links"
	case r.Name != "" && r.Name != f.Name:
		return fmt.Sprintf("the wheel is one of %s", f.Name)
	}
	r.Name = f.Name
	return ""
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
func (w *world) loadDirect(pr *project, r *Root) {
	f, err := r.file()
	if err != nil {
		pr.err = err
		return
	}
	pr.direct = r
	// What the index might say of it (yanked, uploaded when) does not count, only whether it fits.
	c := &candidate{version: f.Version, files: []dist.File{f}}
	c.judging.Do(func() {
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
