package dist

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mlenv/resolve/pep440"
)

// vectors is what testdata/vectors.py writes.
type vectors struct {
	Packaging string
	Seed      uint64
	Targets   []targetRow
	Wheels    []wheelRow
	Sdists    []sdistRow
	Headers   []headerRow
}

type targetRow struct {
	Python, Arch, Libc string
	Tags               string
}

type wheelRow struct {
	File                 string
	Valid                bool
	Name, Version, Build string
	Tags                 []string
}

type sdistRow struct {
	File          string
	Valid         bool
	Name, Version string
}

type headerRow struct {
	Text   string
	Fields [][2]string
}

func (r *targetRow) UnmarshalJSON(data []byte) error {
	return row(data, new(bool), &r.Python, &r.Arch, &r.Libc, &r.Tags)
}

func (r *wheelRow) UnmarshalJSON(data []byte) error {
	return row(data, &r.Valid, &r.File, &r.Name, &r.Version, &r.Build, &r.Tags)
}

func (r *sdistRow) UnmarshalJSON(data []byte) error {
	return row(data, &r.Valid, &r.File, &r.Name, &r.Version)
}

func (r *headerRow) UnmarshalJSON(data []byte) error {
	return row(data, new(bool), &r.Text, &r.Fields)
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

func TestTagsAsPackaging(t *testing.T) {
	v := readVectors(t)
	if len(v.Targets) < 30 {
		t.Fatalf("only %d targets", len(v.Targets))
	}
	for _, r := range v.Targets {
		libc, err := ParseLibc(r.Libc)
		if err != nil {
			t.Fatal(err)
		}
		target := Target{Python: pep440.MustParse(r.Python), OS: "linux", Arch: r.Arch, Libc: libc}
		want := strings.Fields(r.Tags)
		tags := target.Tags()
		for i, tag := range tags {
			if i >= len(want) || tag.String() != want[i] {
				t.Fatalf("%+v: tag %d is %s, want %v", target, i, tag, want[min(i, len(want)-1)])
			}
		}
		if len(tags) != len(want) {
			t.Errorf("%+v: %d tags, want %d", target, len(tags), len(want))
		}
		set := target.TagSet()
		for i, tag := range tags {
			if rank, ok := set.Rank([]Tag{{"py2", "none", "any"}, tags[len(tags)-1], tag}); !ok || rank != i {
				t.Errorf("%+v: rank of %s is %d, %v, want %d", target, tag, rank, ok, i)
			}
		}
	}
}

// acceptedBeyond are the wheels that packaging refuses and ParseWheelName takes: "__" in the
// project's name and "_" in a version for "-", both of which pip took for many years.
var acceptedBeyond = regexp.MustCompile(`^[^-]*__|^[^-]+-1\.0_1-`)

func TestWheelNamesAsPackaging(t *testing.T) {
	v := readVectors(t)
	if len(v.Wheels) < 1000 {
		t.Fatalf("only %d wheels", len(v.Wheels))
	}
	for _, r := range v.Wheels {
		w, err := ParseWheelName(r.File)
		if !r.Valid && acceptedBeyond.MatchString(r.File) {
			continue
		}
		if (err == nil) != r.Valid {
			t.Errorf("%s: error %v, valid %v", r.File, err, r.Valid)
			continue
		}
		if !r.Valid {
			continue
		}
		var tags []string
		for _, tag := range w.Tags {
			tags = append(tags, tag.String())
		}
		slices.Sort(tags)
		tags = slices.Compact(tags)
		build := strings.TrimLeft(w.Build, "0")
		if string(w.Name) != r.Name || w.Version.String() != r.Version || build != strings.TrimLeft(r.Build, "0") ||
			!slices.Equal(tags, r.Tags) {
			t.Errorf("%s: %+v, want %+v", r.File, w, r)
		}
	}
}

func TestSdistNamesAsPackaging(t *testing.T) {
	v := readVectors(t)
	if len(v.Sdists) < 500 {
		t.Fatalf("only %d source distributions", len(v.Sdists))
	}
	for _, r := range v.Sdists {
		f, err := NewFile("", r.File, "")
		if (err == nil) != r.Valid {
			t.Errorf("%s: error %v, valid %v", r.File, err, r.Valid)
		} else if r.Valid && (string(f.Name) != r.Name || f.Version.String() != r.Version || f.Wheel) {
			t.Errorf("%s: %+v, want %+v", r.File, f, r)
		}
	}
}

func TestHeadersAsPython(t *testing.T) {
	v := readVectors(t)
	if len(v.Headers) < 500 {
		t.Fatalf("only %d headers", len(v.Headers))
	}
	for _, r := range v.Headers {
		var got [][2]string
		for name, value := range fields([]byte(r.Text)) {
			got = append(got, [2]string{name, strings.TrimSpace(unfold(value))})
		}
		if !slices.Equal(got, r.Fields) {
			t.Errorf("%q: %q, want %q", r.Text, got, r.Fields)
		}
	}
}
