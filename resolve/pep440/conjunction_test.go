package pep440

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// satisfiable is what Satisfiable means, by cutting every span with every other.
func satisfiable(s Specifiers) bool {
	for i := range s.clauses {
		if s.clauses[i].Op == "===" {
			return s.satisfiableText(&s.clauses[i])
		}
	}
	cut := func(spans []span, others ...span) (out []span) {
		for _, a := range spans {
			for _, b := range others {
				c := span{lo: max(a.lo, b.lo), hi: a.hi}
				if c.hi == "" || b.hi != "" && b.hi < c.hi {
					c.hi = b.hi
				}
				if c.hi == "" || c.lo < c.hi {
					out = append(out, c)
				}
			}
		}
		return out
	}
	within := []span{{lo: keyMin}}
	for _, c := range s.clauses {
		if c.Op == "!=" {
			within = cut(within, span{hi: c.span.lo}, span{lo: c.span.hi})
		} else {
			within = cut(within, c.span)
		}
	}
	return len(within) > 0
}

// A Conjunction is And, Satisfiable and Pin at every step, whatever is added in whatever order.
func TestConjunction(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	versions := []string{"0", "1", "1.0", "1.0.0", "1.0+a", "1.0+b", "1.1", "1.2", "1.2rc1", "1.3.post1", "2", "2.dev0", "3", "0.dev0"}
	prefixes := []string{"0", "1", "1.0", "1.1", "1.2", "1.3", "2", "3"}
	added, refused, pinned := 0, 0, 0
	for range 20_000 {
		var grown Conjunction
		var whole Specifiers
		for range 1 + rng.IntN(12) {
			var clauses []string
			for range 1 + rng.IntN(2) {
				op := []string{"!=", "!=", "!=", ">=", "<=", "<", ">", "==", "~=", "==="}[rng.IntN(10)]
				switch v := versions[rng.IntN(len(versions))]; {
				case (op == "!=" || op == "==") && rng.IntN(2) == 0:
					clauses = append(clauses, op+prefixes[rng.IntN(len(prefixes))]+".*")
				case op == "~=":
					clauses = append(clauses, op+"1.1")
				case strings.Contains(v, "+") && op != "==" && op != "!=" && op != "===":
				case op == "===" && rng.IntN(4) > 0:
				default:
					clauses = append(clauses, op+v)
				}
			}
			one := MustParseSpecifiers(strings.Join(clauses, ","))
			both := whole.And(one)
			want := satisfiable(both)
			if both.Satisfiable() != want {
				t.Fatalf("%s: Satisfiable says %v", both, !want)
			}
			if got := grown.Add(one); got != want {
				t.Fatalf("%s and %s: added %v, want %v", whole, one, got, want)
			}
			if !want {
				refused++
				continue
			}
			added++
			whole = both
			if got := grown.Specifiers(); !got.Equal(whole) {
				t.Fatalf("the clauses are %s, want %s", got, whole)
			}
			v, ok := grown.Pin()
			w, too := whole.Pin()
			if ok != too || ok && v.Compare(w) != 0 {
				t.Fatalf("%s: the pin is %s %v, want %s %v", whole, v, ok, w, too)
			}
			if ok {
				pinned++
			}
			if one.String() == grown.Specifiers().String() && !grown.SameAs(one) {
				t.Fatalf("%s is not the same as %s", whole, one)
			}
		}
	}
	if added < 10_000 || refused < 10_000 || pinned < 1000 {
		t.Errorf("%d added, %d refused, %d pinned", added, refused, pinned)
	}
}

// A thousand clauses and two thousand differ by little more than two: see the printed ratios.
func BenchmarkConjunction(b *testing.B) {
	for _, shape := range []struct {
		name string
		line func(i int) string
	}{
		{"excluded", func(i int) string { return fmt.Sprintf("!=1.%d", i) }},
		{"excluded-downwards", func(i int) string { return fmt.Sprintf("<2,!=1.%d.*", 1_000_000-i) }},
		{"equal", func(int) string { return "==1.0" }},
		{"pins-that-contradict", func(i int) string { return fmt.Sprintf("==1.%d", i) }},
	} {
		for _, n := range []int{5_000, 10_000, 20_000} {
			b.Run(fmt.Sprintf("%s/%d", shape.name, n), func(b *testing.B) {
				var sets []Specifiers
				for i := range n {
					sets = append(sets, MustParseSpecifiers(shape.line(i)))
				}
				for b.Loop() {
					var j Conjunction
					for _, s := range sets {
						j.Add(s)
					}
				}
			})
		}
	}
}
