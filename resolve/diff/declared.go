package diff

import (
	"slices"
	"strings"

	"mlenv/resolve"
	"mlenv/resolve/envfile"
	"mlenv/resolve/model"
	"mlenv/resolve/pattern"
	"mlenv/resolve/pep440"
)

// declared compares the declarations of two models.
func (d *differ) declared() {
	if s := d.sideWithout(func(s *Side) bool { return s.Spec != nil }); s != nil {
		other := d.old
		if s == d.old {
			other = d.now
		}
		why := s.describe() + ", which does not record them"
		if s.Kind == Image {
			why = s.Name + " does not contain an MLflow Model"
		}
		what := "signature, code, environment variables, conda and system packages"
		if s.Lock == nil || other.Lock != nil {
			what = "requirements, " + what
		} else {
			d.declaredAgainstLocked(other, s)
		}
		d.skip(what, why)
		return
	}
	old, now := d.old.Spec, d.now.Spec
	if old == nil {
		return
	}
	d.Requirements = requirements(old.Requirements, now.Requirements)
	d.Constraints = requirements(old.Constraints, now.Constraints)
	d.BuildDependencies = requirements(old.BuildDependencies, now.BuildDependencies)
	d.PackageIndex = items(indexEntries(old.PackageIndex), indexEntries(now.PackageIndex))
	d.CondaPackages = items(condaEntries(old), condaEntries(now))
	d.SystemPackages = items(systemEntries(old), systemEntries(now))
	d.NeededVariables = items(set(old.EnvironmentVariables), set(now.EnvironmentVariables))
	d.Identity = items(identity(old.Model), identity(now.Model))
	if d.old.Model != nil && d.now.Model != nil {
		d.Resources = items(resourceEntries(d.old.Model), resourceEntries(d.now.Model))
		d.AuthPolicy = items(authEntries(d.old.Model), authEntries(d.now.Model))
	}
	if why := d.old.NoCode + d.now.NoCode; why != "" {
		d.skip("code", why)
	} else if d.old.CodeFiles != nil && d.now.CodeFiles != nil {
		d.CodePaths = items(fileEntries(d.old.CodeFiles), fileEntries(d.now.CodeFiles))
	} else {
		d.CodePaths = items(codeEntries(old), codeEntries(now))
	}
	if d.old.Signature != nil && d.now.Signature != nil {
		d.Signature = compareSignatures(*d.old.Signature, *d.now.Signature)
	}
}

// requirements compares two lists of requirements. Requirements of the same name are distinguished
// by their markers.
func requirements(old, now []resolve.Requirement) []Item {
	var lists [2]entries
	// A file in the model may have other content under the same name: its digest is compared, and shown
	// where nothing else differs.
	whole := [2]map[string]resolve.Requirement{{}, {}}
	local := [2]map[string]string{{}, {}}
	for side, list := range [][]resolve.Requirement{old, now} {
		lists[side] = entries{}
		for _, r := range list {
			key := string(r.Name)
			if key == "" {
				key = r.Path
			}
			if !r.Marker.IsZero() {
				key += " ; " + r.Marker.String()
			}
			lists[side][key], whole[side][key] = r.Line(), r
			if r.Path != "" {
				local[side][key] = r.Digest + strings.Join(r.Hashes, " ")
			}
		}
	}
	for key, was := range local[0] {
		is := local[1][key]
		if was != "" && is != "" && was != is && lists[0][key] == lists[1][key] {
			lists[0][key] += " (" + short(was) + ")"
			lists[1][key] += " (" + short(is) + ")"
		}
	}
	out := items(lists[0], lists[1])
	for i := range out {
		if item := &out[i]; item.Change == Changed {
			item.Change = pinChange(whole[0][item.Name], whole[1][item.Name])
		}
	}
	return out
}

// pinChange returns Upgraded or Downgraded if only the pinned version changed, else Changed.
func pinChange(was, is resolve.Requirement) Change {
	old, okOld := pin(was)
	now, okNow := pin(is)
	switch {
	case !okOld || !okNow || !slices.Equal(was.Extras, is.Extras):
		return Changed
	case old.Compare(now) < 0:
		return Upgraded
	case old.Compare(now) > 0:
		return Downgraded
	}
	return Changed
}

// pin returns the version of a requirement that consists of a name and "==" only.
func pin(r resolve.Requirement) (pep440.Version, bool) {
	clauses := r.Specifier.Clauses()
	if len(clauses) != 1 || clauses[0].Op != "==" {
		return pep440.Version{}, false
	}
	v := clauses[0].Bound()
	return v, !v.IsZero()
}

// indexEntries are the options about package indexes that are set, by their names in requirements files.
func indexEntries(p resolve.PackageIndex) entries {
	yes := func(b bool) string {
		if b {
			return "yes"
		}
		return ""
	}
	e := entries{
		"index-url":       p.IndexURL,
		"extra-index-url": strings.Join(p.ExtraIndexURLs, " "),
		"find-links":      strings.Join(p.FindLinks, " "),
		"no-index":        yes(p.NoIndex),
		"pre":             yes(p.Pre),
		"prefer-binary":   yes(p.PreferBinary),
		"require-hashes":  yes(p.RequireHashes),
		"no-binary":       strings.Join(p.NoBinary, " "),
		"only-binary":     strings.Join(p.OnlyBinary, " "),
		"trusted-host":    strings.Join(p.TrustedHosts, " "),
	}
	for k, v := range e {
		if v == "" {
			delete(e, k)
		}
	}
	return e
}

// condaEntries are the packages for conda, and the channels, which mean nothing without packages.
func condaEntries(s *resolve.Spec) entries {
	e := entries{}
	for _, p := range s.Conda.Packages {
		e[p.Name] = p.MatchSpec
	}
	if len(s.Conda.Packages) > 0 {
		e["channels"] = strings.Join(s.Conda.Channels, ", ")
	}
	return e
}

// systemEntries are the system packages with the reasons why they are needed.
func systemEntries(s *resolve.Spec) entries {
	e := entries{}
	for _, p := range s.SystemPackages {
		e[p.Name] = p.Reason
	}
	return e
}

// set is a list of names that are only there or not.
func set(names []string) entries {
	e := entries{}
	for _, n := range names {
		e[n] = ""
	}
	return e
}

// fileEntries are the files of code, so that a change names the file.
func fileEntries(files map[string]string) entries {
	e := entries{}
	for name, sum := range files {
		e[name] = short("sha256:" + sum)
	}
	return e
}

// codeEntries are the code directories as a whole, for sides whose files could not be read.
func codeEntries(s *resolve.Spec) entries {
	e := entries{}
	for _, c := range s.CodePaths {
		e[c.Path] = c.Digest
	}
	return e
}

// resourceEntries are what the model calls when it predicts, such as a database or another endpoint.
func resourceEntries(m *model.Model) entries {
	e := entries{}
	for _, r := range m.Resources() {
		e[r.Kind+" "+r.Name] = ""
	}
	return e
}

// authEntries are as whom the model calls its resources.
func authEntries(m *model.Model) entries {
	e := entries{}
	for _, f := range m.AuthPolicy() {
		e[f.Key+" "+f.Value.Text] = ""
	}
	return e
}

// identity returns the values that differ between any two trainings.
func identity(m resolve.ModelInfo) entries {
	e := entries{
		"flavors": strings.Join(m.Flavors, ", "), "MLflow": m.MLflowVersion, "run": m.RunID,
		"model id": m.ModelID, "logged": m.TimeCreated,
	}
	for k, v := range e {
		if v == "" {
			delete(e, k)
		}
	}
	return e
}

// container compares the configurations of two images.
func (d *differ) container() {
	if s := d.sideWithout(func(s *Side) bool { return s.Env != nil }); s != nil {
		d.skip("environment of the container", s.describe()+", not an image")
		return
	}
	for _, i := range items(d.old.Env, d.now.Env) {
		i.Old, i.New = shownValue(i.Name, i.Old), shownValue(i.Name, i.New)
		d.Environment = append(d.Environment, i)
	}
}

// secretName matches the names of variables that may hold a secret. One too many is hidden rather than one
// too few: a comparison is printed in the logs of pipelines.
var secretName = pattern.New(`(?i)pass|secret|token|credential|key|auth`)

// shownValue returns the value of a variable without secrets: values of variables that look like
// secrets are hidden, and URLs lose their credentials.
func shownValue(name, value string) string {
	if value != "" && secretName.MatchString(name) {
		return "(not shown)"
	}
	value, _ = envfile.StripCredentials(value)
	return value
}
