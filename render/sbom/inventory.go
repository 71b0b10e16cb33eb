package sbom

import (
	"cmp"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
	"mlenv/resolve/secret"
)

// kind says what an item is.
type kind int

const (
	root   kind = iota // what the document is about
	model              // the MLflow Model
	wheel              // a Python package of the environment
	base               // the image below
	inBase             // a package of the base
)

// item is one thing that the document lists.
type item struct {
	kind    kind
	id      string // unique, of letters, digits, "." and "-"
	name    string
	version string
	purl    string
	file    file
	licence licence
	direct  bool     // the user asked for it
	needs   []string // ids of others, sorted
	comment string
}

// file is where an item can be had.
type file struct {
	name, url string
	hashes    map[string]string
}

// inventory is the list of all items, root first.
type inventory struct {
	in    Input
	items []*item
}

func newInventory(in Input) *inventory {
	inv := &inventory{in: in}
	top := &item{kind: root, id: "root", name: in.Subject.Name, version: in.Subject.Digest, purl: in.Subject.purl(), direct: true}
	inv.items = append(inv.items, top)
	if in.Model != nil {
		inv.items = append(inv.items, inv.modelItem())
		top.needs = []string{"model"}
	}
	inv.wheels()
	if in.Base != nil {
		inv.base()
	}
	return inv
}

// modelItem is the model. It needs the packages that the user asked for. It has no package URL: those
// of type mlflow begin with the address of a registry, which is not recorded in models.
func (inv *inventory) modelItem() *item {
	m := inv.in.Model
	return &item{kind: model, id: "model", name: cmp.Or(m.Name, "model"), version: cmp.Or(m.Version, m.ID)}
}

// wheels lists what the target installs of the lock, and what it would have to build.
func (inv *inventory) wheels() {
	if inv.in.Lock == nil {
		return
	}
	picks, unbuilt := inv.in.Lock.Choose(inv.in.Target)
	packages := map[pep508.Name]*pylock.Package{}
	env := inv.in.Target.Environment()
	for i := range inv.in.Lock.Packages {
		if p := &inv.in.Lock.Packages[i]; p.Marker.Eval(env) {
			packages[p.Name] = p
		}
	}
	by := inv.items[len(inv.items)-1] // the model, else the root
	var list []*item
	for _, p := range picks {
		list = append(list, inv.wheel(packages[p.Name], p.File))
	}
	for _, u := range unbuilt {
		one := inv.wheel(u.Package, sourceOf(u.Package))
		one.comment = "the lock has no wheel of it for " + inv.in.Target.Platform()
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b *item) int { return strings.Compare(a.id, b.id) })
	for _, one := range list {
		if one.direct {
			by.needs = append(by.needs, one.id)
		}
	}
	inv.items = append(inv.items, list...)
	// Of locks by tools that do not say what was asked for, everything that no other package needs
	// may have been.
	if len(by.needs) == 0 {
		by.needs = unneeded(list)
	}
}

// unneeded returns the ids of the packages that no other one needs.
func unneeded(list []*item) []string {
	needed := map[string]bool{}
	for _, one := range list {
		for _, id := range one.needs {
			needed[id] = true
		}
	}
	var out []string
	for _, one := range list {
		if !needed[one.id] {
			out = append(out, one.id)
		}
	}
	return out
}

func wheelID(name pep508.Name) string { return "pypi-" + string(name) }

func (inv *inventory) wheel(p *pylock.Package, f pylock.File) *item {
	one := &item{
		kind: wheel, id: wheelID(p.Name), name: string(p.Name), version: p.Version.String(),
		direct: slices.Contains(inv.in.Lock.Tool.Requested, p.Name),
		file:   file{name: f.Name, url: clean(f.URL), hashes: f.Hashes},
	}
	one.licence = licenceOf(inv.in.Metadata[p.Name])
	env := inv.in.Target.Environment()
	for _, d := range p.Dependencies {
		// A lock for several platforms names dependencies that this one does not install.
		i := slices.IndexFunc(inv.in.Lock.Packages, func(q pylock.Package) bool { return q.Name == d.Name && q.Marker.Eval(env) })
		if i >= 0 {
			one.needs = append(one.needs, wheelID(d.Name))
		}
	}
	slices.Sort(one.needs)
	one.needs = slices.Compact(one.needs)
	qualifiers := map[string]string{"file_name": f.Name}
	if p.Index != "" && (inv.in.Public == nil || !inv.in.Public(p.Index)) {
		qualifiers["repository_url"] = clean(p.Index)
	}
	one.purl = purl("pypi", one.name, one.version, qualifiers)
	if p.VCS != nil {
		one.file.url = clean(p.VCS.Type + "+" + p.VCS.URL + "@" + p.VCS.CommitID)
	}
	return one
}

// sourceOf returns the file of a package that has no fitting wheel.
func sourceOf(p *pylock.Package) pylock.File {
	switch {
	case p.Sdist != nil:
		return *p.Sdist
	case p.Archive != nil:
		return pylock.File{Name: path.Base(p.Archive.URL), URL: p.Archive.URL, Hashes: p.Archive.Hashes}
	}
	return pylock.File{}
}

// clean returns a URL without user, password, and queries that give access. A URL of this machine's
// files is nobody else's business.
func clean(text string) string {
	text, _ = secret.Scrub(text)
	if strings.HasPrefix(text, "file:") {
		return ""
	}
	return text
}

// base lists the image below, its interpreter, and its packages.
func (inv *inventory) base() {
	b := inv.in.Base
	below := &item{kind: base, id: "base", name: cmp.Or(b.Name, "base"), version: b.Digest, comment: b.System.comment()}
	if b.Name != "" {
		below.purl = Subject{Name: b.Name, Digest: b.Digest, Platform: inv.in.Subject.Platform}.purl()
	}
	inv.items[0].needs = append([]string{below.id}, inv.items[0].needs...)
	inv.items = append(inv.items, below)
	add := func(one *item) {
		one.kind = inBase
		below.needs = append(below.needs, one.id)
		inv.items = append(inv.items, one)
	}
	// The interpreter of many bases was compiled for them, and is in no database.
	if b.Python != "" {
		add(&item{id: "generic-python", name: "python", version: b.Python, purl: purl("generic", "python", b.Python, nil)})
	}
	for _, name := range slices.Sorted(maps.Keys(b.Install)) {
		v := b.Install[name]
		add(&item{id: "base-pypi-" + id(name), name: name, version: v, purl: purl("pypi", name, v, nil)})
	}
	for _, name := range slices.Sorted(maps.Keys(b.System.Packages)) {
		add(&item{id: b.System.PURL + "-" + id(name), name: name, version: b.System.Packages[name], purl: b.System.purl(name, b.Arch)})
	}
}

func (s *System) comment() string {
	if s.Unread != "" {
		return "Its packages are in a database of " + s.Unread + ", which was not read."
	}
	return ""
}

func (s *System) purl(name, arch string) string {
	distro := s.ID
	if s.Version != "" {
		distro += "-" + s.Version
	}
	q := map[string]string{"arch": cmp.Or(s.Arches[name], arch), "distro": distro}
	return purl(s.PURL+"/"+cmp.Or(s.ID, map[string]string{"deb": "debian", "apk": "alpine"}[s.PURL]), name, s.Packages[name], q)
}

// purl returns a package URL: pkg:TYPE[/NAMESPACE]/NAME@VERSION?QUALIFIERS, the qualifiers sorted,
// those that are "" left out.
func purl(of, name, version string, qualifiers map[string]string) string {
	out := "pkg:" + of + "/" + escape(name)
	if version != "" {
		out += "@" + escape(version)
	}
	sep := "?"
	for _, k := range slices.Sorted(maps.Keys(qualifiers)) {
		if v := qualifiers[k]; v != "" {
			out += sep + k + "=" + escape(v)
			sep = "&"
		}
	}
	return out
}

// escape encodes a part of a package URL. All but letters, digits and "-._~:" must be encoded.
func escape(text string) string {
	text = strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
	return strings.ReplaceAll(text, "%3A", ":")
}

// purl returns the package URL of an image (type oci), "" for what is no image or has no name.
func (s Subject) purl() string {
	if s.Digest == "" || s.Name == "" {
		return ""
	}
	repository, _, _ := strings.Cut(s.Name, "@")
	if at := strings.LastIndexByte(repository, ':'); at > strings.LastIndexByte(repository, '/') {
		repository = repository[:at]
	}
	_, arch, _ := strings.Cut(s.Platform, "/")
	return purl("oci", path.Base(repository), s.Digest, map[string]string{"arch": arch, "repository_url": repository, "tag": s.Tag})
}

// id makes a name into a part of an id (SPDX 2.3, 7.2: letters, digits, "." and "-"). "-" begins
// what stands for another character, so that no two names have the same id.
func id(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-':
			b.WriteByte(c)
		default:
			b.WriteString("-x" + string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15]) + "-")
		}
	}
	return b.String()
}

// licence is what the metadata of a package says of its licence.
type licence struct {
	expression string // SPDX, "" if not known
	text       string // what is said instead, or beside it
}

// expressible are the identifiers that are believed in the free text of the field License. Any other
// text there is passed on as text.
var expressible = []string{"MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "PSF-2.0", "MPL-2.0", "Unlicense", "Zlib", "0BSD", "HPND"}

// licenceOf reads a licence from metadata. The field License-Expression is one by definition; a
// single classifier of a certain licence names it. Of several classifiers nobody knows whether all
// apply or any, and the one for "BSD License" does not say which: those are passed on as text.
func licenceOf(m *dist.Metadata) licence {
	if m == nil {
		return licence{}
	}
	if isExpression(m.Expression) {
		return licence{expression: m.Expression}
	}
	text := strings.TrimSpace(cmp.Or(m.Expression, m.License))
	ids := map[string]bool{}
	var classifiers []string
	for _, c := range m.Classifiers {
		name, ok := strings.CutPrefix(c, "License :: ")
		if !ok || name == "OSI Approved" {
			continue
		}
		classifiers = append(classifiers, name)
		id := dist.ClassifiedLicence(c)
		if strings.HasSuffix(c, ":: BSD License") {
			id = ""
		}
		ids[id] = true
	}
	switch {
	case slices.Contains(expressible, text):
		return licence{expression: text}
	case len(ids) == 1 && !ids[""]:
		for one := range ids {
			return licence{expression: one, text: text}
		}
	case text == "" && len(classifiers) > 0:
		return licence{text: strings.Join(classifiers, "; ")}
	}
	return licence{text: text}
}
