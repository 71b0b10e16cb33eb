package pep440

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// vectors is what testdata/vectors.py writes.
type vectors struct {
	Packaging string
	Seed      uint64
	Versions  []versionRow
	Probes    []string
	Sets      []setRow
}

type versionRow struct {
	Text    string
	Valid   bool
	Norm    string
	Pre     bool
	Post    bool
	Local   string
	Release []string
	Rank    int
}

type setRow struct {
	Text          string
	Valid         bool
	Norm          string
	Prereleases   bool
	Unsatisfiable bool
	Matches       string // bits over the probes, in hex
}

func (r *versionRow) UnmarshalJSON(data []byte) error {
	return row(data, &r.Valid, &r.Text, &r.Norm, &r.Pre, &r.Post, &r.Local, &r.Release, &r.Rank)
}

func (r *setRow) UnmarshalJSON(data []byte) error {
	return row(data, &r.Valid, &r.Text, &r.Norm, &r.Prereleases, &r.Unsatisfiable, &r.Matches)
}

// row reads an array into fields; one element alone is what is not valid.
func row(data []byte, valid *bool, fields ...any) error {
	var raw []json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	*valid = len(raw) > 1
	if *valid && len(raw) != len(fields) {
		return fmt.Errorf("%s: %d fields", data, len(raw))
	}
	for i := range raw {
		if err := json.Unmarshal(raw[i], fields[i]); err != nil {
			return err
		}
	}
	return nil
}

// readVectors reads the recorded vectors, or with MLENV_PYTHON set, fresh ones.
func readVectors(t testing.TB) (v vectors) {
	data, err := os.ReadFile("testdata/vectors.json.gz")
	if python := os.Getenv("MLENV_PYTHON"); python != "" {
		seed, _ := rand.Int(rand.Reader, big.NewInt(1<<32))
		cmd := exec.Command(python, "testdata/vectors.py", seed.String())
		cmd.Stderr = os.Stderr
		data, err = cmd.Output()
	}
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err == nil {
		err = json.NewDecoder(z).Decode(&v)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("packaging %s, seed %d", v.Packaging, v.Seed)
	return v
}

func TestVersionsAsPackaging(t *testing.T) {
	rows := readVectors(t).Versions
	if len(rows) < 1000 {
		t.Fatalf("only %d versions", len(rows))
	}
	type ranked struct {
		Version
		rank int
	}
	var valid []ranked
	for _, r := range rows {
		v, err := Parse(r.Text)
		if (err == nil) != r.Valid {
			t.Errorf("%q: error %v, valid %v", r.Text, err, r.Valid)
			continue
		}
		if !r.Valid {
			continue
		}
		valid = append(valid, ranked{v, r.Rank})
		if v.String() != r.Norm || v.IsPrerelease() != r.Pre || v.IsPostrelease() != r.Post || v.Local() != r.Local {
			t.Errorf("%q: %s pre %v post %v local %q, want %+v", r.Text, v, v.IsPrerelease(), v.IsPostrelease(), v.Local(), r)
		}
		for i, n := range v.Release() {
			if want := r.Release[i]; fmt.Sprint(n) != want && len(want) < 20 || len(v.Release()) != len(r.Release) {
				t.Errorf("%q: release %v, want %v", r.Text, v.Release(), r.Release)
			}
		}
	}
	slices.SortStableFunc(valid, func(a, b ranked) int { return a.Compare(b.Version) })
	for i := 1; i < len(valid); i++ {
		a, b := valid[i-1], valid[i]
		if a.rank > b.rank || (a.rank == b.rank) != (a.Compare(b.Version) == 0) {
			t.Errorf("%s (rank %d), %s (rank %d): Compare gives %d", a, a.rank, b, b.rank, a.Compare(b.Version))
		}
	}
}

func TestSpecifiersAsPackaging(t *testing.T) {
	v := readVectors(t)
	if len(v.Sets) < 1000 || len(v.Probes) < 100 {
		t.Fatalf("only %d sets, %d probes", len(v.Sets), len(v.Probes))
	}
	for _, r := range v.Sets {
		s, err := ParseSpecifiers(r.Text)
		if (err == nil) != r.Valid {
			t.Errorf("%q: error %v, valid %v", r.Text, err, r.Valid)
			continue
		}
		if !r.Valid {
			continue
		}
		if s.String() != r.Norm || s.AllowsPrereleases() != r.Prereleases || s.Satisfiable() == r.Unsatisfiable {
			t.Errorf("%q: %s, pre-releases %v, satisfiable %v, want %+v", r.Text, s, s.AllowsPrereleases(), s.Satisfiable(), r)
		}
		bits, ok := new(big.Int).SetString(r.Matches, 16)
		if !ok {
			t.Fatalf("bits %q", r.Matches)
		}
		for i, probe := range v.Probes {
			want := bits.Bit(len(v.Probes)-1-i) == 1
			if got := s.Match(MustParse(probe)); got != want {
				t.Errorf("%s in %s: %v, want %v", probe, strings.TrimSpace(r.Text), got, want)
			}
		}
	}
}
