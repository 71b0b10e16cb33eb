package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"mlenv/resolve/check"
	"mlenv/resolve/finding"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample has a finding of each severity, one in several files, one nowhere, one of the command
// line, one that a policy excepts, and text that every format must escape.
func sample() *Report {
	origin := func(file string, line int, text string) finding.Origin {
		return finding.Origin{File: file, Line: line, Text: text}
	}
	return &Report{
		Model: "models/a b", Tool: "mlenv 1.2.3", Rules: rules(), FailOn: finding.Error,
		Outside: []string{"pylock.toml"},
		Findings: []finding.Finding{
			{Rule: "conflicting-requirements", Severity: finding.Error, Subject: "numpy", Message: "no version of numpy is both <2 & >=2",
				From: []finding.Origin{origin("requirements.txt", 3, "numpy<2"), origin("conda.yaml", 9, "numpy>=2 # 100%")}},
			{Rule: "import-not-locked", Severity: finding.Error, Subject: "cv2", Message: "cv2 is imported\nbut \x1b[31mnothing\x1b[0m brings it",
				From: []finding.Origin{origin("code/über,x:y.py", 1, "import cv2")}},
			{Rule: "unpinned-requirement", Severity: finding.Warning, Subject: "scipy", Message: "scipy has no version",
				From: []finding.Origin{origin("requirements.txt", 3, "numpy<2"), {File: finding.CommandLine, Text: "scipy"}}},
			{Rule: "yanked-release", Severity: finding.Warning, Subject: "pandas", Message: "pandas 2.0.0 was yanked",
				From: []finding.Origin{origin("pylock.toml", 12, `name = "pandas"`)}},
			{Rule: "python-missing", Severity: finding.Warning, Subject: "python", Message: "no file says which Python"},
			{Rule: "example-missing", Severity: finding.Info, Subject: "input_example", Message: "the model has no input example",
				From: []finding.Origin{{File: "MLmodel"}}},
		},
		Excepted: []check.Excepted{{Finding: finding.Finding{Rule: "known-vulnerability", Severity: finding.Error, Subject: "pillow CVE-1",
			Message: "pillow 9.0.0 has the vulnerability CVE-1", From: []finding.Origin{origin("pylock.toml", 30, `name = "pillow"`)}}, Reason: "not reachable"}},
	}
}

// rules are those of sample, with texts of their own, so that golden files do not change with
// those of the real ones.
func rules() []finding.Rule {
	var out []finding.Rule
	for _, r := range []struct {
		id       string
		severity finding.Severity
		category finding.Category
	}{
		{"conflicting-requirements", finding.Error, finding.Environment}, {"example-missing", finding.Info, finding.Signature},
		{"import-not-locked", finding.Error, finding.Model}, {"known-vulnerability", finding.Error, finding.Supply},
		{"python-missing", finding.Warning, finding.Environment}, {"unpinned-requirement", finding.Warning, finding.Environment},
		{"yanked-release", finding.Warning, finding.Supply},
	} {
		out = append(out, finding.Rule{ID: finding.ID(r.id), Category: r.category, Severity: r.severity, Summary: "what " + r.id + " finds", Help: "Why <" + r.id + "> matters, 100%."})
	}
	return out
}

func TestGolden(t *testing.T) {
	for _, format := range Formats {
		got, err := sample().Format(format, nil)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join("testdata", "sample."+format)
		if *update {
			if err := os.WriteFile(name, got, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-want +got, run with -update if it is meant):\n%s", name, diff)
		}
	}
	if _, err := sample().Format("html", nil); err == nil {
		t.Error("html is a format")
	}
}

// SARIF is valid by the schema that OASIS publishes, with findings and without.
func TestSARIFSchema(t *testing.T) {
	data, err := os.ReadFile("testdata/sarif-schema-2.1.0.json")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(sarifSchema, schema); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(sarifSchema)
	if err != nil {
		t.Fatal(err)
	}
	validate := func(report []byte) error {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(report))
		if err != nil {
			t.Fatal(err)
		}
		return s.Validate(v)
	}
	absolute := sample()
	absolute.Model = "/models/x/MLmodel"
	vulnerable := sample()
	for _, severity := range []string{"high", "low", "", "high"} {
		f := finding.New(finding.KnownVulnerability, "a CVE-2099-"+severity, nil, "a has it")
		f.Vulnerability = &finding.Vulnerability{ID: "CVE-2099-" + severity, Severity: severity}
		vulnerable.Findings = append(vulnerable.Findings, f)
	}
	for _, r := range []*Report{sample(), absolute, vulnerable, {Model: "m", Tool: "mlenv devel", Rules: finding.Rules()}, {Tool: "mlenv"}} {
		report, err := r.Format("sarif", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(report); err != nil {
			t.Errorf("%v\n%s", err, report)
		}
		if bad := bytes.Replace(report, []byte(`"version": "2.1.0"`), []byte(`"version": 2`), 1); validate(bad) == nil {
			t.Error("the schema finds nothing wrong with a wrong version")
		}
	}
}

// Files and lines in SARIF are those of the findings, as code scanning shows them.
func TestSARIFPlaces(t *testing.T) {
	data, err := sample().Format("sarif", nil)
	if err != nil {
		t.Fatal(err)
	}
	var log sarifLog
	if err := json.Unmarshal(data, &log); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range log.Runs[0].Results {
		line := 0
		if region := r.Locations[0].Physical.Region; region != nil {
			line = region.StartLine
		}
		got = append(got, finding.Origin{File: r.Locations[0].Physical.Artifact.URI, Line: line}.String())
		if rule := log.Runs[0].Tool.Driver.Rules[*r.RuleIndex]; rule.ID != r.RuleID {
			t.Errorf("%s has the index of %s", r.RuleID, rule.ID)
		}
	}
	want := []string{"models/a%20b/requirements.txt:3", "models/a%20b/code/%C3%BCber,x:y.py:1", "models/a%20b/requirements.txt:3",
		"pylock.toml:12", "models/a%20b/MLmodel", "models/a%20b/MLmodel", "pylock.toml:30"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
}

// xsdElement is an element of the schema of JUnit files: what it may hold.
type xsdElement struct {
	required, optional, children []string
	text                         bool
}

// readXSD reads the part of XML Schema that the file uses: elements by name with their
// attributes, references to child elements, and text.
func readXSD(t *testing.T, name string) map[string]*xsdElement {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	elements := map[string]*xsdElement{}
	var current *xsdElement
	depth := 0
	attr := func(s xml.StartElement, key string) string {
		i := slices.IndexFunc(s.Attr, func(a xml.Attr) bool { return a.Name.Local == key })
		if i < 0 {
			return ""
		}
		return s.Attr[i].Value
	}
	d := xml.NewDecoder(f)
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch s := token.(type) {
		case xml.EndElement:
			depth--
		case xml.StartElement:
			depth++
			switch {
			case s.Name.Local == "element" && depth == 2:
				current = &xsdElement{text: attr(s, "type") == "xs:string"}
				elements[attr(s, "name")] = current
			case s.Name.Local == "element" && attr(s, "ref") != "" && current != nil:
				current.children = append(current.children, attr(s, "ref"))
			case s.Name.Local == "complexType" && depth == 3 && attr(s, "mixed") == "true":
				current.text = true
			case s.Name.Local == "complexType" && depth == 2:
				current = nil
			case s.Name.Local == "attribute" && current != nil && attr(s, "use") == "required":
				current.required = append(current.required, attr(s, "name"))
			case s.Name.Local == "attribute" && current != nil:
				current.optional = append(current.optional, attr(s, "name"))
			}
		}
	}
	if len(elements) < 10 {
		t.Fatalf("only %d elements in %s", len(elements), name)
	}
	return elements
}

// checkXSD says in what a document breaks the schema.
func checkXSD(elements map[string]*xsdElement, document []byte) (wrong []string) {
	d := xml.NewDecoder(bytes.NewReader(document))
	var stack []string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return wrong
		}
		if err != nil {
			return append(wrong, err.Error())
		}
		switch s := token.(type) {
		case xml.StartElement:
			e := elements[s.Name.Local]
			if e == nil {
				return append(wrong, "there is no element "+s.Name.Local)
			}
			if len(stack) > 0 && !slices.Contains(elements[stack[len(stack)-1]].children, s.Name.Local) {
				wrong = append(wrong, s.Name.Local+" may not stand in "+stack[len(stack)-1])
			}
			var have []string
			for _, a := range s.Attr {
				have = append(have, a.Name.Local)
				if !slices.Contains(e.required, a.Name.Local) && !slices.Contains(e.optional, a.Name.Local) {
					wrong = append(wrong, s.Name.Local+" has no attribute "+a.Name.Local)
				}
			}
			for _, name := range e.required {
				if !slices.Contains(have, name) {
					wrong = append(wrong, s.Name.Local+" lacks "+name)
				}
			}
			stack = append(stack, s.Name.Local)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			if len(stack) > 0 && strings.TrimSpace(string(s)) != "" && !elements[stack[len(stack)-1]].text {
				wrong = append(wrong, stack[len(stack)-1]+" holds text")
			}
		}
	}
}

// JUnit files have only the elements and attributes that the schema of Jenkins' plugin has, where
// it has them.
func TestJUnitSchema(t *testing.T) {
	elements := readXSD(t, "testdata/junit-10.xsd")
	for _, r := range []*Report{sample(), {Rules: finding.Rules()}, {}} {
		data, err := r.Format("junit", nil)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := checkXSD(elements, data); len(wrong) > 0 {
			t.Errorf("%v\n%s", wrong, data)
		}
	}
	for _, bad := range []string{"<testsuites><testcase name='a'/></testsuites>", "<testsuites time='1' when='2'/>", "<testcase/>", "<testsuites>x</testsuites>", "<suite/>"} {
		if len(checkXSD(elements, []byte(bad))) == 0 {
			t.Errorf("the schema finds nothing wrong with %s", bad)
		}
	}
}

// What counts as a failure depends on the threshold.
func TestJUnitThreshold(t *testing.T) {
	for on, want := range map[finding.Severity]int{finding.Error: 2, finding.Warning: 5, "": 0} {
		r := sample()
		r.FailOn = on
		data, err := r.Format("junit", nil)
		if err != nil {
			t.Fatal(err)
		}
		var suites junitSuites
		if err := xml.Unmarshal(data, &suites); err != nil {
			t.Fatal(err)
		}
		if suites.Failures != want || suites.Tests != len(rules()) {
			t.Errorf("threshold %q: %d failures of %d", on, suites.Failures, suites.Tests)
		}
	}
}

func TestColourOnlyWhereAsked(t *testing.T) {
	plain, _ := sample().Format("text", nil)
	if bytes.ContainsRune(plain, '\x1b') {
		t.Errorf("escape sequences in\n%s", plain)
	}
	painted, _ := sample().Format("text", func(s Style, text string) string { return "<" + text + ">" })
	if !bytes.Contains(painted, []byte("<error:>")) || !bytes.Contains(painted, []byte("<requirements.txt>")) {
		t.Errorf("no colour in\n%s", painted)
	}
}
