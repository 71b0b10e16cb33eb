package pep508

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for in, want := range map[string]Name{"Foo_.-Bar": "foo-bar", "a": "a", "A.B": "a-b", "": "", "--x--": "-x-", "é_Ü": "é-ü", "a--b": "a-b"} {
		if got := NormalizeName(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for _, s := range []string{"a", "A1", "a-b", "a.b_c", "0"} {
		if !ValidName(s) {
			t.Errorf("%q is no name", s)
		}
	}
	for _, s := range []string{"", "-a", "a-", "a_", "é", "a b", "a\n", "_"} {
		if ValidName(s) {
			t.Errorf("%q is a name", s)
		}
	}
}

func TestParse(t *testing.T) {
	r, err := Parse("Foo.Bar [b_B, a,b-b] (>= 1.0, <2) ; python_version < '3.8'")
	if err != nil {
		t.Fatal(err)
	}
	if r.Name != "foo-bar" || r.Spelling != "Foo.Bar" || !slices.Equal(r.Extras, []Name{"a", "b-b"}) || r.URL != "" ||
		r.String() != `foo-bar[a,b-b]<2,>=1.0; python_version < "3.8"` {
		t.Errorf("%+v: %s", r, r)
	}
	r, err = Parse("foo@https://files.example/a;b ; os_name=='nt'")
	if err != nil || r.URL != "https://files.example/a;b" || r.String() != `foo @ https://files.example/a;b ; os_name == "nt"` {
		t.Errorf("%s, %v", r, err)
	}
	var again Requirement
	if text, err := r.MarshalText(); err != nil || again.UnmarshalText(text) != nil || !again.Equal(r) {
		t.Errorf("%s, %v", again, err)
	}
}

// TestMarkerText holds that a marker that is written is read back as an equal one, and that the zero
// Marker is "".
func TestMarkerText(t *testing.T) {
	for _, in := range []string{"", "os_name=='nt'", `python_version < "3.8" and (os_name == "nt" or extra == "A_b")`} {
		var m, again Marker
		if err := m.UnmarshalText([]byte(in)); err != nil {
			t.Fatal(err)
		}
		text, err := m.MarshalText()
		if err != nil || again.UnmarshalText(text) != nil || !again.Equal(m) || again.String() != string(text) || m.IsZero() != (in == "") {
			t.Errorf("%q: %q, %q, %v", in, text, again, err)
		}
	}
	var m Marker
	if err := m.UnmarshalText([]byte("os_name")); err == nil {
		t.Error("os_name alone is read as a marker")
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		in     string
		column int
		want   string
	}{
		{"", 1, "expected a package name"},
		{"  >=1", 3, "expected a package name"},
		{"foo bar", 5, `expected a version specifier, ";", "@" or the end`},
		{"foo >=1 bar", 9, `expected ",", ";" or the end`},
		{"foo >=1, =2", 10, "expected an operator"},
		{"foo >=1.*", 5, ".* can only be used with == or !="},
		{"foo >=1+x", 5, "a local version label can only be used with == or !="},
		{"foo (>=1", 9, `expected "," or ")"`},
		{"foo[a", 6, `expected "," or "]"`},
		{"foo[a b]", 7, `expected "," or "]"`},
		{"foo[a,]", 7, "expected the name of an extra"},
		{"foo @", 6, "expected a URL"},
		{"foo @ u x", 9, `expected ";" or the end after the URL`},
		{"foo;", 5, "expected a marker variable or a quoted string"},
		{"foo; os_name", 13, "expected an operator, one of"},
		{"foo; os_name not 'x'", 18, `expected "in" after "not"`},
		{"foo; os_name == 'x", 17, "expected a closing quote"},
		{"foo; os_name == 'x' os_name", 21, `expected "and", "or" or the end of the marker`},
		{"foo; (os_name == 'x'", 21, `expected "and", "or" or ")"`},
		{"foo; ünknown == 'x'", 6, "expected a marker variable"},
		{"foo; 'é' == é", 13, "expected a marker variable"},
		{"foo; " + strings.Repeat("(", 200), 107, "nested too deeply"},
		{`foo; os_name == '\x'`, 17, "invalid escape"},
		{"foo; os_name == 'a\nb'", 17, "line break"},
	} {
		_, err := Parse(c.in)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Column != c.column || !strings.Contains(syntax.Problem, c.want) || syntax.Input != c.in {
			t.Errorf("%q: %v, want column %d: %s", c.in, err, c.column, c.want)
		}
	}
}

func marker(t *testing.T, s string) Marker {
	t.Helper()
	m, err := ParseMarker(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAndOr(t *testing.T) {
	const a, b, c = `os_name == "a"`, `extra == "b"`, `python_version < "3"`
	for _, test := range []struct{ left, right, and, or string }{
		{"", "", "", ""},
		{a, "", a, ""},
		{"", a, a, ""},
		{a, a, a, a},
		{a, b, a + " and " + b, a + " or " + b},
		{a + " and " + b, b + " and " + c, a + " and " + b + " and " + c, a + " and " + b + " or " + b + " and " + c},
		{a + " or " + b, c, "(" + a + " or " + b + ") and " + c, a + " or " + b + " or " + c},
		{a + " or " + b, a + " or " + b, a + " or " + b, a + " or " + b},
	} {
		left, right := marker(t, test.left), marker(t, test.right)
		for _, m := range []struct {
			got  Marker
			want string
		}{{left.And(right), test.and}, {left.Or(right), test.or}, {left, test.left}, {right, test.right}} {
			if m.got.String() != m.want || !marker(t, m.want).Equal(m.got) || m.got.IsZero() != (m.want == "") {
				t.Errorf("%q, %q: %q, want %q", left, right, m.got, m.want)
			}
		}
	}
}

func TestVariables(t *testing.T) {
	m := marker(t, `(os.name == 'x' or python_implementation != 'y') and os_name != 'z'`)
	if got := m.Variables(); !slices.Equal(got, []string{"os_name", "platform_python_implementation"}) || m.UsesExtra() {
		t.Errorf("%v, %v", got, m.UsesExtra())
	}
	for _, s := range []string{`extra == 'x'`, `os_name == 'a' or ('x' in extras)`, `'x' in dependency_groups`, `'x' == extra`} {
		if !marker(t, s).UsesExtra() {
			t.Errorf("%s uses no extra", s)
		}
	}
	if m := (Marker{}); m.Variables() != nil || m.UsesExtra() || !m.Eval(Environment{}) || m.String() != "" {
		t.Error("the zero Marker is something")
	}
}

// TestSeveralExtras holds what packaging has no notion of: several extras at once.
func TestSeveralExtras(t *testing.T) {
	env := Environment{Extras: []Name{"a", "b-c"}, DependencyGroups: []string{"Test_It"}}
	for s, want := range map[string]bool{
		`extra == 'a'`:                    true,
		`extra == 'B_C'`:                  true,
		`extra == 'd'`:                    false,
		`'a' == extra`:                    true,
		`extra != 'a'`:                    false,
		`extra != 'd'`:                    true,
		`extra == 'a' and extra == 'b-c'`: true,
		`extra in 'a d'`:                  true,
		`extra not in 'a d'`:              false,
		`extra == ''`:                     false,
		`'b_c' in extras`:                 true,
		`'d' not in extras`:               true,
		`'a' in dependency_groups`:        false,
		`'test-it' in dependency_groups`:  true,
		`extras == 'a'`:                   false,
		`'a' == 'a'`:                      false,
		`os_name ~= 'a'`:                  false,
		`os_name === ''`:                  false,
		`"\x61" == extra`:                 true,
	} {
		if got := marker(t, s).Eval(env); got != want {
			t.Errorf("%s: %v", s, got)
		}
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"a": `"a"`, `a"b`: `'a"b'`, `a'b`: `"a'b"`, `a'"b`: `"a'\x22b"`, `a\b`: `"a\\b"`, "a\nb": `"a\x0ab"`, "": `""`, `\"`: `'\\"'`,
	} {
		got := quote(in)
		if got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
		if back, problem := unquote(got[1 : len(got)-1]); back != in || problem != "" {
			t.Errorf("%q reads back as %q: %s", in, back, problem)
		}
	}
}

var seeds = []string{
	`foo`, `Foo.Bar[a,b]>=1.0,<2; python_version < "3.8" and (os_name == 'nt' or extra == "X_y")`, `a @ https://x.example/y ; 'x' in extras`,
	`a(==1.*)`, `a===x,>=1`, `a; python_full_version ~= '3.8' or "3" not in platform_release`, `a; os.name=="\x41"`, `a_ ;extra=='b_'`,
	"a; " + strings.Repeat("(", 2000) + "os_name == 'x'" + strings.Repeat(")", 2000), "a; os_name == 'x'" + strings.Repeat(" or os_name == 'y'", 500), "a[" + strings.Repeat("b,", 500) + "c]",
	"a" + strings.Repeat("!=1,", 500)[:1999], "a @ https://u:p@h/x?token=t\u2028 ; os_name == '\u202e'", "a\x1b[2J ; '\n::error::x' in os_name", "a @ file:///proc/self/cwd/x.whl", "a ; python_version >= '99999999999999999999'",
}

func FuzzParse(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Column < 1 {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		if slices.ContainsFunc(append(r.Extras, r.Name), func(n Name) bool { return !ValidName(string(n)) }) {
			return // "a_" is taken, but normalizes to no name
		}
		again, err := Parse(r.String())
		if err != nil || !again.Equal(r) || again.String() != r.String() {
			t.Errorf("%q: %q reads back as %q, error %v", s, r, again, err)
		}
	})
}

func FuzzParseMarker(f *testing.F) {
	for _, s := range seeds {
		if _, m, found := strings.Cut(s, ";"); found {
			f.Add(m)
		}
	}
	env := Environment{OSName: "posix", PythonVersion: "3.11", PythonFullVersion: "3.11.2", Extras: []Name{"x"}}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMarker(s)
		if err != nil {
			return
		}
		again, err := ParseMarker(m.String())
		if err != nil || !again.Equal(m) || again.Eval(env) != m.Eval(env) {
			t.Errorf("%q: %q reads back as %q, error %v", s, m, again, err)
		}
		if m.And(m).Eval(env) != m.Eval(env) || m.Or(m).Eval(env) != m.Eval(env) {
			t.Errorf("%q: with itself it is another", s)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(`PySocks (!=1.5.7,>=1.5.6) ; python_version >= "3.8" and extra == 'socks'`); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEval(b *testing.B) {
	m, err := ParseMarker(`python_version >= "3.8" and sys_platform == "linux" and extra == 'socks'`)
	if err != nil {
		b.Fatal(err)
	}
	env := Environment{PythonVersion: "3.11", SysPlatform: "linux", Extras: []Name{"socks"}}
	b.ReportAllocs()
	for b.Loop() {
		if !m.Eval(env) {
			b.Fatal("wrong")
		}
	}
}
