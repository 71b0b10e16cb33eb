package lock

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"mlenv/resolve"
	"mlenv/resolve/dist"
	"mlenv/resolve/finding"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
	"mlenv/resolve/serving"
)

// Options are what decides about a lock beside the Spec.
type Options struct {
	Targets  []dist.Target // at least one; the first one's choices are preferred for the others
	ModelDir string        // directory of the model, which local files of the model are named from
	Dir      string        // directory of the lock, which local files are named from in the lock
	// DirIsTemporary says that Dir will be gone: what is not below it is named by its absolute path.
	DirIsTemporary bool
	Serve          serving.Kind // the server whose needs are added; "": MLflow's
	Base           Base         // the base image, which is recorded
	Indexes        Indexes      // what is recorded of where some packages come from
	Limits         Limits
	Keep           Keep
	Warn           func(string) // told of what is odd but no error; may be nil
	Note           func(string) // told of newer versions that were passed over, and why; may be nil
}

// Base names the base image that a lock was made for.
type Base struct {
	Name   string // full reference; "" for a base that others cannot pull
	Digest string // of the platform's manifest, "sha256:…"; "" where there are several platforms
}

// Indexes are what a lock says of packages that do not come from where all others do.
type Indexes struct {
	TorchBackend string         // see pylock.Tool
	Own          []pylock.Index // of some packages
}

// Limits say which files may be chosen at all.
type Limits struct {
	Pre        bool      // admit every pre-release
	NoBinary   []string  // names or ":all:": their wheels must not be used
	OnlyBinary []string  // names or ":all:"; takes them back out of NoBinary
	Cutoff     time.Time // ignore an index's files uploaded then or later, or at an unknown time; zero: the kept lock's
}

// Keep says what stays as it was in an earlier lock.
type Keep struct {
	Lock       *pylock.Lock  // its versions are kept wherever they still fit; nil: there is none
	Upgrade    []pep508.Name // but those of these packages
	UpgradeAll bool          // nor any
}

// FromSpec is the step from what a model declares to what is to be solved: its requirements and
// constraints with their origins, the needs of its server, and its build dependencies, which are
// installed beside them but decide nothing.
func FromSpec(s *resolve.Spec, o Options) (Problem, error) {
	if o.Serve == "" {
		o.Serve = serving.MLflow
	}
	var err error
	for _, dir := range []*string{&o.Dir, &o.ModelDir} {
		if *dir, err = filepath.Abs(*dir); err != nil {
			return Problem{}, err
		}
	}
	if o.Limits.Cutoff.IsZero() && o.Keep.Lock != nil && !o.Keep.UpgradeAll {
		o.Limits.Cutoff = o.Keep.Lock.Tool.ExcludeNewer
	}
	o.Limits.Pre = o.Limits.Pre || s.PackageIndex.Pre
	o.Limits.NoBinary = append(o.Limits.NoBinary, s.PackageIndex.NoBinary...)
	o.Limits.OnlyBinary = append(o.Limits.OnlyBinary, s.PackageIndex.OnlyBinary...)
	p := Problem{
		Targets: o.Targets, Dir: o.Dir, DirIsTemporary: o.DirIsTemporary, Limits: o.Limits, Keep: o.Keep, Warn: o.Warn, Note: o.Note,
		Tool: pylock.Tool{SpecDigest: s.Digest, BaseName: o.Base.Name, BaseDigest: o.Base.Digest, Serve: string(o.Serve),
			TorchBackend: o.Indexes.TorchBackend, Indexes: o.Indexes.Own},
	}
	if p.Roots, err = roots(s.Requirements, o.ModelDir); err != nil {
		return p, err
	}
	if p.Constraints, err = roots(s.Constraints, o.ModelDir); err != nil {
		return p, err
	}
	if err := p.addServer(s, o.Serve); err != nil {
		return p, err
	}
	build, err := roots(s.BuildDependencies, o.ModelDir)
	for _, b := range build {
		b.Soft = true
		p.Roots = append(p.Roots, b)
	}
	return p, err
}

// addServer adds what the server needs and the model does not bring.
func (p *Problem) addServer(s *resolve.Spec, kind serving.Kind) error {
	needs, err := serverNeeds(s, p.Roots, kind)
	if err != nil {
		return err
	}
	from := []string{string(kind) + " server"}
	for _, r := range needs.Requirements {
		p.Roots = append(p.Roots, Root{Requirement: r, From: from})
	}
	for _, r := range needs.Constraints {
		p.Constraints = append(p.Constraints, Root{Requirement: r, From: from})
	}
	return nil
}

// serverNeeds gives what a server needs of a model that requires roots.
func serverNeeds(s *resolve.Spec, roots []Root, kind serving.Kind) (serving.Needs, error) {
	var declared []pep508.Name
	mlflow := pep440.Version{}
	for i := range roots {
		declared = append(declared, roots[i].Name)
		if n := roots[i].Name; n == "mlflow" || n == "mlflow-skinny" || n == "mlflow-tracing" {
			if v, ok := roots[i].Specifier.Pin(); ok {
				mlflow = v
			}
		}
	}
	if mlflow.IsZero() {
		// What the model was logged with; a development version's text may be no version.
		if v, err := pep440.Parse(s.Model.MLflowVersion); err == nil {
			mlflow = v
		}
	}
	return serving.ServerNeeds(kind, mlflow, declared)
}

// UnservedError says that a lock does not bring what a server needs.
type UnservedError struct {
	Serve serving.Kind // that was asked for
	Was   serving.Kind // that the lock was made for; "" where it does not say
	Lacks []string     // requirements that the lock does not meet
}

func (e *UnservedError) Error() string {
	if e.Was != "" {
		return fmt.Sprintf("the lock was made for the server %s, not for %s", e.Was, e.Serve)
	}
	return fmt.Sprintf("the lock lacks what the server %s needs: %s", e.Serve, strings.Join(e.Lacks, ", "))
}

// Serves makes sure that a lock brings what a server needs of the model. A lock of mlenv's says what
// it was made for; locks of others are held against the needs. The error is an *UnservedError.
func Serves(l *pylock.Lock, s *resolve.Spec, kind serving.Kind) error {
	was := serving.Kind(l.Tool.Serve)
	switch {
	case kind == serving.None || was == kind:
		return nil
	case was != "":
		return &UnservedError{Serve: kind, Was: was}
	}
	all, err := roots(s.Requirements, ".")
	if err != nil {
		return err
	}
	needs, err := serverNeeds(s, all, kind)
	if err != nil {
		return err
	}
	locked := map[pep508.Name]pep440.Version{}
	for i := range l.Packages {
		locked[l.Packages[i].Name] = l.Packages[i].Version
	}
	if unmet := needs.Unmet(locked); len(unmet) > 0 {
		return &UnservedError{Serve: kind, Lacks: unmet}
	}
	return nil
}

// roots turns requirements of a Spec into the solver's. dir is the model's directory.
func roots(rs []resolve.Requirement, dir string) ([]Root, error) {
	var out []Root
	for i := range rs {
		r, err := root(&rs[i], dir)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func root(r *resolve.Requirement, dir string) (root Root, err error) {
	root.Name, root.Extras, root.Specifier, root.Marker = r.Name, r.Extras, r.Specifier, r.Marker
	root.Hashes, root.Editable, root.URL = r.Hashes, r.Editable, r.URL
	for _, o := range r.From {
		root.From = append(root.From, o.String())
		if root.Text == "" {
			root.Text = o.Text
		}
	}
	if r.Path == "" {
		return root, nil
	}
	path := filepath.FromSlash(r.Path)
	if !filepath.IsAbs(path) && !(len(r.From) > 0 && r.From[0].File == finding.CommandLine) {
		path = filepath.Join(dir, path)
	}
	if path, err = filepath.Abs(path); err != nil {
		return root, err
	}
	root.Source = !strings.HasSuffix(path, ".whl")
	root.URL = (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String()
	return root, nil
}
