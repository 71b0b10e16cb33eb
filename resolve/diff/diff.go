// Package diff compares two environments: those of models, locks or images, in any combination. It
// does no input or output: two Sides go in, Changes come out.
package diff

import (
	"cmp"
	"slices"
	"strings"

	"mlenv/resolve"
	"mlenv/resolve/model"
	"mlenv/resolve/pylock"
)

// SchemaVersion is the version of the JSON form of Changes.
const SchemaVersion = 1

// Kind is the kind of a side.
type Kind string

// The kinds of sides.
const (
	Model Kind = "model"
	Lock  Kind = "lock"
	Image Kind = "image"
)

// Side is one of the two environments to compare. Fields that its kind does not have are zero, and
// so is whatever could not be read from an image.
type Side struct {
	Name      string // as the user named it
	Kind      Kind
	Digest    string           // of an image, "sha256:…"
	Spec      *resolve.Spec    // what the model declares
	Signature *model.Signature // zero if the model has none, nil if it is not known
	Model     *model.Model     // for what it calls when it predicts, nil if that is not known
	Lock      *pylock.Lock

	BaseName, BaseDigest string            // of the base image
	Env                  map[string]string // what the image sets
	Size                 int64             // bytes of the model's files, the locked wheels, or the image's layers; 0 if unknown
	CodeFiles            map[string]string // the SHA-256 of each file of the model's code, nil if not known
	NoCode               string            // why the model's code could not be read, "" if it was
}

// Change is the way in which something changed.
type Change string

// The changes. Upgraded and Downgraded are changes of a version, in the order of PEP 440; Replaced
// means that a file of the same name and version has other content.
const (
	Added      Change = "added"
	Removed    Change = "removed"
	Changed    Change = "changed"
	Upgraded   Change = "upgraded"
	Downgraded Change = "downgraded"
	Replaced   Change = "replaced"
)

// Two is a value that differs between the sides.
type Two struct {
	Old string `json:"old"`
	New string `json:"new"`
}

// Item is an entry that differs. Old is "" if it was added, New is "" if it was removed.
type Item struct {
	Name   string `json:"name"`
	Change Change `json:"change"`
	Old    string `json:"old,omitempty"`
	New    string `json:"new,omitempty"`
}

// End describes a side in Changes.
type End struct {
	Name   string `json:"name"`
	Kind   Kind   `json:"kind"`
	Digest string `json:"digest,omitempty"`
}

// Sizes are the sizes of both sides in bytes.
type Sizes struct {
	Of  string `json:"of"` // "layers, compressed", "wheels", "files"
	Old int64  `json:"old"`
	New int64  `json:"new"`
}

// NotCompared is something that could not be compared, because only one side has it.
type NotCompared struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// Changes are the differences between two sides. Lists are sorted by name.
type Changes struct {
	SchemaVersion int  `json:"schemaVersion"`
	Old           End  `json:"old"`
	New           End  `json:"new"`
	Same          bool `json:"same"` // nothing below differs except Identity and Size: weights are no environment

	Settings
	Lists

	Size        *Sizes        `json:"size"`
	Identity    []Item        `json:"identity"` // which model it is: differs between any two trainings
	NotCompared []NotCompared `json:"notCompared"`
}

// Settings are the differences in what the model runs in and how it is called. A field is nil if
// there is no difference.
type Settings struct {
	Python     *Two       `json:"python"`
	BaseName   *Two       `json:"baseName"`
	BaseDigest *Two       `json:"baseDigest"`
	Server     *Two       `json:"server"`
	Platforms  *Two       `json:"platforms"`
	Packages   []Package  `json:"packages"`
	Signature  *Signature `json:"signature"`
}

// Lists are the differences in lists of names.
type Lists struct {
	Requirements      []Item `json:"requirements"`
	Constraints       []Item `json:"constraints"`
	BuildDependencies []Item `json:"buildDependencies"`
	PackageIndex      []Item `json:"packageIndex"`
	CondaPackages     []Item `json:"condaPackages"`
	SystemPackages    []Item `json:"systemPackages"`
	CodePaths         []Item `json:"codePaths"`
	Resources         []Item `json:"resources"`       // what the model calls when it predicts
	AuthPolicy        []Item `json:"authPolicy"`      // and as whom
	NeededVariables   []Item `json:"neededVariables"` // environment variables that the model asks for
	Environment       []Item `json:"environment"`     // environment variables that the image sets
}

// Section is a list of Changes with its heading.
type Section struct {
	Title string
	Items []Item
}

// Sections returns the non-empty lists of Items in the order in which reports show them.
func (c *Changes) Sections() []Section {
	all := []Section{
		{"Requirements", c.Requirements},
		{"Constraints", c.Constraints},
		{"Build dependencies", c.BuildDependencies},
		{"Package index", c.PackageIndex},
		{"Conda packages", c.CondaPackages},
		{"System packages", c.SystemPackages},
		{"Code", c.CodePaths},
		{"Resources that the model calls", c.Resources},
		{"Authorization towards them", c.AuthPolicy},
		{"Environment variables that the model needs", c.NeededVariables},
		{"Environment of the container", c.Environment},
	}
	return slices.DeleteFunc(all, func(s Section) bool { return len(s.Items) == 0 })
}

// Compare compares two sides.
func Compare(old, now Side) *Changes {
	c := &Changes{SchemaVersion: SchemaVersion, Old: old.end(), New: now.end()}
	d := &differ{Changes: c, old: &old, now: &now}
	d.scalars()
	d.packages()
	d.declared()
	d.container()
	d.size()
	for _, list := range []*[]Item{
		&c.Requirements, &c.Constraints, &c.BuildDependencies, &c.PackageIndex, &c.CondaPackages,
		&c.SystemPackages, &c.CodePaths, &c.Resources, &c.AuthPolicy, &c.NeededVariables, &c.Environment, &c.Identity,
	} {
		if *list == nil {
			*list = []Item{} // so that it is a list in JSON, not null
		}
	}
	if c.Packages == nil {
		c.Packages = []Package{}
	}
	if c.NotCompared == nil {
		c.NotCompared = []NotCompared{}
	}
	c.Same = c.Python == nil && c.BaseName == nil && c.BaseDigest == nil && c.Server == nil && c.Platforms == nil &&
		len(c.Packages) == 0 && c.Signature == nil && len(c.Sections()) == 0
	return c
}

func (s *Side) end() End { return End{Name: s.Name, Kind: s.Kind, Digest: s.Digest} }

// differ compares two sides and fills Changes.
type differ struct {
	*Changes
	old, now *Side
}

// skip records that something could not be compared.
func (d *differ) skip(what, why string) {
	d.NotCompared = append(d.NotCompared, NotCompared{what, why})
}

// sideWithout returns the side for which has is false if it is true for the other side, else nil.
func (d *differ) sideWithout(has func(*Side) bool) *Side {
	switch a, b := has(d.old), has(d.now); {
	case a == b:
		return nil
	case a:
		return d.now
	default:
		return d.old
	}
}

// describe returns a sentence that says what kind of side s is.
func (s *Side) describe() string {
	switch s.Kind {
	case Model:
		return s.Name + " is a model directory"
	case Lock:
		return s.Name + " is a lock"
	}
	return s.Name + " is an image"
}

// changed returns the two values, or nil if they are the same.
func changed(old, now string) *Two {
	if old == now {
		return nil
	}
	return &Two{old, now}
}

// scalars compares everything that is a single value rather than a list.
func (d *differ) scalars() {
	if a, b := d.old.python(), d.now.python(); !samePython(a, b) {
		d.Python = changed(a, b)
	}
	if s := d.sideWithout(func(s *Side) bool { return s.python() != "" }); s != nil {
		d.Python = nil
		d.skip("Python", s.Name+" does not say which Python it is for")
	}
	// A base is known by its digest; one that was named without it can only be compared by the name.
	if s := d.sideWithout(func(s *Side) bool { return s.BaseName+s.BaseDigest != "" }); s != nil {
		d.skip("base image", s.Name+" names none")
	} else {
		d.BaseName = changed(d.old.BaseName, d.now.BaseName)
		if d.old.BaseDigest != "" && d.now.BaseDigest != "" {
			d.BaseDigest = changed(d.old.BaseDigest, d.now.BaseDigest)
		}
	}
	if a, b := d.old.Lock, d.now.Lock; a != nil && b != nil {
		// Locks of other tools have no section of mlenv's, which is not a difference.
		if a.Tool.Serve != "" && b.Tool.Serve != "" {
			d.Server = changed(a.Tool.Serve, b.Tool.Serve)
		}
		if len(a.Tool.Targets) > 0 && len(b.Tool.Targets) > 0 {
			d.Platforms = changed(targets(a), targets(b))
		}
	}
}

// python returns the version that a side is for: the locked one, else what the model declares.
func (s *Side) python() string {
	if s.Lock != nil && !s.Lock.Tool.Python.IsZero() {
		return s.Lock.Tool.Python.String()
	}
	if s.Spec != nil {
		return s.Spec.Python.Version.String()
	}
	if s.Lock != nil {
		return s.Lock.RequiresPython.String()
	}
	return ""
}

// samePython reports whether two versions may be the same; "3.11" and "3.11.7" may: a model that names
// the minor version alone runs on every patch release of it.
func samePython(a, b string) bool {
	return a == b || strings.HasPrefix(a, b+".") || strings.HasPrefix(b, a+".")
}

// size compares the bytes of two sides of the same kind.
func (d *differ) size() {
	of := map[Kind]string{Model: "files", Lock: "wheels", Image: "layers, compressed"}
	switch {
	case d.old.Kind != d.now.Kind:
		d.skip("size", string(d.old.Kind)+" and "+string(d.now.Kind)+" sizes are not comparable")
	case d.old.Size == 0 || d.now.Size == 0:
		if d.old.Size != d.now.Size {
			d.skip("size", "it is not known for both")
		}
	case d.old.Size != d.now.Size:
		d.Size = &Sizes{Of: of[d.now.Kind], Old: d.old.Size, New: d.now.Size}
	}
}

// entries is a list to compare, as texts by name.
type entries map[string]string

// items compares two lists.
func items(old, now entries) []Item {
	var out []Item
	for name, was := range old {
		is, ok := now[name]
		switch {
		case !ok:
			out = append(out, Item{Name: name, Change: Removed, Old: was})
		case was != is:
			out = append(out, Item{Name: name, Change: Changed, Old: was, New: is})
		}
	}
	for name, is := range now {
		if _, ok := old[name]; !ok {
			out = append(out, Item{Name: name, Change: Added, New: is})
		}
	}
	slices.SortFunc(out, func(a, b Item) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
