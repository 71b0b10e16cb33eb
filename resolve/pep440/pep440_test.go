package pep440

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	v := MustParse(" v1!2.0.0-RC_3-4.dev05+Ab-01.c ")
	if v.String() != "1!2.0.0rc3.post4.dev5+ab.1.c" || v.Text() != "v1!2.0.0-RC_3-4.dev05+Ab-01.c" || v.Local() != "ab.1.c" ||
		!v.IsPrerelease() || !v.IsPostrelease() || v.IsZero() || !slices.Equal(v.Release(), []uint64{2, 0, 0}) {
		t.Errorf("%+v", v)
	}
	if p := v.Public(); p.String() != "1!2.0.0rc3.post4.dev5" || p.Local() != "" || p.Compare(v) >= 0 || p.Public() != p {
		t.Errorf("public: %+v", p)
	}
	a, b := MustParse("1.0"), MustParse("1.0.0")
	if !a.Equal(b) || a.Key() != b.Key() || a.Compare(b) != 0 || a == b {
		t.Errorf("%s and %s differ", a, b)
	}
	if huge := MustParse("18446744073709551616.1"); !slices.Equal(huge.Release(), []uint64{1<<64 - 1, 1}) {
		t.Errorf("release of %s is %v", huge, huge.Release())
	}
	var zero Version
	if !zero.IsZero() || zero.String() != "" || zero.Compare(a) >= 0 || zero.Release() != nil || zero.IsPrerelease() {
		t.Error("the zero Version is something")
	}
	if _, err := Parse("1.x"); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), `"1.x"`) {
		t.Errorf("error %v", err)
	}
}

func TestMinor(t *testing.T) {
	for in, want := range map[string]string{
		"3.11": "3.11", "3.11.7": "3.11", "3.10rc1": "3.10", "3.14.0b2+local": "3.14", "1!2.7": "2.7", "3": "", "": "",
	} {
		var v Version
		if err := v.UnmarshalText([]byte(in)); err != nil || v.Minor() != want {
			t.Errorf("%q: %q, %v; want %q", in, v.Minor(), err, want)
		}
	}
}

// TestTextRoundTrip holds that what is written is read back as an equal value, which is written the
// same again, and that the zero value is "".
func TestTextRoundTrip(t *testing.T) {
	for _, in := range []string{"", "3.11", "1!2.0rc1.post2.dev3+ab.1", "v1.0-1"} {
		var v, again Version
		text, err := v.MarshalText()
		if err != nil || len(text) != 0 {
			t.Fatalf("zero Version: %q, %v", text, err)
		}
		if err := v.UnmarshalText([]byte(in)); err != nil {
			t.Fatal(err)
		}
		text, err = v.MarshalText()
		if err != nil || again.UnmarshalText(text) != nil || again.Key() != v.Key() || again.String() != v.String() || v.IsZero() != (in == "") {
			t.Errorf("Version %q: %q, %q, %v", in, text, again, err)
		}
	}
	for _, in := range []string{"", ">=1,<2", "==1.2.*", "===1.0-weird", "~=1.4,!=1.4.2,==1.*"} {
		var s, again Specifiers
		if err := s.UnmarshalText([]byte(in)); err != nil {
			t.Fatal(err)
		}
		text, err := s.MarshalText()
		if err != nil || again.UnmarshalText(text) != nil || !again.Equal(s) || again.String() != string(text) || s.IsZero() != (in == "") {
			t.Errorf("Specifiers %q: %q, %q, %v", in, text, again, err)
		}
	}
}

func TestText(t *testing.T) {
	var v Version
	if err := v.UnmarshalText([]byte("1.0-rc1")); err != nil || v.String() != "1.0rc1" {
		t.Errorf("%v, %v", v, err)
	}
	if text, err := v.MarshalText(); err != nil || string(text) != "1.0rc1" {
		t.Errorf("%s, %v", text, err)
	}
	if err := v.UnmarshalText(nil); err != nil || !v.IsZero() {
		t.Errorf("%v, %v", v, err)
	}
	var s Specifiers
	if err := s.UnmarshalText([]byte("< 2, >= 1")); err != nil {
		t.Error(err)
	}
	if text, err := s.MarshalText(); err != nil || string(text) != "<2,>=1" {
		t.Errorf("%s, %v", text, err)
	}
}

func TestSpecifierErrors(t *testing.T) {
	for in, want := range map[string]string{
		"1.0":      "expected an operator",
		">=":       "expected a version after >=",
		">=1,=2":   "expected an operator",
		"~=1":      "at least two numbers",
		">=1.*":    ".* can only be used with == or !=",
		"==1rc1.*": ".* cannot follow a pre-release",
		">=1+cpu":  "a local version label can only be used with == or !=",
		"==1 2":    `unexpected " 2" after ==1`,
	} {
		if s, err := ParseSpecifiers(in); err == nil || !strings.Contains(err.Error(), want) || !s.IsZero() {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
}

func set(t *testing.T, s string) Specifiers {
	t.Helper()
	set, err := ParseSpecifiers(s)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestPin(t *testing.T) {
	for in, want := range map[string]string{
		"==1.0":             "1.0",
		"===1.0":            "1.0",
		"==1.0,>=0.5":       "1.0",
		"==1.0,==1.0+cu118": "1.0+cu118",
		"==1.0,==1.0.0":     "1.0",
		"==1.*":             "",
		"":                  "",
		">=1.0,<=1.0":       "",
		"==1.0,==2.0":       "",
		"==1.0,>=2":         "",
		"===any":            "",
	} {
		v, ok := set(t, in).Pin()
		if v.String() != want || ok != (want != "") {
			t.Errorf("%q: %q, %v, want %q", in, v, ok, want)
		}
	}
}

func TestAnd(t *testing.T) {
	for _, c := range [][3]string{
		{">=1", "<2", "<2,>=1"},
		{">=1,<2", "<2.0,!=1.5", "!=1.5,<2,>=1"},
		{"", "==1", "==1"},
		{"==1", "", "==1"},
		{"~=1.0", "~=1.0.0", "~=1.0,~=1.0.0"},
	} {
		a, b := set(t, c[0]), set(t, c[1])
		before := a.String()
		if got := a.And(b); got.String() != c[2] || !got.Equal(set(t, c[2])) {
			t.Errorf("%q and %q: %s, want %s", c[0], c[1], got, c[2])
		}
		if a.String() != before {
			t.Errorf("And changed %q to %q", before, a)
		}
	}
	if a := set(t, ">=1, <2"); len(a.Clauses()) != 2 || a.Clauses()[0].String() != ">=1" || a.Clauses()[1].Version != "2" {
		t.Errorf("clauses %v", a.Clauses())
	}
	if !set(t, ">=1.0,<2").Equal(set(t, "<2.0,>=1")) || set(t, ">=1").Equal(set(t, ">1")) {
		t.Error("Equal")
	}
	if e := Exactly(MustParse("1.0-RC1")); e.String() != "==1.0rc1" {
		t.Errorf("Exactly: %s", e)
	}
}

func TestSatisfiable(t *testing.T) {
	for in, want := range map[string]bool{
		"": true, "==1,==1.0": true, "==1,==2": false, "==1.0,>=2": false, ">=3,<2": false, "==1.*,==2.*": false,
		"~=1.4,<1.4": false, "~=1.4,>=1.9": true, "~=1.4.2,>=1.5": false, "==1.0,!=1.0": false, "==1.0,!=1.*": false,
		"==1.0,==1.0+cpu": true, "==1.0+cpu,==1.0+cuda": false, "==1.0,!=1.0+cpu": true, ">1.0,<1.1": true, ">1.0,<1.0.1": true,
		">1.0,<=1.0": false, ">1.0,<1.0.post1": false, ">=1.0rc1,<1.0": false, ">=1.0rc1,<1.0rc2": true, "<0": false, "<0.dev0": false,
		">=1,!=1.*,!=2.*,<3": false, ">=1,!=1.*,<3": true, "===x": true, "===x,>=1": false, "===1.5,>=1": true, "===1,===1.0": false,
	} {
		if got := set(t, in).Satisfiable(); got != want {
			t.Errorf("%q: %v", in, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"1!2.0rc1.post2.dev3+a.1", "1.0-1", "v1.a-", "99999999999999999999", "1.0+é", "1.0.dev", strings.Repeat("1.", 500) + "1", "1+" + strings.Repeat("a.", 500) + "a", "99999999999999999999!1rc99999999999999999999", "1\u202e", "1.0\n::error::x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := Parse(s)
		if err != nil {
			if !v.IsZero() {
				t.Errorf("%q: %+v with an error", s, v)
			}
			return
		}
		again, err := Parse(v.String())
		if err != nil || again.Compare(v) != 0 || again.String() != v.String() || again.Text() != v.String() {
			t.Errorf("%q: %s reads back as %s, error %v", s, v, again, err)
		}
		if v.Public().Compare(v) > 0 || v.Public().Local() != "" || len(v.Release()) == 0 {
			t.Errorf("%q: public %s, release %v", s, v.Public(), v.Release())
		}
		for _, op := range []string{"==", ">=", "<="} {
			if set, err := ParseSpecifiers(op + v.Public().String()); err != nil || !set.Match(v) || !set.Satisfiable() {
				t.Errorf("%s not in %s, error %v", v, set, err)
			}
		}
		for _, op := range []string{"!=", "<", ">"} {
			if set, err := ParseSpecifiers(op + v.Public().String()); err != nil || set.Match(v) {
				t.Errorf("%s in %s, error %v", v, set, err)
			}
		}
	})
}

func FuzzParseSpecifiers(f *testing.F) {
	f.Add(">=1.0,<2,!=1.5.*", "1.7")
	f.Add("~=1.4.2,===1.4.5", "1.4.5")
	f.Add("> 1.0.dev1 , <= 2.0.post1,==1+x", "1+x")
	f.Add(strings.Repeat("!=1.0,", 500)+"!=1", "1")
	f.Add(">=99999999999999999999,<=1e999,==1.*.*", "99999999999999999999")
	f.Add("~=1\x00,===\u2028 ,== 1\x1b[2J", "1")
	f.Fuzz(func(t *testing.T, s, version string) {
		set, err := ParseSpecifiers(s)
		if err != nil {
			return
		}
		again, err := ParseSpecifiers(set.String())
		if err != nil || !again.Equal(set) || again.String() != set.String() {
			t.Fatalf("%q: %s reads back as %s, error %v", s, set, again, err)
		}
		v, err := Parse(version)
		if err != nil {
			return
		}
		if set.Match(v) != again.Match(v) {
			t.Errorf("%s in %q and in %q differ", v, s, again)
		}
		if set.Match(v) && !set.Satisfiable() {
			t.Errorf("%s satisfies %s, which cannot be satisfied", v, set)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("2024.10.1rc1"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompare(b *testing.B) {
	v, w := MustParse("1.26.4"), MustParse("1.26.4.post1")
	b.ReportAllocs()
	for b.Loop() {
		if v.Compare(w) >= 0 {
			b.Fatal("wrong")
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	s, err := ParseSpecifiers(">=1.21,<2,!=1.24.*")
	if err != nil {
		b.Fatal(err)
	}
	v := MustParse("1.26.4")
	b.ReportAllocs()
	for b.Loop() {
		if !s.Match(v) {
			b.Fatal("wrong")
		}
	}
}

func BenchmarkParseSpecifiers(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseSpecifiers(">=1.21,<2,!=1.24.*"); err != nil {
			b.Fatal(err)
		}
	}
}

// TestMatchAllocates holds the promise that comparing and matching allocate nothing.
func TestMatchAllocates(t *testing.T) {
	s := set(t, ">=1.21,<2,!=1.24.*,~=1.22,==1.26.4,===1.26.4")
	v, w := MustParse("1.26.4"), MustParse("1.26.5")
	if n := testing.AllocsPerRun(100, func() { s.Match(v); v.Compare(w) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
