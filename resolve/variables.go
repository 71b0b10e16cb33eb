package resolve

import (
	"slices"
	"strings"

	"mlenv/resolve/finding"
	"mlenv/resolve/model"
)

// Variable is an environment variable that a model wants when it runs. MLflow records names alone.
type Variable struct {
	Name string
	Why  string // "recorded when the model was logged", "for the Databricks resources of the model"
	From []finding.Origin
}

// databricksVariables are those by which every client of Databricks finds its workspace, if it does
// not run in one.
var databricksVariables = []string{"DATABRICKS_HOST", "DATABRICKS_TOKEN"}

// Variables returns the variables that a model wants when it runs, sorted by name: those that were
// set when it was logged and that it seemed to use, and those without which its resources cannot be
// reached.
func Variables(m *model.Model) []Variable {
	var out []Variable
	add := func(name, why string, from model.Value) {
		origin := finding.Origin{File: from.File, Line: from.Line, Text: from.Text}
		at := slices.IndexFunc(out, func(v Variable) bool { return v.Name == name })
		if at < 0 {
			out = append(out, Variable{Name: name, Why: why, From: []finding.Origin{origin}})
		} else if out[at].Why == why {
			out[at].From = append(out[at].From, origin)
		}
	}
	for _, v := range m.EnvVars {
		add(v.Text, "recorded when the model was logged", v)
	}
	for _, r := range m.Resources() {
		if !strings.HasPrefix(r.Kind, "databricks.") {
			continue
		}
		for _, name := range databricksVariables {
			add(name, "for the Databricks resources of the model", r.From)
		}
	}
	slices.SortFunc(out, func(a, b Variable) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// VariableFindings says once which variables a model wants when it runs; it is empty for one that
// wants none. It is one finding, whatever their number: they are set in one place, the container's manifest.
func VariableFindings(m *model.Model) (out finding.List) {
	var names []string
	var from []finding.Origin
	for _, v := range Variables(m) {
		names = append(names, v.Name)
		for _, o := range v.From {
			if !slices.Contains(from, o) {
				from = append(from, o)
			}
		}
	}
	if len(names) > 0 {
		out.Add(finding.RuntimeVariable, names[0], from, "the model wants environment variables when it runs: %s", strings.Join(names, ", "))
	}
	return out
}
