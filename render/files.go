package render

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"mlenv/resolve"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
)

// requirementFiles writes what the installer reads.
func requirementFiles(in Input) ([]File, error) {
	var files []File
	add := func(name, text string) { files = append(files, File{Name: name, Data: []byte(text)}) }
	spec := inContext(in.Spec)
	if in.Installer == Conda {
		return condaFiles(in, spec)
	}
	if in.Installer == UV {
		uv := in
		uv.Copies.Wheels = nil // they are not copied yet when uv is installed
		if in.InstallerLock == nil {
			add(installerFile, indexLines(uv)+"uv\n")
		} else {
			add(installerFile, indexLines(uv)+lockedLines(in.InstallerLock, nil))
		}
	}
	if in.Lock == nil {
		if len(spec.BuildDependencies) > 0 {
			add(buildFile, openFileText(in, spec, spec.BuildDependencies))
		}
		add(openFile, openFileText(in, spec, WithoutSources(spec)))
	} else {
		lock := lockInContext(in.Lock)
		add(pylockFile, string(pylock.Format(lock)))
		build := func(p pylock.Package) bool { return isBuildDependency(spec, p.Name) }
		if len(spec.BuildDependencies) > 0 {
			add(buildFile, indexLines(in)+lockedLines(lock, build))
		}
		// uv downloads the files in a pylock.toml from their URLs without asking the index.
		if in.Installer == Pip || in.Lock.Signed() {
			add(lockedFile, indexLines(in)+lockedLines(lock, nil))
		}
	}
	if src := append(splitSources(spec), in.Build...); len(src) > 0 {
		add(sourceFile, openFileText(in, spec, src))
		if in.Lock != nil {
			add(constraintFile, pinLines(in.Lock))
		}
	}
	return files, nil
}

func condaFiles(in Input, spec *resolve.Spec) ([]File, error) {
	if in.CondaExplicit == nil {
		data, err := spec.CondaYAML()
		if err != nil {
			return nil, err
		}
		return []File{{Name: condaFile, Data: data}}, nil
	}
	files := []File{{Name: explicitFile, Data: in.CondaExplicit}}
	if len(spec.Requirements) > 0 {
		files = append(files, File{Name: openFile, Data: []byte(openFileText(in, spec, spec.Requirements))})
	}
	return files, nil
}

// indexLines names the indexes, without credentials.
func indexLines(in Input) string {
	var b strings.Builder
	if in.Index != "" {
		fmt.Fprintf(&b, "--index-url %s\n", in.Index)
	}
	for _, url := range in.ExtraIndexes {
		fmt.Fprintf(&b, "--extra-index-url %s\n", url)
	}
	for _, url := range in.FindLinks {
		fmt.Fprintf(&b, "--find-links %s\n", url)
	}
	if len(in.Copies.Wheels) > 0 {
		b.WriteString("--find-links wheels\n")
	}
	return b.String()
}

// openFileText returns a requirements file that leaves the choice of versions to the installer.
func openFileText(in Input, spec *resolve.Spec, reqs []resolve.Requirement) string {
	part := *spec
	part.Requirements = reqs
	part.PackageIndex.IndexURL, part.PackageIndex.ExtraIndexURLs = "", nil
	part.PackageIndex.FindLinks = nil
	return indexLines(in) + string(part.RequirementsTxt())
}

// lockedLines writes the packages of a lock that pass keep (nil: all) in pip's hash-checking form.
func lockedLines(l *pylock.Lock, keep func(pylock.Package) bool) string {
	var b strings.Builder
	for _, p := range l.Packages {
		if keep != nil && !keep(p) {
			continue
		}
		b.WriteString(lockedHead(p))
		if !p.Marker.IsZero() {
			b.WriteString(" ; " + p.Marker.String())
		}
		for _, h := range lockedHashes(p) {
			b.WriteString(" \\\n    --hash=" + h)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func lockedHead(p pylock.Package) string {
	switch a := p.Archive; {
	case a != nil && a.Path != "":
		return "./" + a.Path
	case a != nil:
		return fmt.Sprintf("%s @ %s", p.Name, a.URL)
	}
	return fmt.Sprintf("%s==%s", p.Name, p.Version)
}

func lockedHashes(p pylock.Package) []string {
	var out []string
	add := func(hashes map[string]string) {
		if h := hashes["sha256"]; h != "" {
			out = append(out, "sha256:"+h)
		}
	}
	if p.Archive != nil {
		add(p.Archive.Hashes)
	}
	if p.Sdist != nil {
		add(p.Sdist.Hashes)
	}
	for _, w := range p.Wheels {
		add(w.Hashes)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func pinLines(l *pylock.Lock) string {
	var b strings.Builder
	for _, p := range l.Packages {
		if p.Archive != nil || p.Version.IsZero() {
			continue
		}
		fmt.Fprintf(&b, "%s==%s", p.Name, p.Version)
		if !p.Marker.IsZero() {
			b.WriteString(" ; " + p.Marker.String())
		}
		b.WriteString("\n")
	}
	return b.String()
}

// isSource reports whether a requirement can only be installed by building it.
func isSource(r resolve.Requirement) bool {
	if r.Editable {
		return true
	}
	where := r.Path
	if where == "" {
		where = r.URL
	}
	if where == "" {
		return false
	}
	where, _, _ = strings.Cut(where, "#")
	return !strings.HasSuffix(where, ".whl")
}

// splitSources returns the requirements that must be built: those in version control, directories
// and source archives.
func splitSources(s *resolve.Spec) []resolve.Requirement {
	var out []resolve.Requirement
	for _, r := range s.Requirements {
		if isSource(r) {
			out = append(out, r)
		}
	}
	return out
}

// SourceTrees lists the directories and archives in the model that must be copied to source/.
func SourceTrees(s *resolve.Spec) []string {
	return localPaths(s, isSource)
}

// LocalWheels lists the wheels that must be copied to wheels/ if there is no lock. If there is one,
// it lists them itself.
func LocalWheels(s *resolve.Spec) []string {
	return localPaths(s, func(r resolve.Requirement) bool { return !isSource(r) })
}

// WithoutSources returns the requirements that can be locked: those that need not be built.
func WithoutSources(s *resolve.Spec) []resolve.Requirement {
	return slices.DeleteFunc(slices.Clone(s.Requirements), isSource)
}

func localPaths(s *resolve.Spec, keep func(resolve.Requirement) bool) []string {
	var out []string
	for _, r := range slices.Concat(s.BuildDependencies, s.Requirements) {
		if r.Path != "" && keep(r) {
			out = append(out, r.Path)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// inContext returns the Spec with the paths of the build context, where local wheels are in wheels/
// and source trees in source/.
func inContext(s *resolve.Spec) *resolve.Spec {
	c := *s
	move := func(reqs []resolve.Requirement) []resolve.Requirement {
		reqs = slices.Clone(reqs)
		for i := range reqs {
			if reqs[i].Path != "" {
				dir := "wheels"
				if isSource(reqs[i]) {
					dir = "source"
				}
				reqs[i].Path = path.Join(dir, path.Base(reqs[i].Path))
			}
			// An editable install would refer to files of the build stage, which are not in the image.
			reqs[i].Editable = false
		}
		return reqs
	}
	c.BuildDependencies, c.Requirements = move(s.BuildDependencies), move(s.Requirements)
	return &c
}

// lockInContext does the same for a lock.
func lockInContext(l *pylock.Lock) *pylock.Lock {
	c := *l
	c.Packages = slices.Clone(l.Packages)
	for i, p := range c.Packages {
		if p.Archive != nil && p.Archive.Path != "" {
			a := *p.Archive
			a.Path = path.Join("wheels", path.Base(a.Path))
			c.Packages[i].Archive = &a
		}
		c.Packages[i].Wheels = slices.Clone(p.Wheels)
		for j, w := range p.Wheels {
			if w.Path != "" {
				c.Packages[i].Wheels[j].Path = path.Join("wheels", path.Base(w.Path))
			}
		}
	}
	return &c
}

// isBuildDependency reports whether MLflow installs a package in its first step.
func isBuildDependency(s *resolve.Spec, name pep508.Name) bool {
	return slices.ContainsFunc(s.BuildDependencies, func(r resolve.Requirement) bool { return r.Name == name })
}
