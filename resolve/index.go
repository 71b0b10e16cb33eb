package resolve

import (
	"fmt"
	"slices"
	"strings"

	"mlenv/resolve/envfile"
	"mlenv/resolve/finding"
)

// mergeIndex merges pip's options. It keeps the order of extra indexes, because some installers
// prefer the first one that has a package.
func (m *merger) mergeIndex() {
	p := &m.spec.PackageIndex
	var first *envfile.Declaration
	for _, f := range m.files {
		o := f.Options
		if o.IndexURL != nil {
			m.compareIndex(first, o.IndexURL, f)
			if first == nil {
				first = o.IndexURL
				p.IndexURL = first.Value
			}
		}
		p.ExtraIndexURLs = appendValues(p.ExtraIndexURLs, o.ExtraIndexURLs)
		p.FindLinks = appendValues(p.FindLinks, o.FindLinks)
		p.TrustedHosts = appendValues(p.TrustedHosts, o.TrustedHosts)
		p.NoBinary = appendValues(p.NoBinary, o.NoBinary)
		p.OnlyBinary = appendValues(p.OnlyBinary, o.OnlyBinary)
		p.NoIndex = p.NoIndex || o.NoIndex != nil
		p.Pre = p.Pre || o.Pre != nil
		p.PreferBinary = p.PreferBinary || o.PreferBinary != nil
		p.RequireHashes = p.RequireHashes || o.RequireHashes != nil
	}
	m.ownIndexes()
	slices.Sort(p.TrustedHosts)
	slices.Sort(p.NoBinary)
	slices.Sort(p.OnlyBinary)
}

// maxOwn is how many indexes and hosts are reported each by itself. A hostile model can name ten thousand,
// and nobody reads on after fifty.
const maxOwn = 50

// ownIndexes reports where the model's own files say that packages come from, and that certificates are
// not checked. What the command line says is the user's.
func (m *merger) ownIndexes() {
	var remote, trusted []envfile.Declaration
	for _, f := range m.files {
		if f.Kind == envfile.Flags {
			continue
		}
		o := f.Options
		if o.IndexURL != nil && o.IndexURL.Value == m.spec.PackageIndex.IndexURL {
			remote = append(remote, *o.IndexURL)
		}
		remote = append(append(remote, o.ExtraIndexURLs...), o.FindLinks...)
		trusted = append(trusted, o.TrustedHosts...)
	}
	remote = slices.DeleteFunc(remote, func(d envfile.Declaration) bool { return !strings.Contains(d.Value, "://") })
	m.findEach(finding.ModelIndex, remote, "the model takes packages from %s")
	m.findEach(finding.TrustedHost, trusted, "the model says that the certificate of %s is not checked (--trusted-host)")
}

// findEach reports a rule for each value of declarations, with all the lines that have it.
func (m *merger) findEach(rule finding.ID, all []envfile.Declaration, format string) {
	from := map[string][]finding.Origin{}
	var values []string
	for _, d := range all {
		if from[d.Value] == nil {
			values = append(values, d.Value)
		}
		if list := from[d.Value]; !slices.Contains(list[:min(len(list), maxOwn)], d.From) {
			from[d.Value] = append(list, d.From)
		}
	}
	for i, v := range values {
		if i == maxOwn {
			m.find(rule, "", from[v], format, fmt.Sprintf("%d more", len(values)-i))
			break
		}
		m.find(rule, v, from[v], format, v)
	}
}

// compareIndex reports two files that name different indexes. It is not a finding if a flag
// replaces the model's index, which is what the flag is for.
func (m *merger) compareIndex(first, d *envfile.Declaration, f *envfile.File) {
	if first == nil || first.Value == d.Value || f.Kind == envfile.Flags || first.From.File == finding.CommandLine {
		return
	}
	m.find(finding.IndexURLDiffers, "index-url", []finding.Origin{first.From, d.From},
		"%s names the index %s but %s names %s; the first is used",
		first.From, first.Value, d.From, d.Value)
}

func appendValues(list []string, more []envfile.Declaration) []string {
	seen := map[string]bool{}
	for _, v := range list {
		seen[v] = true
	}
	for _, d := range more {
		if !seen[d.Value] {
			seen[d.Value] = true
			list = append(list, d.Value)
		}
	}
	return list
}
