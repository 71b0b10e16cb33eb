package envfile

import (
	"encoding/json"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// pipRequirement and pipFile are what testdata/pip_vectors.py records of pip.
type pipRequirement struct {
	Name, Specifier, Marker, URL, Path, File string
	Extras, Hashes                           []string
	Editable, Constraint                     bool
	Line                                     int
}

type pipFile struct {
	Requirements                                         []pipRequirement
	Index, FindLinks, NoBinary, OnlyBinary, TrustedHosts []string
	NoIndex, Pre, PreferBinary, RequireHashes            bool
}

// differences are the inputs of which mlenv deliberately makes something else than pip, with the
// reason. A difference that has gone is a failure too.
var differences = map[string]string{
	"foo --global-option=x":                                    globalOption,
	"foo --global-option='x y'":                                globalOption,
	`foo --global-option=x\`:                                   globalOption,
	"foo @ https://files.example/foo-1.0-py3-none-any.whl":     wheelVersion,
	"foo @ https://files.example/foo-1.0.tar.gz\\\npkg/[a] ; ": "pip takes the [a] at the end of the URL both as a part of it and as an extra",
	"foo@https://files.example/foo-1.0-py3-none-any.whl":       wheelVersion,
	"foo @ https://files.example/foo-1.0-py3-none-any.whl --hash=sha256:" + strings.Repeat("a", 64): wheelVersion,
}

const (
	globalOption = "pip 25 and older take it"
	wheelVersion = "the file name of a wheel tells the version, in a direct reference too"
)

// eggMore is an #egg= that says more than a name. pip took that until version 25, and old models
// have it.
var eggMore = regexp.MustCompile(`[#&]egg=[A-Za-z0-9._-]+[\[=<>]`)

// pathMissing reports that a path is not among the files: mlenv takes a path by its form, and
// leaves it to the checks to say that it is not there, where pip asks whether it exists.
func pathMissing(reqs []pipRequirement, present []string) bool {
	return slices.ContainsFunc(reqs, func(r pipRequirement) bool {
		return r.Path != "" && !slices.ContainsFunc(present, func(p string) bool {
			return p == r.Path || p == path.Join(r.Path, "setup.py")
		})
	})
}

func TestAgainstPip(t *testing.T) {
	data, err := os.ReadFile("testdata/pip.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded struct {
		Files   map[string]string
		Present []string
		Vectors []struct {
			Data    []byte
			Refused bool
			Read    *pipFile
		}
	}
	if err := json.Unmarshal(data, &recorded); err != nil {
		t.Fatal(err)
	}
	if len(recorded.Vectors) < 1000 {
		t.Fatalf("only %d vectors", len(recorded.Vectors))
	}
	fsys := fstest.MapFS{}
	for name, text := range recorded.Files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	for _, name := range recorded.Present {
		fsys[name] = &fstest.MapFile{}
	}
	missing := 0
	for _, v := range recorded.Vectors {
		fsys["requirements.txt"] = &fstest.MapFile{Data: v.Data}
		f, err := ParseRequirements(fsys, "requirements.txt")
		problem := ""
		switch {
		case v.Refused && err == nil:
			problem = "pip refuses it"
		case !v.Refused && err != nil:
			problem = "pip reads it, but: " + err.Error()
		case err == nil:
			problem = cmp.Diff(*normal(v.Read), *asPip(f))
		}
		_, known := differences[string(v.Data)]
		switch {
		case v.Refused && err == nil && (pathMissing(asPip(f).Requirements, recorded.Present) || eggMore.Match(v.Data)):
			missing++
		case !v.Refused && err != nil && pathMissing(v.Read.Requirements, recorded.Present):
			missing++
		case problem != "" && !known:
			t.Errorf("%q: %s", v.Data, problem)
		case problem == "" && known:
			t.Errorf("%q: listed as a difference, but there is none", v.Data)
		}
	}
	if missing > len(recorded.Vectors)/10 {
		t.Errorf("%d of %d vectors are excused by a path or an egg", missing, len(recorded.Vectors))
	}
}

// normal removes what pip reads twice because a file is included twice, and nil slices.
func normal(p *pipFile) *pipFile {
	var reqs []pipRequirement
	for _, r := range p.Requirements {
		if !slices.ContainsFunc(reqs, func(s pipRequirement) bool { return cmp.Equal(r, s) }) {
			reqs = append(reqs, r)
		}
	}
	slices.SortStableFunc(reqs, func(a, b pipRequirement) int {
		return strings.Compare(boolText(a.Constraint), boolText(b.Constraint))
	})
	p.Requirements = reqs
	for i := range reqs {
		reqs[i].Extras = append([]string{}, reqs[i].Extras...)
		reqs[i].Hashes = append([]string{}, reqs[i].Hashes...)
	}
	for _, s := range []*[]string{&p.Index, &p.FindLinks, &p.NoBinary, &p.OnlyBinary, &p.TrustedHosts} {
		*s = append([]string{}, *s...)
	}
	p.Index = uniq(p.Index)
	p.FindLinks = uniq(p.FindLinks)
	return p
}

func uniq(in []string) []string {
	out := []string{}
	for _, s := range in {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func boolText(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// asPip returns a File in the terms of the record.
func asPip(f *File) *pipFile {
	p := &pipFile{
		NoIndex: f.Options.NoIndex != nil, Pre: f.Options.Pre != nil,
		PreferBinary: f.Options.PreferBinary != nil, RequireHashes: f.Options.RequireHashes != nil,
		FindLinks: values(f.Options.FindLinks), TrustedHosts: values(f.Options.TrustedHosts),
		NoBinary: values(f.Options.NoBinary), OnlyBinary: values(f.Options.OnlyBinary),
	}
	slices.Sort(p.NoBinary)
	slices.Sort(p.OnlyBinary)
	if f.Options.IndexURL != nil {
		p.Index = append(p.Index, f.Options.IndexURL.Value)
	}
	p.Index = append(p.Index, values(f.Options.ExtraIndexURLs)...)
	if p.NoIndex {
		p.Index = nil
	}
	add := func(reqs []Requirement, constraint bool) {
		for _, r := range reqs {
			extras := []string{}
			for _, e := range r.Extras {
				extras = append(extras, string(e))
			}
			p.Requirements = append(p.Requirements, pipRequirement{
				Name: string(r.Name), Specifier: r.Specifier.String(), Marker: r.Marker.String(), URL: r.URL, Path: r.Path,
				File: r.From.File, Extras: extras, Hashes: r.Hashes, Editable: r.Editable, Constraint: constraint, Line: r.From.Line,
			})
		}
	}
	add(f.Requirements, false)
	add(f.Constraints, true)
	return normal(p)
}

func values(ds []Declaration) []string {
	out := []string{}
	for _, d := range ds {
		out = append(out, d.Value)
	}
	return out
}
