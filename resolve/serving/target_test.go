package serving

import (
	"slices"
	"strings"
	"testing"
)

// TestTargetRefuses says for each platform what it would not take.
func TestTargetRefuses(t *testing.T) {
	good := Shape{Architectures: []string{"amd64"}, Docker: true, Port: 8080, User: "1000:0", Serves: true}
	for _, tt := range []struct {
		target string
		change func(*Shape)
		want   string // the rules, sorted
	}{
		{"sagemaker", func(s *Shape) { s.User = "0:0" }, ""},
		{"sagemaker", func(*Shape) {}, "target-wants-root"},
		{"sagemaker", func(s *Shape) { s.User, s.Docker = "", false }, "target-manifest"},
		{"sagemaker", func(s *Shape) { s.User, s.Index = "root", true }, "target-manifest"},
		{"sagemaker", func(s *Shape) { s.User, s.Port = "0", 9000 }, "target-port"},
		{"sagemaker", func(s *Shape) { s.User, s.Architectures = "0", []string{"s390x"} }, "target-architecture"},
		{"vertex", func(*Shape) {}, ""},
		{"vertex", func(s *Shape) { s.Port, s.Docker, s.User = 9000, false, "0" }, ""},
		{"vertex", func(s *Shape) { s.Architectures = []string{"arm64"} }, "target-architecture"},
		{"cloudrun", func(s *Shape) { s.Architectures, s.Index = []string{"arm64", "amd64"}, true }, ""},
		{"azureml", func(s *Shape) { s.Serves, s.Port = false, 0 }, "target-server"},
		{"kserve", func(s *Shape) { s.User = "model" }, "target-refuses-root"},
		{"kubernetes", func(s *Shape) { s.User = "0:0" }, "target-refuses-root"},
		{"kubernetes", func(s *Shape) { s.Architectures = []string{"riscv64"} }, ""},
	} {
		p, err := ParseTarget(tt.target)
		if err != nil {
			t.Fatal(err)
		}
		s := good
		tt.change(&s)
		var rules []string
		for _, f := range p.Refuses(s) {
			rules = append(rules, string(f.Rule))
			if !strings.HasPrefix(f.Message, p.Title) || f.Subject != p.Name {
				t.Errorf("%s: the finding does not name the platform: %+v", tt.target, f)
			}
		}
		slices.Sort(rules)
		if got := strings.Join(rules, " "); got != tt.want {
			t.Errorf("%s %+v: got %q, want %q", tt.target, s, got, tt.want)
		}
	}
	if _, err := ParseTarget("lambda"); err == nil || !slices.IsSorted(Targets()) {
		t.Errorf("an unknown platform: %v; all: %v", err, Targets())
	}
}
