package resolve

import (
	"fmt"
	"slices"
	"strings"

	"mlenv/resolve/finding"
	"mlenv/resolve/model"
	"mlenv/resolve/pep440"
)

// mlflowNames are the distributions that contain mlflow, according to MLflow itself
// (_is_mlflow_requirement).
var mlflowNames = []string{"mlflow", "mlflow-skinny", "mlflow-tracing"}

// pinMLflow makes sure that the environment has the version of mlflow that logged the model, unless
// the model pins another. The server that loads the model is mlflow itself: a newer one may read an old
// model otherwise, or not at all, and without a pin the version would be that of the day of the build.
func (m *merger) pinMLflow(logged model.Value) {
	origin := finding.Origin{File: logged.File, Line: logged.Line, Text: "mlflow_version: " + logged.Text}
	pin, known := mlflowPin(logged.Text)
	present := m.hasCondaMLflow()
	for i := range m.spec.Requirements {
		r := &m.spec.Requirements[i]
		switch {
		case slices.Contains(mlflowNames, string(r.Name)):
			m.pinOne(r, pin, known, origin)
			present = true
		case r.Name == "" && strings.Contains(r.URL+r.Path, "/mlflow"):
			present = true
		}
	}
	switch {
	case present:
	case !known:
		m.find(finding.MLflowVersionUnknown, "mlflow", nil, "no file requires mlflow, and MLmodel does not say which version logged the model")
	default:
		m.spec.Requirements = append(m.spec.Requirements,
			Requirement{Name: "mlflow", Specifier: pep440.Exactly(pin), From: []finding.Origin{origin}})
		m.find(finding.MLflowMissing, "mlflow", []finding.Origin{origin},
			"no file requires mlflow; mlflow==%s is added, as the model was logged with %s", pin, logged.Text)
	}
}

// pinOne pins one of mlflow's distributions, or checks the pin that it has. One from a URL or path is what
// the author has built, and stays.
func (m *merger) pinOne(r *Requirement, pin pep440.Version, known bool, origin finding.Origin) {
	if r.URL != "" || r.Path != "" {
		return
	}
	set, name := r.Specifier, string(r.Name)
	if has, ok := set.Pin(); ok {
		if known {
			m.comparePin(r, has, pin, origin)
		}
		return
	}
	switch {
	case !known:
		m.find(finding.MLflowVersionUnknown, name, r.From,
			"%s is not pinned (%s), and MLmodel does not say which version logged the model", name, r.From[0])
	case !set.Match(pin):
		m.find(finding.MLflowVersionDiffers, name, append(slices.Clone(r.From), origin),
			"%s wants %s%s, which excludes %s, the version that logged the model", r.From[0], name, set, pin)
	default:
		m.find(finding.MLflowUnpinned, name, append(slices.Clone(r.From), origin),
			"%s wants %s%s without an exact version; %s==%s is used, as the model was logged with it",
			r.From[0], name, set, name, pin)
		r.Specifier = pep440.Exactly(pin)
		if !slices.Contains(r.From, origin) {
			r.From = append(r.From, origin)
		}
	}
}

func (m *merger) comparePin(r *Requirement, has, pin pep440.Version, origin finding.Origin) {
	name := string(r.Name)
	logged := strings.TrimPrefix(origin.Text, "mlflow_version: ")
	if same, err := pep440.Parse(logged); has.Public().Compare(pin) == 0 || err == nil && has.Equal(same) {
		return
	}
	from := append(slices.Clone(r.From), origin)
	// "mlflow==2.9" is 2.9.0 to pip. Who writes it mostly means the 2.9.2 that is installed.
	if a, b := has.Release(), pin.Release(); len(a) == 2 && len(b) > 2 && slices.Equal(a, b[:2]) {
		m.find(finding.MLflowPinShort, name, from, "%s==%s means %s.0, but the model was logged with %s",
			r.Name, has, has, logged)
		return
	}
	m.find(finding.MLflowVersionDiffers, name, from, "%s pins %s==%s, but the model was logged with %s",
		r.From[0], name, has, logged)
}

func (m *merger) hasCondaMLflow() bool {
	return slices.ContainsFunc(m.spec.Conda.Packages, func(p CondaPackage) bool {
		return slices.Contains(mlflowNames, p.Name)
	})
}

// mlflowPin returns the released version to pin for an mlflow_version. A development version was
// never released, so X.Y.Z.dev0 becomes X.Y.(Z-1), as in MLflow.
func mlflowPin(text string) (pep440.Version, bool) {
	v, err := pep440.Parse(text)
	if err != nil {
		return pep440.Version{}, false
	}
	if !strings.Contains(v.String(), ".dev") {
		return v.Public(), true
	}
	r := append(v.Release(), 0, 0)[:3]
	patch := r[2]
	if patch > 0 {
		patch--
	}
	v, err = pep440.Parse(fmt.Sprintf("%d.%d.%d", r[0], r[1], patch))
	return v, err == nil
}
