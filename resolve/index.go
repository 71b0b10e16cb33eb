package resolve

import (
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

// maxOwn is how many indexes of one file are reported each by itself.
const maxOwn = 100

// ownIndexes reports where the model's own files say that packages come from, and that certificates are
// not checked. What the command line says is the user's.
func (m *merger) ownIndexes() {
	for _, f := range m.files {
		if f.Kind == envfile.Flags {
			continue
		}
		o := f.Options
		remote := append(slices.Clone(o.ExtraIndexURLs), o.FindLinks...)
		if o.IndexURL != nil && o.IndexURL.Value == m.spec.PackageIndex.IndexURL {
			remote = append(remote, *o.IndexURL)
		}
		for i, d := range remote {
			switch {
			case i == maxOwn:
				m.find(finding.ModelIndex, "", []finding.Origin{d.From}, "the model takes packages from %d more", len(remote)-i)
			case i < maxOwn && strings.Contains(d.Value, "://"):
				m.find(finding.ModelIndex, d.Value, []finding.Origin{d.From}, "the model takes packages from %s", d.Value)
			}
		}
		for _, d := range o.TrustedHosts[:min(len(o.TrustedHosts), maxOwn)] {
			m.find(finding.TrustedHost, d.Value, []finding.Origin{d.From},
				"the model says that the certificate of %s is not checked (--trusted-host)", d.Value)
		}
	}
}

// compareIndex reports two files that name different indexes. It is not a finding if a flag
// replaces the model's index.
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
