package resolve

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"mlenv/resolve/envfile"
	"mlenv/resolve/finding"
	"mlenv/resolve/pep508"
)

// generator makes environment files that agree, disagree and repeat themselves.
type generator struct{ *rand.Rand }

func (g generator) pick(words ...string) string { return words[g.IntN(len(words))] }

func (g generator) requirement(t *testing.T, file string, line int) envfile.Requirement {
	t.Helper()
	text := g.pick("numpy", "NumPy", "scikit_learn", "scikit-learn", "mlflow", "a.b", "lightgbm") +
		g.pick("", "", "[x]", "[y,x]") +
		g.pick("", "==1.0", "==1.0.0", "==2.0", ">=1", "<2", ">=1,<3", "!=1.5", "~=1.4", "==1.*", "==1.0+cpu") +
		g.pick("", "", "", `; python_version >= "3.9"`, `; python_version < "3.9"`, `; sys_platform == "win32"`)
	r, err := pep508.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return envfile.Requirement{Requirement: r, From: finding.Origin{File: file, Line: line, Text: text}}
}

func (g generator) file(t *testing.T, path string, kind envfile.Kind) *envfile.File {
	f := &envfile.File{Path: path, Kind: kind}
	for i := range g.IntN(6) {
		f.Requirements = append(f.Requirements, g.requirement(t, path, i+1))
	}
	for i := range g.IntN(3) {
		f.Constraints = append(f.Constraints, g.requirement(t, path, i+20))
	}
	for i := range g.IntN(3) {
		f.BuildDependencies = append(f.BuildDependencies, g.requirement(t, path, i+30))
	}
	if g.IntN(2) == 0 {
		v := g.pick("3.9", "3.10", "3.10.4", "3.10.5", "=3.8", ">=3.8,<3.9", ">=3.8", "", "junk")
		f.Python = []envfile.Declaration{{Value: v, From: finding.Origin{File: path, Line: 40, Text: v}}}
	}
	return f
}

func (g generator) files(t *testing.T) []*envfile.File {
	return []*envfile.File{
		g.file(t, finding.CommandLine, envfile.Flags),
		g.file(t, "python_env.yaml", envfile.PythonEnv),
		g.file(t, "requirements.txt", envfile.Requirements),
		g.file(t, "conda.yaml", envfile.Conda),
		g.file(t, "pyproject.toml", envfile.PyProject),
	}
}

// seeds returns how many sets of files each property is tried on. MLENV_SEEDS asks for more.
func seeds(t *testing.T) uint64 {
	text := os.Getenv("MLENV_SEEDS")
	if text == "" {
		return 30
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n < 1 {
		t.Fatalf("MLENV_SEEDS=%s is not a number of seeds", text)
	}
	return n
}

func forManyFiles(t *testing.T, check func(t *testing.T, g generator, files []*envfile.File)) {
	for seed := range seeds(t) {
		g := generator{rand.New(rand.NewPCG(seed, 1))}
		files := g.files(t)
		check(t, g, files)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func mustJSON(t *testing.T, s *Spec) string {
	t.Helper()
	data, err := s.JSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestMergeDoesNotDependOnTheOrderOfFiles(t *testing.T) {
	forManyFiles(t, func(t *testing.T, g generator, files []*envfile.File) {
		want := mustJSON(t, Merge(files...))
		g.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
		if got := mustJSON(t, Merge(files...)); got != want {
			t.Errorf("in another order:\n%s\nnot\n%s", got, want)
		}
	})
}

func TestMergeOfTheSameFilesTwiceIsTheSame(t *testing.T) {
	forManyFiles(t, func(t *testing.T, g generator, files []*envfile.File) {
		once, twice := Merge(files...), Merge(append(slices.Clone(files), files...)...)
		if once.Digest != twice.Digest {
			t.Errorf("digest %s, read twice %s", once.Digest, twice.Digest)
		}
		if a, b := len(once.Findings), len(twice.Findings); a != b {
			t.Errorf("%d findings, read twice %d", a, b)
		}
	})
}

func TestDigestIgnoresWhereThingsAreWritten(t *testing.T) {
	forManyFiles(t, func(t *testing.T, g generator, files []*envfile.File) {
		want := Merge(files...).Digest
		for _, f := range files {
			for i := range f.Requirements {
				f.Requirements[i].From.Line += 100
				f.Requirements[i].From.Text += "  # a comment"
			}
		}
		if got := Merge(files...).Digest; got != want {
			t.Errorf("digest %s, with other lines %s", want, got)
		}
	})
}

// Lines that do not contradict each other may stand in any order.
func TestDigestIgnoresTheOrderOfLines(t *testing.T) {
	checked := 0
	forManyFiles(t, func(t *testing.T, g generator, files []*envfile.File) {
		before := Merge(files...)
		for _, f := range before.Findings {
			if f.Rule == finding.ConflictingRequirements || f.Rule == finding.ConflictingConstraint || f.Rule == finding.BuildDependencyDiffers {
				return
			}
		}
		checked++
		for _, f := range files {
			g.Shuffle(len(f.Requirements), func(i, j int) {
				f.Requirements[i], f.Requirements[j] = f.Requirements[j], f.Requirements[i]
			})
		}
		if after := Merge(files...); after.Digest != before.Digest {
			t.Errorf("digest %s, shuffled %s:\n%s\n%s", before.Digest, after.Digest, before.RequirementsTxt(), after.RequirementsTxt())
		}
	})
	if checked == 0 {
		t.Error("none of the generated files are free of conflicts")
	}
}

// Every declared name is in the spec, no name and marker twice, and every origin is kept.
func TestMergeLosesNothing(t *testing.T) {
	forManyFiles(t, func(t *testing.T, g generator, files []*envfile.File) {
		s := Merge(files...)
		have := map[string]Requirement{}
		for _, r := range s.Requirements {
			k := string(r.Name) + ";" + r.Marker.String()
			if _, twice := have[k]; twice {
				t.Errorf("%s is there twice", k)
			}
			have[k] = r
		}
		for _, f := range files {
			for _, r := range f.Requirements {
				merged, ok := have[string(r.Name)+";"+r.Marker.String()]
				if !ok || !slices.Contains(merged.From, r.From) {
					t.Errorf("%s:%d %s is lost", r.From.File, r.From.Line, r.From.Text)
				}
			}
		}
	})
}

// What is merged can be read again and means the same: the requirements form is made of valid
// PEP 508 lines, and the YAML and JSON forms give the spec back.
func TestFormsCanBeReadBack(t *testing.T) {
	forManyFiles(t, func(t *testing.T, g generator, files []*envfile.File) {
		s := Merge(files...)
		for _, r := range s.Requirements {
			back, err := pep508.Parse(r.Line())
			if err != nil || back.Name != r.Name || !back.Specifier.Equal(r.Specifier) || !back.Marker.Equal(r.Marker) {
				t.Errorf("%q reads as %q: %v", r.Line(), back, err)
			}
		}
		yaml, err := s.YAML()
		if err != nil {
			t.Fatal(err)
		}
		for form, data := range map[string][]byte{"YAML": yaml, "JSON": []byte(mustJSON(t, s))} {
			back, err := ParseSpec(data)
			if err != nil {
				t.Fatalf("%s: %v", form, err)
			}
			if got, want := mustJSON(t, back), mustJSON(t, s); got != want {
				t.Errorf("%s reads back as\n%s\nnot\n%s", form, got, want)
			}
			if back.digest() != s.Digest {
				t.Errorf("%s: the digest changes when read back", form)
			}
		}
	})
}

// A spec without an error among its findings can be satisfied, and with one it still names
// something that can be.
func TestMergedSpecifiersAreSatisfiable(t *testing.T) {
	forManyFiles(t, func(t *testing.T, g generator, files []*envfile.File) {
		for _, r := range Merge(files...).Requirements {
			back, err := pep508.Parse(r.Line())
			if err != nil {
				t.Fatal(err)
			}
			if !back.Specifier.Satisfiable() {
				t.Errorf("%s cannot be satisfied", r.Line())
			}
		}
	})
}

func TestEveryFindingHasARule(t *testing.T) {
	forManyFiles(t, func(t *testing.T, g generator, files []*envfile.File) {
		for _, f := range Merge(files...).Findings {
			if _, ok := finding.Lookup(f.Rule); !ok {
				t.Errorf("finding of an unknown rule: %+v", f)
			}
		}
	})
}
